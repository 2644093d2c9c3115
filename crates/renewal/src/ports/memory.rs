//! The port to what is remembered between runs.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::deployment::Deployment;
use crate::ledger::{Ledger, Spent};
use crate::name::Name;
use crate::names::Names;
use crate::plan::Remembered;
use crate::policy::Ca;
use crate::ports::{Known, Seen};
use crate::retry::Attempts;
use crate::suggestion::Suggestion;

/// Remembers what cannot be seen. Every method returns when the change is on disk.
///
/// Quick enough (well under a millisecond) to be called between two awaits.
pub trait Memory: Send + Sync {
    /// Returns what is remembered of all sites, by domain.
    fn remembered(&self) -> Result<HashMap<Name, Remembered>, MemoryFailure>;

    /// Remembers the CA's windows of several sites in one commit.
    fn remember_suggestions(&self, suggestions: &[(Name, Suggestion)])
    -> Result<(), MemoryFailure>;

    /// Remembers all of `notes` in one commit, or none.
    fn note(&self, notes: &[Note<'_>]) -> Result<(), MemoryFailure>;

    /// Returns the certificate files read before.
    fn known(&self) -> Result<Known, MemoryFailure>;

    /// Remembers certificate files that were read, in one commit.
    fn remember_seen(&self, seen: &[(std::path::PathBuf, Seen)]) -> Result<(), MemoryFailure>;

    /// Returns the ledger.
    fn ledger(&self) -> Result<Ledger, MemoryFailure>;

    /// Returns the order that is open for the site.
    fn open_order(&self, domain: &Name) -> Result<Option<OpenOrder>, MemoryFailure>;

    /// Returns the deployments that are neither settled nor reverted, oldest first.
    fn open_deployments(&self) -> Result<Vec<(i64, Deployment)>, MemoryFailure>;

    /// Writes a deployment down before it begins; returns its number.
    fn begin(&self, deployment: &Deployment) -> Result<i64, MemoryFailure>;

    /// Writes down how far a deployment is.
    fn advance(&self, number: i64, progress: Progress) -> Result<(), MemoryFailure>;

    /// Returns the newest `limit` entries of the history, of one site or of all, newest first.
    fn history(
        &self,
        domain: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, MemoryFailure>;
}

/// Something that happened while work was done.
#[derive(Clone, Copy, Debug)]
pub enum Note<'a> {
    /// This was spent of the ledger's buckets.
    Spent(&'a [Spent]),
    /// The site has this open order; with `None` it has none any more.
    Order(&'a Name, Option<&'a OpenOrder>),
    /// The site failed so often; with `None` that is forgotten.
    Attempts(&'a Name, Option<&'a Attempts>),
    /// Our challenge line was put into the site's vhost then; with `None` it is not needed there any more.
    Line(&'a Name, Option<Timestamp>),
    /// For the history.
    History(&'a HistoryEntry),
}

/// How far a deployment is.
pub type Progress = crate::deployment::Phase;

/// An order that was placed and not yet fulfilled.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct OpenOrder {
    /// The CA.
    pub ca: Ca,
    /// Its URL.
    pub url: String,
    /// The names it is for.
    pub names: Names,
    /// When it was placed.
    pub placed_at: Timestamp,
}

/// Something that happened, for people.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When.
    pub at: Timestamp,
    /// To which site; `None` for the host.
    pub domain: Option<Name>,
    /// What: `issued`, `renewed`, `failed`, `deployed`, `reverted`, …
    pub what: String,
    /// More, in one line.
    pub detail: String,
}

/// Keeps two runs from working at the same time.
pub trait Lease: Send + Sync {
    /// What is held; given up when it is dropped, and when the process dies.
    type Held: Send;

    /// Takes the lease, or says who has it.
    fn take(&self) -> Result<Self::Held, LeaseHeld>;
}

/// Somebody else has the lease, or it cannot be had at all.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseHeld {
    /// Another run is at work.
    #[error("another run is at work: {0}")]
    By(String),
    /// The lock file cannot be used.
    #[error("{0}")]
    Unusable(String),
}

/// The memory did not do what was asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{what}: {cause}")]
pub struct MemoryFailure {
    /// What could not be done, naming the file.
    pub what: String,
    /// Why.
    pub cause: String,
}
