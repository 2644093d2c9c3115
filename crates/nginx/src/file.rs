//! How is a file written so that a crash at any instant leaves the old one or the new one, and nothing between?
//!
//! Under a name of its own in the same folder, with its final mode from the first byte, synced, renamed, and the
//! folder synced. Many files together are written, synced, and renamed in three strokes ([`Beside`], [`Unsynced`]). Every change to the disk by this crate goes through here, except challenge files, which nobody
//! misses after a crash.

use std::collections::HashSet;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use renewal::finding::{Finding, FindingName};
use renewal::ports::HostFailure;
use rustix::fs::{AtFlags, CWD, RenameFlags};
use rustix::io::Errno;

mod reading;

pub(crate) use reading::{holds, read, read_secret};

/// Who may do what with a new file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Access {
    /// The permission bits.
    pub(crate) mode: u32,
    /// User and group; `None` leaves the file to whoever runs us.
    pub(crate) owner: Option<(u32, u32)>,
}

impl Access {
    /// For root alone.
    pub(crate) const PRIVATE: Self = Self::mode(0o600);

    /// For everybody to read, as a certificate is.
    pub(crate) const PUBLIC: Self = Self::mode(0o644);

    const fn mode(mode: u32) -> Self {
        Self { mode, owner: None }
    }

    /// Returns what an existing file has.
    pub(crate) fn of(path: &Path) -> Result<Self, FileError> {
        let facts = look_at(path)?;
        Ok(Self {
            mode: facts.mode() & 0o7777,
            owner: Some((facts.uid(), facts.gid())),
        })
    }
}

/// A file could not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {cause}", path.display())]
pub(crate) struct FileError {
    what: &'static str,
    path: PathBuf,
    cause: io::Error,
}

impl FileError {
    /// Says that the file is not there.
    pub(crate) fn is_missing(&self) -> bool {
        self.cause.kind() == io::ErrorKind::NotFound
    }

    /// Says that nothing is known of the file: the disk or this process is in trouble, or it is not this user's
    /// business. What is missing, no file, or too long is known to be so.
    pub(crate) fn says_nothing(&self) -> bool {
        let known = [Errno::NOENT, Errno::NOTDIR, Errno::ISDIR, Errno::LOOP];
        self.errno().is_some_and(|errno| !known.contains(&errno))
    }

    /// Returns the system's error number.
    pub(crate) fn errno(&self) -> Option<Errno> {
        Errno::from_io_error(&self.cause)
    }

    /// Returns the finding that says it to people.
    pub(crate) fn finding(&self) -> Finding {
        let detail = self.to_string();
        match self.errno() {
            Some(Errno::NOSPC) if no_inode_left(&self.path) => Finding::new(
                FindingName::InodesExhausted,
                "The file system has no inode left, so no file can be made.",
            )
            .fix(format!(
                "Remove files below {}: sessions, caches and mail queues are the usual ones. `df -i` shows how many are left.",
                mount_hint(&self.path)
            )),
            Some(Errno::NOSPC | Errno::DQUOT) => {
                Finding::new(FindingName::DiskFull, "The disk is full.").fix(format!(
                    "Make room on the file system of {}; `df -h` shows how much is left.",
                    mount_hint(&self.path)
                ))
            }
            Some(Errno::ROFS) => Finding::new(
                FindingName::FileNotUsable,
                "The file system is mounted read-only.",
            )
            .fix("Mount it for writing; after a disk error, look at `dmesg` first."),
            Some(Errno::ACCESS | Errno::PERM) => Finding::new(
                FindingName::FileNotUsable,
                "The permissions do not allow it.",
            )
            .fix("Run clpctl as root."),
            _ => Finding::new(
                FindingName::FileNotUsable,
                "A file that clpctl needs cannot be used.",
            ),
        }
        .detail(detail)
    }
}

impl From<FileError> for HostFailure {
    fn from(error: FileError) -> Self {
        Self(error.finding())
    }
}

/// Returns what the system knows of a file; links are followed.
pub(crate) fn look_at(path: &Path) -> Result<Metadata, FileError> {
    path.metadata()
        .map_err(|cause| cannot("look at", path, cause))
}

/// A file with its content, under a name of its own beside its place that no include pattern of nginx matches.
///
/// Removed again when it is dropped before it was put in its place.
#[derive(Debug)]
pub(crate) struct Beside {
    path: PathBuf,
    temporary: Option<PathBuf>,
    adopted: bool,
}

