//! Which rate limit does a refusal speak of, and until when?
//!
//! The anchor of the page it links to tells the limit more reliably than the sentence does.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use renewal::finding::FindingName;
use renewal::ledger::LimitKind;

use super::row::{self, Retry, Row};
use crate::problem::Problem;

/// Says whether the CA has paused the name until a person visits a page.
#[must_use]
pub fn is_pause(problem: &Problem) -> bool {
    row::find([&PAUSE], &problem.detail).is_some()
}

/// Returns the page on which a person can lift a pause. Its address opens it to anybody, so it is for the fix alone.
pub(super) fn unpause_page(problem: &Problem) -> Option<&str> {
    let (_, page) = problem
        .detail
        .split_once("isit: ")
        .filter(|_| is_pause(problem))?;
    page.split_whitespace()
        .next()
        .filter(|page| page.starts_with("https://"))
}

/// Returns the moment that a text names: `retry after 2026-01-02 15:04:05 UTC`.
///
/// Boulder wrote `2026-01-02T15:04:05Z` until 2024, and Go's own form is `2026-01-02 15:04:05.123 +0000 UTC`; other CAs
/// put other words before it.
#[must_use]
pub fn told_moment(problem: &Problem) -> Option<Timestamp> {
    BEFORE_MOMENTS.iter().find_map(|words| {
        let (_, after) = problem.detail.split_once(words)?;
        moment(after)
    })
}

fn moment(text: &str) -> Option<Timestamp> {
    let civil = text.get(.."2026-01-02 15:04:05".len())?;
    let at: DateTime = civil.parse().ok()?;
    let rest = text.get(civil.len()..)?;
    let fraction = rest.strip_prefix('.');
    let zone = fraction.map_or(rest, |digits| {
        digits.trim_start_matches(|c: char| c.is_ascii_digit())
    });
    let zone = zone.trim_start();
    let offset = if zone.starts_with("UTC") || zone.starts_with("GMT") || zone.starts_with('Z') {
        Offset::UTC
    } else {
        offset(zone)?
    };
    offset.to_timestamp(at).ok()
}

/// Reads `+0200` and `-05:30`.
fn offset(zone: &str) -> Option<Offset> {
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let number = |text: Option<&str>| text?.parse::<i32>().ok();
    let hours = number(digits.get(..2))?;
    let minutes = digits.get(2..)?;
    let minutes = number(minutes.strip_prefix(':').unwrap_or(minutes).get(..2))?;
    Offset::from_seconds(sign * (hours * 60 + minutes) * 60).ok()
}

/// Finds the row of a `rateLimited` problem.
pub(super) fn of(problem: &Problem) -> Option<&'static Row> {
    let link = problem.help.as_deref().unwrap_or_default();
    row::find([&PAUSE], &problem.detail)
        .or_else(|| row::find(&ANCHORS, &problem.detail))
        .or_else(|| row::find(&ANCHORS, link))
        .or_else(|| row::find(&SENTENCES, &problem.detail))
}

const LIMIT: Row = Row {
    finding: FindingName::RateLimited,
    retry: Retry::WhenTold,
    ..Row::CA
};

static PAUSE: Row = Row {
    pattern: "temporarily prevented from requesting certificates*visit: ",
    class: "PAUSED",
    finding: FindingName::AccountPaused,
    blame: renewal::retry::Blame::Site,
    retry: Retry::AfterPerson,
    explanation: "the CA has paused this name for our account, because its validation failed for months",
    fix: "Mend the name first (`clpctl site:show` has what was found), then open the CA's page and lift the pause there. Or take the name off the site.",
    ..Row::CA
};

const REGISTRATIONS: &str = "this host made too many accounts at this CA";
const REGISTRATIONS_V6: &str = "this host's IPv6 network made too many accounts at this CA";
const ORDERS: &str = "our account has placed too many orders at this CA lately";
const DOMAIN: &str =
    "too many certificates were issued for this registered domain lately, by anybody";
const SAME_SET: &str = "this exact set of names got too many certificates in a week";
const FAILURES: &str = "the validation of this name failed too often within an hour";
const WAIT: &str = "Nothing: clpctl tries again at the moment the CA names.";
const SAME_SET_FIX: &str = "Nothing, if a valid certificate is on this host: clpctl tries again at the moment the CA names. If none is, adding a name to the site makes it another set.";
const FAILURES_FIX: &str =
    "`clpctl site:logs` shows why it fails; clpctl tries again at the moment the CA names.";

