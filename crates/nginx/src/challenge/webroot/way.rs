//! How is a folder reached through folders that somebody else may change meanwhile?
//!
//! The way to a document root leads through folders of the site's user, who may put a symbolic link in the place of
//! any of them at any moment. So the kernel follows none: it goes a way without links at once (`openat2`), and on any other
//! each part is opened by itself, below the folder that is open already, and a link is read from the very thing that was
//! opened. What was looked at is what is used.
//!
//! # Invariants
//!
//! - A link on the way was made by root, or by the owner of the folder that the way ends in.
//! - A link with a second name counts as nobody's: a hard link carries its maker's name to where another put it.
//! - No number of links or parts makes it endless.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2, readlinkat,
};
use rustix::io::Errno;

/// What could not be opened, and why.
pub(super) type Failure = (PathBuf, Errno);

/// The end of a way: good for making, opening and removing things in it, by name.
#[derive(Debug)]
pub(super) struct End {
    pub(super) folder: OwnedFd,
    pub(super) facts: Stat,
}

/// Goes the way to a folder.
///
/// # Errors
///
/// The part that is missing, is no folder, or is a link of somebody who has no say here.
pub(super) fn open(path: &Path) -> Result<End, Failure> {
    let no_link = ResolveFlags::NO_SYMLINKS;
    // Most ways have none, and the kernel can go them at once. Where it does not, the part at fault is looked for.
    let Ok(folder) = openat2(CWD, path, FOLDER, Mode::empty(), no_link) else {
        return by_parts(path);
    };
    let facts = fstat(&folder).map_err(|errno| (path.to_owned(), errno))?;
    Ok(End { folder, facts })
}

fn by_parts(path: &Path) -> Result<End, Failure> {
    let mut going = Going::from(path)?;
    while let Some(part) = going.ahead.pop() {
        going.step(&part)?;
    }
    let facts = fstat(&going.at).map_err(|errno| (path.to_owned(), errno))?;
    match going.links.into_iter().find(|link| !link.may_lead(&facts)) {
        Some(link) => Err((link.path, Errno::LOOP)),
        None => Ok(End {
            folder: going.at,
            facts,
        }),
    }
}

struct Going {
    at: OwnedFd,
    /// Where that is, for people.
    shown: PathBuf,
    /// The parts that are still to go, the next one last.
    ahead: Vec<OsString>,
    links: Vec<Link>,
    steps: usize,
}

/// A link that was taken.
struct Link {
    path: PathBuf,
    owner: u32,
    /// Whether it has one name.
    alone: bool,
}

impl Link {
    fn may_lead(&self, end: &Stat) -> bool {
        self.alone && (self.owner == 0 || self.owner == end.st_uid)
    }
}

impl Going {
    fn from(path: &Path) -> Result<Self, Failure> {
        let begin = if path.is_absolute() { "/" } else { "." };
        let begin = PathBuf::from(begin);
        let at = open_folder(CWD, begin.as_os_str()).map_err(|errno| (begin.clone(), errno))?;
        let mut going = Self {
            at,
            shown: begin,
            ahead: Vec::new(),
            links: Vec::new(),
            steps: 0,
        };
        going.put_ahead(path);
        Ok(going)
    }

    fn put_ahead(&mut self, path: &Path) {
        let parts = path.components().rev().filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        });
        self.ahead.extend(parts);
    }

    fn step(&mut self, part: &OsStr) -> Result<(), Failure> {
        let path = self.shown.join(part);
        let wrong = |errno| (path.clone(), errno);
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(wrong(Errno::LOOP));
        }
        match open_folder(&self.at, part) {
            Ok(folder) => {
                self.at = folder;
                self.shown = path;
                Ok(())
            }
            // A link, or no folder at all. A file system that cannot say which answers with either.
            Err(Errno::NOTDIR | Errno::LOOP) => self.follow(part, &path).map_err(wrong),
            Err(errno) => Err(wrong(errno)),
        }
    }

    fn follow(&mut self, part: &OsStr, path: &Path) -> Result<(), Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let link = openat(&self.at, part, flags, Mode::empty())?;
        let facts = fstat(&link)?;
        if !FileType::from_raw_mode(facts.st_mode).is_symlink() {
            return Err(Errno::NOTDIR);
        }
        if self.links.len() == LINKS_MAX {
            return Err(Errno::LOOP);
        }
        // Of the link that is open, whatever has its name by now.
        let target = readlinkat(&link, "", Vec::new())?;
        self.links.push(Link {
            path: path.to_owned(),
            owner: facts.st_uid,
            alone: facts.st_nlink == 1,
        });
        let target = Path::new(OsStr::from_bytes(target.to_bytes()));
        if target.is_absolute() {
            self.shown = PathBuf::from("/");
            self.at = open_folder(CWD, OsStr::new("/"))?;
        }
        self.put_ahead(target);
        Ok(())
    }
}

/// Opens a folder for what is in it. Reading it needs no right; a home that is mounted on demand gets mounted.
fn open_folder(above: impl AsFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    openat(above, name, FOLDER, Mode::empty())
}

const FOLDER: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// As many as the kernel follows (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Parts of all links together: a link has 4,095 bytes, and 40 of them would make for a long way.
const STEPS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::{by_parts, open};
    use std::os::unix::fs::symlink;

    #[test]
    fn going_at_once_and_by_parts_lead_to_the_same_folder() {
        let base = tempfile::tempdir().unwrap();
        let root = base.path().canonicalize().unwrap().join("a/b");
        std::fs::create_dir_all(&root).unwrap();
        symlink("b", root.with_file_name("link")).unwrap();
        crate::testing::put(&root.join("file"), "");
        for way in ["", "../b", "../link", ".", "file", "nothing", "../../a/b"] {
            let way = root.join(way);
            let told = [open(&way), by_parts(&way)].map(|end| match end {
                Ok(end) => Ok((end.facts.st_dev, end.facts.st_ino)),
                Err(failure) => Err(failure),
            });
            assert_eq!(told[0], told[1], "{}", way.display());
        }
    }
}
