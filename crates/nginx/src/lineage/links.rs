//! How do the four links of a lineage change at once?
//!
//! The new folder of links is prepared beside the old one, as `live/.NAME.clpctl`, and both are exchanged in one
//! step. What was there before then lies beside, and an undo is the same exchange.
//!
//! | `live/NAME` | `live/.NAME.clpctl` | so |
//! | --- | --- | --- |
//! | old | – | nothing was done, or all is undone |
//! | old | new, perhaps half | it was being prepared |
//! | new | old | it is done and can be undone |
//! | new | – | it is done and settled |
//!
//! A file system that cannot exchange, or a folder with folders in it, has its links replaced one by one: each is
//! whole at any moment, and a crash between two of them is mended when the switch is made again.

use std::fs;
use std::path::{Path, PathBuf};

use renewal::deployment::LinkSwitch;
use renewal::finding::{Finding, FindingName};
use renewal::ports::HostFailure;
use rustix::fs::RenameFlags;
use rustix::io::Errno;

use super::{Lineages, Links, Part};
use crate::file::{self, FileError, Unsynced};

/// The links could not be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinksError {
    /// A file could not be changed.
    #[error(transparent)]
    File(#[from] FileError),
    /// What would be linked is not there.
    #[error("version {version} of the lineage {lineage} is not whole: {} is missing", missing.display())]
    Incomplete {
        /// The lineage.
        lineage: String,
        /// The version.
        version: u32,
        /// The first missing file.
        missing: PathBuf,
    },
    /// Somebody put files where links should be.
    #[error("{0}")]
    Foreign(String),
}

impl From<LinksError> for HostFailure {
    fn from(error: LinksError) -> Self {
        let detail = error.to_string();
        match error {
            LinksError::File(error) => error.into(),
            LinksError::Incomplete { .. } => Self(
                Finding::new(
                    FindingName::LiveLinksBroken,
                    "The files of the certificate are not all there, so they are not linked.",
                )
                .detail(detail)
                .fix("Run site:renew-certificates with --force to obtain a new one."),
            ),
            LinksError::Foreign(_) => Self(
                Finding::new(
                    FindingName::LiveLinksBroken,
                    "The lineage's folder holds files that clpctl did not write.",
                )
                .detail(detail)
                .fix("Move these files elsewhere."),
            ),
        }
    }
}

/// Links what each switch leads to. Safe to repeat.
pub(crate) fn switch(lineages: &Lineages, switches: &[&LinkSwitch]) -> Result<(), LinksError> {
    let wanted = switches.iter().map(|switch| (&*switch.lineage, switch.to));
    link(lineages, wanted)
}

/// Links what was linked before each switch. Safe to repeat, and does nothing for a switch that was never made.
/// Goes on after a failure, and returns the first.
pub(crate) fn revert(lineages: &Lineages, switches: &[&LinkSwitch]) -> Result<(), LinksError> {
    if switches.is_empty() {
        return Ok(());
    }
    let undone: Vec<_> = switches
        .iter()
        .rev()
        .map(|switch| revert_one(lineages, switch))
        .collect();
    let synced = if lineages.live().exists() {
        file::sync_folder(lineages.live())
    } else {
        Ok(())
    };
    undone.into_iter().collect::<Result<(), _>>()?;
    Ok(synced?)
}

fn revert_one(lineages: &Lineages, switch: &LinkSwitch) -> Result<(), LinksError> {
    let name = &switch.lineage;
    let beside = beside(lineages, name);
    let made = lineages.links(name) == Links::Version(switch.to) && switch.from != Some(switch.to);
    if made && beside.is_dir() {
        exchange(&beside, &lineages.folder(name))?;
    } else if made {
        match switch.from {
            Some(from) => link(lineages, [(&**name, from)])?,
            // Away in one step, so that a crash leaves no half of it.
            None => file::rename(&lineages.folder(name), &beside, RenameFlags::empty())?,
        }
    } else if let Some(from) = switch.from
        && matches!(lineages.links(name), Links::Broken(_))
        && lineages.is_complete(name, from)
    {
        // It died while replacing one by one.
        link(lineages, [(&**name, from)])?;
    }
    remove_links(&beside)?;
    for part in Part::ALL {
        let hidden = hidden(&lineages.folder(name), part);
        if fs::symlink_metadata(&hidden).is_ok() {
            file::remove(&hidden)?;
        }
    }
    Ok(())
}

/// Forgets what was linked before `switch`. Nothing is synced: what a power failure brings back is in nobody's way.
pub(crate) fn settle(lineages: &Lineages, switch: &LinkSwitch) -> Result<(), LinksError> {
    if lineages.links(&switch.lineage) == Links::Version(switch.to) {
        remove_links(&beside(lineages, &switch.lineage))?;
    }
    Ok(())
}

/// A folder of links that is ready to take its place.
struct Ready<'a> {
    name: &'a str,
    version: u32,
    is_new: bool,
}

