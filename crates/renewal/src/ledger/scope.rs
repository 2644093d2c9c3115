//! Whose buckets does an order spend from?

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::limits::LimitKind;
use crate::name::Name;
use crate::names::Names;

/// Lists the buckets of one limit that an order for `names` is about.
pub(super) fn scopes(kind: LimitKind, names: &Names) -> Vec<String> {
    match kind {
        LimitKind::RegistrationsPerAddress
        | LimitKind::RegistrationsPerRange
        | LimitKind::OrdersPerAccount => vec![String::new()],
        LimitKind::CertificatesPerDomain => {
            let domains: BTreeSet<String> = names.iter().map(registered_domain).collect();
            domains.into_iter().collect()
        }
        LimitKind::CertificatesPerExactSet => vec![set(names)],
        LimitKind::FailuresPerName
        | LimitKind::FailuresInARow
        | LimitKind::OwnFailuresPerName
        | LimitKind::OwnFailuresPerDay => names.iter().map(ToString::to_string).collect(),
    }
}

/// Returns the domain that somebody registered, by the public suffix list: `example.co.uk` for `www.example.co.uk`.
///
/// Let's Encrypt counts an IPv4 address by itself and an IPv6 address by its /64, and takes a name that is itself a
/// public suffix for its own domain (`ratelimits/utilities.go`).
fn registered_domain(name: &Name) -> String {
    match name.address() {
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            let network = std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0);
            format!("{network}/64")
        }
        None => {
            let text = name.as_str();
            let text = text.strip_prefix("*.").unwrap_or(text);
            psl::domain_str(text).unwrap_or(text).to_owned()
        }
    }
}

/// Names an exact set the same way, whatever the order of its names.
fn set(names: &Names) -> String {
    let mut sorted: Vec<&str> = names.iter().map(Name::as_str).collect();
    sorted.sort_unstable();
    sorted.join(",")
}

#[cfg(test)]
mod tests {
    use super::registered_domain;
    use crate::name::Name;

    #[track_caller]
    fn check(name: &str, domain: &str) {
        assert_eq!(registered_domain(&Name::parse(name).unwrap()), domain);
    }

    #[test]
    fn the_registered_domain_is_what_somebody_bought() {
        check("www.example.com", "example.com");
        check("example.com", "example.com");
        check("*.example.com", "example.com");
        check("a.b.example.co.uk", "example.co.uk");
        // A hoster's suffix: each customer counts alone.
        check("www.customer.github.io", "customer.github.io");
        // A suffix by itself, and one that nobody knows.
        check("github.io", "github.io");
        check("deep.shop.test", "shop.test");
        check("test", "test");
        check("xn--85x722f.xn--55qx5d.cn", "xn--85x722f.xn--55qx5d.cn");
        check("192.0.2.7", "192.0.2.7");
        check("2001:db8:1:2:3::4", "2001:db8:1:2::/64");
    }
}
