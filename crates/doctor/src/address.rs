//! Which addresses could a CA reach from outside?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Says whether the address is reachable from everywhere (IANA's special-purpose registries, RFC 6890).
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Says whether this host reaches `address` only through an address translation (NAT).
///
/// Many such routers do not let a host reach itself by its public address, so a failed connection says nothing
/// of how the host looks from outside. Sends nothing: connecting a UDP socket only picks a route.
pub(crate) fn is_behind_translation(address: SocketAddr) -> bool {
    let any: IpAddr = match address.ip() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        // IPv6 is not translated, except where somebody took great pains.
        IpAddr::V6(_) => return false,
    };
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(address)?;
        socket.local_addr()
    });
    is_public(address.ip()) && source.is_ok_and(|source| !is_public(source.ip()))
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let reserved = match (a, b, c) {
        // This network, private use, loopback.
        (0 | 10 | 127, _, _) => true,
        // Shared address space of carriers (RFC 6598).
        (100, 64..=127, _) => true,
        // Link-local, private use.
        (169, 254, _) | (172, 16..=31, _) | (192, 168, _) => true,
        // Protocol assignments, documentation, the retired relays.
        (192, 0, 0 | 2) | (192, 88, 99) | (198, 51, 100) | (203, 0, 113) => true,
        // Benchmarks (RFC 2544).
        (198, 18..=19, _) => true,
        // Multicast, reserved, broadcast.
        (224.., _, _) => true,
        _ => false,
    };
    !reserved
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let reserved = match (a, b) {
        // Protocol assignments (Teredo and others), documentation.
        (0x2001, 0..=0x01ff | 0x0db8) => true,
        // 6to4, documentation.
        (0x2002, _) | (0x3fff, 0..=0x0fff) => true,
        // All of global unicast that was given out is in 2000::/3.
        (0x2000..=0x3fff, _) => false,
        _ => true,
    };
    !reserved
}

#[cfg(test)]
mod tests {
    use super::is_public;

    fn check(addresses: &str, public: bool) {
        for address in addresses.split(' ') {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }

    #[test]
    fn addresses_of_the_internet_are_public() {
        check(
            "1.1.1.1 100.128.0.1 172.32.0.1 192.0.1.1 198.20.0.1 223.255.255.255",
            true,
        );
        check("2606:4700::1 2a01:4f8::1 2001:200::1", true);
    }

    #[test]
    fn special_addresses_are_not() {
        check(
            "0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 169.254.169.254 172.31.0.1",
            false,
        );
        check(
            "192.168.1.1 192.0.2.1 198.19.0.1 203.0.113.9 224.0.0.1 255.255.255.255",
            false,
        );
        check(
            ":: ::1 ::ffff:1.1.1.1 fe80::1 fd00::1 ff02::1 2001:db8::1 2002::1 3fff::1",
            false,
        );
    }
}
