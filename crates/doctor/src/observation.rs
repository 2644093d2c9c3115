//! What can be seen for a check? Plain values, so that they can be kept and looked at again.

use renewal::finding::Finding;
use serde::{Deserialize, Serialize};

use crate::addresses::AddressesSeen;
use crate::caa::CaaSeen;
use crate::clock::ClockSeen;
use crate::document_root::FolderSeen;
use crate::firewall::FirewallSeen;
use crate::limits::LimitsSeen;
use crate::name_servers::NameServersSeen;
use crate::pair::PairSeen;
use crate::port::PortSeen;
use crate::schedule::ScheduleSeen;
use crate::served::ServedSeen;
use crate::space::SpaceSeen;
use crate::way_in::WayInSeen;

/// What was seen for one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observation {
    /// Somebody else looked and judged: nginx, the CA, whoever read the vhosts.
    Told(Vec<Finding>),
    /// It could not be looked at; holds why.
    Unknown(String),
    /// What DNS says of the site's names.
    Addresses(AddressesSeen),
    /// CAA records.
    Caa(CaaSeen),
    /// Clocks.
    Clock(ClockSeen),
    /// The rules of a firewall.
    Firewall(FirewallSeen),
    /// The folders of challenge files.
    Folders(Vec<FolderSeen>),
    /// What nginx may use.
    Limits(Box<LimitsSeen>),
    /// The servers of the site's names.
    NameServers(NameServersSeen),
    /// A certificate and its key.
    Pair(Box<PairSeen>),
    /// Who listens on a port.
    Port(PortSeen),
    /// What starts runs.
    Schedule(ScheduleSeen),
    /// What is served.
    Served(ServedSeen),
    /// File systems.
    Space(Vec<SpaceSeen>),
    /// A challenge of our own, and what became of it.
    WayIn(Box<WayInSeen>),
}