static ANCHORS: [Row; 6] = [
    Row {
        pattern: "#new-registrations-per-ip-address",
        class: "RL_REGISTRATIONS",
        limit: Some(LimitKind::RegistrationsPerAddress),
        explanation: REGISTRATIONS,
        fix: WAIT,
        ..LIMIT
    },
    Row {
        pattern: "#new-registrations-per-ipv6-range",
        class: "RL_REGISTRATIONS_V6",
        limit: Some(LimitKind::RegistrationsPerRange),
        explanation: REGISTRATIONS_V6,
        fix: WAIT,
        ..LIMIT
    },
    Row {
        pattern: "#new-orders-per-account",
        class: "RL_ORDERS",
        limit: Some(LimitKind::OrdersPerAccount),
        explanation: ORDERS,
        fix: WAIT,
        ..LIMIT
    },
    Row {
        pattern: "#new-certificates-per-registered-domain",
        class: "RL_DOMAIN",
        limit: Some(LimitKind::CertificatesPerDomain),
        explanation: DOMAIN,
        fix: WAIT,
        ..LIMIT
    },
    Row {
        pattern: "#new-certificates-per-exact-set-of-identifiers",
        class: "RL_SAME_SET",
        limit: Some(LimitKind::CertificatesPerExactSet),
        explanation: SAME_SET,
        fix: SAME_SET_FIX,
        ..LIMIT
    },
    Row {
        pattern: "#authorization-failures-per-identifier-per-account",
        class: "RL_FAILURES",
        limit: Some(LimitKind::FailuresPerName),
        explanation: FAILURES,
        fix: FAILURES_FIX,
        ..LIMIT
    },
];

static SENTENCES: [Row; 7] = [
    Row {
        pattern: "too many new registrations*from this IP address",
        class: "RL_REGISTRATIONS",
        limit: Some(LimitKind::RegistrationsPerAddress),
        explanation: REGISTRATIONS,
        fix: WAIT,
        ..LIMIT
    },
    Row {
        pattern: "too many new registrations*subnet of IPv6",
        class: "RL_REGISTRATIONS_V6",
        limit: Some(LimitKind::RegistrationsPerRange),
        explanation: REGISTRATIONS_V6,
        fix: WAIT,
        ..LIMIT
    },
    Row {
        pattern: "too many new orders",
        class: "RL_ORDERS",
        limit: Some(LimitKind::OrdersPerAccount),
        explanation: ORDERS,
        fix: WAIT,
        ..LIMIT
    },
    Row {
        pattern: "too many failed authorizations",
        class: "RL_FAILURES",
        limit: Some(LimitKind::FailuresPerName),
        explanation: FAILURES,
        fix: FAILURES_FIX,
        ..LIMIT
    },
    Row {
        pattern: "already issued for this exact set of",
        class: "RL_SAME_SET",
        limit: Some(LimitKind::CertificatesPerExactSet),
        explanation: SAME_SET,
        fix: SAME_SET_FIX,
        ..LIMIT
    },
    Row {
        pattern: "too many certificates*already issued for",
        class: "RL_DOMAIN",
        limit: Some(LimitKind::CertificatesPerDomain),
        explanation: DOMAIN,
        fix: WAIT,
        ..LIMIT
    },
    Row {
        pattern: "Service busy",
        class: "CA_BUSY",
        finding: FindingName::CaBusy,
        explanation: "the CA is overloaded",
        fix: WAIT,
        ..LIMIT
    },
];

/// What stands before a moment.
const BEFORE_MOMENTS: [&str; 4] = [
    "retry after ",
    "try again after ",
    "retry at ",
    "not before ",
];

#[cfg(test)]
mod tests {
    use super::told_moment;
    use crate::problem::Problem;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(detail: &str, expect: Expect) {
        let problem = Problem {
            detail: detail.to_owned(),
            ..Problem::default()
        };
        let told = told_moment(&problem);
        expect.assert_eq(&told.map_or_else(|| "none".to_owned(), |at| at.to_string()));
    }

    #[test]
    fn moments_are_read_in_every_form_that_was_seen() {
        check(
            "too many new orders (300) from this account in the last 3h0m0s, retry after 2026-01-02 15:04:05 UTC: see https://letsencrypt.org/docs/rate-limits/",
            expect!["2026-01-02T15:04:05Z"],
        );
        check(
            "too many certificates already issued, retry after 2024-01-02T15:04:05Z: see",
            expect!["2024-01-02T15:04:05Z"],
        );
        check(
            "retry after 2026-01-02 15:04:05.123456 +0000 UTC m=+0.1",
            expect!["2026-01-02T15:04:05Z"],
        );
        check(
            "Quota used up; try again after 2026-01-02T15:04:05+02:00.",
            expect!["2026-01-02T13:04:05Z"],
        );
        check(
            "retry at 2026-01-02 15:04:05 GMT",
            expect!["2026-01-02T15:04:05Z"],
        );
        check(
            "retry after 2026-01-02 15:04:05 -0530",
            expect!["2026-01-02T20:34:05Z"],
        );
    }

    #[test]
    fn nonsense_is_no_moment() {
        for detail in [
            "",
            "retry after ",
            "retry after soon",
            "retry after 2026-13-02 15:04:05 UTC",
            "retry after 2026-01-02 15:04:05",
            "retry after 2026-01-02 15:04:05 CET",
            "retry after 2026-01-02 15:04:05 +9999",
            "retry after 2026-01-02 15:04:0\u{fc} UTC",
            "retry after 9999-12-31 23:59:59 -2359",
        ] {
            check(detail, expect!["none"]);
        }
    }
}