/// Links a version of each lineage: prepared one by one, synced together, exchanged one by one.
fn link<'a>(
    lineages: &Lineages,
    wanted: impl IntoIterator<Item = (&'a str, u32)>,
) -> Result<(), LinksError> {
    let mut unsynced = Unsynced::default();
    let mut ready = Vec::new();
    for (name, version) in wanted {
        ready.extend(make_ready(lineages, name, version, &mut unsynced)?);
    }
    if ready.is_empty() {
        return Ok(());
    }
    unsynced.sync()?;
    for Ready {
        name,
        version,
        is_new,
    } in ready
    {
        let (beside, folder) = (beside(lineages, name), lineages.folder(name));
        if is_new {
            file::rename(&beside, &folder, RenameFlags::empty())?;
            continue;
        }
        match exchange(&beside, &folder) {
            Err(error) if cannot_exchange(&error) => {
                remove_links(&beside)?;
                one_by_one(&folder, name, version)?;
            }
            done => done?,
        }
    }
    Ok(file::sync_folder(lineages.live())?)
}

/// Prepares the folder that is to take the lineage's place; `None` when nothing remains to be done.
fn make_ready<'a>(
    lineages: &Lineages,
    name: &'a str,
    version: u32,
    unsynced: &mut Unsynced,
) -> Result<Option<Ready<'a>>, LinksError> {
    let files = Part::ALL.map(|part| lineages.file(name, part, version));
    if let Some(missing) = files.into_iter().find(|file| !file.is_file()) {
        return Err(LinksError::Incomplete {
            lineage: name.to_owned(),
            version,
            missing,
        });
    }
    let folder = lineages.folder(name);
    let beside = beside(lineages, name);
    let is_new = match lineages.links(name) {
        Links::Version(linked) if linked == version => return Ok(None),
        Links::Foreign(what) => return Err(LinksError::Foreign(what)),
        Links::None => true,
        Links::Version(_) | Links::Broken(_) => false,
    };
    remove_links(&beside)?;
    file::make_folders(lineages.live(), LIVE_MODE, unsynced)?;
    if !is_new && !holds_only_files(&folder) {
        one_by_one(&folder, name, version)?;
        return Ok(None);
    }
    fill(&beside, &folder, name, version)?;
    unsynced.folder(&beside)?;
    Ok(Some(Ready {
        name,
        version,
        is_new,
    }))
}

/// Makes a folder with the four links, and with all else that the present folder holds.
fn fill(beside: &Path, folder: &Path, name: &str, version: u32) -> Result<(), FileError> {
    file::make_folder(beside, FOLDER_MODE)?;
    for part in Part::ALL {
        let link = beside.join(format!("{}.pem", part.as_str()));
        file::make_link(&target(name, part, version), &link)?;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let second = beside.join(entry.file_name());
        // A second name, so that the file keeps its inode and its times.
        if fs::symlink_metadata(&second).is_err() {
            file::make_second_name(&entry.path(), &second)?;
        }
    }
    Ok(())
}

fn one_by_one(folder: &Path, name: &str, version: u32) -> Result<(), LinksError> {
    for part in Part::ALL {
        let link = folder.join(format!("{}.pem", part.as_str()));
        let hidden = hidden(folder, part);
        file::remove(&hidden)?;
        file::make_link(&target(name, part, version), &hidden)?;
        file::rename(&hidden, &link, RenameFlags::empty())?;
    }
    Ok(file::sync_folder(folder)?)
}

fn exchange(one: &Path, other: &Path) -> Result<(), FileError> {
    file::rename(one, other, RenameFlags::EXCHANGE)
}

fn cannot_exchange(error: &FileError) -> bool {
    matches!(
        error.errno(),
        // The last is overlayfs's answer for a folder that lies in a lower layer.
        Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::XDEV)
    )
}

/// Removes a folder of links, and the second names of what else was in it.
///
/// A folder inside is somebody's work, and keeps the folder from being removed.
fn remove_links(folder: &Path) -> Result<(), FileError> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            file::remove(&entry.path())?;
        }
    }
    file::remove_folder(folder)
}

fn holds_only_files(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .into_iter()
        .all(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()))
}

fn target(name: &str, part: Part, version: u32) -> PathBuf {
    format!("../../archive/{name}/{}{version}.pem", part.as_str()).into()
}

fn beside(lineages: &Lineages, name: &str) -> PathBuf {
    lineages.live().join(format!(".{name}.clpctl"))
}

/// Where a link is made before it takes the place of another.
fn hidden(folder: &Path, part: Part) -> PathBuf {
    folder.join(format!(".{}.pem.clpctl", part.as_str()))
}

/// As certbot makes `live/`: for root alone.
const LIVE_MODE: u32 = 0o700;

/// As certbot makes `live/NAME/`.
const FOLDER_MODE: u32 = 0o755;

#[cfg(test)]
mod tests;
