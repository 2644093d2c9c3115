//! What does a lab's DNS say?
//!
//! Two authoritative servers (Debian's knot) that know the root, `example.net` and what is delegated from it, a third
//! that may say something else, and a validating resolver (Debian's unbound) that starts at that root.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use crate::program::{self, Program};

/// The records, by the zone that they are in.
#[derive(Clone, Debug, Default)]
pub struct Zones {
    /// Those of names in `example.net`, as in a zone file: `A 192.0.2.1`.
    names: BTreeMap<String, Vec<String>>,
    /// Zones below it: what the first two servers say, and the third.
    below: BTreeMap<String, [Option<Vec<String>>; 2]>,
    /// Those of them that the servers sign.
    signed: BTreeSet<String>,
    /// DS records that the resolver trusts, as it trusts the root's.
    anchors: BTreeMap<String, String>,
}

impl Zones {
    /// Gives a name in `example.net` these records, in place of those it had; none, and it does not exist.
    pub fn set(&mut self, name: &str, records: &[&str]) -> &mut Self {
        let records = records.iter().map(|record| (*record).to_owned()).collect();
        self.names.insert(name.to_owned(), records);
        self
    }

    /// Delegates a zone to the servers that its `NS` records at `name` name; `first` is what the first two servers know
    /// of it, `third` what the third knows: lines of a zone file below its apex, `@`.
    pub fn zone(
        &mut self,
        name: &str,
        first: Option<&[&str]>,
        third: Option<&[&str]>,
    ) -> &mut Self {
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        self.below
            .insert(name.to_owned(), [first.map(lines), third.map(lines)]);
        self
    }

    /// Has the servers sign a zone of [`Zones::zone`], with a key that they make.
    pub fn sign(&mut self, name: &str) -> &mut Self {
        self.signed.insert(name.to_owned());
        self
    }

    /// Lets the resolver hold the zone signed by the key of this DS record, as if all zones above were signed.
    pub fn anchor(&mut self, name: &str, ds: &str) -> &mut Self {
        self.anchors.insert(name.to_owned(), ds.to_owned());
        self
    }

    /// Takes away a zone, its signatures and the trust in them.
    pub fn forget(&mut self, name: &str) -> &mut Self {
        self.below.remove(name);
        self.signed.remove(name);
        self.anchors.remove(name);
        self
    }

    fn example(&self) -> String {
        let mut text = format!("{HEAD}@ NS ns1\n@ NS ns2\nns1 A {NS1}\nns2 A {NS2}\nns3 A {NS3}\n");
        for (name, records) in &self.names {
            for record in records {
                writeln!(text, "{name}. {record}").expect("text can be added to a String");
            }
        }
        text
    }

    /// The files of one set of servers: apex and text.
    fn files(&self, set: usize) -> Vec<(String, String)> {
        let mut files = Vec::new();
        if set == 0 {
            let root = format!(
                "{HEAD}@ NS a.root.\na.root. A {NS1}\nexample.net. NS ns1.example.net.\nexample.net. NS \
                 ns2.example.net.\nns1.example.net. A {NS1}\nns2.example.net. A {NS2}\n"
            );
            files.push((".".to_owned(), root));
            files.push(("example.net.".to_owned(), self.example()));
        }
        for (apex, sets) in &self.below {
            if let Some(lines) = &sets[set] {
                files.push((format!("{apex}."), format!("{HEAD}{}\n", lines.join("\n"))));
            }
        }
        files
    }
}

/// The servers; stopped when dropped. Start them outside.
#[derive(Debug)]
pub struct Servers {
    folder: PathBuf,
    zones: Zones,
    children: Vec<Child>,
    started: usize,
}

impl Servers {
    /// Starts them with these zones.
    ///
    /// # Panics
    ///
    /// When knot or unbound is not installed or does not start.
    #[must_use]
    #[track_caller]
    pub fn start(folder: &Path, zones: Zones) -> Self {
        let mut servers = Self {
            folder: folder.join("dns"),
            zones,
            children: Vec::new(),
            started: 0,
        };
        fs::create_dir_all(&servers.folder).expect("the lab's folder is ours");
        servers.launch();
        servers
    }

    /// Returns the address of the resolver.
    #[must_use]
    pub fn resolver() -> SocketAddr {
        (RESOLVER, 53).into()
    }

    /// Changes the zones and starts all servers anew, so that nothing remembers what was.
    ///
    /// # Panics
    ///
    /// When they do not start again.
    #[track_caller]
    pub fn change(&mut self, change: impl FnOnce(&mut Zones)) {
        change(&mut self.zones);
        self.launch();
    }

    /// Ends all servers, as an outage does.
    pub fn stop(&mut self) {
        self.children.iter_mut().for_each(program::kill);
        self.children.clear();
    }

