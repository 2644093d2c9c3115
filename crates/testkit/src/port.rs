//! How do tests that run at the same time, in any number of processes, get ports that nobody else uses?
//!
//! A port is claimed by a socket in Linux's abstract namespace, named after the port. The claim is visible to
//! every process on the machine, needs no file, and ends with its owner, however that ends. The ports lie below
//! the range from which the system takes ports of its own accord, so no connection happens to sit on one.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::process;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// A port of the loopback interface that is ours until this is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _claim: UnixListener,
}

impl Port {
    /// Claims a port on which nothing listens, neither TCP nor UDP, neither IPv4 nor IPv6.
    ///
    /// # Panics
    ///
    /// When every port of the range is taken.
    #[must_use]
    pub fn free() -> Self {
        (0..COUNT)
            .find_map(|_| Self::claim(next()))
            .expect("one of twelve thousand ports is free")
    }

    /// Claims this very port; for a network namespace of one's own, where 80 and 443 are free.
    ///
    /// # Panics
    ///
    /// When somebody else has it.
    #[must_use]
    pub fn exactly(number: u16) -> Self {
        Self::claim(number).unwrap_or_else(|| panic!("port {number} is taken"))
    }

    /// Returns the port's number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Returns the port on 127.0.0.1.
    #[must_use]
    pub fn v4(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }

    /// Returns the port on ::1.
    #[must_use]
    pub fn v6(&self) -> SocketAddr {
        (Ipv6Addr::LOCALHOST, self.number).into()
    }

    fn claim(number: u16) -> Option<Self> {
        let name = UnixAddr::from_abstract_name(format!("clpctl-test-port-{number}")).ok()?;
        let port = Self {
            number,
            _claim: UnixListener::bind_addr(&name).ok()?,
        };
        let listens =
            |address| TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok();
        (listens(port.v4()) && (!has_ipv6() || listens(port.v6()))).then_some(port)
    }
}

/// Says whether this machine's loopback interface has IPv6; containers often have it switched off.
#[must_use]
pub fn has_ipv6() -> bool {
    static ANSWER: LazyLock<bool> =
        LazyLock::new(|| TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok());
    *ANSWER
}

/// The next port to try. Processes begin in different places, so that they seldom meet.
fn next() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
        let scattered = process::id().wrapping_mul(2_654_435_761) >> 16;
        AtomicU16::new(
            u16::try_from(scattered % u32::from(COUNT))
                .expect("a remainder of a u16 fits in a u16"),
        )
    });
    FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT
}

/// The first port used here.
const FIRST: u16 = 20_000;

/// How many ports are used here; Linux takes its own from 32,768 upwards.
const COUNT: u16 = 12_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_ports_are_the_same() {
        let ports: Vec<_> = (0..50).map(|_| Port::free()).collect();
        let numbers: BTreeSet<_> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
    }

    #[test]
    fn a_port_is_free_again_after_it_was_dropped() {
        let freed = || {
            let port = Port::free();
            assert!(Port::claim(port.number()).is_none());
            let number = port.number();
            drop(port);
            Port::claim(number).is_some()
        };
        // Another process may be quicker; not every time.
        assert!((0..10).any(|_| freed()));
    }

    #[test]
    fn a_port_where_something_listens_is_not_taken() {
        let port = Port::free();
        let listener = TcpListener::bind(port.v4()).unwrap();
        let number = port.number();
        drop(port);
        assert!(Port::claim(number).is_none());
        drop(listener);
    }
}
