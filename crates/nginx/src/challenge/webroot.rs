//! How is a challenge file put below a document root that somebody else owns?
//!
//! The site's user may write there, and we are root: below the document root no symbolic link is ever followed, and
//! nothing is opened by a path that could change between two looks; [`way`] leads to it. The file and the folders made
//! for it belong to the owner of the document root, so that its user can remove them. What is given away is what was
//! made here and nothing that was put in its place: see [`is_fresh`].
//!
//! Nothing is synced: after a crash of the machine the order starts anew anyway.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;

use renewal::finding::{Finding, FindingName};
use renewal::site::ChallengeFolder;
use rustix::fs::{
    AtFlags, Dir, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, fstat, mkdirat, openat, unlinkat,
};
use rustix::io::Errno;

use self::way::Failure;
use crate::settings::Owner;

mod way;

/// Returns where the way to the token begins.
pub(super) fn path(folder: &ChallengeFolder) -> &Path {
    match folder {
        ChallengeFolder::Root(path) | ChallengeFolder::Alias(path) => path,
    }
}

/// Writes the file; returns the folders that had to be made.
pub(super) fn put(
    folder: &ChallengeFolder,
    owner: Owner,
    token: &str,
    answer: &str,
) -> Result<Vec<&'static str>, Finding> {
    let mut made = Vec::new();
    match try_put(folder, owner, token, answer, &mut made) {
        Ok(()) => Ok(made),
        Err((path, errno)) => Err(finding(&path, errno)),
    }
}

/// Removes the file.
pub(super) fn take(folder: &ChallengeFolder, token: &str) {
    let folders = open_inner(folder);
    if folders.len() == inner(folder).len() + 1
        && let Some(innermost) = folders.last()
    {
        let _ = unlinkat(innermost, token, AtFlags::empty());
    }
}

/// Removes those of the folders `made` that are empty.
pub(super) fn tidy(folder: &ChallengeFolder, made: &[&'static str]) {
    let folders = open_inner(folder);
    let inside = folders.iter().zip(inner(folder).iter());
    for (above, name) in inside.rev().filter(|(_, name)| made.contains(*name)) {
        let _ = unlinkat(above, *name, AtFlags::REMOVEDIR);
    }
}

/// Opens the folders on the way to the token, outermost first, as far as they are there.
fn open_inner(folder: &ChallengeFolder) -> Vec<OwnedFd> {
    let root = way::open(path(folder)).map(|end| end.folder);
    let mut folders: Vec<OwnedFd> = root.into_iter().collect();
    for name in inner(folder) {
        match folders.last().map(|above| open_folder(above, name)) {
            Some(Ok(inner)) => folders.push(inner),
            Some(Err(_)) | None => break,
        }
    }
    folders
}

fn try_put(
    folder: &ChallengeFolder,
    owner: Owner,
    token: &str,
    answer: &str,
    made: &mut Vec<&'static str>,
) -> Result<(), Failure> {
    let mut path = path(folder).to_owned();
    let root = way::open(&path)?;
    let grant = Grant::new(owner, &root.facts);
    let mut at = root.folder;
    for name in inner(folder) {
        path.push(name);
        let wrong = |errno| (path.clone(), errno);
        match mkdirat(&at, *name, Mode::from_raw_mode(0o700)) {
            Ok(()) => {
                made.push(name);
                at = open_folder(&at, name).map_err(wrong)?;
                if is_fresh(&at).map_err(wrong)? {
                    grant.apply(&at, grant.folder_mode).map_err(wrong)?;
                }
            }
            Err(Errno::EXIST) => at = open_folder(&at, name).map_err(wrong)?,
            Err(errno) => return Err(wrong(errno)),
        }
    }
    path.push(token);
    write(&at, token, answer, &grant).map_err(|errno| (path, errno))
}

fn write(folder: &OwnedFd, token: &str, answer: &str, grant: &Grant) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let create = || openat(folder, token, flags, Mode::from_raw_mode(0o600));
    let file = match create() {
        // From an earlier attempt, or somebody guessed the token and put a link there: never written through.
        Err(Errno::EXIST) => {
            unlinkat(folder, token, AtFlags::empty())?;
            create()?
        }
        opened => opened?,
    };
    grant.apply(&file, grant.file_mode)?;
    let mut file = File::from(file);
    let written = file.write_all(answer.as_bytes());
    written.map_err(|cause| Errno::from_io_error(&cause).unwrap_or(Errno::IO))
}

