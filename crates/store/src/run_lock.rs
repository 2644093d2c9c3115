//! How are two runs kept from working at the same time?
//!
//! By a lock on a file (`flock`), which the kernel releases when the process ends, however it ends. The file's
//! content is for people and for the run that comes second; what counts is the lock. The file stays: removing it
//! would let two runs hold locks on two files of the same name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use renewal::ports::{Clock, Lease, LeaseHeld};

use crate::folder;

/// The lease of one host, taken by one process at a time.
#[derive(Debug)]
pub struct RunLock<C> {
    path: PathBuf,
    command: String,
    clock: C,
}

impl<C: Clock> RunLock<C> {
    /// Prepares to lock the file at `path` (`<state>/lock`); `command` is what others are told is running.
    pub fn new(path: PathBuf, command: impl Into<String>, clock: C) -> Self {
        Self {
            path,
            command: command.into(),
            clock,
        }
    }

    fn unusable(&self, error: &io::Error) -> LeaseHeld {
        LeaseHeld::Unusable(format!(
            "the lock file {} cannot be used: {error}",
            self.path.display()
        ))
    }
}

impl<C: Clock> Lease for RunLock<C> {
    type Held = Held;

    fn take(&self) -> Result<Held, LeaseHeld> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = folder::create(folder::of(&self.path))
            .and_then(|()| options.mode(FILE_MODE).open(&self.path))
            .map_err(|error| self.unusable(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LeaseHeld::By(holder(&mut file))),
            Err(TryLockError::Error(error)) => return Err(self.unusable(&error)),
        }
        let note = format!(
            "pid {}, clpctl {}, since {}\n",
            std::process::id(),
            self.command,
            self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        );
        // The lock holds without the note: a full disk must not keep a renewal from being tried.
        let written = file
            .set_len(0)
            .and_then(|()| file.write_all(note.as_bytes()));
        drop(written);
        Ok(Held { file })
    }
}

/// The lease while it is held; dropping it gives it up.
#[derive(Debug)]
pub struct Held {
    file: File,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closing the file would release the lock too, but not if a child process had inherited it.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

/// Reads who holds the lock: one line, or that it is not known.
fn holder(file: &mut File) -> String {
    let mut note = String::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(NOTE_BYTES_MAX).read_to_string(&mut note));
    match (read, note.lines().next()) {
        (Ok(_), Some(line)) if !line.is_empty() => line.to_owned(),
        _ => "a process that has not said who it is".to_owned(),
    }
}

/// Root alone: the command line of a run names customers' domains.
const FILE_MODE: u32 = 0o600;

/// A note is a line; whatever else stands in the file is not read.
const NOTE_BYTES_MAX: u64 = 512;
