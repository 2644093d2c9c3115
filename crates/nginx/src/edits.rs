//! Which vhost files must change for a batch, and how are they changed and changed back?
//!
//! The whole batch is worked out before anything is written: several sites in one file make a chain of states, each
//! kept as a copy in the state folder:
//!
//! | copy | is |
//! | --- | --- |
//! | `edits/BATCH/FILE/0` | the file as it was |
//! | `edits/BATCH/FILE/1` | after the first edit |
//! | `edits/BATCH/FILE/2` | after the second, and so on |
//!
//! A file is only written while it equals one of these, so whatever a person does to it in between is kept.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use renewal::deployment::Edit;
use renewal::finding::{Finding, FindingName};
use renewal::ports::HostFailure;

use crate::conf::server::{self, Change};
use crate::file::{self, Access, FileError};

pub(crate) mod wanted;

/// A vhost file could not be edited.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    /// The file or a copy could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Somebody changed the file since the edit was worked out.
    #[error("{} is not as it was when the edit was worked out", .0.display())]
    Changed(PathBuf),
    /// The file is not what was looked at, or no configuration.
    #[error("{}: {cause}", file.display())]
    NotUnderstood {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: server::ChangeError,
    },
    /// Vhosts may not be edited, or this line stands where it cannot be changed for one site alone.
    #[error("{}: {lines}", file.display())]
    NotAllowed {
        /// The file.
        file: PathBuf,
        /// What a person has to put there.
        lines: String,
        /// Why clpctl does not.
        why: &'static str,
    },
}

impl From<EditError> for HostFailure {
    fn from(error: EditError) -> Self {
        let detail = error.to_string();
        let finding = match error {
            EditError::File(error) => return error.into(),
            EditError::Changed(_) => Finding::new(
                FindingName::VhostChanged,
                "The vhost file was changed by somebody else meanwhile, so it is left as it is.",
            )
            .fix("Run again: the edit is worked out anew."),
            EditError::NotUnderstood { .. } => Finding::new(
                FindingName::VhostNotUnderstood,
                "The vhost file cannot be edited.",
            )
            .fix("Run again; if it stays, put the lines there by hand."),
            EditError::NotAllowed { why, .. } => Finding::new(FindingName::VhostNeedsLines, why)
                .fix("Put the lines there by hand, and run again."),
        };
        Self(finding.detail(detail))
    }
}

/// A change of one server block.
#[derive(Clone, Debug)]
pub(crate) struct BlockChange<'a> {
    /// The file, with all links on the way to it resolved.
    pub(crate) file: PathBuf,
    /// The line on which the block begins.
    pub(crate) line: u32,
    /// What to do.
    pub(crate) change: Change<'a>,
}

/// The edits of one batch, while they are worked out.
pub(crate) struct Batch<'a> {
    state: PathBuf,
    folder: Option<PathBuf>,
    files: Vec<FileChain<'a>>,
    by_path: HashMap<PathBuf, usize>,
}

/// One file on its way through the batch.
struct FileChain<'a> {
    file: PathBuf,
    original: Vec<u8>,
    changes: Vec<(u32, Change<'a>)>,
    latest: Vec<u8>,
    copies: u32,
}

/// What one site's changes make of one file.
struct Draft<'a> {
    index: usize,
    changes: Vec<(u32, Change<'a>)>,
    after: Vec<u8>,
}

impl<'a> Batch<'a> {
    /// Starts a batch whose copies are kept below `state`.
    pub(crate) fn new(state: &Path) -> Self {
        Self {
            state: state.join("edits"),
            folder: None,
            files: Vec::new(),
            by_path: HashMap::new(),
        }
    }

    /// Returns the content of a file as the batch leaves it so far.
    pub(crate) fn original(&mut self, path: &Path) -> Result<&[u8], EditError> {
        let index = self.chain(path)?;
        Ok(&self.files[index].original)
    }