    #[track_caller]
    fn launch(&mut self) {
        self.stop();
        self.started += 1;
        self.knot(0, &[NS1, NS2]);
        self.knot(1, &[NS3]);
        self.unbound();
        let ready =
            program::wait_until(START, || answers(RESOLVER) && answers(NS1) && answers(NS3));
        assert!(ready, "the lab DNS does not start:\n{}", self.said());
    }

    fn knot(&mut self, set: usize, addresses: &[IpAddr]) {
        let folder = self.folder.join(format!("{}-{set}", self.started));
        fs::create_dir_all(&folder).expect("the lab's folder is ours");
        let at = folder.display();
        let listen: Vec<String> = addresses.iter().map(|ip| format!("{ip}@53")).collect();
        let mut config = format!(
            "server:\n  rundir: \"{at}\"\n  listen: [{}]\n  tcp-workers: 1\n  udp-workers: 1\n  background-workers: 1\n\
             log:\n  - target: stderr\n    any: warning\ndatabase:\n  storage: \"{at}\"\n  journal-db-max-size: 8M\n  \
             kasp-db-max-size: 8M\n  timer-db-max-size: 8M\ntemplate:\n  - id: default\n    storage: \"{at}\"\n    \
             zonefile-sync: -1\n    journal-content: none\n    semantic-checks: off\nzone:\n",
            listen.join(", ")
        );
        for (apex, text) in self.zones.files(set) {
            let file = format!("{}zone", if apex == "." { "root." } else { &apex });
            fs::write(folder.join(&file), text).expect("the lab's folder is ours");
            let signing = if self.zones.signed.contains(apex.trim_end_matches('.')) {
                "on"
            } else {
                "off"
            };
            writeln!(
                config,
                "  - domain: \"{apex}\"\n    file: \"{file}\"\n    dnssec-signing: {signing}"
            )
            .expect("text can be added to a String");
        }
        let file = folder.join("knot.conf");
        fs::write(&file, config).expect("the lab's folder is ours");
        let child = Program::new("knotd").arg("-c").arg(&file);
        self.children
            .push(child.spawn(&self.folder.join("dns.log")));
    }

    fn unbound(&mut self) {
        let at = self.folder.display();
        let hints = format!(". 3600 NS a.root.\na.root. 3600 A {NS1}\n");
        fs::write(self.folder.join("root.hints"), hints).expect("the lab's folder is ours");
        let mut config = format!(
            "server:\n  username: \"\"\n  chroot: \"\"\n  directory: \"{at}\"\n  pidfile: \"\"\n  use-syslog: no\n  \
             interface: {RESOLVER}\n  access-control: 0.0.0.0/0 allow\n  do-not-query-localhost: no\n  num-threads: 1\n  \
             do-ip6: no\n  cache-max-ttl: 0\n  cache-max-negative-ttl: 0\n  outgoing-range: 512\n  \
             root-hints: \"{at}/root.hints\"\n  module-config: \"validator iterator\"\n  ede: yes\n  \
             val-log-level: 1\n  serve-expired: no\n  hide-version: yes\n"
        );
        for (name, ds) in &self.zones.anchors {
            writeln!(config, "  trust-anchor: \"{name}. DS {ds}\"")
                .expect("text can be added to a String");
        }
        config.push_str("remote-control:\n  control-enable: no\n");
        let file = self.folder.join("unbound.conf");
        fs::write(&file, config).expect("the lab's folder is ours");
        let child = Program::new("unbound").args(["-d", "-c"]).arg(&file);
        self.children
            .push(child.spawn(&self.folder.join("dns.log")));
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.join("dns.log")).unwrap_or_default()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Says whether a DNS server takes questions: about the root's servers, whatever the answer.
fn answers(server: IpAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(ANSWER))?;
        socket.connect((server, 53))?;
        // One question for NS of the root, recursion desired (RFC 1035 section 4.1).
        socket.send(&[7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1])?;
        let mut reply = [0; 512];
        Ok(socket.recv(&mut reply)? >= 12)
    };
    ask().unwrap_or(false)
}

/// The first name server.
pub const NS1: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(93, 184, 216, 10));
/// The second, which is the same program.
pub const NS2: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(93, 184, 216, 11));
/// The third, which may say something else.
pub const NS3: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(93, 184, 216, 12));
/// The resolver.
const RESOLVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(93, 184, 216, 53));

const HEAD: &str = "$TTL 60\n@ SOA ns1.example.net. hostmaster.example.net. 1 3600 600 86400 0\n";

/// How long one answer may take while a server starts.
const ANSWER: Duration = Duration::from_millis(100);

/// How long the servers may take to start; generous, for busy machines.
const START: Duration = Duration::from_secs(60);
