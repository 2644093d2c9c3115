//! How are many sites switched over at once, and back?
//!
//! Links and plain files go before the vhosts that name them, and the other way round on the way back: whenever nginx
//! reads its configuration, every file that it names is there.

use renewal::deployment::{Edit, LinkSwitch, PairSwitch, Switch};
use renewal::ports::HostFailure;

use crate::edits;
use crate::lineage::{Lineages, links};
use crate::projection;

/// Makes the switches. Safe to repeat.
pub(crate) fn make(lineages: &Lineages, switches: &[Switch]) -> Result<(), HostFailure> {
    links::switch(lineages, &links_of(switches))?;
    projection::switch(lineages, &pairs_of(switches))?;
    Ok(edits::make(&edits_of(switches))?)
}

/// Undoes the switches. Safe to repeat, and does nothing for those that were never made. Goes on after a failure,
/// and returns the first.
pub(crate) fn unmake(lineages: &Lineages, switches: &[Switch]) -> Result<(), HostFailure> {
    let mut links: Vec<&Switch> = switches.iter().collect();
    let edits = edits::unmake(&edits_of(switches)).map_err(|(error, left)| {
        // A vhost that still names a lineage needs it: nginx would not start without.
        links.retain(|switch| switch.edits.iter().all(|edit| !left.contains(&edit.file)));
        HostFailure::from(error)
    });
    let pairs: Vec<&PairSwitch> = links
        .iter()
        .filter_map(|switch| switch.pair.as_ref())
        .collect();
    let pairs = projection::revert(&pairs).map_err(HostFailure::from);
    let links = links.iter().filter_map(|switch| switch.links.as_ref());
    let links = links::revert(lineages, &links.collect::<Vec<_>>());
    edits.and(pairs).and(Ok(links?))
}

/// Forgets what an undo would have needed.
pub(crate) fn settle(lineages: &Lineages, switches: &[Switch]) {
    for switch in links_of(switches) {
        if let Err(error) = links::settle(lineages, switch) {
            tracing::warn!(%error, "what an undo would have needed stays behind");
        }
    }
    for pair in pairs_of(switches) {
        if let Err(error) = projection::settle(pair) {
            tracing::warn!(%error, "what an undo would have needed stays behind");
        }
    }
}

fn pairs_of(switches: &[Switch]) -> Vec<&PairSwitch> {
    let pairs = switches.iter().filter_map(|switch| switch.pair.as_ref());
    pairs.collect()
}

fn links_of(switches: &[Switch]) -> Vec<&LinkSwitch> {
    let links = switches.iter().filter_map(|switch| switch.links.as_ref());
    links.collect()
}

fn edits_of(switches: &[Switch]) -> Vec<&Edit> {
    switches.iter().flat_map(|switch| &switch.edits).collect()
}
