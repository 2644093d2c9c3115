//! Why did nginx not take up what it was told to reload?

use renewal::finding::Finding;
use renewal::ports::Host as _;

use crate::deploying::Verified;
use crate::world::World;

/// Returns what nginx complained of, when any of what was looked at is not served.
pub(crate) async fn complaints<W: World>(
    world: &W,
    seen: impl Iterator<Item = &Verified>,
) -> Vec<String> {
    let mut served = seen.flat_map(|verified| &verified.served);
    if served.all(|served| served.ok) {
        return Vec::new();
    }
    world.host().complaints().await
}

/// Adds them to the evidence of a finding.
pub(crate) fn with_complaints(mut finding: Finding, complaints: &[String]) -> Finding {
    if !complaints.is_empty() {
        finding.detail = format!(
            "{}; nginx's error log says since the reload: {}",
            finding.detail,
            complaints.join("; ")
        );
    }
    finding
}
