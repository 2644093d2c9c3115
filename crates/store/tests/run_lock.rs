//! Does the lock hold between real processes, and does death release it?
//!
//! Started with `hold PATH`, this program is the other process: it takes the lock, says so on standard output,
//! and waits until its standard input ends.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use jiff::Timestamp;
use renewal::ports::{Clock, Lease, LeaseHeld};
use store::RunLock;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, path] = arguments.as_slice()
        && role == "hold"
    {
        return hold(Path::new(path));
    }
    // The names of the checks stand in the panic message when one fails.
    another_process_is_named_and_kept_out();
    the_lock_is_free_again_after_the_holder_was_killed();
    the_same_process_cannot_take_it_twice();
    a_file_that_cannot_be_made_is_told();
    an_old_note_does_not_lock();
}

struct Frozen;

impl Clock for Frozen {
    fn now(&self) -> Timestamp {
        "2026-02-01T03:04:05.678Z".parse().unwrap()
    }

    async fn wait_until(&self, _: Timestamp) {}
}

fn lock(path: &Path) -> RunLock<Frozen> {
    RunLock::new(path.to_owned(), "site:renew-certificates", Frozen)
}

fn hold(path: &Path) {
    let held = lock(path).take().unwrap();
    std::io::stdout().write_all(b"held\n").unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(held);
}

#[expect(
    clippy::disallowed_methods,
    reason = "the second process must be a real one"
)]
fn holder(path: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("hold")
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = child.stdout.as_mut().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    child
}

fn another_process_is_named_and_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/lock");
    let mut child = holder(&path);
    let note = format!(
        "pid {}, clpctl site:renew-certificates, since 2026-02-01T03:04:05Z",
        child.id()
    );
    assert_eq!(lock(&path).take().unwrap_err(), LeaseHeld::By(note));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    let held = lock(&path).take().expect("the holder gave it up");
    drop(held);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
}

fn the_lock_is_free_again_after_the_holder_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let mut child = holder(&path);
    assert!(matches!(lock(&path).take(), Err(LeaseHeld::By(_))));
    child.kill().unwrap();
    child.wait().unwrap();
    let note = std::fs::read_to_string(&path).unwrap();
    assert!(note.starts_with("pid "), "it had no time to tidy up");
    lock(&path).take().expect("its death released the lock");
}

fn the_same_process_cannot_take_it_twice() {
    let folder = tempfile::tempdir().unwrap();
    let lock = lock(&folder.path().join("lock"));
    let held = lock.take().unwrap();
    let error = lock.take().unwrap_err().to_string();
    let me = format!("another run is at work: pid {}, clpctl", std::process::id());
    assert!(error.starts_with(&me), "{error}");
    drop(held);
    lock.take().expect("it was given up");
}

fn a_file_that_cannot_be_made_is_told() {
    let error = lock(Path::new("/proc/no-such-folder/lock"))
        .take()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the lock file /proc/no-such-folder/lock cannot be used: No such file or directory (os error 2)"
    );
}

fn an_old_note_does_not_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(&[0xff; 100_000]).unwrap();
    let held = lock(&path).take().expect("nobody holds it");
    let note = std::fs::read_to_string(&path).unwrap();
    assert_eq!(note.lines().count(), 1);
    drop(held);
}
