//! Which addresses are this host's own?
//!
//! Those that the settings name; else those of its interfaces, as the kernel lists them. A host that knows only
//! private ones is behind a translation (NAT), and cannot tell by itself whether a public address is its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::address::is_public;

/// The addresses of this host.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Own {
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether they were named in the settings, so that there are no others.
    pub named: bool,
}

impl Own {
    /// Says whether the address is known to be another host's.
    ///
    /// Where no public address of the same family is known, a public one may be ours behind a translation.
    #[must_use]
    pub fn excludes(&self, address: IpAddr) -> bool {
        if self.addresses.contains(&address) {
            return false;
        }
        let known = self
            .addresses
            .iter()
            .any(|own| own.is_ipv4() == address.is_ipv4() && is_public(*own));
        self.named || known
    }
}

/// Returns the addresses that the settings name, else those that `proc`, the folder `/proc`, tells.
#[must_use]
pub fn observe(named: &[IpAddr], proc: &Path) -> Own {
    if !named.is_empty() {
        return Own {
            addresses: named.to_vec(),
            named: true,
        };
    }
    let read = |file: &str| std::fs::read_to_string(proc.join(file)).unwrap_or_default();
    let (v4, v6) = (read("net/fib_trie"), read("net/if_inet6"));
    let v4 = local_v4(&v4).map(IpAddr::from);
    let mut addresses: Vec<IpAddr> = v4.chain(local_v6(&v6).map(IpAddr::from)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Own {
        addresses,
        named: false,
    }
}

/// Reads the addresses in `/proc/net/fib_trie`: a leaf `|-- ADDRESS`, and below it `/32 host LOCAL`.
fn local_v4(table: &str) -> impl Iterator<Item = Ipv4Addr> + '_ {
    let mut leaf = None;
    table.lines().filter_map(move |line| {
        if let Some(address) = line.trim().strip_prefix("|-- ") {
            leaf = address.parse().ok();
            return None;
        }
        line.trim().starts_with("/32 host LOCAL").then_some(leaf)?
    })
}

/// Reads the addresses in `/proc/net/if_inet6`: 32 digits at the beginning of each line.
fn local_v6(table: &str) -> impl Iterator<Item = Ipv6Addr> + '_ {
    table.lines().filter_map(|line| {
        let digits = line.split_whitespace().next()?;
        let whole = digits.len() == 32;
        whole
            .then(|| u128::from_str_radix(digits, 16).ok())?
            .map(Ipv6Addr::from)
    })
}

#[cfg(test)]
mod tests {
    use super::{Own, local_v4, local_v6, observe};
    use std::path::Path;

    #[test]
    fn the_kernel_lists_them() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\nLocal:\n     \
                    |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 192.0.2.7\n        /32 host LOCAL\n     \
                    |-- 192.0.2.255\n        /32 link BROADCAST\n";
        let found: Vec<String> = local_v4(trie).map(|address| address.to_string()).collect();
        assert_eq!(found, ["127.0.0.1", "192.0.2.7"]);
        let table = "00000000000000000000000000000001 01 80 10 80       lo\nnonsense\n\
                     2a014f80000000000000000000000007 02 40 00 80     eth0\n";
        let found: Vec<String> = local_v6(table).map(|address| address.to_string()).collect();
        assert_eq!(found, ["::1", "2a01:4f80::7"]);
        let loopback = "127.0.0.1".parse().unwrap();
        assert!(
            observe(&[], Path::new("/proc"))
                .addresses
                .contains(&loopback)
        );
    }

    #[test]
    fn behind_a_translation_nothing_is_excluded() {
        let own = |addresses: &[&str], named| Own {
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            named,
        };
        let (ours, other) = ("1.1.1.1".parse().unwrap(), "9.9.9.9".parse().unwrap());
        assert!(!own(&["1.1.1.1"], false).excludes(ours));
        assert!(own(&["1.1.1.1"], false).excludes(other));
        assert!(!own(&["10.0.0.7", "2606:4700::1"], false).excludes(other));
        assert!(own(&["127.0.0.1"], true).excludes(other));
    }
}
