//! What does an observation mean?

use renewal::finding::Finding;

use crate::observation::Observation;
use crate::{
    addresses, caa, clock, document_root, firewall, limits, name_servers, pair, port, schedule,
    served, space, way_in,
};

/// Says what is wrong or risky, the cause first; nothing when all is well.
///
/// # Errors
///
/// Why nothing can be said, when that is so.
pub fn judge(seen: &Observation) -> Result<Vec<Finding>, String> {
    match seen {
        Observation::Told(findings) => Ok(findings.clone()),
        Observation::Unknown(why) => Err(why.clone()),
        Observation::Addresses(seen) => Ok(addresses::judge(seen)),
        Observation::Caa(seen) => caa::judge(seen),
        Observation::Clock(seen) => Ok(clock::judge(seen)),
        Observation::Firewall(seen) => Ok(firewall::judge(seen)),
        Observation::Folders(seen) => Ok(document_root::judge(seen)),
        Observation::Limits(seen) => Ok(limits::judge(seen)),
        Observation::NameServers(seen) => name_servers::judge(seen),
        Observation::Pair(seen) => Ok(pair::judge(seen)),
        Observation::Port(seen) => port::judge(seen),
        Observation::Schedule(seen) => schedule::judge(*seen),
        Observation::Served(seen) => Ok(served::judge(seen)),
        Observation::Space(seen) => Ok(space::judge(seen)),
        Observation::WayIn(seen) => Ok(way_in::judge(seen)),
    }
}
