//! How does a file or folder get another owner or mode, though a site's user may be at work beside us?
//!
//! We are root, and the user may put a link where a folder was a moment ago. So the way from the base on is opened part by
//! part and no link is followed; what is changed is what was opened, by its descriptor and never by its path.

use std::os::fd::OwnedFd;

use renewal::finding::{Finding, FindingName};
use renewal::fix::{Access, Grant, Shown};
use renewal::ports::HostFailure;
use rustix::fs::{FileType, Gid, Mode, OFlags, Uid, fchmod, fchown, fstat, openat};
use rustix::io::Errno;

/// Shows what changes.
pub(super) fn shown(grant: &Grant) -> Shown {
    Shown {
        place: grant.path().display().to_string(),
        before: grant.before.to_string(),
        after: grant.after.to_string(),
    }
}

/// Gives it owner and mode `to`, if it has `from`. Does nothing when it has `to` already.
pub(super) fn make(grant: &Grant, from: Access, to: Access) -> Result<(), HostFailure> {
    let wrong = |errno| cannot(grant, errno);
    let file = open(grant).map_err(wrong)?;
    let seen = fstat(&file).map_err(wrong)?;
    let now = Access {
        user: seen.st_uid,
        group: seen.st_gid,
        mode: seen.st_mode & 0o7777,
    };
    if now == to {
        return Ok(());
    }
    let kind = FileType::from_raw_mode(seen.st_mode);
    // A second name may lie anywhere: what is a key here may be somebody's file there.
    let is_sole = kind.is_dir() || (kind.is_file() && seen.st_nlink == 1);
    if now != from || !is_sole {
        return Err(changed(grant, now));
    }
    if (now.user, now.group) != (to.user, to.group) {
        fchown(
            &file,
            Some(Uid::from_raw(to.user)),
            Some(Gid::from_raw(to.group)),
        )
        .map_err(wrong)?;
    }
    fchmod(&file, Mode::from_raw_mode(to.mode)).map_err(wrong)
}

fn open(grant: &Grant) -> Result<OwnedFd, Errno> {
    let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = rustix::fs::open(&grant.base, folder, Mode::empty())?;
    let (last, way) = grant.inside.split_last().ok_or(Errno::INVAL)?;
    for name in way {
        at = openat(&at, name.as_str(), folder | OFlags::NOFOLLOW, Mode::empty())?;
    }
    // Not blocking: a pipe would hold us for ever.
    let any = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(&at, last.as_str(), any, Mode::empty())
}

fn cannot(grant: &Grant, errno: Errno) -> HostFailure {
    let finding = Finding::new(
        FindingName::FileNotUsable,
        "Owner and mode could not be changed.",
    );
    let cause = std::io::Error::from(errno);
    HostFailure(
        finding
            .detail(format!("{}: {cause}", grant.path().display()))
            .fix("Run clpctl as root."),
    )
}

fn changed(grant: &Grant, now: Access) -> HostFailure {
    let finding = Finding::new(
        FindingName::FileNotUsable,
        "The file is not what was looked at, or has a second name, so it is left as it is.",
    );
    HostFailure(
        finding
            .detail(format!("{} has {now}", grant.path().display()))
            .fix("Run again."),
    )
}

#[cfg(test)]
mod tests {
    use super::make;
    use renewal::fix::{Access, Grant};
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::path::Path;

    fn access(path: &Path) -> Access {
        let meta = path.metadata().unwrap();
        Access {
            user: meta.uid(),
            group: meta.gid(),
            mode: meta.mode() & 0o7777,
        }
    }

    /// Lets `.well-known` below a document root pass others, after `spoil` was at it; says whether that was done.
    fn check(spoil: impl Fn(&Path)) -> Result<(), String> {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(".well-known");
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        let before = access(&folder);
        let grant = Grant {
            base: root.path().to_owned(),
            inside: vec![".well-known".to_owned()],
            before,
            after: Access {
                mode: 0o755,
                ..before
            },
        };
        spoil(&folder);
        make(&grant, grant.before, grant.after).map_err(|failure| failure.0.detail)?;
        assert_eq!(access(&folder), grant.after);
        make(&grant, grant.after, grant.before).unwrap();
        assert_eq!(access(&folder), grant.before);
        Ok(())
    }

    #[test]
    fn a_folder_gets_its_mode_and_back() {
        check(|_| {}).unwrap();
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let elsewhere = tempfile::tempdir().unwrap();
        let before = access(elsewhere.path());
        let spoiled = check(|folder| {
            std::fs::remove_dir(folder).unwrap();
            symlink(elsewhere.path(), folder).unwrap();
        });
        assert!(spoiled.is_err());
        assert_eq!(access(elsewhere.path()), before);
    }

    #[test]
    fn what_changed_meanwhile_or_has_a_second_name_is_left_alone() {
        let changed = check(|folder| {
            std::fs::set_permissions(folder, Permissions::from_mode(0o711)).unwrap();
        });
        assert!(changed.unwrap_err().contains("has mode 0711"));
        let linked = check(|folder| {
            std::fs::remove_dir(folder).unwrap();
            let (file, second) = (folder, folder.with_file_name("second"));
            std::fs::File::create(file).unwrap();
            std::fs::set_permissions(file, Permissions::from_mode(0o700)).unwrap();
            std::fs::hard_link(file, second).unwrap();
        });
        assert!(linked.is_err());
    }
}
