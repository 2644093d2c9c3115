//! Where do configuration files come from?
//!
//! From the disk of the host; in tests also from memory.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::retry_on_intr;

use super::error::MAX_FILE;

/// What a reading of the configuration asks of a file system.
pub trait Reader {
    /// Puts the content of a file into an empty buffer.
    ///
    /// # Errors
    ///
    /// Those of opening and reading; [`io::ErrorKind::FileTooLarge`] past [`MAX_FILE`].
    fn read(&self, path: &Path, into: &mut Vec<u8>) -> io::Result<()>;

    /// Returns the names in a folder, in any order.
    ///
    /// # Errors
    ///
    /// Those of opening and reading a folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>>;

    /// Says whether a name is there, be it a link that leads nowhere.
    fn exists(&self, path: &Path) -> bool;
}

/// The file system of the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Reader for Disk {
    fn read(&self, path: &Path, into: &mut Vec<u8>) -> io::Result<()> {
        read_at(CWD, path.as_os_str().as_bytes(), into)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name()))
            .collect()
    }

    fn exists(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok()
    }
}

/// Puts the content of a file into an empty buffer; the way to the file begins at an open folder.
pub(crate) fn read_at(begin: BorrowedFd<'_>, way: &[u8], into: &mut Vec<u8>) -> io::Result<()> {
    // Not blocking: a pipe in place of a file would otherwise hold us for ever.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Where files come over a network, a signal may interrupt it; the site must not be missed for that.
    let file = retry_on_intr(|| rustix::fs::openat(begin, way, flags, Mode::empty()))?;
    let about = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(about.st_mode).is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    // As nginx does: what has no size (a device, a pipe) reads as empty.
    let length = u64::try_from(about.st_size).unwrap_or_default();
    let size = usize::try_from(length).unwrap_or(usize::MAX);
    if size > MAX_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    into.reserve(size);
    fs::File::from(file).take(length).read_to_end(into)?;
    Ok(())
}

/// Files in memory, by their absolute paths.
#[derive(Clone, Debug, Default)]
pub struct InMemory {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl<P: Into<PathBuf>, C: Into<Vec<u8>>> FromIterator<(P, C)> for InMemory {
    fn from_iter<I: IntoIterator<Item = (P, C)>>(files: I) -> Self {
        let files = files
            .into_iter()
            .map(|(path, content)| (path.into(), content.into()));
        InMemory {
            files: files.collect(),
        }
    }
}

impl Reader for InMemory {
    fn read(&self, path: &Path, into: &mut Vec<u8>) -> io::Result<()> {
        let content = self.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        into.extend_from_slice(content);
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let inside = self
            .files
            .keys()
            .filter_map(|path| path.strip_prefix(folder).ok());
        let mut names: Vec<OsString> = inside
            .filter_map(|path| Some(path.components().next()?.as_os_str().to_owned()))
            .collect();
        names.dedup();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> bool {
        self.files.keys().any(|file| file.starts_with(path))
    }
}
