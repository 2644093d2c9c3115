//! Would a challenge be answered, and if not, what is the cause?
//!
//! A probe that failed shows what the CA would see. What else is known tells why: where the name leads, whether
//! another user agent is answered differently, which rule of nginx stands on the way.

use std::net::{IpAddr, SocketAddr};

use renewal::challenge::Way;
use renewal::finding::{Finding, FindingName, Severity};
use renewal::name::Name;
use serde::{Deserialize, Serialize};

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
    findings.extend(proxied(seen));
    findings
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

#[cfg(test)]
mod tests;
