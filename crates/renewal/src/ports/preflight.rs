//! The port to the checks made before a CA is asked for anything.

use crate::challenge::{Probe, Reached};
use crate::finding::Finding;

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
}
