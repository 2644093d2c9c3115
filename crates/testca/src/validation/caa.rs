//! May this CA issue for the name?
//!
//! RFC 8659, as Boulder's `va/caa.go` does it: the name and all its parents are asked at
//! once, the closest one with records decides, and one that cannot be asked is a refusal.
//! Only names that DNS resolves are asked about: a fixed list of addresses has no CAA.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::rr::rdata::CAA;
use hickory_proto::rr::{RData, RecordType};
use tokio::task::JoinSet;

use super::lookup::{self, LookupError};
use crate::ca::Ca;
use crate::options::Resolve;
use crate::problems::{Problem, ProblemKind};

/// Refuses a name whose CAA records do not let this CA issue.
pub(super) async fn check(ca: &Ca, name: &str) -> Result<(), Problem> {
    let Resolve::Dns(server) = &ca.options.resolve else {
        return Ok(());
    };
    let records = closest(*server, name, ca.options.validation_timeout)
        .await
        .map_err(|error| {
            Problem::new(
                ProblemKind::Dns,
                format!("While processing CAA for {name}: {error}"),
            )
        })?;
    if permits(&records, &ca.options.caa_identity) {
        return Ok(());
    }
    Err(forbidden(name))
}

/// Returns the refusal.
pub(super) fn forbidden(name: &str) -> Problem {
    Problem::new(
        ProblemKind::Caa,
        format!("CAA record for {name} prevents issuance"),
    )
}

/// Returns the records of the closest name that has any.
async fn closest(
    server: SocketAddr,
    name: &str,
    patience: Duration,
) -> Result<Vec<CAA>, LookupError> {
    let mut lookups = JoinSet::new();
    let parents: Vec<&str> = std::iter::successors(Some(name), |name| {
        name.split_once('.').map(|(_, parent)| parent)
    })
    .collect();
    for (distance, parent) in parents.iter().enumerate() {
        let parent = (*parent).to_owned();
        lookups.spawn(async move {
            (
                distance,
                lookup::records(server, &parent, RecordType::CAA, patience).await,
            )
        });
    }
    let mut found = lookups.join_all().await;
    found.sort_by_key(|(distance, _)| *distance);
    for (_, records) in found {
        let records = match records {
            Ok(records) => records,
            // A name that does not exist has no records either; its parent may.
            Err(LookupError::NoSuchName { .. }) => continue,
            Err(error @ (LookupError::ServerFailed { .. } | LookupError::Other { .. })) => {
                return Err(error);
            }
        };
        let records: Vec<CAA> = records.into_iter().filter_map(caa).collect();
        if !records.is_empty() {
            return Ok(records);
        }
    }
    Ok(Vec::new())
}

fn caa(data: RData) -> Option<CAA> {
    if let RData::CAA(caa) = data {
        Some(caa)
    } else {
        None
    }
}

fn permits(records: &[CAA], identity: &str) -> bool {
    let known = [
        "issue",
        "issuewild",
        "iodef",
        "issuemail",
        "contactemail",
        "contactphone",
    ];
    let tag = |record: &CAA| record.tag.to_ascii_lowercase();
    if records
        .iter()
        .any(|record| record.issuer_critical && !known.contains(&tag(record).as_str()))
    {
        return false;
    }
    let mut issue = records
        .iter()
        .filter(|record| tag(record) == "issue")
        .peekable();
    // Records about other things alone let every CA issue.
    issue.peek().is_none()
        || issue.any(|record| issuer(&record.value).eq_ignore_ascii_case(identity))
}

/// Returns the domain before the parameters.
fn issuer(value: &[u8]) -> String {
    let value = String::from_utf8_lossy(value);
    value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(critical: bool, tag: &str, value: &str) -> CAA {
        let mut record = CAA::new_issue(critical, None, Vec::new());
        record.tag = tag.to_owned();
        record.value = value.as_bytes().to_vec();
        record
    }

    fn check(records: &[CAA], expected: bool) {
        assert_eq!(permits(records, "practice.test"), expected, "{records:?}");
    }

    #[test]
    fn records_that_permit() {
        check(&[], true);
        check(&[record(false, "iodef", "mailto:a@a.test")], true);
        check(
            &[record(false, "issue", "Practice.test; accounturi=x")],
            true,
        );
        check(
            &[
                record(false, "issue", ";"),
                record(false, "ISSUE", " practice.test "),
            ],
            true,
        );
        check(&[record(false, "unheard-of", "x")], true);
    }

    #[test]
    fn records_that_forbid() {
        check(&[record(false, "issue", ";")], false);
        check(&[record(false, "issue", "other.test")], false);
        check(
            &[
                record(true, "unheard-of", "x"),
                record(false, "issue", "practice.test"),
            ],
            false,
        );
    }
}
