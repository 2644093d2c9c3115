//! How does a link that leads nowhere get another target, or go, so that it can be put back as it was?
//!
//! The old link stays under a hidden name beside its place, which no include pattern of nginx matches, until the change is
//! kept. So putting it back is one step, and gives back owner and times too.

use std::path::{Path, PathBuf};

use renewal::finding::{Finding, FindingName};
use renewal::fix::{LinkChange, Shown};
use renewal::ports::HostFailure;
use rustix::fs::RenameFlags;

use crate::file::{self, FileError, Unsynced};

/// Shows what changes.
pub(super) fn shown(change: &LinkChange) -> Shown {
    let arrow = |target: &Path| format!("a link to {}", target.display());
    Shown {
        place: change.link.display().to_string(),
        before: arrow(&change.before),
        after: change.after.as_deref().map_or_else(String::new, arrow),
    }
}

/// Changes the link, if it leads where it did.
pub(super) fn make(change: &LinkChange) -> Result<(), HostFailure> {
    if leads_to(&change.link) != Some(change.before.clone()) {
        return Err(changed(change));
    }
    let aside = aside(&change.link);
    if leads_to(&aside).is_some() {
        // Left from a run that died, and its undo did not want it.
        file::remove(&aside)?;
    }
    match &change.after {
        Some(target) => {
            file::make_link(target, &aside)?;
            file::rename(&aside, &change.link, RenameFlags::EXCHANGE)?;
        }
        None => file::rename(&change.link, &aside, RenameFlags::NOREPLACE)?,
    }
    Ok(sync(change)?)
}

/// Puts the link back as it was. Safe to repeat.
pub(super) fn unmake(change: &LinkChange) -> Result<(), HostFailure> {
    let aside = aside(&change.link);
    if leads_to(&aside).as_ref() == Some(&change.before) {
        let now = leads_to(&change.link);
        if now != change.after {
            return Err(changed(change));
        }
        file::rename(&aside, &change.link, RenameFlags::empty())?;
    } else if change.after.is_some() && leads_to(&aside) == change.after {
        // It died before the exchange.
        file::remove(&aside)?;
    }
    Ok(sync(change)?)
}

/// Keeps the change: a copy of the old link goes to `folder`, by its old path.
pub(super) fn keep(change: &LinkChange, folder: &Path) -> Result<(), FileError> {
    let copy = folder.join(change.link.strip_prefix("/").unwrap_or(&change.link));
    let mut unsynced = Unsynced::default();
    if let Some(above) = copy.parent() {
        file::make_folders(above, FOLDER_MODE, &mut unsynced)?;
        unsynced.folder(above)?;
    }
    file::remove(&copy)?;
    file::make_link(&change.before, &copy)?;
    unsynced.sync()?;
    file::remove(&aside(&change.link))?;
    sync(change)
}

fn sync(change: &LinkChange) -> Result<(), FileError> {
    file::sync_folder(change.link.parent().unwrap_or(Path::new("/")))
}

fn leads_to(link: &Path) -> Option<PathBuf> {
    std::fs::read_link(link).ok()
}

fn aside(link: &Path) -> PathBuf {
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(link.file_name().unwrap_or_default());
    hidden.push(".clpctl-old");
    link.with_file_name(hidden)
}

fn changed(change: &LinkChange) -> HostFailure {
    let finding = Finding::new(
        FindingName::VhostChanged,
        "The link was changed by somebody else meanwhile, so it is left as it is.",
    );
    HostFailure(
        finding
            .detail(change.link.display().to_string())
            .fix("Run again."),
    )
}

/// Nobody but root looks into the state folder.
const FOLDER_MODE: u32 = 0o700;

#[cfg(test)]
mod tests {
    use super::{keep, make, unmake};
    use crate::file::crash;
    use renewal::fix::LinkChange;
    use std::os::unix::fs::{MetadataExt as _, symlink};
    use std::path::PathBuf;

    fn check(after: Option<&str>) {
        for steps in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let link = folder.path().join("a.conf");
            symlink("/nowhere", &link).unwrap();
            let inode = link.symlink_metadata().unwrap().ino();
            let change = LinkChange {
                link: link.clone(),
                before: "/nowhere".into(),
                after: after.map(PathBuf::from),
            };
            let (made, _) = crash::after(steps, || make(&change));
            if made.is_ok() {
                assert_eq!(std::fs::read_link(&link).ok(), change.after);
                keep(&change, &folder.path().join("kept")).unwrap();
                let copy = folder
                    .path()
                    .join("kept")
                    .join(link.strip_prefix("/").unwrap());
                assert_eq!(std::fs::read_link(copy).unwrap(), change.before);
                assert_eq!(std::fs::read_link(&link).ok(), change.after);
                return;
            }
            unmake(&change).unwrap();
            unmake(&change).unwrap();
            assert_eq!(link.symlink_metadata().unwrap().ino(), inode, "{steps}");
            assert_eq!(
                std::fs::read_dir(folder.path()).unwrap().count(),
                1,
                "{steps}"
            );
        }
    }

    #[test]
    fn a_link_is_put_back_wherever_the_process_dies() {
        check(None);
        check(Some("/etc/hosts"));
    }
}
