//! Does an address belong to a network that stands in front of other people's hosts (CDN)?
//!
//! The ranges are those that the networks publish, with the day that they are of; they change rarely, and an
//! old list costs no more than a sentence.

use std::net::IpAddr;

/// A content delivery network.
#[derive(Debug, Eq, PartialEq)]
pub struct Network {
    /// What people call it.
    pub name: &'static str,
    /// Where it publishes its ranges.
    pub source: &'static str,
    /// Of which day they are.
    pub as_of: &'static str,
    ranges: &'static [&'static str],
}

/// Returns the network to which the address belongs.
#[must_use]
pub fn network_of(address: IpAddr) -> Option<&'static Network> {
    NETWORKS.iter().find(|network| {
        network
            .ranges
            .iter()
            .any(|range| contains(range, address) == Some(true))
    })
}

fn contains(range: &str, address: IpAddr) -> Option<bool> {
    let (first, bits) = range.split_once('/')?;
    let bits: u32 = bits.parse().ok()?;
    Some(match (first.parse().ok()?, address) {
        (IpAddr::V4(first), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            (u32::from(first) ^ u32::from(address)) & mask == 0
        }
        (IpAddr::V6(first), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            (u128::from(first) ^ u128::from(address)) & mask == 0
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    })
}

/// The networks that we know.
const NETWORKS: &[Network] = &[Network {
    name: "Cloudflare",
    source: "https://www.cloudflare.com/ips/",
    as_of: "2023-09-28",
    ranges: &[
        "173.245.48.0/20",
        "103.21.244.0/22",
        "103.22.200.0/22",
        "103.31.4.0/22",
        "141.101.64.0/18",
        "108.162.192.0/18",
        "190.93.240.0/20",
        "188.114.96.0/20",
        "197.234.240.0/22",
        "198.41.128.0/17",
        "162.158.0.0/15",
        "104.16.0.0/13",
        "104.24.0.0/14",
        "172.64.0.0/13",
        "131.0.72.0/22",
        "2400:cb00::/32",
        "2606:4700::/32",
        "2803:f800::/32",
        "2405:b500::/32",
        "2405:8100::/32",
        "2a06:98c0::/29",
        "2c0f:f248::/32",
    ],
}];

#[cfg(test)]
mod tests {
    use super::{NETWORKS, contains, network_of};

    fn check(address: &str, name: Option<&str>) {
        let found = network_of(address.parse().unwrap()).map(|network| network.name);
        assert_eq!(found, name, "{address}");
    }

    #[test]
    fn an_address_has_its_network() {
        check("104.16.132.229", Some("Cloudflare"));
        check("104.28.0.1", None);
        check("172.71.255.255", Some("Cloudflare"));
        check("172.72.0.0", None);
        check("2606:4700::6810:84e5", Some("Cloudflare"));
        check("2a06:98c7::1", Some("Cloudflare"));
        check("2a06:98c8::1", None);
        check("127.0.0.1", None);
    }

    #[test]
    fn every_range_is_one() {
        for range in NETWORKS.iter().flat_map(|network| network.ranges) {
            let first = range.split('/').next().unwrap().parse().unwrap();
            assert_eq!(contains(range, first), Some(true), "{range}");
        }
    }
}
