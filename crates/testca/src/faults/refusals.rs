//! With which words does Let's Encrypt refuse a request that is in order?
//!
//! The texts are those of Boulder (`ratelimits/limiter.go`, `wfe2/wfe.go`, August 2026) and
//! of the load balancer before it. Clients tell the limits apart by them.

use jiff::Timestamp;

use crate::problems::{Problem, ProblemKind, RetryAfter};
use crate::reply::Reply;

/// Why a request that is in order is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A rate limit is reached.
    RateLimited {
        /// Which one.
        limit: RateLimit,
        /// When the client may come back.
        retry_after: RetryAfter,
    },
    /// The account is paused for the names of the order, until a human opens a link.
    Paused,
    /// The load balancer answers 503 without a problem document.
    Unavailable {
        /// When the client may come back.
        retry_after: Option<RetryAfter>,
    },
    /// The CA answers "Service busy; retry later.".
    Busy {
        /// 503 or 429: both have been seen.
        status: u16,
        /// When the client may come back.
        retry_after: Option<RetryAfter>,
    },
    /// Something breaks inside the CA: 500, and come back in a minute.
    InternalError,
    /// Any other problem.
    Problem(Problem),
}

/// The rate limits of Let's Encrypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimit {
    /// New accounts for one IPv4 address.
    RegistrationsPerAddress,
    /// New accounts for an IPv6 /48.
    RegistrationsPerRange,
    /// New orders of one account.
    OrdersPerAccount,
    /// Failed authorizations of one name and account.
    FailedAuthorizations,
    /// Certificates for one registered domain.
    CertificatesPerDomain,
    /// Certificates for one exact set of names.
    CertificatesPerExactSet,
}

/// Why `replaces` is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplacesRefusal {
    /// The certificate is another CA's.
    UnknownIssuer,
    /// No certificate has this serial.
    UnknownSerial,
    /// Another order replaces it already.
    AlreadyReplaced,
    /// Another account ordered it.
    ForeignAccount,
    /// It has no name in common with the order.
    NoCommonName,
}

impl Refusal {
    pub(crate) fn reply(&self, names: &[String], pause_url: &str, now: Timestamp) -> Reply {
        match self {
            Refusal::RateLimited { limit, retry_after } => {
                Reply::problem(&limit.problem(names, *retry_after, now), now)
            }
            Refusal::Paused => Reply::problem(&paused(names, pause_url), now),
            Refusal::Unavailable { retry_after } => {
                Reply::html(503, UNAVAILABLE_PAGE).with_retry_after(*retry_after, now)
            }
            Refusal::Busy {
                status,
                retry_after,
            } => {
                let kind = if *status == 429 {
                    ProblemKind::RateLimited
                } else {
                    ProblemKind::ServerInternal
                };
                let problem = Problem::new(kind, "Service busy; retry later.").with_status(*status);
                Reply::problem(&problem, now).with_retry_after(*retry_after, now)
            }
            Refusal::InternalError => {
                let problem = Problem::new(ProblemKind::ServerInternal, "Error creating new order")
                    .with_retry_after(RetryAfter::Seconds(60));
                Reply::problem(&problem, now)
            }
            Refusal::Problem(problem) => Reply::problem(problem, now),
        }
    }
}

impl RateLimit {
    fn problem(self, names: &[String], retry_after: RetryAfter, now: Timestamp) -> Problem {
        let name = names.first().map_or("", String::as_str);
        let core = match self {
            RateLimit::RegistrationsPerAddress => {
                "too many new registrations (10) from this IP address in the last 3h0m0s".to_owned()
            }
            RateLimit::RegistrationsPerRange => {
                "too many new registrations (500) from this /48 subnet of IPv6 addresses in the last 3h0m0s".to_owned()
            }
            RateLimit::OrdersPerAccount => "too many new orders (300) from this account in the last 3h0m0s".to_owned(),
            RateLimit::FailedAuthorizations => {
                format!("too many failed authorizations (5) for {name:?} in the last 1h0m0s")
            }
            RateLimit::CertificatesPerDomain => format!(
                "too many certificates (50) already issued for {:?} in the last 168h0m0s",
                registered_domain(name)
            ),
            RateLimit::CertificatesPerExactSet => {
                "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s".to_owned()
            }
        };
        let until = now + std::time::Duration::from_secs(retry_after.seconds().into());
        let until = until.strftime("%Y-%m-%d %H:%M:%S UTC");
        let detail = format!(
            "{core}, retry after {until}: see {RATE_LIMITS_PAGE}/#{}",
            self.anchor()
        );
        Problem {
            help: Some(RATE_LIMITS_PAGE.to_owned()),
            ..Problem::new(ProblemKind::RateLimited, detail).with_retry_after(retry_after)
        }
    }

    fn anchor(self) -> &'static str {
        match self {
            RateLimit::RegistrationsPerAddress => "new-registrations-per-ip-address",
            RateLimit::RegistrationsPerRange => "new-registrations-per-ipv6-range",
            RateLimit::OrdersPerAccount => "new-orders-per-account",
            RateLimit::FailedAuthorizations => "authorization-failures-per-identifier-per-account",
            RateLimit::CertificatesPerDomain => "new-certificates-per-registered-domain",
            RateLimit::CertificatesPerExactSet => "new-certificates-per-exact-set-of-identifiers",
        }
    }
}

