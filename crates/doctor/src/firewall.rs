//! Would a firewall of this host let the CA in?
//!
//! A probe of our own comes from this host, and rules let that pass which stop the rest of the world. So the rules
//! themselves are read, as `nft` and `iptables` list them, and a stranger's first packet is led through them: TCP, to
//! the port on which the CA knocks, by the way that leads to the internet. What depends on where the stranger comes
//! from, or how often it came, is neither yes nor no: some of a CA's places may be hit.

use std::net::IpAddr;
use std::path::Path;

use renewal::finding::{Finding, FindingName, Severity};
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod nft;
mod tables;

/// The rules of this host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FirewallSeen {
    /// The port on which the CA knocks.
    pub port: u16,
    /// The interfaces that lead to the internet.
    pub ways: Vec<String>,
    /// The rules as `nft -j list ruleset` lists them.
    pub nft: Option<Value>,
    /// Those of `iptables-save` and its like, one for each program that answered.
    pub tables: Vec<Listed>,
}

/// What one of `iptables-save` and its like lists.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// Whose.
    pub family: Family,
    /// What it printed.
    pub text: String,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What becomes of the packet.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Passage {
    /// The rule or policy that stops it for good.
    closed: Option<String>,
    /// Rules that stop it only for some.
    some: Vec<String>,
    /// Whether something lets some pass before it is closed.
    for_some: bool,
}

/// How a rule fits the packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fit {
    Yes,
    No,
    /// It depends on what is not known of a stranger.
    Perhaps,
}

/// The packet that is led through.
struct Packet<'a> {
    family: Family,
    port: u16,
    ways: &'a [String],
}

/// Returns the interfaces by which this host reaches the internet, as `proc`, the folder `/proc`, tells.
#[must_use]
pub fn ways(proc: &Path) -> Vec<String> {
    let read = |name: &str| std::fs::read_to_string(proc.join(name)).unwrap_or_default();
    let mut ways = Vec::new();
    // Name, destination, … (proc_net_route); the default route leads to 0.0.0.0.
    for line in read("net/route").lines().skip(1) {
        let mut words = line.split_whitespace();
        if let (Some(name), Some("00000000")) = (words.next(), words.next()) {
            ways.push(name.to_owned());
        }
    }
    // Destination, length, …, name.
    for line in read("net/ipv6_route").lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [to, "00", .., name] = words[..]
            && to.bytes().all(|digit| digit == b'0')
            && name != "lo"
        {
            ways.push(name.to_owned());
        }
    }
    ways.sort_unstable();
    ways.dedup();
    ways
}

/// The rules or policies that close the port to everybody, by family.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Closed {
    /// For IPv4.
    pub v4: Option<String>,
    /// For IPv6.
    pub v6: Option<String>,
}

impl Closed {
    /// Returns what closes the port to a CA that knocks at one of these addresses of a name: IPv6 first, then IPv4.
    #[must_use]
    pub fn to(&self, addresses: &[IpAddr]) -> Option<&str> {
        let (mut rule, mut open) = (None, false);
        for address in addresses {
            let closed = if address.is_ipv6() {
                &self.v6
            } else {
                &self.v4
            };
            open |= closed.is_none();
            rule = rule.or(closed.as_deref());
        }
        // Whoever cannot connect by one family tries the other.
        rule.filter(|_| !open)
    }
}

/// Says what closes the port to everybody.
#[must_use]
pub fn closed(seen: &FirewallSeen) -> Closed {
    Closed {
        v4: passage(seen, Family::V4).closed,
        v6: passage(seen, Family::V6).closed,
    }
}

/// Describes a rule that stops a CA for good.
#[must_use]
pub fn blocked(port: u16, families: &str, rule: &str) -> Finding {
    Finding::new(
        FindingName::FirewallBlocks80,
        format!("A firewall rule of this host stops what comes to port {port} by {families}."),
    )
    .detail(rule)
    .fix(format!(
        "Let it in for both families: ufw allow {port}/tcp; or firewall-cmd --permanent --add-service=http && \
         firewall-cmd --reload; or a rule before that one: tcp dport {port} accept"
    ))
}

