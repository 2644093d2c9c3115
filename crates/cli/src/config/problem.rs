//! What is wrong with the configuration, and where?

use std::path::PathBuf;

use crate::errors::CommandError;

/// A place in the configuration file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct Problem {
    /// Line and column; what is not in the file comes first.
    order: (usize, usize),
    place: String,
    what: String,
}

impl Problem {
    /// Makes a problem at a place of the file.
    pub(super) fn at(place: &Place, what: String) -> Self {
        Self {
            order: (place.line, place.column),
            place: place.to_string(),
            what,
        }
    }

    /// Makes a problem of a variable or of an option.
    pub(super) fn of(name: &str, what: String) -> Self {
        Self {
            order: (0, 0),
            place: name.to_owned(),
            what,
        }
    }
}

/// Makes one error of all problems, in the order of the file.
pub(super) fn to_error(mut problems: Vec<Problem>) -> CommandError {
    problems.sort_by_key(|problem| problem.order);
    let mut error = CommandError::usage("The configuration is wrong, so nothing was done.");
    for problem in problems.iter().take(SHOWN) {
        error = error.cause(problem.to_string());
    }
    if let Some(more) = problems.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        error = error.cause(format!("and {more} more"));
    }
    error.hint("every setting is described in docs/reference/configuration.md")
}

/// More at once would hide the first.
const SHOWN: usize = 20;