/// Who may do what with what is made: enough for nginx's workers, who can reach the document root somehow.
struct Grant {
    user: u32,
    group: u32,
    folder_mode: u32,
    file_mode: u32,
}

impl Grant {
    fn new(owner: Owner, root: &Stat) -> Self {
        // Nobody but the owner may write: a folder that all may write to is not copied.
        let mode = root.st_mode & 0o755 | 0o700;
        match owner {
            Owner::DocumentRoot => Self {
                user: root.st_uid,
                group: root.st_gid,
                folder_mode: mode,
                file_mode: mode & 0o644,
            },
            // The workers are whom they are: with another owner only the modes for all can be right.
            Owner::Ids(user, group) => Self {
                user,
                group,
                folder_mode: 0o755,
                file_mode: 0o644,
            },
        }
    }

    fn apply(&self, file: &OwnedFd, mode: u32) -> Result<(), Errno> {
        let now = fstat(file)?;
        if (now.st_uid, now.st_gid) != (self.user, self.group) {
            let (user, group) = (Uid::from_raw(self.user), Gid::from_raw(self.group));
            fchown(file, Some(user), Some(group))?;
        }
        fchmod(file, Mode::from_raw_mode(mode))
    }
}

fn open_folder(above: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(above, name, flags, Mode::empty())
}

/// Says whether a folder is one that was just made here: ours, closed to others, and empty.
///
/// Its name lies in a folder of the site's user, who may have given it to another folder meanwhile: one of root's with
/// something in it must not become the user's.
fn is_fresh(folder: &OwnedFd) -> Result<bool, Errno> {
    let facts = fstat(folder)?;
    let ours = facts.st_uid == rustix::process::geteuid().as_raw() && facts.st_mode & 0o077 == 0;
    Ok(ours && is_empty(folder)?)
}

fn is_empty(folder: &OwnedFd) -> Result<bool, Errno> {
    for entry in Dir::read_from(folder)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns the folders between the one that the vhost names and the token.
fn inner(folder: &ChallengeFolder) -> &'static [&'static str] {
    match folder {
        ChallengeFolder::Root(_) => &[".well-known", "acme-challenge"],
        ChallengeFolder::Alias(_) => &[],
    }
}

fn finding(path: &Path, errno: Errno) -> Finding {
    let finding = match errno {
        Errno::NOENT => Finding::new(
            FindingName::WebrootMissing,
            "The folder for the challenge file does not exist.",
        )
        .fix("Make the document root, or correct the vhost's root."),
        Errno::NOTDIR | Errno::LOOP => Finding::new(
            FindingName::WebrootSymlinkOwner,
            "A symbolic link or a file lies on the way to the challenge file, and links of a site's user are not followed.",
        )
        .fix("Put a folder in its place."),
        Errno::NOSPC | Errno::DQUOT => {
            Finding::new(FindingName::DiskFull, "The disk is full, or the site's quota is used up.")
                .fix("Make room; df -h and df -i show what is left.")
        }
        _ => Finding::new(
            FindingName::WebrootNotWritable,
            "The challenge file cannot be written.",
        )
        .fix("Run clpctl as root. A file system that is mounted read-only needs http01.mode = \"stateless\"."),
    };
    finding.detail(format!(
        "{}: {}",
        path.display(),
        std::io::Error::from(errno)
    ))
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
