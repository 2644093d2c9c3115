//! What came of a run?

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::certificate::{Certificate, Fingerprint};
use crate::finding::Finding;
use crate::name::Name;
use crate::names::Names;

/// What came of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// How often nginx was reloaded for certificates.
    pub reloads: u32,
    /// Each site that the run was about.
    pub sites: Vec<SiteReport>,
    /// What is wrong with the host as a whole.
    pub findings: Vec<Finding>,
    /// When to run again; `None` when there is nothing to wait for.
    pub wake_at: Option<Timestamp>,
}

/// What came of one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteReport {
    /// Its names; the first is its domain.
    pub names: Names,
    /// What happened.
    pub outcome: Outcome,
    /// Why, as a phrase.
    pub reason: String,
    /// When its certificate is due next.
    pub due_at: Option<Timestamp>,
    /// When it is tried again.
    pub retry_at: Option<Timestamp>,
    /// The certificate it has now, and where.
    pub certificate: Option<(Arc<Certificate>, PathBuf)>,
    /// What was served on each address after the deployment.
    pub served: Vec<Served>,
    /// What is wrong or risky.
    pub findings: Vec<Finding>,
}

impl SiteReport {
    /// Returns the name the site is called by.
    #[must_use]
    pub fn domain(&self) -> &Name {
        self.names.domain()
    }
}

/// What happened to one site.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It got its first certificate, and it is served.
    Issued,
    /// It got a new certificate, and it is served.
    Renewed,
    /// It got the certificate that a person chose, and it is served.
    Installed,
    /// Nothing was to be done.
    NotDue,
    /// It would get one, if this were not a dry run.
    WouldRenew,
    /// It must wait.
    Postponed,
    /// It is only watched.
    Skipped,
    /// It should have got one, and did not; or it is not served.
    Failed,
}

impl Outcome {
    /// Returns the word that the contract uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Renewed => "renewed",
            Self::Installed => "installed",
            Self::NotDue => "not-due",
            Self::WouldRenew => "would-renew",
            Self::Postponed => "postponed",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// What one address served.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Served {
    /// The address.
    pub address: SocketAddr,
    /// The leaf it showed; `None` when no handshake came about.
    pub sha256: Option<Fingerprint>,
    /// Whether it is the expected one.
    pub ok: bool,
    /// Why there was no handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Which server block answered, when it was not the site's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
}
