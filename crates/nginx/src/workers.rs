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

/// Returns how long ago nginx took up its configuration last; `None` where that cannot be seen.
///
/// A reload starts new workers, and one that is refused leaves the old ones. A worker that died is replaced by one that
/// knows no more than the others, so the oldest counts.
pub(crate) fn age(proc: &Path, master: Pid) -> Option<Duration> {
    let uptime = fs::read_to_string(proc.join("uptime")).ok()?;
    let uptime: f64 = uptime.split(' ').next()?.parse().ok()?;
    let workers = accepting(proc, master).into_iter();
    let starts = workers.filter_map(|worker| stat(proc, worker, STARTED)?.parse::<u32>().ok());
    let oldest = f64::from(starts.min()?) / TICKS_PER_SECOND;
    Duration::try_from_secs_f64(uptime - oldest).ok()
}

/// Lists the master's workers that take connections.
fn accepting(proc: &Path, master: Pid) -> Vec<u32> {
    let mut workers = children(proc, master);
    workers.retain(|process| accepts(proc, *process));
    workers
}

/// Lists the processes that the master started.
fn children(proc: &Path, master: Pid) -> Vec<u32> {
    let master = master.as_raw_nonzero().get().to_string();
    // Not every kernel lists them (CONFIG_PROC_CHILDREN).
    let listed = fs::read_to_string(proc.join(format!("{master}/task/{master}/children")));
    if let Ok(listed) = listed {
        return listed.split_whitespace().flat_map(str::parse).collect();
    }
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|process| stat(proc, *process, PARENT).as_deref() == Some(&master))
        .collect()
}

/// Says whether the process is a worker that was not told to end.
fn accepts(proc: &Path, process: u32) -> bool {
    let title = fs::read(proc.join(format!("{process}/cmdline"))).unwrap_or_default();
    title.starts_with(WORKER) && !title.starts_with(ENDING_WORKER)
}

/// Returns a field of the process's `stat` (proc(5)), counted from the third.
fn stat(proc: &Path, process: u32, field: usize) -> Option<String> {
    let stat = fs::read_to_string(proc.join(format!("{process}/stat"))).ok()?;
    // The second field is a name in parentheses, which may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(field).map(str::to_owned)
}

/// The fourth field: the number of the parent.
const PARENT: usize = 1;

/// The 22nd field: when it was started, in ticks since the machine was.
const STARTED: usize = 19;

/// What the kernel counts in for programs, on every architecture that has a package of ours.
const TICKS_PER_SECOND: f64 = 100.0;

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

    #[test]
    fn the_oldest_worker_that_takes_connections_tells_how_old_it_is() {
        let proc = tempfile::tempdir().unwrap();
        let master = Pid::from_raw(7).unwrap();
        put(&proc.path().join("uptime"), "1000.50 3.00\n");
        for (number, title, started) in [
            (8, "nginx: worker process is shutting down", 100),
            (9, "nginx: worker process", 90_000),
            (10, "nginx: worker process", 99_000),
            (11, "nginx: cache manager process", 200),
        ] {
            let folder = proc.path().join(number.to_string());
            fs::create_dir(&folder).unwrap();
            put(&folder.join("cmdline"), &format!("{title}\0"));
            let stat = format!("{number} (a ) b) S 7{} {started} 1", " 0".repeat(17));
            put(&folder.join("stat"), &stat);
        }
        let expected = Some(Duration::from_millis(100_500));
        assert_eq!(age(proc.path(), master), expected);
        // Where the kernel lists children, nobody else is looked at.
        let task = proc.path().join("7/task/7");
        fs::create_dir_all(&task).unwrap();
        put(&task.join("children"), "10 11 ");
        let expected = Some(Duration::from_millis(10_500));
        assert_eq!(age(proc.path(), master), expected);
        put(&task.join("children"), "");
        assert_eq!(age(proc.path(), master), None);
    }
}
