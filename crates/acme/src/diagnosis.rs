//! What do the CA's words mean for the owner of a site?
//!
//! A CA says what it saw; people need the cause and the fix. The texts are Let's Encrypt's, whose source is public,
//! and pebble's; they stand in tables, with what each means. Where no text fits, the problem's kind decides.

use std::net::IpAddr;

use http::StatusCode;
use jiff::Timestamp;
use renewal::finding::{Finding, FindingName};
use renewal::ledger::LimitKind;
use renewal::name::Name;
use renewal::retry::Blame;

use crate::bounds::FINDINGS_MAX;
use crate::problem::{Problem, without_tokens};

pub use self::detail::Detail;
pub use self::limits::{is_pause, told_moment};
pub use self::row::Retry;
pub use crate::authorization::ValidationRecord;

mod detail;
mod kinds;
mod limits;
mod orders;
mod row;
mod validations;

/// What a problem means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnosis {
    /// The class of the text, stable, for statistics: `NET_REFUSED`, `HTTP_STATUS`, …
    pub class: &'static str,
    /// Whose fault it is.
    pub blame: Blame,
    /// When trying again makes sense.
    pub retry: Retry,
    /// The moment that the text names.
    pub retry_at: Option<Timestamp>,
    /// The limit that is used up until then, of those that the ledger keeps.
    pub limit: Option<LimitKind>,
    /// Whose bucket of that limit it is, where the text names it.
    pub limit_about: Option<Name>,
    /// For people; never none. The first is the cause.
    pub findings: Vec<Finding>,
}

/// Says why the validation of `name` failed.
///
/// `records` say where the CA went; `own` are this host's public addresses, when they are known.
#[must_use]
pub fn validation(
    name: &Name,
    problem: &Problem,
    records: &[ValidationRecord],
    own: &[IpAddr],
) -> Diagnosis {
    let detail = Detail::read(&problem.detail);
    let used = records.iter().rev().find_map(|record| record.address_used);
    let address = detail.address.or(used);
    let rows = validations::ROWS.iter().chain(orders::ROWS);
    let row = row::find(rows, detail.core).unwrap_or_else(|| kinds::of(problem));
    let mut diagnosis = row.diagnose(&row::Seen {
        name: name.as_str(),
        address,
        url: detail.url,
        core: detail.core,
        evidence: evidence(problem, records),
    });
    if detail.secondary {
        for finding in &mut diagnosis.findings {
            finding.fix.push_str(SECONDARY);
        }
    }
    if row.about_host
        && let Some(address) = address
        && !own.is_empty()
        && !own.contains(&address)
    {
        diagnosis.findings.insert(0, elsewhere(name, address, own));
    }
    diagnosis
}

/// Says what the refusal of a request means; one finding for each name that the CA names.
#[must_use]
pub fn refusal(status: StatusCode, problem: &Problem) -> Diagnosis {
    if problem.kind.is_empty() && problem.detail.is_empty() {
        return kinds::of_status(status).diagnose(&row::Seen {
            evidence: format!("the CA answered {status}"),
            ..row::Seen::default()
        });
    }
    order(problem)
}

/// Says why an order was refused or became invalid.
#[must_use]
pub fn order(problem: &Problem) -> Diagnosis {
    let mut whole = one(problem, "");
    let named: Vec<Diagnosis> = problem
        .subproblems
        .iter()
        .take(FINDINGS_MAX)
        .map(|sub| {
            one(
                &sub.to_problem(),
                sub.identifier
                    .as_ref()
                    .map_or("", |identifier| &identifier.value),
            )
        })
        .collect();
    if let Some(first) = named.first() {
        // What is said of a name is nearer to the cause than the summary above it.
        whole = Diagnosis {
            retry_at: whole.retry_at,
            limit: whole.limit.or(first.limit),
            limit_about: whole.limit_about.or_else(|| first.limit_about.clone()),
            findings: named.iter().flat_map(|one| one.findings.clone()).collect(),
            ..first.clone()
        };
    }
    if let Some(instance) = &problem.instance
        && let Some(first) = whole.findings.first_mut()
    {
        first.fix = format!("Visit {instance} . {}", first.fix);
    }
    whole
}

fn one(problem: &Problem, name: &str) -> Diagnosis {
    let detail = Detail::read(&problem.detail);
    let limited = problem
        .is("rateLimited")
        .then(|| limits::of(problem))
        .flatten();
    let row = limited
        .or_else(|| row::find(orders::ROWS.iter().chain(validations::ROWS), detail.core))
        .unwrap_or_else(|| kinds::of_request(problem));
    let mut diagnosis = row.diagnose(&row::Seen {
        name: if name.is_empty() {
            detail.quoted_name().unwrap_or(THE_SITE)
        } else {
            name
        },
        address: detail.address,
        url: detail.url,
        core: detail.core,
        evidence: evidence(problem, &[]),
    });
    diagnosis.retry_at = told_moment(problem);
    diagnosis.limit_about = detail
        .quoted_name()
        .filter(|_| diagnosis.limit.is_some())
        .and_then(|name| Name::parse(name).ok());
    if let (Some(page), Some(first)) = (
        limits::unpause_page(problem),
        diagnosis.findings.first_mut(),
    ) {
        first.fix = format!("{} The page: {page}", first.fix);
    }
    diagnosis
}

fn evidence(problem: &Problem, records: &[ValidationRecord]) -> String {
    let mut evidence = problem.to_string();
    if let [_, .., last] = records {
        evidence.push_str("; after redirects it was at ");
        evidence.push_str(&without_tokens(&last.url));
    }
    if let Some(help) = &problem.help {
        evidence.push_str("; see ");
        evidence.push_str(help);
    }
    evidence
}

fn elsewhere(name: &Name, address: IpAddr, own: &[IpAddr]) -> Finding {
    let finding = if address.is_ipv6() {
        FindingName::Ipv6PointsElsewhere
    } else {
        FindingName::DnsPointsElsewhere
    };
    let own: Vec<String> = own.iter().map(IpAddr::to_string).collect();
    Finding::new(finding, format!("{name} leads to {address}, which is not this host"))
        .detail(format!("this host has {}", own.join(", ")))
        .fix(format!("Change the DNS record of {name}, or remove it. If a CDN or a load balancer stands there on purpose, it must pass /.well-known/acme-challenge/ on to this host."))
}

/// Let's Encrypt validates from several places of the world.
const SECONDARY: &str = " Only some of the CA's locations saw this: look for rules that block countries or clouds, and exempt /.well-known/acme-challenge/ on port 80 from them.";

/// Where the CA names no name.
const THE_SITE: &str = "the site";

#[cfg(test)]
mod tests;