/// Finds the rules that would stop the CA.
#[must_use]
pub fn judge(seen: &FirewallSeen) -> Vec<Finding> {
    let port = seen.port;
    let [v4, v6] = [Family::V4, Family::V6].map(|family| passage(seen, family));
    // A CA that cannot connect by one family tries the other; which a site has is another check's business.
    let closed = match (&v4.closed, &v6.closed) {
        (Some(rule), Some(other)) if rule == other => Some((BOTH, rule.clone(), Severity::Fatal)),
        (Some(rule), Some(other)) => Some((BOTH, format!("{rule}\n{other}"), Severity::Fatal)),
        (Some(rule), None) => Some(("IPv4", rule.clone(), Severity::Error)),
        (None, Some(rule)) => Some(("IPv6", rule.clone(), Severity::Error)),
        (None, None) => None,
    };
    if let Some((families, rule, severity)) = closed {
        return vec![blocked(port, families, &rule).severity(severity)];
    }
    let mut lines: Vec<String> = Vec::new();
    for rule in [v4, v6].into_iter().flat_map(|passage| passage.some) {
        if !lines.contains(&rule) {
            lines.push(rule);
        }
    }
    if lines.is_empty() {
        return Vec::new();
    }
    vec![
        Finding::new(
            FindingName::FirewallBlocks80,
            format!(
                "Firewall rules of this host let only some come to port {port}, and a CA looks from several networks \
                 that it does not publish."
            ),
        )
        .severity(Severity::Warning)
        .detail(lines.join("\n"))
        .fix(format!("Exempt port {port} from rules about countries, networks and rates.")),
    ]
}

fn passage(seen: &FirewallSeen, family: Family) -> Passage {
    let packet = Packet {
        family,
        port: seen.port,
        ways: &seen.ways,
    };
    let mut whole = Passage::default();
    if let Some(rules) = &seen.nft {
        whole.add(nft::passage(rules, &packet));
    }
    for listed in seen.tables.iter().filter(|listed| listed.family == family) {
        whole.add(tables::passage(&listed.text, &packet));
    }
    whole
}

impl Passage {
    /// Takes in what another set of rules does; each may stop the packet.
    fn add(&mut self, other: Self) {
        let Self {
            closed,
            some,
            for_some,
        } = other;
        self.some.extend(some);
        match closed {
            // Whoever is on a list may pass: a network in front of this host, as a rule.
            Some(rule) if for_some => self
                .some
                .push(format!("{rule}, but for some that pass before")),
            Some(rule) => self.closed = self.closed.take().or(Some(rule)),
            None => {}
        }
    }
}

impl Packet<'_> {
    fn comes_by(&self, interface: &str) -> Fit {
        let fits = match interface.strip_suffix(['*', '+']) {
            Some(begin) => self.ways.iter().any(|way| way.starts_with(begin)),
            None => self.ways.iter().any(|way| way == interface),
        };
        if fits { Fit::Yes } else { Fit::No }
    }
}

impl Fit {
    fn of(fits: bool) -> Self {
        if fits { Self::Yes } else { Self::No }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            (Self::Perhaps, Self::Yes | Self::Perhaps) | (Self::Yes, Self::Perhaps) => {
                Self::Perhaps
            }
        }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Perhaps => Self::Perhaps,
        }
    }
}

/// What a chain comes to for the packet.
#[derive(Clone, Debug, Eq, PartialEq)]
enum End {
    Accepted,
    Stopped(String),
    /// The rules that called it go on.
    Returned,
}

/// Both families.
pub const BOTH: &str = "IPv4 and IPv6";

/// More rules in one another than anybody writes; a circle of jumps ends here.
const DEPTH_MAX: usize = 32;

#[cfg(test)]
mod tests;
