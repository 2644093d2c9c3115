//! How is a safe fix made on this host, and undone to the byte?
//!
//! A fix is drafted first: every step with what is there now. Nothing is changed that is not as it was when that was
//! worked out, and no link of a site's user is followed. The draft is written down before the first step, so that a run
//! after a crash can undo it when nginx refuses what it finds.

use std::path::{Path, PathBuf};

use renewal::deployment::{Edit, Splice};
use renewal::finding::{Finding, FindingName};
use renewal::fix::{Amendment, Grant, LinkChange, Remedy, Shown};
use renewal::ports::HostFailure;
use serde::{Deserialize, Serialize};

use crate::conf::amend::{self, AmendError};
use crate::edits::{self, sha256};
use crate::file::{self, Access, Beside, FileError, Unsynced};
use crate::settings::Settings;

mod access;
mod link;

/// A fix with everything that is needed to make it and to undo it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// What changes, to be shown.
    pub shown: Vec<Shown>,
    steps: Vec<Step>,
}

/// One change.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
enum Step {
    Access(Grant),
    Link(LinkChange),
    Edit(Edit),
}

impl Draft {
    /// Returns the files and links of the configuration that are changed.
    pub fn touched(&self) -> impl Iterator<Item = &Path> {
        self.steps.iter().filter_map(|step| match step {
            Step::Access(_) => None,
            Step::Link(change) => Some(change.link.as_path()),
            Step::Edit(edit) => Some(edit.file.as_path()),
        })
    }

    /// Says whether nothing would change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Takes in edits that were worked out elsewhere.
    pub(crate) fn of_edits(edits: Vec<Edit>) -> Self {
        Self {
            shown: edits.iter().map(shown).collect(),
            steps: edits.into_iter().map(Step::Edit).collect(),
        }
    }
}

/// Works out what a remedy changes. Nothing is touched.
pub(crate) fn draft(remedy: &Remedy) -> Result<Draft, HostFailure> {
    match remedy {
        Remedy::Access(grants) => Ok(Draft {
            shown: grants.iter().map(access::shown).collect(),
            steps: grants.iter().cloned().map(Step::Access).collect(),
        }),
        Remedy::Link(change) => Ok(Draft {
            shown: vec![link::shown(change)],
            steps: vec![Step::Link(change.clone())],
        }),
        Remedy::Lines(amendments) => Ok(Draft::of_edits(edits(amendments)?)),
        // Our line is worked out where the account is known; a reload changes nothing on disk.
        Remedy::ChallengeLine | Remedy::Reload => Ok(Draft::default()),
    }
}

/// Makes the changes, after they were written down.
pub(crate) fn make(settings: &Settings, draft: &Draft) -> Result<(), HostFailure> {
    if draft.is_empty() {
        return Ok(());
    }
    write_down(settings, draft)?;
    let made = draft.steps.iter().try_for_each(|step| match step {
        Step::Access(grant) => access::make(grant, grant.before, grant.after),
        Step::Link(change) => link::make(change),
        Step::Edit(edit) => edits::make(&[edit]).map_err(HostFailure::from),
    });
    made.inspect_err(|_| {
        // What was made of it goes again; the first failure is the one that counts.
        let _ = unmake(settings, draft);
    })
}

/// Undoes them, in the opposite order. Safe to repeat. Goes on after a failure and returns the first.
pub(crate) fn unmake(settings: &Settings, draft: &Draft) -> Result<(), HostFailure> {
    let mut failed = None;
    for step in draft.steps.iter().rev() {
        let undone = match step {
            Step::Access(grant) => access::make(grant, grant.after, grant.before),
            Step::Link(change) => link::unmake(change),
            Step::Edit(edit) => edits::unmake(&[edit]).map_err(|(error, _)| error.into()),
        };
        failed = failed.or(undone.err());
    }
    match failed {
        Some(failure) => Err(failure),
        None => Ok(forget(settings)?),
    }
}

/// Keeps the changes: what would have undone them is put aside.
pub(crate) fn keep(settings: &Settings, draft: &Draft) -> Result<(), HostFailure> {
    for step in &draft.steps {
        if let Step::Link(change) = step {
            link::keep(change, &settings.state.join(REMOVED))?;
        }
    }
    Ok(forget(settings)?)
}

/// Takes the edits of fixes back that were kept, the last one first.
pub(crate) fn take_back(drafts: &[Draft]) -> Result<(), HostFailure> {
    let steps = drafts.iter().flat_map(|draft| &draft.steps).rev();
    for step in steps {
        match step {
            Step::Edit(edit) => edits::unmake(&[edit]).map_err(|(error, _)| error)?,
            // Neither keeps nginx from taking its configuration up.
            Step::Access(_) | Step::Link(_) => {}
        }
    }
    Ok(())
}

