//! How does the service notice that nginx's configuration changed?
//!
//! By inotify on the folders that hold it, for editors replace files rather than write them. SIGHUP asks for a
//! pass as well. A file system without inotify only means that changes are noticed by the daily pass.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use reconcile::service::Watcher;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Watches files and folders, and listens for SIGHUP.
pub(super) struct Watching {
    always: Vec<PathBuf>,
    watches: Option<Watches>,
    events: Option<EventStream<[u8; BUFFER]>>,
    folders: HashMap<PathBuf, (WatchDescriptor, Interest)>,
    hangup: Option<Signal>,
}

/// Which changes in a folder matter.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Interest {
    /// All: a pattern in the configuration takes files from it.
    Anything,
    /// Those of these files. Logs may lie beside them.
    Files(HashSet<OsString>),
}

impl Watching {
    /// Starts with nothing watched but `always`, which stay watched.
    pub(super) fn new(always: Vec<PathBuf>) -> Self {
        let inotify = Inotify::init()
            .inspect_err(|error| tracing::warn!(%error, "changes of the configuration are not noticed at once"))
            .ok();
        let watches = inotify.as_ref().map(Inotify::watches);
        let events = inotify.and_then(|inotify| inotify.into_event_stream([0; BUFFER]).ok());
        Self {
            always,
            watches,
            events,
            folders: HashMap::new(),
            hangup: signal(SignalKind::hangup()).ok(),
        }
    }
}

impl Watcher for Watching {
    fn watch(&mut self, paths: &[PathBuf]) {
        let Some(watches) = &mut self.watches else {
            return;
        };
        let wanted = folders(paths.iter().chain(&self.always));
        self.folders.retain(|folder, (descriptor, _)| {
            let keep = wanted.contains_key(folder);
            if !keep {
                // A folder that is gone took its watch with it.
                let _ = watches.remove(descriptor.clone());
            }
            keep
        });
        for (folder, interest) in wanted {
            // Again each time: a folder that was made anew has lost its watch, and one that has it keeps it.
            match watches.add(&folder, MASK) {
                Ok(descriptor) => _ = self.folders.insert(folder, (descriptor, interest)),
                Err(error) => {
                    tracing::warn!(folder = %folder.display(), %error, "changes in this folder are not noticed at once");
                }
            }
        }
    }

    async fn changed(&mut self) {
        let (always, watches) = (&self.always, &mut self.watches);
        let event = async {
            match &mut self.events {
                Some(events) => loop {
                    match events.next().await {
                        Some(Ok(event)) if matters(&self.folders, &event) => {
                            watch_new(&mut self.folders, watches.as_mut(), always);
                            return;
                        }
                        Some(Ok(_)) => {}
                        Some(Err(error)) => {
                            tracing::warn!(%error, "a change of the configuration may go unnoticed");
                        }
                        None => std::future::pending::<()>().await,
                    }
                },
                None => std::future::pending().await,
            }
        };
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => _ = hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = event => {}
            () = hangup => tracing::info!("asked for a pass (SIGHUP)"),
        }
    }

    fn forget(&mut self) -> bool {
        let Some(events) = &mut self.events else {
            return false;
        };
        let mut any = false;
        while let Some(Some(event)) = futures_util::FutureExt::now_or_never(events.next()) {
            any |= event.is_ok_and(|event| matters(&self.folders, &event));
        }
        any
    }
}

/// Watches folders of these files that were made meanwhile: the file may come while a pass is made.
fn watch_new(
    watched: &mut HashMap<PathBuf, (WatchDescriptor, Interest)>,
    watches: Option<&mut Watches>,
    files: &[PathBuf],
) {
    let Some(watches) = watches else { return };
    for (folder, interest) in folders(files.iter()) {
        if !watched.contains_key(&folder)
            && let Ok(descriptor) = watches.add(&folder, MASK)
        {
            watched.insert(folder, (descriptor, interest));
        }
    }
}

/// Says whether what happened is a change of the configuration. Lost events count as one.
fn matters(folders: &HashMap<PathBuf, (WatchDescriptor, Interest)>, event: &EventOwned) -> bool {
    if event.mask.contains(EventMask::Q_OVERFLOW) {
        return true;
    }
    // A watch that was given up may still have had events; nobody asks for them any more.
    let Some((_, interest)) = folders
        .values()
        .find(|(descriptor, _)| *descriptor == event.wd)
    else {
        return false;
    };
    match (interest, &event.name) {
        (Interest::Files(files), Some(name)) => files.contains(name),
        (Interest::Anything, _) | (Interest::Files(_), None) => true,
    }
}

/// Returns the folders of the files, and the folders themselves, with what matters in them.
fn folders<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> HashMap<PathBuf, Interest> {
    let mut folders: HashMap<PathBuf, Interest> = HashMap::new();
    for path in paths {
        add(&mut folders, path);
        // A vhost is often a link in sites-enabled, and what is edited is the file it leads to.
        if path.is_symlink()
            && let Ok(target) = std::fs::canonicalize(path)
        {
            add(&mut folders, &target);
        }
    }
    folders
}

fn add(folders: &mut HashMap<PathBuf, Interest>, path: &Path) {
    if path.is_dir() {
        folders.insert(path.to_owned(), Interest::Anything);
        return;
    }
    // A folder that is not there yet is waited for in the nearest one that is.
    let mut path = path;
    while let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
        path = folder;
    }
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    let interest = folders
        .entry(folder)
        .or_insert_with(|| Interest::Files(HashSet::new()));
    if let (Interest::Files(files), Some(name)) = (interest, path.file_name()) {
        files.insert(name.to_owned());
    }
}

/// What counts as a change: contents complete, and names come and gone.
const MASK: WatchMask = WatchMask::CLOSE_WRITE
    .union(WatchMask::CREATE)
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVE);

/// Room for a good many events at once, in bytes.
const BUFFER: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use reconcile::service::Watcher as _;

    use super::Watching;

    async fn changes_within(watching: &mut Watching, limit: Duration) -> bool {
        tokio::time::timeout(limit, watching.changed())
            .await
            .is_ok()
    }

    const SOON: Duration = Duration::from_secs(30);
    const QUIET: Duration = Duration::from_millis(200);

    fn put(path: &Path, text: &str) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[tokio::test]
    async fn a_configuration_file_that_is_made_later_is_seen_with_its_folders() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("etc/clpctl/clpctl.toml");
        let mut watching = Watching::new(vec![file.clone()]);
        watching.watch(&[]);
        put(&folder.path().join("beside"), "");
        let beside = changes_within(&mut watching, QUIET).await;
        assert!(!beside, "what is beside does not matter");
        std::fs::create_dir(folder.path().join("etc")).unwrap();
        assert!(changes_within(&mut watching, SOON).await);
        // Without another pass in between, each step is seen.
        std::fs::create_dir(folder.path().join("etc/clpctl")).unwrap();
        assert!(changes_within(&mut watching, SOON).await);
        put(&file, "");
        assert!(changes_within(&mut watching, SOON).await);
        watching.watch(&[]);
        while changes_within(&mut watching, QUIET).await {}
        put(&file, "[acme]\n");
        let changed = changes_within(&mut watching, SOON).await;
        assert!(changed, "its changes are seen as well");
    }
}
