//! How does the service notice that nginx's configuration changed?
//!
//! By inotify on the folders that hold it, for editors replace files rather than write them. SIGHUP asks for a
//! pass as well. A file system without inotify only means that changes are noticed by the daily pass.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use inotify::{EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use reconcile::service::Watcher;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Watches files and folders, and listens for SIGHUP.
pub(super) struct Watching {
    always: Vec<PathBuf>,
    watches: Option<Watches>,
    events: Option<EventStream<[u8; BUFFER]>>,
    folders: HashMap<PathBuf, WatchDescriptor>,
    hangup: Option<Signal>,
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
        self.folders.retain(|folder, descriptor| {
            let keep = wanted.contains(folder);
            if !keep {
                // A folder that is gone took its watch with it.
                let _ = watches.remove(descriptor.clone());
            }
            keep
        });
        for folder in wanted {
            if self.folders.contains_key(&folder) {
                continue;
            }
            match watches.add(&folder, MASK) {
                Ok(descriptor) => _ = self.folders.insert(folder, descriptor),
                Err(error) => {
                    tracing::warn!(folder = %folder.display(), %error, "changes in this folder are not noticed at once")
                }
            }
        }
    }

    async fn changed(&mut self) {
        let event = async {
            match &mut self.events {
                Some(events) => loop {
                    match events.next().await {
                        Some(Ok(_)) => return,
                        Some(Err(error)) => {
                            tracing::warn!(%error, "a change of the configuration may go unnoticed")
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

    fn forget(&mut self) {
        let Some(events) = &mut self.events else {
            return;
        };
        while let Some(Some(_)) = futures_util::FutureExt::now_or_never(events.next()) {}
    }
}

/// Returns the folders of the files, and the folders themselves, once each.
fn folders<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for path in paths {
        let folder = if path.is_dir() {
            path.as_path()
        } else {
            path.parent().unwrap_or(Path::new("/"))
        };
        folders.push(folder.to_owned());
    }
    folders.sort_unstable();
    folders.dedup();
    folders
}

/// What counts as a change: contents complete, and names come and gone.
const MASK: WatchMask = WatchMask::CLOSE_WRITE
    .union(WatchMask::CREATE)
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVE);

/// Room for a good many events at once, in bytes.
const BUFFER: usize = 16 * 1024;
