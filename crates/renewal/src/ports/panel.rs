//! The port to CloudPanel: the record that it keeps of its sites' certificates.

use jiff::Timestamp;

use crate::certificate::Certificate;
use crate::finding::Finding;
use crate::panel::{Inventory, Notice, PanelSite, PemPair};
use crate::ports::{HostFailure, Known};

/// Reads the panel's record, and keeps it true. What it writes is on disk when a method returns.
///
/// The panel works on the same record at any time: nothing is held for longer than one site's change takes, and when
/// the panel holds it, that is waited for with a bound.
pub trait Panel: Send + Sync {
    /// Returns what the panel says of this host. Changes nothing. `known` saves reading what has not changed.
    fn inventory(&self, known: &Known) -> impl Future<Output = Inventory> + Send;

    /// Returns the active certificate of a site as it stands in the record, with its key.
    fn pair(&self, site: &PanelSite) -> impl Future<Output = Result<PemPair, HostFailure>> + Send;

    /// Records what sites serve now, each for itself. Safe to repeat.
    ///
    /// Returns what is to be said of each, in order: that it could not be recorded, or what recording it cost.
    fn record(
        &self,
        changes: Vec<RecordChange>,
        now: Timestamp,
    ) -> impl Future<Output = Vec<Option<Finding>>> + Send;

    /// Says by which process the panel obtains certificates itself at this moment, if it does.
    fn at_work(&self) -> impl Future<Output = Option<String>> + Send;

    /// Tells the panel's users. Safe to repeat: a notice whose subject is there already is not added again.
    fn notify(
        &self,
        notices: Vec<Notice>,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), HostFailure>> + Send;
}

/// What a site serves now.
#[derive(Clone, Debug)]
pub struct RecordChange {
    /// The site, as the record has it.
    pub site: std::sync::Arc<PanelSite>,
    /// Whether a person brought it, so that the panel must not renew it.
    pub imported: bool,
    /// The certificate's facts.
    pub certificate: Certificate,
    /// The certificate and its key.
    pub pair: PemPair,
}