impl ReplacesRefusal {
    /// Returns the problem for a certificate with this serial (hexadecimal).
    pub(crate) fn problem(self, serial: &str) -> Problem {
        let (kind, status, detail) = match self {
            ReplacesRefusal::UnknownIssuer => (
                ProblemKind::Malformed,
                404,
                "path contained an Authority Key Identifier that did not match a known issuer".to_owned(),
            ),
            ReplacesRefusal::UnknownSerial => (
                ProblemKind::Malformed,
                404,
                format!("request included `replaces` field, but no current certificate with serial {serial:?} exists"),
            ),
            ReplacesRefusal::AlreadyReplaced => (
                ProblemKind::AlreadyReplaced,
                409,
                format!("cannot indicate an order replaces certificate with serial {serial:?}, which already has a replacement order"),
            ),
            ReplacesRefusal::ForeignAccount => (
                ProblemKind::Unauthorized,
                403,
                "requester account did not request the certificate being replaced by this order".to_owned(),
            ),
            ReplacesRefusal::NoCommonName => (
                ProblemKind::Malformed,
                400,
                "identifiers in this order do not match any identifiers in the certificate being replaced".to_owned(),
            ),
        };
        Problem::new(
            kind,
            format!("Could not validate ARI 'replaces' field :: {detail}"),
        )
        .with_status(status)
    }
}

fn paused(names: &[String], pause_url: &str) -> Problem {
    let names = names.join(", ");
    Problem::new(
        ProblemKind::RateLimited,
        format!(
            "Your account is temporarily prevented from requesting certificates for {names} and possibly others. \
             Please visit: {pause_url}?jwt=practice"
        ),
    )
}

/// Names in practice have suffixes of one label, so no list of public suffixes is needed.
fn registered_domain(name: &str) -> &str {
    match name.rmatch_indices('.').nth(1) {
        Some((dot, _)) => &name[dot + 1..],
        None => name,
    }
}

const RATE_LIMITS_PAGE: &str = "https://letsencrypt.org/docs/rate-limits";

const UNAVAILABLE_PAGE: &str =
    "<html><head><title>503 Service Temporarily Unavailable</title></head></html>\n";

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(limit: RateLimit, expected: &Expect) {
        let now: Timestamp = "2026-01-02T15:04:05Z".parse().unwrap();
        let problem = limit.problem(&["www.a.test".to_owned()], RetryAfter::Seconds(3600), now);
        assert_eq!(problem.status, 429);
        expected.assert_eq(&problem.detail);
    }

    #[test]
    fn each_limit_has_its_text() {
        check(
            RateLimit::RegistrationsPerAddress,
            &expect![
                "too many new registrations (10) from this IP address in the last 3h0m0s, retry after 2026-01-02 16:04:05 UTC: see https://letsencrypt.org/docs/rate-limits/#new-registrations-per-ip-address"
            ],
        );
        check(
            RateLimit::RegistrationsPerRange,
            &expect![
                "too many new registrations (500) from this /48 subnet of IPv6 addresses in the last 3h0m0s, retry after 2026-01-02 16:04:05 UTC: see https://letsencrypt.org/docs/rate-limits/#new-registrations-per-ipv6-range"
            ],
        );
        check(
            RateLimit::OrdersPerAccount,
            &expect![
                "too many new orders (300) from this account in the last 3h0m0s, retry after 2026-01-02 16:04:05 UTC: see https://letsencrypt.org/docs/rate-limits/#new-orders-per-account"
            ],
        );
        check(
            RateLimit::FailedAuthorizations,
            &expect![[
                r#"too many failed authorizations (5) for "www.a.test" in the last 1h0m0s, retry after 2026-01-02 16:04:05 UTC: see https://letsencrypt.org/docs/rate-limits/#authorization-failures-per-identifier-per-account"#
            ]],
        );
        check(
            RateLimit::CertificatesPerDomain,
            &expect![[
                r#"too many certificates (50) already issued for "a.test" in the last 168h0m0s, retry after 2026-01-02 16:04:05 UTC: see https://letsencrypt.org/docs/rate-limits/#new-certificates-per-registered-domain"#
            ]],
        );
        check(
            RateLimit::CertificatesPerExactSet,
            &expect![
                "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s, retry after 2026-01-02 16:04:05 UTC: see https://letsencrypt.org/docs/rate-limits/#new-certificates-per-exact-set-of-identifiers"
            ],
        );
    }

    #[test]
    fn a_pause_names_the_way_out() {
        expect!["Your account is temporarily prevented from requesting certificates for a.test, b.test and possibly others. Please visit: https://ca/unpause?jwt=practice"]
            .assert_eq(&paused(&["a.test".to_owned(), "b.test".to_owned()], "https://ca/unpause").detail);
    }
}
