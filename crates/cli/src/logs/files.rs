//! How is a log file appended to and rotated, when several processes do so at once?
//!
//! Each line is one `write` to a file opened for appending, which the kernel keeps whole. A file that is full is
//! put aside (`clpctl.log.1`, `.2`, …) by whoever holds a lock on that very file; the others notice by its inode
//! that the name now means a new file, and open that.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

/// A log file that rotates.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    mode: u32,
    size: u64,
    keep: u8,
    file: File,
    /// How many bytes may be written before the file is looked at again, if that is not sooner due.
    room: u64,
    look_at: Instant,
    look_every: Duration,
}

impl LogFile {
    /// Opens the file for appending; makes it and its folder when they are missing.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made, or the file cannot be opened or is a symbolic link: a log is written as
    /// root, and must not be led elsewhere by someone who may write to its folder.
    pub fn open(path: &Path, mode: u32, size: u64, keep: u8) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(MODE_OF_FOLDERS)
                .create(folder)?;
        }
        let file = open(path, mode)?;
        let now = Instant::now();
        Ok(Self {
            path: path.to_owned(),
            mode,
            size,
            keep,
            file,
            room: 0,
            look_at: now,
            look_every: LOOK_EVERY,
        })
    }

    /// Appends one line, which ends with a line end.
    ///
    /// # Errors
    ///
    /// When the disk is full, or the folder is gone.
    pub fn append(&mut self, line: &str) -> io::Result<()> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let now = Instant::now();
        if length > self.room || now >= self.look_at {
            self.look(length)?;
            self.look_at = now + self.look_every;
        }
        self.room = self.room.saturating_sub(length);
        self.file.write_all(line.as_bytes())
    }

    /// Finds out what others did with the file, and puts it aside when so many more bytes would be too much.
    fn look(&mut self, more: u64) -> io::Result<()> {
        let held = self.file.metadata()?;
        if !self.is_current(&held) {
            self.file = open(&self.path, self.mode)?;
        } else if held.len() > 0 && held.len().saturating_add(more) > self.size {
            self.rotate()?;
        }
        self.room = self.size.saturating_sub(self.file.metadata()?.len());
        Ok(())
    }

    /// Says whether the name still means the file that is open.
    fn is_current(&self, held: &std::fs::Metadata) -> bool {
        std::fs::symlink_metadata(&self.path)
            .is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino()))
    }

    fn rotate(&mut self) -> io::Result<()> {
        rustix::fs::flock(&self.file, FlockOperation::LockExclusive)?;
        // Whoever had the lock before us has put the file aside already.
        if self.is_current(&self.file.metadata()?) {
            for number in (1..self.keep).rev() {
                rename(&aside(&self.path, number), &aside(&self.path, number + 1))?;
            }
            if self.keep == 0 {
                std::fs::remove_file(&self.path)?;
            } else {
                rename(&self.path, &aside(&self.path, 1))?;
            }
        }
        // Closing the old file gives up its lock.
        self.file = open(&self.path, self.mode)?;
        Ok(())
    }
}

/// Returns the name of a file that was put aside.
#[must_use]
pub fn aside(path: &Path, number: u8) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn open(path: &Path, mode: u32) -> io::Result<File> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(no_follow.bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(mode)
        .custom_flags(flags)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    Ok(file)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a log that a crash puts back under its old name has lost nothing"
)]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

const MODE_OF_FOLDERS: u32 = 0o750;

/// How soon it is noticed that another program put the file aside. Looking takes longer than writing a line.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::{LogFile, aside};
    use std::collections::HashSet;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::time::Duration;

    fn lines(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/clpctl.log");
        let mut log = LogFile::open(&path, 0o640, 20, 2).unwrap();
        for number in 0..5 {
            log.append(&format!("line {number} ......\n")).unwrap();
        }
        assert_eq!(lines(&path), ["line 4 ......"]);
        assert_eq!(lines(&aside(&path, 1)), ["line 3 ......"]);
        assert_eq!(lines(&aside(&path, 2)), ["line 2 ......"]);
        assert!(!aside(&path, 3).exists());
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
    }

    #[test]
    fn several_writers_lose_no_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clpctl.log");
        // Each has a file of its own, as each process has.
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    let mut log = LogFile::open(path, 0o600, 4_000, 200).unwrap();
                    for number in 0..500 {
                        // Long enough that each fills the file by itself, however they take turns.
                        log.append(&format!("{writer}-{number:040}\n")).unwrap();
                    }
                });
            }
        });
        let files =
            std::iter::once(path.clone()).chain((1..=200).map(|number| aside(&path, number)));
        let all: Vec<String> = files.flat_map(|file| lines(&file)).collect();
        assert_eq!(all.len(), 2_000);
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 2_000);
        assert!(aside(&path, 1).exists(), "it was rotated");
    }

    #[test]
    fn another_program_rotated_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clpctl.log");
        let mut log = LogFile::open(&path, 0o600, 1_000, 2).unwrap();
        log.look_every = Duration::from_millis(1);
        log.append("one\n").unwrap();
        std::fs::remove_file(&path).unwrap();
        std::thread::sleep(log.look_every);
        log.append("two\n").unwrap();
        assert_eq!(lines(&path), ["two"]);
    }

    #[test]
    fn a_link_is_not_followed_and_a_folder_is_no_log() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("passwd"), &link).unwrap();
        assert!(LogFile::open(&link, 0o600, 1_000, 2).is_err());
        assert!(!folder.path().join("passwd").exists());
        assert!(LogFile::open(folder.path(), 0o600, 1_000, 2).is_err());
    }
}
