//! Do CAA records let the CA issue for the names of a site? (RFC 8659, RFC 8657)
//!
//! The record set that counts is that of the name itself, or else of the nearest parent that has one. Whoever
//! cannot be asked on the way up stops the CA too, for it must not issue without knowing; that is a risk here, as the
//! CA has a resolver of its own.

use futures_util::future::join_all;
use renewal::finding::{Finding, FindingName, Severity};
use renewal::name::Name;
use serde::{Deserialize, Serialize};

use crate::dns::{CaaRecord, Dns, Trouble};

use self::value::{Issuer, Value};

pub(crate) mod value;

/// CAA records, and who wants to issue.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct CaaSeen {
    /// The names by which records allow the CA.
    pub identities: Vec<String>,
    /// The URL of our account there; `None` when there is none yet.
    pub account: Option<String>,
    /// How the names are proved, such as `http-01`.
    pub method: String,
    /// What was seen of each name.
    pub names: Vec<Climb>,
}

/// What was seen from one name upwards.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Climb {
    /// The name.
    pub name: Name,
    /// The answers, of the name itself first.
    pub levels: Vec<Level>,
}

/// The records of one name on the way up.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// The name.
    pub at: String,
    /// Its records.
    pub records: Result<Vec<CaaRecord>, Trouble>,
}

/// Asks DNS for each name and all above it, all at once.
pub async fn observe(dns: &Dns, names: impl IntoIterator<Item = &Name>) -> Vec<Climb> {
    let climbs = names.into_iter().map(|name| async move {
        let text = name.as_str().strip_prefix("*.").unwrap_or(name.as_str());
        let above = std::iter::successors(Some(text), |at| Some(at.split_once('.')?.1));
        let levels = above.map(|at| async move {
            Level {
                at: at.to_owned(),
                records: dns.caa(at).await,
            }
        });
        Climb {
            name: name.clone(),
            levels: join_all(levels).await,
        }
    });
    join_all(climbs).await
}

/// Finds the names for which the CA would refuse.
///
/// # Errors
///
/// When the CA does not say by which name records allow it, or DNS cannot be asked at all.
pub fn judge(seen: &CaaSeen) -> Result<Vec<Finding>, String> {
    if seen.identities.is_empty() {
        return Err("the CA does not say by which name CAA records allow it".to_owned());
    }
    let mut findings: Vec<Finding> = Vec::new();
    for climb in seen
        .names
        .iter()
        .filter(|climb| climb.name.address().is_none())
    {
        for finding in of_name(climb, seen)? {
            // Names below one domain share its records.
            let known = findings
                .iter()
                .any(|known| (known.name, &known.detail) == (finding.name, &finding.detail));
            if !known {
                findings.push(finding);
            }
        }
    }
    Ok(findings)
}

fn of_name(climb: &Climb, seen: &CaaSeen) -> Result<Vec<Finding>, String> {
    for level in &climb.levels {
        match &level.records {
            Ok(records) if records.is_empty() => {}
            Ok(records) => return Ok(of_records(&climb.name, &level.at, records, seen)),
            Err(Trouble::NoSuchName) => {}
            Err(Trouble::Unreachable(why)) => return Err(why.clone()),
            // Of top-level domains small resolvers often know nothing; the CA has one of its own.
            Err(_) if !level.at.contains('.') => {}
            Err(trouble) => return Ok(vec![unanswered(&climb.name, level, trouble)]),
        }
    }
    Ok(Vec::new())
}

fn unanswered(name: &Name, level: &Level, trouble: &Trouble) -> Finding {
    let kind = match trouble {
        Trouble::Timeout => FindingName::DnsTimeout,
        Trouble::Bogus(_) => FindingName::DnssecBogus,
        Trouble::ServerFailure(_) | Trouble::NoSuchName | Trouble::Unreachable(_) => {
            FindingName::DnsServerFailure
        }
    };
    Finding::new(
        kind,
        format!("Whether a CA may issue for {name} cannot be asked, and no CA issues without knowing."),
    )
    .severity(Severity::Warning)
    .detail(format!("CAA of {}: {trouble}", level.at))
    .fix(
        "Ask whoever runs the domain's DNS: questions for CAA must be answered, if only with none. Broken DNSSEC is \
         the usual cause.",
    )
}

/// How near a record comes to letting us issue; the nearest is the last.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Nearness {
    Malformed,
    OtherCa,
    OtherAccount,
    OtherMethod,
    Allows,
}

