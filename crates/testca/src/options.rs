//! What kind of CA shall it be?
//!
//! [`Options::default`] is a calm CA with Let's Encrypt's profiles. [`Options::awkward`]
//! is the same CA on a bad day. Everything else is a field.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::clock::Clock;
use crate::faults::{Fault, NonceFault};

/// How the practice CA behaves from its first request on.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address to listen on; anything but loopback is refused. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// The port in its URLs, where something between it and its clients has another.
    pub advertised_port: Option<u16>,
    /// The name by which clients reach it, where they know another than the address; then the port is 443.
    pub called: Option<String>,
    /// How the names in an order become addresses.
    pub resolve: Resolve,
    /// The port of the first validation request, where Let's Encrypt uses 80.
    pub http_port: u16,
    /// The other port that redirects may lead to, where Let's Encrypt uses 443.
    pub https_port: u16,
    /// The issuer that a CAA record has to name to let this CA issue.
    pub caa_identity: String,
    /// The longest wait for a connection, and for each answer, during validation.
    pub validation_timeout: Duration,
    /// The offered profiles; the first is used where an order names none.
    pub profiles: Vec<Profile>,
    /// Whether a second order for the same names gives back the first, while it is pending or ready.
    pub reuse_orders: bool,
    /// Whether a validated name stays validated for the account, for the profile's time.
    pub reuse_authorizations: bool,
    /// How many chains are offered beside the default one.
    pub alternate_chains: usize,
    /// The `Retry-After` of renewal information.
    pub renewal_info_retry_after: Duration,
    /// The `Retry-After` of orders and authorizations that are not done yet.
    pub poll_retry_after: Option<Duration>,
    /// Faults that are there from the start.
    pub faults: Vec<Fault>,
    /// Decides, with each fault's chance, which requests are hit.
    pub seed: u64,
    /// The CA's clock.
    pub clock: Clock,
}

/// How names become addresses.
#[derive(Clone, Debug)]
pub enum Resolve {
    /// By asking this DNS server over UDP.
    Dns(SocketAddr),
    /// By a fixed list. A name that is not in it has the addresses of `otherwise`.
    Fixed {
        /// The names in the list, in lower case.
        names: HashMap<String, Vec<IpAddr>>,
        /// The addresses of every other name.
        otherwise: Vec<IpAddr>,
    },
}

/// A kind of certificate, as the directory offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The word an order names it by.
    pub name: String,
    /// The sentence in the directory.
    pub description: String,
    /// From `notBefore` to `notAfter`.
    pub lifetime: Duration,
    /// How long an authorization waits, and how long it stays valid.
    pub authorization_lifetime: Duration,
    /// How long an order waits.
    pub order_lifetime: Duration,
    /// Whether a name stands in the subject too, as it did before there were extensions.
    pub with_common_name: bool,
    /// The most names in one certificate.
    pub max_names: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            advertised_port: None,
            called: None,
            resolve: Resolve::Fixed {
                names: HashMap::new(),
                otherwise: vec![Ipv4Addr::LOCALHOST.into()],
            },
            http_port: 80,
            https_port: 443,
            caa_identity: "practice.test".to_owned(),
            validation_timeout: Duration::from_secs(10),
            profiles: Profile::lets_encrypt(),
            reuse_orders: false,
            reuse_authorizations: false,
            alternate_chains: 1,
            renewal_info_retry_after: 6 * HOUR,
            poll_retry_after: None,
            faults: Vec::new(),
            seed: 0,
            clock: Clock::system(),
        }
    }
}

impl Options {
    /// Returns a CA that uses every freedom the protocol leaves it, as real ones do at times.
    ///
    /// One good nonce in twenty is refused, and orders and authorizations are reused.
    pub fn awkward(seed: u64) -> Options {
        Options {
            reuse_orders: true,
            reuse_authorizations: true,
            faults: vec![Fault::new(NonceFault::Refuse).with_chance(0.05)],
            seed,
            ..Options::default()
        }
    }

    /// Gives the certificates of every profile this lifetime.
    pub fn with_lifetime(mut self, lifetime: Duration) -> Options {
        for profile in &mut self.profiles {
            profile.lifetime = lifetime;
        }
        self
    }
}

impl Profile {
    /// Returns the profiles of Let's Encrypt (docs/profiles.md, July 2026).
    pub fn lets_encrypt() -> Vec<Profile> {
        vec![
            Profile {
                name: "classic".to_owned(),
                description: "The same profile you're accustomed to".to_owned(),
                lifetime: 90 * DAY,
                authorization_lifetime: 7 * DAY,
                order_lifetime: 7 * DAY,
                with_common_name: true,
                max_names: 100,
            },
            Profile {
                name: "tlsserver".to_owned(),
                description: "A profile for TLS servers, with the least a certificate needs"
                    .to_owned(),
                lifetime: 45 * DAY,
                authorization_lifetime: HOUR,
                order_lifetime: 8 * HOUR,
                with_common_name: false,
                max_names: 25,
            },
            Profile {
                name: "shortlived".to_owned(),
                description: "A profile for those who renew every few days".to_owned(),
                lifetime: 160 * HOUR,
                authorization_lifetime: HOUR,
                order_lifetime: 8 * HOUR,
                with_common_name: false,
                max_names: 25,
            },
        ]
    }
}

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