/// Returns the fix in the midst of which an earlier run died.
pub(crate) fn unfinished(settings: &Settings) -> Result<Option<Draft>, HostFailure> {
    match file::read(&settings.state.join(JOURNAL), JOURNAL_BYTES_MAX) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn write_down(settings: &Settings, draft: &Draft) -> Result<(), HostFailure> {
    let text = serde_json::to_vec(draft).map_err(|error| {
        HostFailure(
            Finding::new(
                FindingName::FileNotUsable,
                "The fix cannot be written down.",
            )
            .detail(error.to_string()),
        )
    })?;
    let mut unsynced = Unsynced::default();
    file::make_folders(&settings.state, STATE_MODE, &mut unsynced)?;
    let beside = Beside::write(
        &settings.state.join(JOURNAL),
        &text,
        Access::PRIVATE,
        &mut unsynced,
    )?;
    unsynced.sync()?;
    beside.put_in_place()?;
    Ok(file::sync_folder(&settings.state)?)
}

fn forget(settings: &Settings) -> Result<(), FileError> {
    file::remove(&settings.state.join(JOURNAL))
}

/// Works out the edits of amendments: one for each file.
fn edits(amendments: &[Amendment]) -> Result<Vec<Edit>, HostFailure> {
    let mut files: Vec<(PathBuf, Vec<&Amendment>)> = Vec::new();
    for amendment in amendments {
        // A link among the vhosts stays a link: what it leads to is edited.
        let named = &amendment.place().file;
        let file = named.canonicalize().unwrap_or_else(|_| named.clone());
        match files.iter_mut().find(|(known, _)| *known == file) {
            Some((_, amendments)) => amendments.push(amendment),
            None => files.push((file, vec![amendment])),
        }
    }
    let edit = |(file, amendments): (PathBuf, Vec<&Amendment>)| {
        let before = file::read(&file, edits::FILE_BYTES_MAX)?;
        let after = amend::amended(before.to_vec(), &amendments)
            .map_err(|cause| not_understood(&file, &cause))?;
        Ok(Edit {
            before: sha256(&before),
            after: sha256(&after),
            splice: Splice::between(&before, &after),
            what: "the lines of a fix".to_owned(),
            file,
        })
    };
    let made: Result<Vec<Edit>, HostFailure> = files.into_iter().map(edit).collect();
    Ok(made?
        .into_iter()
        .filter(|edit| edit.before != edit.after)
        .collect())
}

fn not_understood(file: &Path, cause: &AmendError) -> HostFailure {
    let finding = Finding::new(
        FindingName::VhostNotUnderstood,
        "The file is not as it was when it was looked at, so it is left as it is.",
    );
    HostFailure(
        finding
            .detail(format!("{}: {cause}", file.display()))
            .fix("Run again."),
    )
}

/// Shows the whole lines that an edit changes.
fn shown(edit: &Edit) -> Shown {
    let text = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes)
            .trim_end_matches('\n')
            .to_owned()
    };
    let Splice {
        at,
        removed,
        inserted,
    } = &edit.splice;
    let file = file::read(&edit.file, edits::FILE_BYTES_MAX).unwrap_or_default();
    let (head, tail) = (file.get(..*at), file.get(at + removed.len()..));
    let (head, tail) = (head.unwrap_or_default(), tail.unwrap_or_default());
    let begin = head
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |end| end + 1);
    // What ends with a line needs nothing of the next one.
    let is_whole = |part: &[u8]| part.is_empty() || part.ends_with(b"\n");
    let rest = if begin == head.len() && is_whole(removed) && is_whole(inserted) {
        &tail[..0]
    } else {
        &tail[..tail.iter().position(|b| *b == b'\n').unwrap_or(tail.len())]
    };
    let line = head.iter().filter(|b| **b == b'\n').count() + 1;
    let whole = |middle: &[u8]| text(&[&head[begin..], middle, rest].concat());
    let (before, after) = (whole(removed), whole(inserted));
    let (first, before, after) = differing(&before, &after);
    Shown {
        place: format!("{}:{}", edit.file.display(), line + first),
        before,
        after,
    }
}

/// Leaves out the lines at the beginning and the end that are alike; says how many the first are.
fn differing(before: &str, after: &str) -> (usize, String, String) {
    let (mut old, mut new): (Vec<&str>, Vec<&str>) =
        (before.lines().collect(), after.lines().collect());
    while let (Some(one), Some(other)) = (old.last(), new.last())
        && one == other
    {
        old.pop();
        new.pop();
    }
    let first = old
        .iter()
        .zip(&new)
        .take_while(|(one, other)| one == other)
        .count();
    (first, old[first..].join("\n"), new[first..].join("\n"))
}

/// The fix that is being made.
const JOURNAL: &str = "fixing.json";

/// Where links that were taken away are kept, below the state folder, by their old paths.
const REMOVED: &str = "removed-links";

/// As the database's folder.
const STATE_MODE: u32 = 0o700;

/// A fix of ten thousand vhosts has a tenth of it.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests;