    /// Works out the edits of one site. What fails leaves the batch as it was.
    pub(crate) fn add(
        &mut self,
        changes: &[BlockChange<'a>],
        what: &str,
    ) -> Result<Vec<Edit>, EditError> {
        let mut drafts: Vec<Draft<'a>> = Vec::new();
        for change in changes {
            let index = self.chain(&change.file)?;
            if drafts.iter().all(|draft| draft.index != index) {
                drafts.push(Draft {
                    index,
                    changes: self.files[index].changes.clone(),
                    after: Vec::new(),
                });
            }
            let ours = drafts.iter_mut().filter(|draft| draft.index == index);
            ours.for_each(|draft| draft.changes.push((change.line, change.change)));
        }
        for draft in &mut drafts {
            let chain = &self.files[draft.index];
            let changed = server::changed(chain.original.clone(), &draft.changes);
            draft.after = changed.map_err(|cause| EditError::NotUnderstood {
                file: chain.file.clone(),
                cause,
            })?;
        }
        let mut edits = Vec::new();
        for draft in drafts {
            if draft.after != self.files[draft.index].latest {
                edits.push(self.keep(draft, what)?);
            }
        }
        Ok(edits)
    }

    fn chain(&mut self, path: &Path) -> Result<usize, EditError> {
        if let Some(index) = self.by_path.get(path) {
            return Ok(*index);
        }
        let original = file::read(path, FILE_BYTES_MAX)?;
        self.files.push(FileChain {
            file: path.to_owned(),
            latest: original.clone(),
            original,
            changes: Vec::new(),
            copies: 0,
        });
        let index = self.files.len() - 1;
        self.by_path.insert(path.to_owned(), index);
        Ok(index)
    }

    fn keep(&mut self, draft: Draft<'a>, what: &str) -> Result<Edit, EditError> {
        let Draft {
            index,
            changes,
            after,
        } = draft;
        let folder = self.folder()?.join(index.to_string());
        file::make_folders(&folder, FOLDER_MODE)?;
        let chain = &mut self.files[index];
        if chain.copies == 0 {
            file::replace(&folder.join("0"), &chain.original, Access::PRIVATE)?;
            chain.copies = 1;
        }
        let number = chain.copies;
        file::replace(&folder.join(number.to_string()), &after, Access::PRIVATE)?;
        chain.copies += 1;
        chain.changes = changes;
        chain.latest = after;
        Ok(Edit {
            file: chain.file.clone(),
            before: folder.join((number - 1).to_string()),
            after: folder.join(number.to_string()),
            what: what.to_owned(),
        })
    }

    /// Makes the batch's folder: the first number that no earlier batch has.
    fn folder(&mut self) -> Result<&Path, FileError> {
        if self.folder.is_none() {
            file::make_folders(&self.state, FOLDER_MODE)?;
            let mut number = 1u32;
            let folder = loop {
                let folder = self.state.join(number.to_string());
                if std::fs::symlink_metadata(&folder).is_err() {
                    break folder;
                }
                number += 1;
            };
            file::make_folder(&folder, FOLDER_MODE)?;
            file::sync_folder(&self.state)?;
            self.folder = Some(folder);
        }
        Ok(self.folder.as_deref().unwrap_or(&self.state))
    }
}

/// Makes an edit. Safe to repeat.
pub(crate) fn make(edit: &Edit) -> Result<(), EditError> {
    let now = file::read(&edit.file, FILE_BYTES_MAX)?;
    let after = file::read(&edit.after, FILE_BYTES_MAX)?;
    if now == after || later(edit).any(|copy| file::holds(&copy, &now).is_ok_and(same)) {
        return Ok(());
    }
    if file::holds(&edit.before, &now)? != Some(true) {
        return Err(EditError::Changed(edit.file.clone()));
    }
    Ok(file::replace(&edit.file, &after, Access::of(&edit.file)?)?)
}

/// Undoes an edit, byte for byte, and forgets it. Safe to repeat.
pub(crate) fn unmake(edit: &Edit) -> Result<(), EditError> {
    let before = match file::read(&edit.before, FILE_BYTES_MAX) {
        Ok(before) => before,
        // All was undone and forgotten.
        Err(error) if error.is_missing() => {
            remove_empty(edit);
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let now = file::read(&edit.file, FILE_BYTES_MAX)?;
    if file::holds(&edit.after, &now)? == Some(true) {
        file::replace(&edit.file, &before, Access::of(&edit.file)?)?;
    } else if now != before && !earlier(edit).any(|copy| file::holds(&copy, &now).is_ok_and(same)) {
        return Err(EditError::Changed(edit.file.clone()));
    }
    Ok(forget_last(edit)?)
}

/// Forgets what an undo would have needed.
pub(crate) fn forget(edit: &Edit) -> Result<(), FileError> {
    file::remove(&edit.before)?;
    let last = later(edit).next().is_none();
    if last {
        file::remove(&edit.after)?;
    }
    remove_empty(edit);
    Ok(())
}

/// Forgets the last edit of a chain, which is undone.
fn forget_last(edit: &Edit) -> Result<(), FileError> {
    file::remove(&edit.after)?;
    if number(&edit.before) == Some(0) {
        file::remove(&edit.before)?;
    }
    remove_empty(edit);
    Ok(())
}

/// Removes the folders of the batch when they are empty; what is left over does no harm.
fn remove_empty(edit: &Edit) {
    let folders = edit.after.ancestors().skip(1).take(2);
    for folder in folders {
        let _ = file::remove_folder(folder);
    }
}

/// Lists the copies that exist after the edit's own.
fn later(edit: &Edit) -> impl Iterator<Item = PathBuf> {
    let after = number(&edit.after);
    let folder = edit.after.parent().map(Path::to_owned);
    let numbers = after.map_or(0..0, |after| after + 1..u32::MAX);
    numbers
        .map_while(move |number| Some(folder.as_ref()?.join(number.to_string())))
        .take_while(|copy| copy.exists())
}

/// Lists the copies before the edit's own.
fn earlier(edit: &Edit) -> impl Iterator<Item = PathBuf> {
    let folder = edit.after.parent().map(Path::to_owned);
    (0..number(&edit.before).unwrap_or(0))
        .map_while(move |number| Some(folder.as_ref()?.join(number.to_string())))
}

fn number(copy: &Path) -> Option<u32> {
    copy.file_name()?.to_str()?.parse().ok()
}

fn same(answer: Option<bool>) -> bool {
    answer == Some(true)
}

/// A vhost may hold passwords for a backend.
const FOLDER_MODE: u32 = 0o700;

/// As the parser's own limit.
const FILE_BYTES_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests;