fn of_records(name: &Name, at: &str, records: &[CaaRecord], seen: &CaaSeen) -> Vec<Finding> {
    let evidence = |record: &CaaRecord| {
        let flag = if record.critical { 128 } else { 0 };
        format!("{at} CAA {flag} {} \"{}\"", record.tag, record.value)
    };
    let is = |record: &&CaaRecord, tag: &str| record.tag.eq_ignore_ascii_case(tag);
    let unknown = |record: &&CaaRecord| record.critical && !KNOWN.iter().any(|tag| is(record, tag));
    if let Some(record) = records.iter().find(unknown) {
        return vec![
            Finding::new(
                FindingName::CaaForbids,
                format!("A CAA record of {at} has a critical tag that no CA knows, so none may issue for {name}."),
            )
            .detail(evidence(record))
            .fix("Remove the record, or clear its critical flag (128)."),
        ];
    }
    let wild =
        name.as_str().starts_with("*.") && records.iter().any(|record| is(&record, "issuewild"));
    let tag = if wild { "issuewild" } else { "issue" };
    let relevant: Vec<&CaaRecord> = records.iter().filter(|record| is(record, tag)).collect();
    let judged: Vec<(Nearness, &CaaRecord)> = relevant
        .iter()
        .map(|record| (nearness(record, seen), *record))
        .collect();
    let Some(nearest) = judged.iter().map(|(nearness, _)| *nearness).max() else {
        return Vec::new(); // records about other things let every CA issue
    };
    let lines: Vec<String> = relevant.iter().map(|record| evidence(record)).collect();
    let ours = &seen.identities[0];
    let (kind, explanation, fix) = match nearest {
        Nearness::Allows => {
            let malformed = judged.iter().find(|(nearness, _)| *nearness == Nearness::Malformed);
            return malformed.map(|(_, record)| malformed_beside(at, &evidence(record))).into_iter().collect();
        }
        Nearness::Malformed => (
            FindingName::CaaMalformed,
            format!("The CAA record of {at} makes no sense, which forbids every CA to issue for {name}."),
            format!("Write it anew: {at}. CAA 0 {tag} \"{ours}\""),
        ),
        Nearness::OtherCa => (
            FindingName::CaaForbids,
            format!("CAA records of {at} do not let this CA issue for {name}."),
            format!("Add the record {at}. CAA 0 {tag} \"{ours}\", or use a CA that the records allow."),
        ),
        Nearness::OtherAccount => (
            FindingName::CaaForbidsAccount,
            format!("The CAA record of {at} lets another account alone issue for {name}."),
            match &seen.account {
                Some(account) => format!("Let accounturi name our account: {account}"),
                None => "Let accounturi name our account, once there is one, or take it out of the record.".to_owned(),
            },
        ),
        Nearness::OtherMethod => (
            FindingName::CaaForbidsMethod,
            format!("The CAA record of {at} does not let {name} be proved by {}.", seen.method),
            format!("Add {} to validationmethods, or take that out of the record.", seen.method),
        ),
    };
    vec![
        Finding::new(kind, explanation)
            .severity(Severity::Fatal)
            .detail(lines.join("\n"))
            .fix(fix),
    ]
}

fn malformed_beside(at: &str, evidence: &str) -> Finding {
    Finding::new(
        FindingName::CaaMalformed,
        format!("A CAA record of {at} makes no sense; another one lets the CA issue."),
    )
    .detail(evidence)
    .fix("Remove the record, or write it anew.")
}

fn nearness(record: &CaaRecord, seen: &CaaSeen) -> Nearness {
    let Ok(Value { issuer, parameters }) = value::parse(&record.value) else {
        return Nearness::Malformed;
    };
    let Issuer::Named(issuer) = issuer else {
        return Nearness::OtherCa;
    };
    if !seen
        .identities
        .iter()
        .any(|ours| ours.eq_ignore_ascii_case(issuer))
    {
        return Nearness::OtherCa;
    }
    let of = |tag: &str| {
        let named: Vec<&str> = parameters
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(tag))
            .map(|(_, value)| *value)
            .collect();
        named
    };
    // One account at most can be meant (RFC 8657 section 3).
    let accounts = of("accounturi");
    let account = seen.account.as_deref();
    if !accounts.is_empty() && (accounts.len() > 1 || account != Some(accounts[0])) {
        return Nearness::OtherAccount;
    }
    let methods = of("validationmethods");
    let allows = |methods: &&str| methods.split(',').any(|method| method == seen.method);
    if !methods.is_empty() && (methods.len() > 1 || !allows(&methods[0])) {
        return Nearness::OtherMethod;
    }
    Nearness::Allows
}

/// The way of proving names that this preflight is about, as `validationmethods` has it.
pub const HTTP_01: &str = "http-01";

/// The tags that CAs know, besides those they pass over.
const KNOWN: [&str; 6] = [
    "issue",
    "issuewild",
    "iodef",
    "issuemail",
    "contactemail",
    "contactphone",
];

#[cfg(test)]
mod tests;
