//! What does CloudPanel's record say of a host's sites, and which is the truth when it and the files differ?
//!
//! CloudPanel keeps each site's certificate in a database and projects it to two plain files, which its vhosts name.
//! [`join`](self::join::join) adds the record to what nginx's configuration says; [`stand`](self::stand::stand) says
//! who is right:
//!
//! | the files hold | the record holds | then |
//! | --- | --- | --- |
//! | a valid certificate of ours | anything else, or dates or a key that are not its own | the record is written |
//! | anything | a valid one of a CA that ends later | it is taken over, without an order |
//! | another's | another | it is said, and the next renewal replaces both |
//!
//! So a crash between deploying and recording, and a run of the panel's own between two of ours, are both mended by
//! the next look, and nothing has to be remembered.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use crate::certificate::Certificate;
use crate::finding::Finding;
use crate::name::Name;
use crate::ports::Seen;
use crate::secret::Secret;

pub use self::join::join;
pub(crate) use self::join::watched;
pub use self::stand::{Stand, is_news, stand};

mod join;
#[cfg(test)]
pub(crate) mod fixture;
mod stand;

/// What the panel's record says of the whole host.
#[derive(Clone, Debug, Default)]
pub enum Inventory {
    /// There is no panel here.
    #[default]
    Absent,
    /// There is one, whose record has a form that is not known: the host is treated as one without.
    Unknown(Finding),
    /// There is one, whose record cannot be read now.
    Unreadable {
        /// Why.
        finding: Finding,
        /// The folder of the files it projects certificates to.
        folder: PathBuf,
    },
    /// There is one.
    Known(Record),
}

/// A record that was read.
///
/// Nobody watches it for changes: the panel writes other things there every minute, and whatever it does to a site it
/// also does to files, which are watched.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The sites in it, by their domains.
    pub sites: Vec<PanelSite>,
    /// What is wrong beyond any one site.
    pub findings: Vec<Finding>,
    /// What was read because it was not known, to be remembered.
    pub read: Vec<(PathBuf, Seen)>,
}

/// What the panel says of one site.
#[derive(Clone, Debug)]
pub struct PanelSite {
    /// Its number in the record; `None` for the panel's own site, which is not in it.
    pub id: Option<i64>,
    /// What it is called.
    pub domain: Name,
    /// What serves it: `php`, `nodejs`, `static`, `python`, `reverse-proxy`, or `panel`.
    pub kind: String,
    /// The user it belongs to.
    pub user: String,
    /// Its document root.
    pub document_root: PathBuf,
    /// Where its vhost is.
    pub vhost: PathBuf,
    /// The files that its certificate is projected to.
    pub files: Projection,
    /// Its active certificate, as the record has it.
    pub row: Option<Row>,
    /// What is wrong with its entry, seen while reading.
    pub findings: Vec<Finding>,
}

/// The two plain files that a site's certificate is projected to; the panel rewrites both, and so may we.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Projection {
    /// The leaf and its issuers.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Projection {
    /// Returns the files for a name in the panel's folder of certificates.
    #[must_use]
    pub fn of(folder: &Path, name: &str) -> Self {
        Self {
            certificate: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
        }
    }
}

/// The active certificate of a site, as the record has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// Its number.
    pub id: i64,
    /// Whether the row is another site's.
    pub borrowed: bool,
    /// How the panel came by it.
    pub kind: RowKind,
    /// When the panel thinks it ends, by which it renews; `None` when that is no date.
    pub expires_at: Option<Timestamp>,
    /// Its facts, or why they cannot be read.
    pub certificate: Result<Arc<Certificate>, String>,
    /// Whether the key beside it belongs to it.
    pub key_fits: bool,
}

/// How the panel came by a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RowKind {
    /// It made it when the site was made (type 1).
    SelfSigned,
    /// Let's Encrypt issued it, and the panel renews it (type 2).
    Issued,
    /// A person brought it, and nobody renews it (type 3).
    Imported,
    /// A type that is not known.
    Other,
}

/// What the panel has to do with a site.
#[derive(Clone, Debug, Default)]
pub enum OnPanel {
    /// Nothing.
    #[default]
    No,
    /// It is the panel's, and the panel's record cannot be read now.
    Unreadable,
    /// It is the panel's.
    Yes(Arc<PanelSite>),
}

impl OnPanel {
    /// Returns what the panel says of it.
    #[must_use]
    pub fn site(&self) -> Option<&PanelSite> {
        match self {
            Self::Yes(site) => Some(site),
            Self::No | Self::Unreadable => None,
        }
    }
}

/// A certificate with its key, as text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PemPair {
    /// The private key.
    pub key: Secret,
    /// The leaf alone.
    pub leaf: String,
    /// Its issuers.
    pub issuers: String,
}

/// Something for the panel's list of notices.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notice {
    /// How bad it is.
    pub level: NoticeLevel,
    /// One line; there is one notice of a subject at most.
    pub subject: String,
    /// What happened, and what to do.
    pub message: String,
    /// The subject of the notice that this one makes void.
    pub ends: Option<String>,
}

/// How bad a notice is, as the panel shows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoticeLevel {
    /// Worth knowing.
    Info,
    /// A risk.
    Warning,
    /// Somebody must do something.
    Critical,
}
