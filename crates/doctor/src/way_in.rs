//! Would a challenge be answered, and if not, what is the cause?
//!
//! A probe that failed shows what the CA would see. What else is known tells why: where the name leads, whether
//! another user agent is answered differently, which rule of nginx stands on the way.

use std::net::{IpAddr, SocketAddr};

use renewal::challenge::Way;
use renewal::finding::{Finding, FindingName, Severity};
use renewal::name::Name;
use serde::{Deserialize, Serialize};

use crate::cloud::Cloud;
use crate::firewall;
use crate::networks::network_of;
use crate::own::Own;
use crate::preflight::{Compared, Heard};

/// A challenge of our own, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WayInSeen {
    /// This host's addresses.
    pub own: Own,
    /// Where the names lead.
    pub leads: Vec<(Name, Vec<IpAddr>)>,
    /// How it ended.
    pub end: End,
    /// The firewall rule that closes the port to a CA, though not to this host itself.
    #[serde(default)]
    pub closed: Option<String>,
    /// The provider, where it is known.
    #[serde(default)]
    pub cloud: Option<Cloud>,
    /// What the CA met at the last attempt, where that was silence.
    #[serde(default)]
    pub ca_met_silence: Option<String>,
    /// What nginx's error log says of the challenge.
    #[serde(default)]
    pub log: Vec<String>,
    /// The server blocks that answer in place of the site's own, as sentences.
    pub instead: Vec<String>,
    /// What different user agents hear, where the CA's was sent away.
    pub compared: Vec<Compared>,
    /// What in nginx's configuration could stop the challenge, with file and line, the likeliest first.
    pub rules: Vec<String>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It was answered rightly.
    Answered {
        /// By this way.
        way: Way,
        /// At these addresses; others the CA forgives, or this host cannot tell.
        at: Vec<SocketAddr>,
    },
    /// It is not answered yet, and will be once a line is in the vhost, which the next renewal puts there.
    AfterLine(Vec<Finding>),
    /// It is answered for the site's domain; the next renewal leaves the other names out, and this is to be said of
    /// them.
    WithoutNames(Vec<Finding>),
    /// It is not answered.
    Failed(Vec<Finding>),
}

/// Judges it, the cause first.
#[must_use]
pub fn judge(seen: &WayInSeen) -> Vec<Finding> {
    let closed = seen
        .closed
        .as_ref()
        .map(|rule| firewall::blocked(HTTP, "the way that the CA takes", rule));
    let silent = if closed.is_none() {
        before_this_host(seen)
    } else {
        None
    };
    let mut findings: Vec<Finding> = closed.into_iter().chain(silent).collect();
    let first = findings.len();
    findings.extend(of_end(seen));
    let failed = !matches!(seen.end, End::Answered { .. } | End::WithoutNames(_));
    if let (Some(finding), [_, ..], true) = (findings.get_mut(first), &seen.log[..], failed) {
        let said = seen.log.join("\n");
        finding.detail = format!("{}\nnginx's error log: {said}", finding.detail);
    }
    findings
}

/// Suspects what is between this host and the world: here all is well, and from outside nothing comes through.
///
/// An address that only a translation leads to cannot be seen from here on many networks, which alone proves nothing.
fn before_this_host(seen: &WayInSeen) -> Option<Finding> {
    let End::Answered { at, .. } = &seen.end else {
        return None;
    };
    let unseen = seen
        .leads
        .iter()
        .flat_map(|(_, addresses)| addresses)
        .filter(|ip| !at.iter().any(|at| at.ip() == **ip))
        .filter(|ip| !seen.own.addresses.contains(ip) && !is_stray(seen, **ip))
        .filter(|ip| network_of(**ip).is_none() && seen.cloud.is_some());
    let met = seen.ca_met_silence.iter();
    let mut evidence: Vec<String> = met.map(|met| format!("the last attempt: {met}")).collect();
    evidence.extend(unseen.map(|ip| format!("{ip} does not answer when it is asked from here")));
    if evidence.is_empty() {
        return None;
    }
    let (whose, fix) = match seen.cloud {
        Some(cloud) => (format!("{}'s firewall", cloud.name()), cloud.way_to_open()),
        None => (
            "a firewall of the provider, or a router,".to_owned(),
            OPEN_ANYWHERE,
        ),
    };
    let finding = Finding::new(
        FindingName::CloudFirewallSuspected,
        format!(
            "Port 80 is open on this host, and from outside it is not: {whose} is the suspect."
        ),
    );
    let severity = match seen.ca_met_silence {
        Some(_) => Severity::Error,
        None => Severity::Warning,
    };
    Some(
        finding
            .severity(severity)
            .detail(evidence.join("\n"))
            .fix(fix),
    )
}

