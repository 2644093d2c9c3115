//! Would the CA accept what was seen?
//!
//! The rules are Let's Encrypt's:
//!
//! | seen | then |
//! | --- | --- |
//! | every IPv6 address answers rightly | accepted; IPv4 is not looked at |
//! | an IPv6 address answers wrongly | refused: there is no second try |
//! | an IPv6 address cannot be connected to | IPv4 is tried instead, so it must answer |
//! | an IPv4 address fails in any way | refused: any of them may be picked |
//! | this host cannot tell how an address looks from outside | left to the CA |

use renewal::challenge::Reached;
use renewal::finding::Finding;

use super::findings;
use super::observation::{BODY_BYTES_READ, End, Fetch, Observation, Stage};

/// Says at which addresses the probe was answered rightly.
///
/// Fewer addresses than DNS gives, or none, when the CA would forgive the others, or this host cannot tell.
///
/// # Errors
///
/// What the CA would stumble over, the cause first.
pub fn judge(observation: &Observation) -> Result<Vec<Reached>, Vec<Finding>> {
    if observation.fetches.is_empty() {
        return Err(vec![findings::without_address(
            &observation.probe.name,
            &observation.resolution,
            &observation.left_out,
        )]);
    }
    let judged: Vec<(Verdict, &Fetch)> = observation
        .fetches
        .iter()
        .map(|fetch| (verdict(fetch, observation), fetch))
        .collect();
    let (v6, v4): (Vec<_>, Vec<_>) = judged
        .iter()
        .partition(|(_, fetch)| fetch.address.is_ipv6());

    let mut failed = those(&v6, &[Verdict::Wrong]);
    let v6_suffices = !v6.is_empty() && those(&v6, &[Verdict::Right]).len() == v6.len();
    if !v6_suffices {
        let v4_failed = those(&v4, &[Verdict::Wrong, Verdict::NotConnected]);
        if v4.is_empty() || !v4_failed.is_empty() {
            failed.extend(v4_failed);
            failed.extend(those(&v6, &[Verdict::NotConnected]));
        }
    }
    if !failed.is_empty() {
        let findings = failed
            .into_iter()
            .map(|fetch| findings::of_fetch(fetch, observation));
        return Err(merge(findings));
    }
    let right = those(&judged, &[Verdict::Right]).into_iter();
    Ok(right
        .map(|fetch| Reached {
            name: observation.probe.name.clone(),
            address: fetch.address,
        })
        .collect())
}

/// Returns the fetches that show one of `verdicts`.
fn those<'a>(judged: &[(Verdict, &'a Fetch)], verdicts: &[Verdict]) -> Vec<&'a Fetch> {
    let matching = judged
        .iter()
        .filter(|(verdict, _)| verdicts.contains(verdict));
    matching.map(|(_, fetch)| *fetch).collect()
}

/// What one fetch shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    /// The answer is the one expected.
    Right,
    /// The first connection failed, which the CA forgives where there is another address family.
    NotConnected,
    /// The CA would refuse this.
    Wrong,
    /// It looks different from here than from outside.
    Unknown,
}

fn verdict(fetch: &Fetch, observation: &Observation) -> Verdict {
    match &fetch.end {
        End::Answered(body) => {
            let status = fetch.hops.last().map(|hop| hop.status);
            if status == Some(OK) && is_expected(body, &observation.probe.expected) {
                Verdict::Right
            } else {
                Verdict::Wrong
            }
        }
        End::Failed {
            inconclusive: true, ..
        } => Verdict::Unknown,
        End::Failed {
            stage: Stage::Connect,
            ..
        } if fetch.hops.is_empty() => Verdict::NotConnected,
        End::Failed { .. } | End::NotFollowed(_) | End::Unresolved { .. } => Verdict::Wrong,
    }
}

/// Compares as the CA does: whitespace at the end does not count (RFC 8555 section 8.3), unless it is too much.
fn is_expected(body: &[u8], expected: &str) -> bool {
    let is_short = body.len() < BODY_BYTES_READ;
    is_short && std::str::from_utf8(body).is_ok_and(|body| body.trim_end() == expected)
}

/// Joins findings of one name, as ten addresses with one fault are one fault.
fn merge(findings: impl IntoIterator<Item = Finding>) -> Vec<Finding> {
    let mut merged: Vec<Finding> = Vec::new();
    for finding in findings {
        match merged.iter_mut().find(|other| other.name == finding.name) {
            Some(other) => {
                other.detail.push('\n');
                other.detail.push_str(&finding.detail);
            }
            None => merged.push(finding),
        }
    }
    merged
}

const OK: u16 = 200;

#[cfg(test)]
mod tests;