impl Beside {
    /// Writes the file. It MUST be synced before it is put in its place.
    pub(crate) fn write(
        path: &Path,
        bytes: &[u8],
        access: Access,
        unsynced: &mut Unsynced,
    ) -> Result<Self, FileError> {
        let temporary = beside(path);
        let wrong = |cause| cannot("write", path, cause);
        let mut file = match make(&temporary, access) {
            // One run at a time has the lease, so what lies there is left from a crash.
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                remove(&temporary)?;
                make(&temporary, access)
            }
            made => made,
        }
        .map_err(wrong)?;
        let beside = Self {
            path: path.to_owned(),
            temporary: Some(temporary),
            adopted: false,
        };
        step()
            .and_then(|()| file.write_all(bytes))
            .and_then(|()| grant(&file, access))
            .map_err(wrong)?;
        unsynced.file(path, file)?;
        Ok(beside)
    }

    /// Takes a synced file for `path` instead of writing one, if it has these bytes and is on the same file system.
    /// It stays where it is until it is put in its place.
    pub(crate) fn adopt(file: &Path, path: &Path, bytes: &[u8]) -> Option<Self> {
        let dev = |path: &Path| path.metadata().map(|facts| facts.dev()).ok();
        let same = dev(file).is_some() && dev(file) == dev(parent(path));
        let fits = same && matches!(holds(file, bytes), Ok(Some(true)));
        fits.then(|| Self {
            path: path.to_owned(),
            temporary: Some(file.to_owned()),
            adopted: true,
        })
    }

    /// Puts the file in its place, whatever is there; the caller syncs the folder.
    pub(crate) fn put_in_place(mut self) -> Result<(), FileError> {
        if let Some(temporary) = &self.temporary {
            rename(temporary, &self.path, RenameFlags::empty())?;
        }
        self.temporary = None;
        Ok(())
    }

    /// Puts the file in its place if nothing is there; returns whether it did. The caller syncs the folder.
    pub(crate) fn put_where_nothing_is(mut self) -> Result<bool, FileError> {
        let Some(temporary) = &self.temporary else {
            return Ok(true);
        };
        match rename(temporary, &self.path, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(error) if error.errno() == Some(Errno::EXIST) => return Ok(false),
            // Some network file systems know no flags; one run at a time writes here, so a look is enough.
            Err(error) if error.errno() == Some(Errno::INVAL) => {
                if std::fs::symlink_metadata(&self.path).is_ok() {
                    return Ok(false);
                }
                rename(temporary, &self.path, RenameFlags::empty())?;
            }
            Err(error) => return Err(error),
        }
        self.temporary = None;
        Ok(true)
    }
}

impl Drop for Beside {
    /// What is half written helps nobody, least of all on a full disk.
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.as_ref().filter(|_| !self.adopted) {
            let _ = remove(temporary);
        }
    }
}

/// What was changed and might still be lost when the power fails.
///
/// A few things are synced one by one; for many, the file system is asked once to write down all that it has. That
/// takes in what others wrote in the last seconds too, which it would have written by itself soon.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    things: usize,
    /// The first thing of each file system: through it, errors since then are seen.
    first: Vec<(u64, PathBuf, File)>,
    /// The other things, as long as they are few.
    rest: Vec<(PathBuf, File)>,
    folders: HashSet<PathBuf>,
}

impl Unsynced {
    /// Takes in a file that was written.
    pub(crate) fn file(&mut self, path: &Path, file: File) -> Result<(), FileError> {
        let facts = file
            .metadata()
            .map_err(|cause| cannot("look at", path, cause))?;
        self.things += 1;
        if self.first.iter().all(|(dev, ..)| *dev != facts.dev()) {
            self.first.push((facts.dev(), path.to_owned(), file));
        } else if self.things <= FEW {
            self.rest.push((path.to_owned(), file));
        } else {
            self.rest.clear();
        }
        Ok(())
    }

    /// Takes in a folder in which names were made, changed or removed.
    pub(crate) fn folder(&mut self, path: &Path) -> Result<(), FileError> {
        if !self.folders.insert(path.to_owned()) {
            return Ok(());
        }
        let folder = File::open(path).map_err(|cause| cannot("sync the folder", path, cause))?;
        self.file(path, folder)
    }

