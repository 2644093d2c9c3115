//! What does the test CA find in DNS?

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use crate::fetch;
use crate::port::Port;
use crate::program::{self, Program};

/// A DNS server of its own. Every name has the address 127.0.0.1, and no IPv6 address, until a test says otherwise.
#[derive(Debug)]
pub struct Dns {
    port: Port,
    management: Port,
    child: Child,
}

impl Dns {
    /// Starts the `pebble-challtestsrv` that belongs to the pebble.
    pub(super) fn start(pebble: &Path, folder: &Path) -> Self {
        let beside = pebble.with_file_name("pebble-challtestsrv");
        let (port, management) = (Port::free(), Port::free());
        let mut program = Program::new(&beside)
            .args([
                "-management",
                &management.v4().to_string(),
                "-defaultIPv4",
                "127.0.0.1",
                "-defaultIPv6",
                "",
            ])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
        // Newer versions call the option otherwise, and have DNS over HTTPS to be switched off.
        let help = Program::new(&beside).arg("-help").run().stderr;
        program = match help.contains("-dnsserver") {
            true => program.args(["-dnsserver", &port.v4().to_string(), "-doh", ""]),
            false => program.args(["-dns01", &port.v4().to_string()]),
        };
        let log = folder.join("dns.log");
        let dns = Self {
            child: program.spawn(&log),
            port,
            management,
        };
        let listens = |port: &Port| TcpStream::connect(port.v4()).is_ok();
        let ready = program::wait_until(START, || listens(&dns.port) && listens(&dns.management));
        assert!(
            ready,
            "pebble-challtestsrv does not start:\n{}",
            std::fs::read_to_string(&log).unwrap_or_default()
        );
        dns
    }

    /// Returns where it answers, over UDP and TCP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.v4()
    }

    /// Gives the name these IPv4 addresses, in place of the default.
    pub fn set_a(&self, name: &str, addresses: &[Ipv4Addr]) {
        self.ask("clear-a", name, "");
        let listed = quoted(addresses);
        self.ask("add-a", name, &format!(r#", "addresses": [{listed}]"#));
    }

    /// Gives the name the default address again.
    pub fn clear_a(&self, name: &str) {
        self.ask("clear-a", name, "");
    }

    /// Gives the name these IPv6 addresses.
    pub fn set_aaaa(&self, name: &str, addresses: &[Ipv6Addr]) {
        self.ask("clear-aaaa", name, "");
        let listed = quoted(addresses);
        self.ask("add-aaaa", name, &format!(r#", "addresses": [{listed}]"#));
    }

    /// Takes the name's IPv6 addresses away.
    pub fn clear_aaaa(&self, name: &str) {
        self.ask("clear-aaaa", name, "");
    }

    /// Lets only the CA of that name issue for the name.
    pub fn set_caa(&self, name: &str, ca: &str) {
        self.ask(
            "add-caa",
            name,
            &format!(r#", "policies": [{{"tag": "issue", "value": "{ca}"}}]"#),
        );
    }

    /// Takes the name's CAA records away.
    pub fn clear_caa(&self, name: &str) {
        self.ask("clear-caa", name, "");
    }

    /// Makes the server fail for the name (SERVFAIL).
    pub fn fail(&self, name: &str) {
        self.ask("set-servfail", name, "");
    }

    /// Makes the server answer for the name again.
    pub fn mend(&self, name: &str) {
        self.ask("clear-servfail", name, "");
    }

    #[track_caller]
    fn ask(&self, command: &str, name: &str, rest: &str) {
        let body = format!(r#"{{"host": "{name}."{rest}}}"#);
        let reply = fetch::post(self.management.v4(), &format!("/{command}"), &body)
            .expect("the DNS server answers");
        assert_eq!(
            reply.status, 200,
            "the DNS server refuses {command} {body}: {}",
            reply.body
        );
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        program::kill(&mut self.child);
    }
}

fn quoted(addresses: &[impl ToString]) -> String {
    addresses
        .iter()
        .map(|address| format!(r#""{}""#, address.to_string()))
        .collect::<Vec<_>>()
        .join(", ")
}

/// How long it may take to start; generous, for busy machines.
const START: Duration = Duration::from_secs(30);