fn of_end(seen: &WayInSeen) -> Vec<Finding> {
    match &seen.end {
        End::Answered { at, .. } => answered(seen, at),
        End::AfterLine(findings) => {
            let findings = explained(seen, findings);
            // Where another host or block answers, no line of ours helps.
            if findings
                .iter()
                .any(|finding| answers_elsewhere(finding.name))
            {
                return findings;
            }
            findings.into_iter().map(softened).collect()
        }
        End::WithoutNames(findings) => findings.clone(),
        End::Failed(findings) => explained(seen, findings),
    }
}

/// Returns the risks that a CA passes over.
fn answered(seen: &WayInSeen, at: &[SocketAddr]) -> Vec<Finding> {
    let reached = |address: &IpAddr| at.iter().any(|at| at.ip() == *address);
    let mut findings = Vec::new();
    for (name, addresses) in &seen.leads {
        let strays = addresses
            .iter()
            .filter(|address| !reached(address) && is_stray(seen, **address));
        let strays: Vec<IpAddr> = strays.copied().collect();
        if !strays.is_empty() {
            let finding = elsewhere(seen, name, &strays);
            findings.push(finding.severity(Severity::Warning));
        }
    }
    findings.extend(half_open(seen, at));
    findings.extend(proxied(seen));
    findings
}

/// Finds an address of this host at which nothing listens, where the CA is content with the other family.
fn half_open(seen: &WayInSeen, at: &[SocketAddr]) -> Option<Finding> {
    let port = at.first()?.port();
    let (name, address) = seen.leads.iter().find_map(|(name, addresses)| {
        let deaf = addresses.iter().find(|address| {
            seen.own.addresses.contains(address) && !at.iter().any(|at| at.ip() == **address)
        });
        Some((name, *deaf?))
    })?;
    let (kind, listen) = match address {
        IpAddr::V4(_) => (FindingName::Port80Refused, format!("listen {port};")),
        IpAddr::V6(_) => (FindingName::Port80NoIpv6, format!("listen [::]:{port};")),
    };
    let finding = Finding::new(
        kind,
        format!(
            "{name} has the address {address}, but port {port} does not answer there; not every CA tries another."
        ),
    );
    Some(
        finding
            .severity(Severity::Warning)
            .detail(format!(
                "answered at {}",
                at.iter()
                    .map(SocketAddr::to_string)
                    .collect::<Vec<_>>()
                    .join(", ")
            ))
            .fix(format!(
                "Add “{listen}” to the vhost, or take the address out of DNS."
            )),
    )
}

/// Finds the cause behind what the probe stumbled over.
fn explained(seen: &WayInSeen, stumbled: &[Finding]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, addresses) in &seen.leads {
        let strays = addresses.iter().filter(|address| is_stray(seen, **address));
        let strays: Vec<IpAddr> = strays.copied().collect();
        let to_blame = stumbled.iter().find(|finding| {
            strays.iter().any(|stray| {
                finding.detail.contains(&stray.to_string())
                    || finding.explanation.contains(&stray.to_string())
            })
        });
        if let Some(symptom) = to_blame {
            let finding = elsewhere(seen, name, &strays);
            let detail = format!("{}\nthere: {}", finding.detail, symptom.explanation);
            findings.push(finding.detail(detail));
        }
    }
    if !findings.is_empty() {
        return findings;
    }
    if let Some(finding) = blocked(seen) {
        findings.push(finding);
        return findings;
    }
    if let (Some(symptom), [_, ..]) = (stumbled.first(), &seen.instead[..]) {
        findings.push(not_served(seen, symptom));
    }
    findings.extend(stumbled.iter().cloned());
    let by_rule = |finding: &&mut Finding| {
        finding.name.line_may_cure() && finding.name != FindingName::ChallengeNotFound
    };
    if let (Some(finding), [_, ..]) = (findings.iter_mut().find(by_rule), &seen.rules[..]) {
        finding.detail = format!("{}\n{}", finding.detail, seen.rules.join("\n"));
    }
    findings.extend(proxied(seen));
    findings
}