    /// Has the disk remember all of it.
    pub(crate) fn sync(self) -> Result<(), FileError> {
        let many = self.things > FEW;
        for (_, path, file) in &self.first {
            let wrong = |cause| cannot("sync", path, cause);
            step().map_err(wrong)?;
            if many {
                rustix::fs::syncfs(file).map_err(|cause| wrong(cause.into()))?;
            } else {
                file.sync_all().map_err(wrong)?;
            }
        }
        for (path, file) in &self.rest {
            let wrong = |cause| cannot("sync", path, cause);
            step().map_err(wrong)?;
            file.sync_all().map_err(wrong)?;
        }
        Ok(())
    }
}

/// Removes what a run left beside the file that died while it wrote it.
pub(crate) fn forget_beside(path: &Path) -> Result<(), FileError> {
    remove(&beside(path))
}

/// Makes a folder and those above it; what exists is left as it is.
pub(crate) fn make_folders(
    path: &Path,
    mode: u32,
    unsynced: &mut Unsynced,
) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        make_folders(above, FOLDER_MODE, unsynced)?;
    }
    match make_folder(path, mode) {
        Err(error) if error.errno() == Some(Errno::EXIST) && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => unsynced.folder(parent(path)),
    }
}

/// Makes one folder, which must not exist; the caller syncs the folder above.
pub(crate) fn make_folder(path: &Path, mode: u32) -> Result<(), FileError> {
    let wrong = |cause| cannot("make the folder", path, cause);
    step().map_err(wrong)?;
    DirBuilder::new().mode(mode).create(path).map_err(wrong)?;
    // The umask may have taken bits away.
    std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(wrong)
}

/// Makes a symbolic link; the caller syncs the folder.
pub(crate) fn make_link(target: &Path, path: &Path) -> Result<(), FileError> {
    let wrong = |cause| cannot("make the link", path, cause);
    step().map_err(wrong)?;
    std::os::unix::fs::symlink(target, path).map_err(wrong)
}

/// Gives a file a second name; a symbolic link is named itself, not followed. The caller syncs the folder.
pub(crate) fn make_second_name(path: &Path, second: &Path) -> Result<(), FileError> {
    let wrong = |cause| cannot("make", second, cause);
    step().map_err(wrong)?;
    rustix::fs::linkat(CWD, path, CWD, second, AtFlags::empty())
        .map_err(|cause| wrong(cause.into()))
}

/// Gives a file or folder another name; the caller syncs the folder.
pub(crate) fn rename(from: &Path, to: &Path, flags: RenameFlags) -> Result<(), FileError> {
    let wrong = |cause| cannot("put in place", to, cause);
    step().map_err(wrong)?;
    rustix::fs::renameat_with(CWD, from, CWD, to, flags).map_err(|cause| wrong(cause.into()))
}

