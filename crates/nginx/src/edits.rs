//! Which vhost files must change for a batch, and how are they changed and changed back?
//!
//! The whole batch is worked out before anything is written: several sites in one file make a chain of states. What
//! each edit changes stands in the edit, with the SHA-256 of the whole file before and after. A file is only
//! written while it is one of these states, so whatever a person does to it in between is kept.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use renewal::certificate::Fingerprint;
use renewal::deployment::{Edit, Splice};
use renewal::finding::{Finding, FindingName};
use renewal::ports::HostFailure;

use crate::conf::server::{self, Change};
use crate::file::{self, Access, Beside, FileError, Unsynced};

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
#[derive(Default)]
pub(crate) struct Batch<'a> {
    files: Vec<FileChain<'a>>,
    by_path: HashMap<PathBuf, usize>,
}

/// One file on its way through the batch.
struct FileChain<'a> {
    file: PathBuf,
    original: Vec<u8>,
    changes: Vec<(u32, Change<'a>)>,
    latest: Vec<u8>,
}

/// What one site's changes make of one file.
struct Draft<'a> {
    index: usize,
    changes: Vec<(u32, Change<'a>)>,
    after: Vec<u8>,
}

impl<'a> Batch<'a> {
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
                edits.push(self.keep(draft, what));
            }
        }
        Ok(edits)
    }

    fn chain(&mut self, path: &Path) -> Result<usize, EditError> {
        if let Some(index) = self.by_path.get(path) {
            return Ok(*index);
        }
        let original = file::read(path, FILE_BYTES_MAX)?.to_vec();
        self.files.push(FileChain {
            file: path.to_owned(),
            latest: original.clone(),
            original,
            changes: Vec::new(),
        });
        let index = self.files.len() - 1;
        self.by_path.insert(path.to_owned(), index);
        Ok(index)
    }

    fn keep(&mut self, draft: Draft<'a>, what: &str) -> Edit {
        let chain = &mut self.files[draft.index];
        let edit = Edit {
            file: chain.file.clone(),
            before: sha256(&chain.latest),
            after: sha256(&draft.after),
            splice: Splice::between(&chain.latest, &draft.after),
            what: what.to_owned(),
        };
        chain.changes = draft.changes;
        chain.latest = draft.after;
        edit
    }
}

/// Makes the edits. Safe to repeat. When a file is not as it was, none is written.
pub(crate) fn make(edits: &[&Edit]) -> Result<(), EditError> {
    let made = by_file(edits).into_iter().map(|(file, edits)| {
        let now = file::read(file, FILE_BYTES_MAX)?.to_vec();
        let Some(done) = state_of(&now, &edits) else {
            return Err(EditError::Changed(file.to_owned()));
        };
        let changed = edits[done..]
            .iter()
            .try_fold(now.clone(), |text, edit| edit.splice.make(&text));
        checked(file, now, changed, edits.last().map(|edit| edit.after))
    });
    write(made.collect::<Result<Vec<_>, _>>()?)
}

/// Undoes the edits, byte for byte. Safe to repeat. Goes on after a failure.
///
/// # Errors
///
/// The first failure, and the files that may not be as they were before the edits.
pub(crate) fn unmake(edits: &[&Edit]) -> Result<(), (EditError, HashSet<PathBuf>)> {
    let mut failed: Option<EditError> = None;
    let mut left = HashSet::new();
    let mut unmade = Vec::new();
    for (file, edits) in by_file(edits) {
        match unmade_file(file, &edits) {
            Ok(rewritten) => unmade.push(rewritten),
            Err(error) => {
                left.insert(file.to_owned());
                failed.get_or_insert(error);
            }
        }
    }
    let files: Vec<_> = unmade.iter().map(|(file, _)| file.clone()).collect();
    if let Err(error) = write(unmade) {
        left.extend(files);
        failed.get_or_insert(error);
    }
    failed.map_or(Ok(()), |error| Err((error, left)))
}

fn unmade_file(file: &Path, edits: &[&Edit]) -> Result<Rewritten, EditError> {
    let now = file::read(file, FILE_BYTES_MAX)?.to_vec();
    let Some(done) = state_of(&now, edits) else {
        return Err(EditError::Changed(file.to_owned()));
    };
    let changed = edits[..done]
        .iter()
        .rev()
        .try_fold(now.clone(), |text, edit| edit.splice.unmake(&text));
    checked(file, now, changed, edits.first().map(|edit| edit.before))
}

/// Returns each file with its edits, in order.
fn by_file<'a>(edits: &[&'a Edit]) -> Vec<(&'a Path, Vec<&'a Edit>)> {
    let mut files: Vec<(&Path, Vec<&Edit>)> = Vec::new();
    let mut places: HashMap<&Path, usize> = HashMap::new();
    for edit in edits {
        let place = *places.entry(&edit.file).or_insert_with(|| {
            files.push((&edit.file, Vec::new()));
            files.len() - 1
        });
        files[place].1.push(*edit);
    }
    files
}

/// Returns how many of the edits are made in the file; `None` when it is none of the states between them.
fn state_of(now: &[u8], edits: &[&Edit]) -> Option<usize> {
    let now = sha256(now);
    let made = edits.iter().rposition(|edit| edit.after == now);
    let none = || edits.first().filter(|edit| edit.before == now).map(|_| 0);
    made.map(|last| last + 1).or_else(none)
}

/// A file and what is to be written to it; `None` when it is so already.
type Rewritten = (PathBuf, Option<Vec<u8>>);

fn checked(
    file: &Path,
    now: Vec<u8>,
    changed: Option<Vec<u8>>,
    expected: Option<Fingerprint>,
) -> Result<Rewritten, EditError> {
    match changed {
        Some(changed) if Some(sha256(&changed)) == expected => {
            Ok((file.to_owned(), (changed != now).then_some(changed)))
        }
        _ => Err(EditError::Changed(file.to_owned())),
    }
}

/// Writes the files: all beside their places, synced together, then each put in its place in one step.
fn write(files: Vec<Rewritten>) -> Result<(), EditError> {
    let mut unsynced = Unsynced::default();
    let mut beside = Vec::new();
    let mut folders = BTreeSet::new();
    for (path, bytes) in files {
        let Some(bytes) = bytes else {
            file::forget_beside(&path)?;
            continue;
        };
        let access = Access::of(&path)?;
        beside.push(Beside::write(&path, &bytes, access, &mut unsynced)?);
        folders.extend(path.parent().map(Path::to_owned));
    }
    unsynced.sync()?;
    for file in beside {
        file.put_in_place()?;
    }
    let mut unsynced = Unsynced::default();
    for folder in folders {
        unsynced.folder(&folder)?;
    }
    Ok(unsynced.sync()?)
}

/// Returns what a whole file is.
pub(crate) fn sha256(bytes: &[u8]) -> Fingerprint {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    Fingerprint(sha256)
}

/// As the parser's own limit.
pub(crate) const FILE_BYTES_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests;
