//! Have the workers that know only the old configuration stopped taking connections?
//!
//! A reload is asynchronous, and for a moment both take them: nginx starts its new workers, sleeps for a tenth of a
//! second, and only then tells the old ones to end. An answer from a new worker does not show that the next
//! request reaches one too; and the CA counts the request that does not. A worker that was told says so in its
//! title just before it closes its sockets.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Pid;
use tokio::time::{Instant, sleep};

/// The workers that were there before the last reload.
#[derive(Debug, Default)]
pub(crate) struct OldWorkers {
    /// Empty once they are gone, or were waited for in vain.
    workers: Mutex<Vec<u32>>,
    /// Held by the one who looks for all that wait.
    looking: tokio::sync::Mutex<()>,
}

impl OldWorkers {
    /// Takes in that this master, when there is one, is about to be told to reload.
    pub(crate) fn reload_begins(&self, master: Option<Pid>) {
        *self.lock() = master.map_or_else(Vec::new, |master| accepting(Path::new("/proc"), master));
    }

    /// Returns once none of them takes connections; at once when there was no reload.
    ///
    /// A reload that nginx did not take up is waited for in vain, for as long as `patience`, and once.
    pub(crate) async fn gone(&self, patience: Duration) {
        let _looking = self.looking.lock().await;
        let workers = self.lock().clone();
        let (proc, deadline) = (Path::new("/proc"), Instant::now() + patience);
        while workers.iter().any(|worker| accepts(proc, *worker)) {
            if Instant::now() >= deadline {
                tracing::warn!("nginx still has its old workers; the reload was not taken up yet");
                break;
            }
            sleep(PAUSE).await;
        }
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u32>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lists the master's workers that take connections.
fn accepting(proc: &Path, master: Pid) -> Vec<u32> {
    let master = master.as_raw_nonzero().get().to_string();
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|process| parent(proc, *process).as_deref() == Some(&master))
        .filter(|process| accepts(proc, *process))
        .collect()
}

/// Says whether the process is a worker that was not told to end.
fn accepts(proc: &Path, process: u32) -> bool {
    let title = fs::read(proc.join(format!("{process}/cmdline"))).unwrap_or_default();
    title.starts_with(WORKER) && !title.starts_with(ENDING_WORKER)
}

/// Returns the number of the process's parent (proc(5), the fourth field of `stat`).
fn parent(proc: &Path, process: u32) -> Option<String> {
    let stat = fs::read_to_string(proc.join(format!("{process}/stat"))).ok()?;
    // The second field is a name in parentheses, which may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(1).map(str::to_owned)
}

/// What workers call themselves.
const WORKER: &[u8] = b"nginx: worker process";

/// What they call themselves once they were told to end.
const ENDING_WORKER: &[u8] = b"nginx: worker process is shutting down";

/// How often the titles are read.
const PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    /// Says which of these processes count, for a master with the number 7.
    fn check(processes: &[(u32, &str, u32)], expected: &[u32]) {
        let proc = tempfile::tempdir().unwrap();
        for (number, title, parent) in processes {
            let folder = proc.path().join(number.to_string());
            fs::create_dir(&folder).unwrap();
            put(&folder.join("cmdline"), &format!("{title}\0"));
            put(
                &folder.join("stat"),
                &format!("{number} (a ) b) S {parent} 1 1"),
            );
        }
        let mut found = accepting(proc.path(), Pid::from_raw(7).unwrap());
        found.sort_unstable();
        assert_eq!(found, expected);
    }

    #[expect(clippy::disallowed_methods, reason = "a fixture")]
    fn put(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
    }

    #[test]
    fn workers_of_this_master_that_were_not_told_to_end() {
        check(
            &[
                (7, "nginx: master process /usr/sbin/nginx", 1),
                (8, "nginx: worker process", 7),
                (9, "nginx: worker process is shutting down", 7),
                (10, "nginx: cache manager process", 7),
                (11, "nginx: worker process", 6),
            ],
            &[8],
        );
    }

    #[test]
    fn no_process_at_all() {
        check(&[], &[]);
    }

    #[tokio::test]
    async fn without_a_reload_there_is_nothing_to_wait_for() {
        OldWorkers::default().gone(Duration::from_secs(60)).await;
        let reloaded = OldWorkers::default();
        reloaded.reload_begins(None);
        reloaded.gone(Duration::from_secs(60)).await;
    }
}