/// Removes a file or a link, if it is there; the caller syncs the folder where it matters.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    let wrong = |cause| cannot("remove", path, cause);
    step().map_err(wrong)?;
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(wrong(cause)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes an empty folder, if it is there.
pub(crate) fn remove_folder(path: &Path) -> Result<(), FileError> {
    let wrong = |cause| cannot("remove the folder", path, cause);
    step().map_err(wrong)?;
    match std::fs::remove_dir(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(wrong(cause)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Has the disk remember which names a folder holds.
pub(crate) fn sync_folder(path: &Path) -> Result<(), FileError> {
    let wrong = |cause| cannot("sync the folder", path, cause);
    step().map_err(wrong)?;
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(wrong)
}

/// Returns the name under which a file is written.
fn beside(path: &Path) -> PathBuf {
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(path.file_name().unwrap_or_default());
    hidden.push(".clpctl");
    path.with_file_name(hidden)
}

/// Makes a file that only its owner may read, whatever the mode will be.
fn make(path: &Path, access: Access) -> io::Result<File> {
    step()?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(access.mode & 0o600)
        .open(path)
}

/// Gives an open file its owner first and its mode then, so that at no moment more may read it than should.
fn grant(file: &File, access: Access) -> io::Result<()> {
    if let Some((user, group)) = access.owner {
        let facts = file.metadata()?;
        if (facts.uid(), facts.gid()) != (user, group) {
            fchown(file, Some(user), Some(group))?;
        }
    }
    file.set_permissions(Permissions::from_mode(access.mode))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn cannot(what: &'static str, path: &Path, cause: io::Error) -> FileError {
    FileError {
        what,
        path: path.to_owned(),
        cause,
    }
}

fn no_inode_left(path: &Path) -> bool {
    rustix::fs::statvfs(parent(path)).is_ok_and(|facts| facts.f_files > 0 && facts.f_favail == 0)
}

fn mount_hint(path: &Path) -> std::path::Display<'_> {
    parent(path).display()
}

/// So many syncs cost less than one of a whole file system, which writes down what others have not yet: the files of
/// some five certificates.
const FEW: usize = 24;

/// Folders above those with a rule of their own.
const FOLDER_MODE: u32 = 0o755;

/// Called before every change to the disk: where the tests of crashes cut.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "in tests it fails")]
fn step() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) use self::crash::step;

/// Makes the process die, as far as the disk can tell: from the chosen step on, no change happens any more.
#[cfg(test)]
pub(crate) mod crash;

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(path: &Path, bytes: &[u8], access: Access) -> Result<(), FileError> {
        let mut unsynced = Unsynced::default();
        let beside = Beside::write(path, bytes, access, &mut unsynced)?;
        unsynced.sync()?;
        beside.put_in_place()?;
        sync_folder(parent(path))
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o7777
    }

    #[test]
    fn a_file_is_replaced_at_once_wherever_the_process_dies() {
        for steps in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("vhost.conf");
            replace(&path, b"old", Access::PUBLIC).unwrap();
            let (_, died) = crash::after(steps, || replace(&path, b"new", Access::PUBLIC));
            let now = std::fs::read(&path).unwrap();
            assert!(now == b"old" || now == b"new", "{steps}: {now:?}");
            replace(&path, b"new", Access::PUBLIC).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"new");
            let left = std::fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(left, 1, "{steps}: nothing else is left");
            if !died {
                assert!(steps > 3);
                return;
            }
        }
    }

    #[test]
    fn a_secret_is_for_its_owner_alone_and_a_vhost_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        replace(&path, b"x", Access::PRIVATE).unwrap();
        assert_eq!(mode(&path), 0o600);
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        replace(&path, b"y", Access::of(&path).unwrap()).unwrap();
        assert_eq!(mode(&path), 0o640);
    }

    #[test]
    fn what_is_written_once_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cert1.pem");
        let create = |bytes: &[u8]| {
            let mut unsynced = Unsynced::default();
            let beside = Beside::write(&path, bytes, Access::PUBLIC, &mut unsynced).unwrap();
            unsynced.sync().unwrap();
            beside.put_where_nothing_is().unwrap()
        };
        assert!(create(b"one"));
        let inode = path.metadata().unwrap().ino();
        assert!(!create(b"two"));
        assert_eq!(path.metadata().unwrap().ino(), inode);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn many_files_are_synced_together_and_few_one_by_one() {
        for (count, syncs) in [(0, 0), (1, 1), (FEW, FEW), (FEW + 1, 1), (100, 1)] {
            let folder = tempfile::tempdir().unwrap();
            let mut unsynced = Unsynced::default();
            for number in 0..count {
                let path = folder.path().join(number.to_string());
                Beside::write(&path, b"x", Access::PUBLIC, &mut unsynced)
                    .and_then(Beside::put_in_place)
                    .unwrap();
            }
            let (synced, died) = crash::after(syncs, || unsynced.sync());
            synced.unwrap();
            assert!(
                count == 0 || died,
                "{count} files take no less than {syncs} syncs"
            );
        }
    }

    #[test]
    fn a_full_disk_and_a_missing_folder_are_told_with_the_file() {
        let full = cannot("write", Path::new("/etc/x"), Errno::NOSPC.into());
        assert_eq!(full.finding().name, FindingName::DiskFull);
        let error = replace(Path::new("/nowhere/at/all"), b"", Access::PUBLIC).unwrap_err();
        assert_eq!(
            error.finding().detail,
            "cannot write /nowhere/at/all: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn a_file_that_is_too_long_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big");
        replace(&path, &[b'x'; 100], Access::PUBLIC).unwrap();
        assert!(read(&path, 100).is_ok());
        let error = read(&path, 99).unwrap_err().to_string();
        assert!(error.ends_with("it has more than 99 bytes"), "{error}");
    }
}
