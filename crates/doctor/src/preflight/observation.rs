//! What was seen of one probe? Values only; see [`judge`](super::judge) for what they mean.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use renewal::challenge::Probe;
use renewal::name::Name;

use super::target::{Refusal, Target};
use crate::dns::Resolution;

/// Everything that was seen of one probe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Observation {
    /// What was asked.
    pub probe: Probe,
    /// The port the CA knocks on.
    pub port: u16,
    /// What DNS says.
    pub resolution: Resolution,
    /// The addresses among those that a public CA leaves out, because nobody outside can reach them.
    pub left_out: Vec<IpAddr>,
    /// One fetch per address that is left.
    pub fetches: Vec<Fetch>,
}

/// What came of fetching the challenge from one address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fetch {
    /// The address from DNS, with the CA's port.
    pub address: SocketAddr,
    /// The answers, one per place, redirects first.
    pub hops: Vec<Hop>,
    /// How it ended.
    pub end: End,
}

/// One answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hop {
    /// What was fetched.
    pub target: Target,
    /// From which address.
    pub address: SocketAddr,
    /// The status.
    pub status: u16,
    /// The `Location`, if there is one.
    pub location: Option<Vec<u8>>,
}

/// How a fetch ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum End {
    /// The last hop is the answer; this is the beginning of its body, as much as the CA reads.
    Answered(Vec<u8>),
    /// The last hop is a redirect that the CA does not follow.
    NotFollowed(Refusal),
    /// The last hop redirects to a host without an address.
    Unresolved {
        /// The host.
        host: Name,
        /// What DNS says about it.
        resolution: Resolution,
    },
    /// The next place did not answer.
    Failed {
        /// The place.
        target: Target,
        /// The address tried.
        address: SocketAddr,
        /// How far it came.
        stage: Stage,
        /// What went wrong.
        cause: Cause,
        /// Whether that says nothing of how the address looks from outside: this host has no way there, or only
        /// one through a translation.
        inconclusive: bool,
    },
}

/// How far a fetch came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// It was connecting.
    Connect,
    /// It was agreeing on TLS.
    Tls,
    /// It waited for the answer.
    Answer,
}

/// What went wrong in a fetch.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Cause {
    /// Nobody listens.
    #[error("the connection is refused")]
    Refused,
    /// Nothing came in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// There is no way there.
    #[error("{0}")]
    Unreachable(String),
    /// The other side closed the connection.
    #[error("the connection is closed before the answer is complete")]
    Closed,
    /// What came is not the protocol.
    #[error("{0}")]
    Nonsense(String),
    /// Something else.
    #[error("{0}")]
    Other(String),
}

/// So much of a body is read, in bytes. Let's Encrypt refuses an answer that fills it, whatever stands in it.
pub const BODY_BYTES_READ: usize = 128;
