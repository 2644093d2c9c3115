//! What can be mended without a person?
//!
//! A [`Fix`] stands next to a finding: what it cures, and what has to change, as data. It is decided from what was
//! seen and made elsewhere, so that it can be shown before it is made. Only what is safe becomes one: it can be undone to
//! the byte, takes nothing away that anybody can still use, and cannot make things worse for another site.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::finding::FindingName;
use crate::name::Name;
use crate::site::Place;

/// One safe fix.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fix {
    /// The finding that goes away.
    pub cures: FindingName,
    /// The site that it is about; `None` for the host.
    pub site: Option<Name>,
    /// What it does, as a sentence.
    pub what: String,
    /// What has to change.
    pub remedy: Remedy,
}

/// What has to change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Remedy {
    /// Other owners and modes.
    Access(Vec<Grant>),
    /// A link that leads nowhere gets a target, or goes.
    Link(LinkChange),
    /// Other lines in the configuration of nginx.
    Lines(Vec<Amendment>),
    /// Our own line that answers challenges, first in the site's blocks.
    ChallengeLine,
    /// Nothing on disk: nginx has to take up what is there.
    Reload,
}

impl Remedy {
    /// Says whether nginx has to read its configuration again before the remedy shows.
    #[must_use]
    pub fn wants_reload(&self) -> bool {
        match self {
            Self::Access(_) => false,
            Self::Link(_) | Self::Lines(_) | Self::ChallengeLine | Self::Reload => true,
        }
    }
}

/// Another owner or mode for one file or folder.
///
/// It is found from `base`, whose links are the admin's business, by `inside`, where no link is followed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// The folder at which the way begins.
    pub base: PathBuf,
    /// The names from there on; never none.
    pub inside: Vec<String>,
    /// What it has now. Anything else, and it is left alone.
    pub before: Access,
    /// What it gets.
    pub after: Access,
}

impl Grant {
    /// Returns the whole path.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let mut path = self.base.clone();
        path.extend(&self.inside);
        path
    }
}

/// Owner and mode.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Access {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
    /// The permission bits.
    pub mode: u32,
}

impl std::fmt::Display for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { user, group, mode } = self;
        write!(f, "mode {mode:04o}, user {user}, group {group}")
    }
}

/// Another target for a symbolic link, or none.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LinkChange {
    /// The link.
    pub link: PathBuf,
    /// Where it leads now. Anything else, and it is left alone.
    pub before: PathBuf,
    /// Where it shall lead; `None` takes it away.
    pub after: Option<PathBuf>,
}

/// A change of one directive of nginx's configuration.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Amendment {
    /// The directive that begins on this line gets these arguments.
    Arguments {
        /// Where it is.
        at: Place,
        /// What it is called.
        directive: String,
        /// What stands behind its name.
        arguments: Vec<String>,
    },
    /// A statement comes into the block that begins on this line: behind its last directive called `behind`, else first.
    Inside {
        /// Where the block begins.
        at: Place,
        /// What it is called.
        block: String,
        /// Whose neighbour the statement becomes.
        behind: Option<String>,
        /// The statement, with its semicolon.
        statement: String,
    },
    /// A statement comes behind the directive that begins on this line.
    Behind {
        /// Where the directive begins.
        at: Place,
        /// What it is called.
        directive: String,
        /// The statement, with its semicolon.
        statement: String,
    },
}

impl Amendment {
    /// Returns where it changes something.
    #[must_use]
    pub fn place(&self) -> &Place {
        match self {
            Self::Arguments { at, .. } | Self::Inside { at, .. } | Self::Behind { at, .. } => at,
        }
    }
}

/// What a fix changes at one place, to be shown.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// The file, or the file and line.
    pub place: String,
    /// What is there before; empty for what is added.
    pub before: String,
    /// What is there afterwards; empty for what is taken away.
    pub after: String,
}

/// Says whether what nginx complains about is one of these files.
///
/// A configuration that was refused before may stay refused for another cause: only a complaint about what was just
/// changed says that the change was wrong.
#[must_use]
pub fn is_blamed<'p>(complaint: &str, mut touched: impl Iterator<Item = &'p Path>) -> bool {
    touched.any(|path| complaint.contains(&*path.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::is_blamed;
    use std::path::Path;

    #[test]
    fn only_what_was_changed_is_blamed() {
        let touched = [Path::new("/etc/nginx/sites-enabled/a.conf")];
        let blamed = |complaint| is_blamed(complaint, touched.iter().copied());
        assert!(blamed(
            "unknown directive \"x\" in /etc/nginx/sites-enabled/a.conf:3"
        ));
        assert!(!blamed(
            "open() \"/etc/nginx/sites-enabled/b.conf\" failed (2: No such file or directory)"
        ));
    }
}
