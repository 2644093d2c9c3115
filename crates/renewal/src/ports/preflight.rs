//! The port to the checks made before a CA is asked for anything.

use crate::challenge::{Probe, Reached};
use crate::finding::Finding;
use crate::names::Names;
use crate::ports::Issuer;

/// Looks at a name as the CA would.
pub trait Preflight: Send + Sync {
    /// Fetches the probe from every address that DNS gives for its name, as the CA would: port, redirects,
    /// time limits, comparison of the body.
    ///
    /// # Errors
    ///
    /// What the CA would stumble over; never none. The first is the cause.
    fn probe(
        &self,
        probe: &Probe,
    ) -> impl Future<Output = Result<Vec<Reached>, Vec<Finding>>> + Send;

    /// Asks DNS whether CAA records let the issuer have the names (RFC 8659); returns what forbids it, and nothing
    /// that this host merely could not find out.
    fn forbidden(
        &self,
        names: &Names,
        issuer: &Issuer,
    ) -> impl Future<Output = Vec<Finding>> + Send;
}
