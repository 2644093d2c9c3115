//! Why can't a configuration file be understood?
//!
//! nginx's own words where it has some, so that people find what they know from `nginx -t`.

use std::path::PathBuf;

/// A file that nginx would refuse too, with the place where it stops making sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} in {}:{line}", file.display())]
pub struct SyntaxError {
    /// The file, as the configuration names it.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: u32,
    /// What is wrong there.
    pub what: Wrong,
}

/// A fault at a line, in a file that the caller knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} in line {line}")]
pub struct Fault {
    /// The line, counted from 1.
    pub line: u32,
    /// What is wrong there.
    pub what: Wrong,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// A character where none of its kind may stand.
    #[error("unexpected \"{0}\"")]
    Unexpected(char),
    /// The file ends inside a directive.
    #[error("unexpected end of file, expecting \";\" or \"}}\"")]
    EndInDirective,
    /// The file ends inside a block.
    #[error("unexpected end of file, expecting \"}}\"")]
    EndInBlock,
    /// A word without quotes, or a comment, is longer than nginx's buffer.
    #[error("too long parameter \"{0}...\" started")]
    TooLong(String),
    /// A quoted word is longer than nginx's buffer.
    #[error("too long parameter, probably missing terminating \"{0}\" character")]
    Unclosed(char),
    /// A directive that takes no block has one, most often because the `;` before it is missing.
    #[error("directive \"{0}\" is not terminated by \";\"")]
    NotTerminated(String),
    /// A directive that needs a block has none.
    #[error("directive \"{0}\" has no opening \"{{\"")]
    NoOpening(String),
    /// Blocks are nested more deeply than any configuration a person wrote.
    #[error("blocks are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// The file is too large to be a configuration.
    #[error("the file is larger than {} MB", MAX_FILE >> 20)]
    TooLarge,
}

impl Fault {
    /// Says in which file the fault is.
    #[must_use]
    pub fn of(self, file: impl Into<PathBuf>) -> SyntaxError {
        SyntaxError {
            file: file.into(),
            line: self.line,
            what: self.what,
        }
    }
}

/// Deepest nesting of blocks, so that no walk over a tree can exhaust the stack.
pub const MAX_DEPTH: usize = 200;

/// Largest file that is read, in bytes: a hundred times the largest vhost seen.
pub const MAX_FILE: usize = 16 << 20;