/// Says whether an address is another host's, and not that of a network in front of this one.
fn is_stray(seen: &WayInSeen, address: IpAddr) -> bool {
    seen.own.excludes(address) && network_of(address).is_none()
}

fn answers_elsewhere(name: FindingName) -> bool {
    matches!(
        name,
        FindingName::DnsPointsElsewhere
            | FindingName::Ipv6PointsElsewhere
            | FindingName::NameNotServed
    )
}

fn not_served(seen: &WayInSeen, symptom: &Finding) -> Finding {
    let finding = Finding::new(
        FindingName::NameNotServed,
        "Another server block than the site's own answers where the CA asks.",
    );
    let detail = format!(
        "{}\nthere: {}",
        seen.instead.join("\n"),
        symptom.explanation
    );
    finding.severity(Severity::Fatal).detail(detail).fix(
        "Let a server block with this server_name listen on that address and port, or take the name out of the \
         other block; then nginx -t && systemctl reload nginx",
    )
}

fn elsewhere(seen: &WayInSeen, name: &Name, strays: &[IpAddr]) -> Finding {
    let list = |addresses: &[IpAddr]| {
        let shown: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        shown.join(", ")
    };
    let record = if strays.iter().any(IpAddr::is_ipv4) {
        "A"
    } else {
        "AAAA"
    };
    let detail = format!(
        "{name} leads to {}; this host has {}",
        list(strays),
        list(&seen.own.addresses)
    );
    let finding = if record == "A" {
        Finding::new(
            FindingName::DnsPointsElsewhere,
            format!("{name} leads to another host than this one."),
        )
    } else {
        Finding::new(
            FindingName::Ipv6PointsElsewhere,
            format!(
                "The IPv6 address of {name} leads to another host than this one, and CAs try IPv6 first."
            ),
        )
    };
    finding.detail(detail).fix(format!(
        "Correct or remove the {record} record of {name}; or take the name out of the site, if it has moved. If the \
         address is this host's after all, name it in host.public_addresses."
    ))
}

/// Says whether a rule sends the CA away for what it calls itself.
fn blocked(seen: &WayInSeen) -> Option<Finding> {
    let refused = |heard: &Heard| match heard {
        Heard::Status(status) => matches!(status, 400 | 401 | 403 | 405 | 406 | 418 | 429 | 500..),
        Heard::Nothing(_) => true,
    };
    let compared = seen
        .compared
        .iter()
        .find(|compared| refused(&compared.ca) && !refused(&compared.browser))?;
    let mut detail = format!(
        "{}: the CA hears {}, and a browser {}",
        compared.address, compared.ca, compared.browser
    );
    for rule in &seen.rules {
        detail.push('\n');
        detail.push_str(rule);
    }
    let finding = Finding::new(
        FindingName::ChallengeBlockedByRule,
        "A rule against bots sends the CA away: a browser is answered where the CA is not.",
    );
    Some(finding.detail(detail).fix(
        "Take what fits “Let's Encrypt validation server” out of the list of user agents, or exempt \
         /.well-known/acme-challenge/ from the rule.",
    ))
}

fn softened(finding: Finding) -> Finding {
    let fix = format!(
        "Nothing: the next renewal puts a line first in the vhost that answers challenges before that. To mend it \
         anyway: {}",
        finding.fix
    );
    finding.severity(Severity::Warning).fix(fix)
}

fn proxied(seen: &WayInSeen) -> Option<Finding> {
    let mut all = seen
        .leads
        .iter()
        .flat_map(|(name, addresses)| addresses.iter().map(move |address| (name, *address)));
    let (name, address, network) =
        all.find_map(|(name, address)| Some((name, address, network_of(address)?)))?;
    let finding = Finding::new(
        FindingName::ProxiedByCdn,
        format!(
            "{name} leads to {}, which must pass the challenge on to this host.",
            network.name
        ),
    );
    Some(
        finding
            .detail(format!("{address} is one of its addresses ({}, as of {})", network.source, network.as_of))
            .fix("Nothing, as long as renewals work; else exempt /.well-known/acme-challenge/ from its rules and redirects."),
    )
}

/// Where no provider is known.
const OPEN_ANYWHERE: &str = "Open TCP port 80 in the provider's console for 0.0.0.0/0 and ::/0; behind a router, forward it to this host.";

/// Only a CA on this network knocks elsewhere, and the firewall is not asked for it.
const HTTP: u16 = 80;

#[cfg(test)]
mod tests;
