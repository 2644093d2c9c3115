//! How are thousands of files of a few folders looked at, without walking to each from the root?
//!
//! The folders are opened once, and what lies in them is looked up from there. A folder that cannot be opened is no
//! error: the way from the root is as good, and says what is wrong.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

/// Folders that are open.
#[derive(Debug, Default)]
pub(crate) struct Near(Vec<(PathBuf, OwnedFd)>);

impl Near {
    /// Opens folders, those that can be.
    pub(crate) fn open(folders: &[&Path]) -> Self {
        let mut near = Self::default();
        for folder in folders {
            near.add(folder);
        }
        near
    }

    /// Opens one more folder, if it can be; of very many only the first are.
    pub(crate) fn add(&mut self, folder: &Path) {
        let Self(folders) = self;
        if folders.len() >= FOLDERS_MOST || folders.iter().any(|(open, _)| open == folder) {
            return;
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(opened) = rustix::fs::open(folder, flags, Mode::empty()) {
            folders.push((folder.to_owned(), opened));
        }
    }

    /// Returns where to begin, and the rest of the way from there.
    pub(crate) fn way<'p>(&self, path: &'p [u8]) -> (BorrowedFd<'_>, &'p [u8]) {
        for (folder, opened) in &self.0 {
            let rest = path.strip_prefix(folder.as_os_str().as_bytes());
            match rest.and_then(|rest| rest.strip_prefix(b"/")) {
                // A second slash would begin at the root.
                Some(rest @ [first, ..]) if *first != b'/' => return (opened.as_fd(), rest),
                Some(_) | None => {}
            }
        }
        (CWD, path)
    }
}

/// A configuration includes few folders, and each takes a file descriptor.
const FOLDERS_MOST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::AtFlags;

    #[test]
    fn a_file_is_found_from_its_folder_and_from_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        let near = Near::open(&[&folder.path().join("a"), &folder.path().join("gone")]);
        let check = |path: &str, rest: &str| {
            let path = format!("{}/{path}", folder.path().display());
            let (begin, way) = near.way(path.as_bytes());
            assert!(way.ends_with(rest.as_bytes()));
            assert_eq!(way.starts_with(b"/"), rest.starts_with('/'), "{path}");
            assert!(rustix::fs::statat(begin, way, AtFlags::empty()).is_ok());
        };
        check("a/b", "b");
        check("a/b/../b", "b/../b");
        check("a", "/a");
        check("a/", "/a/");
        check("a//b", "/a//b");
        check("./a/b", "/./a/b");
    }
}
