//! How is a pair of plain files replaced, which a panel projects a site's certificate to?
//!
//! Two files cannot be replaced at once. Both are written beside their places and synced; then the key is renamed into
//! its place and the certificate right after it, with nothing between the two. A crash there leaves a torn pair for as
//! long as nobody reads it: the journal names the version, so the next run puts the other file there, and an nginx that
//! runs has both in memory and does not look.
//!
//! What was there before keeps a second name in the same folder until the new pair is served, so undoing is renaming
//! back: the same bytes, owner, mode, times and inode. A file is only replaced while it is what it was when the
//! switch was worked out; what the panel or a person puts there meanwhile is theirs and stays.

use std::path::{Path, PathBuf};

use renewal::certificate::Fingerprint;
use renewal::deployment::{FileSwitch, PairSwitch};
use renewal::finding::{Finding, FindingName};
use renewal::panel::Projection;
use renewal::ports::HostFailure;
use rustix::fs::RenameFlags;

use crate::edits::sha256;
use crate::file::{self, Access, Beside, FileError, Unsynced};
use crate::lineage::{Lineages, Part};

/// A pair of plain files could not be replaced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProjectionError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Somebody else wrote it since the switch was worked out.
    #[error("{} is not as it was when this was worked out", .0.display())]
    Changed(PathBuf),
}

impl From<ProjectionError> for HostFailure {
    fn from(error: ProjectionError) -> Self {
        match error {
            ProjectionError::File(error) => error.into(),
            ProjectionError::Changed(_) => Self(
                Finding::new(
                    FindingName::PanelDrift,
                    "Somebody else replaced the site's certificate meanwhile, so it is left as it is.",
                )
                .detail(error.to_string())
                .fix("Run again: what is there now is looked at anew."),
            ),
        }
    }
}

/// Works out the replacement, without making it.
pub(crate) fn plan(
    lineages: &Lineages,
    lineage: &str,
    version: u32,
    files: &Projection,
) -> Result<PairSwitch, FileError> {
    let switch = |path: &Path, part| {
        let content = file::read(&lineages.file(lineage, part, version), FILE_BYTES_MAX)?;
        Ok(FileSwitch {
            file: path.to_owned(),
            before: state_of(path)?,
            after: sha256(&content),
        })
    };
    Ok(PairSwitch {
        lineage: lineage.to_owned(),
        to: version,
        key: switch(&files.key, Part::Privkey)?,
        certificate: switch(&files.certificate, Part::Fullchain)?,
    })
}

/// Replaces the pairs. Safe to repeat.
pub(crate) fn switch(lineages: &Lineages, pairs: &[&PairSwitch]) -> Result<(), ProjectionError> {
    let mut unsynced = Unsynced::default();
    let mut drafts = Vec::new();
    for pair in pairs {
        let parts = [
            (&pair.key, Part::Privkey),
            (&pair.certificate, Part::Fullchain),
        ];
        // Both are looked at before either is touched, so that no pair is torn for want of the other half.
        for (file, part) in parts {
            drafts.push((file, draft(lineages, pair, file, part, &mut unsynced)?));
        }
    }
    unsynced.sync()?;
    let mut folders = Unsynced::default();
    for (file, draft) in &drafts {
        if draft.is_some() && file.before.is_some() {
            keep_second_name(file, &mut folders)?;
        }
    }
    for (file, draft) in drafts {
        if let Some(draft) = draft {
            draft.put_in_place()?;
            folders.folder(folder(&file.file))?;
        }
    }
    Ok(folders.sync()?)
}

/// Undoes the replacements. Safe to repeat, and does nothing for those that were never made. Goes on after a failure,
/// and returns the first.
pub(crate) fn revert(pairs: &[&PairSwitch]) -> Result<(), ProjectionError> {
    let mut folders = Unsynced::default();
    let mut answer = Ok(());
    for pair in pairs.iter().rev() {
        for file in [&pair.key, &pair.certificate] {
            let one = revert_one(file, &mut folders);
            answer = answer.and(one);
        }
    }
    answer.and(Ok(folders.sync()?))
}

/// Forgets what an undo would have needed.
pub(crate) fn settle(pair: &PairSwitch) -> Result<(), FileError> {
    file::remove(&second_name(&pair.key.file))?;
    file::remove(&second_name(&pair.certificate.file))
}

/// Writes the new file beside its place; `None` when it is there already.
fn draft(
    lineages: &Lineages,
    pair: &PairSwitch,
    switch: &FileSwitch,
    part: Part,
    unsynced: &mut Unsynced,
) -> Result<Option<Beside>, ProjectionError> {
    let path = &switch.file;
    let now = state_of(path)?;
    if now == Some(switch.after) {
        file::forget_beside(path)?;
        return Ok(None);
    }
    if now != switch.before {
        return Err(ProjectionError::Changed(path.clone()));
    }
    let content = file::read(&lineages.file(&pair.lineage, part, pair.to), FILE_BYTES_MAX)?;
    let access = match (now, part) {
        (Some(_), _) => Access::of(path)?,
        (None, Part::Privkey) => Access::PRIVATE,
        (None, Part::Cert | Part::Chain | Part::Fullchain) => Access::PUBLIC,
    };
    Ok(Some(Beside::write(path, &content, access, unsynced)?))
}

fn keep_second_name(switch: &FileSwitch, folders: &mut Unsynced) -> Result<(), FileError> {
    let second = second_name(&switch.file);
    // What lies there is of a run that died after it was done.
    file::remove(&second)?;
    file::make_second_name(&switch.file, &second)?;
    folders.folder(folder(&switch.file))
}

fn revert_one(switch: &FileSwitch, folders: &mut Unsynced) -> Result<(), ProjectionError> {
    let path = &switch.file;
    let second = second_name(path);
    let now = state_of(path)?;
    if now == switch.before || now != Some(switch.after) {
        // It was never made, or it is somebody else's by now.
        file::remove(&second)?;
        return Ok(());
    }
    if switch.before.is_none() {
        file::remove(path)?;
    } else if state_of(&second)? == switch.before {
        file::rename(&second, path, RenameFlags::empty())?;
    } else {
        return Err(ProjectionError::Changed(second));
    }
    Ok(folders.folder(folder(path))?)
}

/// Returns what a file is; `None` when it is not there.
fn state_of(path: &Path) -> Result<Option<Fingerprint>, FileError> {
    match file::read(path, FILE_BYTES_MAX) {
        Ok(content) => Ok(Some(sha256(&content))),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the name that the file before keeps: hidden, and none that nginx or the panel would look for.
fn second_name(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".before");
    path.with_file_name(name)
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// A certificate file with a whole chain has a few KiB; what has more is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests;
