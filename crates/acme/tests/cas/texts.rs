//! With which words does Let's Encrypt say no, and which finding must come of each?
//!
//! Types and texts are those of Boulder, with the status that goes with them; the last ones are of the load balancer
//! before it. What is expected was written from the meaning of the words, not from what the client does.

use renewal::finding::FindingName as F;
use testca::{Effect, Problem, ProblemKind as K, RateLimit as L, Refusal, RetryAfter};

/// One refusal.
#[derive(Clone)]
pub(crate) struct Text {
    pub(crate) what: String,
    pub(crate) effect: Effect,
    /// The findings that would be right, whichever step it is said at.
    pub(crate) right: Vec<F>,
    pub(crate) status: u16,
    pub(crate) kind: Option<K>,
}

/// Lists all of them.
pub(crate) fn all() -> Vec<Text> {
    let mut all: Vec<Text> = PROBLEMS
        .iter()
        .map(|(kind, detail, right)| problem(*kind, detail, right))
        .collect();
    for limit in LIMITS {
        let retry_after = RetryAfter::Seconds(7200);
        let refusal = Refusal::RateLimited { limit, retry_after };
        all.push(plain(
            &format!("{limit:?}"),
            refusal,
            429,
            &[F::RateLimited],
        ));
    }
    all.push(plain("paused", Refusal::Paused, 429, &[F::AccountPaused]));
    let soon = Some(RetryAfter::Seconds(1));
    for status in [503, 429] {
        let busy = Refusal::Busy {
            status,
            retry_after: soon,
        };
        all.push(plain(
            "Service busy",
            busy,
            status,
            &[F::CaBusy, F::RateLimited],
        ));
    }
    let gone = Refusal::Unavailable { retry_after: soon };
    all.push(plain(
        "503 of the load balancer",
        gone,
        503,
        &[F::CaBusy, F::CaUnreachable],
    ));
    all
}

fn problem(kind: K, detail: &str, right: &[F]) -> Text {
    let mut problem = Problem::new(kind, detail);
    if problem.status >= 500 {
        problem = problem.with_retry_after(RetryAfter::Seconds(1));
    }
    let status = problem.status;
    Text {
        kind: Some(kind),
        ..plain(
            &format!("{kind:?}: {detail}"),
            Refusal::Problem(problem),
            status,
            right,
        )
    }
}

fn plain(what: &str, refusal: Refusal, status: u16, right: &[F]) -> Text {
    Text {
        what: what.to_owned(),
        effect: refusal.into(),
        right: right.to_vec(),
        status,
        kind: None,
    }
}

const LIMITS: [L; 6] = [
    L::RegistrationsPerAddress,
    L::RegistrationsPerRange,
    L::OrdersPerAccount,
    L::FailedAuthorizations,
    L::CertificatesPerDomain,
    L::CertificatesPerExactSet,
];

/// A finding about a name that the CA does not take.
const NAME: &[F] = &[F::NameNotAllowed, F::NameNotPublic];

/// A finding about what nobody but the CA, or we, can mend.
const ORDER: &[F] = &[F::OrderRejected];

/// Boulder's types and texts (probs/probs.go, va/va.go, bdns/problem.go, policy/pa.go, August 2026).
const PROBLEMS: &[(K, &str, &[F])] = &[
    (
        K::AccountDoesNotExist,
        "Account \"https://ca/acme/acct/1\" not found",
        &[F::AccountGone],
    ),
    (
        K::AlreadyReplaced,
        "cannot indicate an order replaces certificate with serial \"04ab\", which already has a replacement order",
        ORDER,
    ),
    (K::AlreadyRevoked, "Certificate already revoked", ORDER),
    (
        K::BadCsr,
        "Error finalizing order :: CSR does not specify same identifiers as Order",
        ORDER,
    ),
    (
        K::BadNonce,
        "JWS has an invalid anti-replay nonce: \"oFvnlFP1wIhRlYS2jTaXbA\"",
        &[F::CaBusy],
    ),
    (
        K::BadPublicKey,
        "Error finalizing order :: unable to get public key from CSR: key too small",
        ORDER,
    ),
    (
        K::BadSignatureAlgorithm,
        "JWS signature header contains unsupported algorithm \"ES256\"",
        ORDER,
    ),
    (K::Conflict, "Unable to meet CA conflicting requests", ORDER),
    (
        K::InvalidContact,
        "Error creating new account :: contact email has forbidden domain \"example.com\"",
        ORDER,
    ),
    (
        K::InvalidProfile,
        "profile name \"shortlived\" not recognized",
        ORDER,
    ),
    (
        K::Malformed,
        "Unable to validate JWS :: JWS is malformed",
        ORDER,
    ),
    (
        K::OrderNotReady,
        "Order's status (\"pending\") is not acceptable for finalization",
        ORDER,
    ),
    (K::ServerInternal, "Error creating new order", &[F::CaBusy]),
    (
        K::Unauthorized,
        "Account is not valid, has status \"deactivated\"",
        &[F::OrderRejected, F::AccountGone],
    ),
    (
        K::UnsupportedContact,
        "Error creating new account :: only contact scheme 'mailto:' is supported",
        ORDER,
    ),
    (
        K::UnsupportedIdentifier,
        "NewOrder request included unsupported identifier: type \"ip\", value \"192.0.2.1\"",
        NAME,
    ),
    (
        K::UserActionRequired,
        "Terms of service have changed",
        ORDER,
    ),
    (
        K::RateLimited,
        "Rate limit for '/acme/new-order' reached",
        &[F::RateLimited, F::CaBusy],
    ),
    (
        K::RejectedIdentifier,
        "The ACME server refuses to issue a certificate for this domain name, because it is forbidden by policy",
        NAME,
    ),
    (
        K::RejectedIdentifier,
        "Cannot issue for \"www.www.www.a.test\": domain name contains too many subdomain labels indicative of recursive on-demand issuance",
        NAME,
    ),
    (
        K::RejectedIdentifier,
        "Domain name contains an invalid label in a reserved format (R-LDH: '??--')",
        NAME,
    ),
    (
        K::Malformed,
        "Domain name does not end with a valid public suffix (TLD)",
        NAME,
    ),
    (K::Malformed, "Domain name has more than one wildcard", NAME),
    (K::Malformed, "Domain name needs at least one dot", NAME),
    (
        K::Caa,
        "CAA record for a.test prevents issuance",
        &[F::CaaForbids],
    ),
    (
        K::Caa,
        "Rechecking CAA for \"a.test\" and 1 more identifiers failed. Refer to sub-problems for more information",
        &[F::CaaForbids],
    ),
    (
        K::Connection,
        "127.0.0.1: Fetching http://a.test/.well-known/acme-challenge/x: Timeout during connect (likely firewall problem)",
        &[F::Port80Timeout],
    ),
    (
        K::Connection,
        "127.0.0.1: Fetching http://a.test/.well-known/acme-challenge/x: Timeout after connect (your server may be slow or overloaded)",
        &[
            F::Port80Timeout,
            F::ChallengeServerError,
            F::ChallengeConnectionClosed,
        ],
    ),
    (
        K::Connection,
        "127.0.0.1: Fetching http://a.test/.well-known/acme-challenge/x: Connection refused",
        &[F::Port80Refused],
    ),
    (
        K::Connection,
        "2001:db8::1: Fetching http://a.test/.well-known/acme-challenge/x: Network unreachable",
        &[F::Port80NoIpv6, F::Ipv6PointsElsewhere],
    ),
    (
        K::Connection,
        "127.0.0.1: Fetching http://a.test/.well-known/acme-challenge/x: Connection reset by peer",
        &[F::ChallengeConnectionClosed],
    ),
    (
        K::Connection,
        "127.0.0.1: Fetching http://a.test/.well-known/acme-challenge/x: Error getting validation data",
        &[F::ChallengeConnectionClosed, F::Port80Timeout],
    ),
    (
        K::Connection,
        "127.0.0.1: Fetching https://a.test/x: Too many redirects",
        &[F::ChallengeRedirectLoop],
    ),
    (
        K::Connection,
        "127.0.0.1: Fetching https://a.test/x: Redirect loop detected",
        &[F::ChallengeRedirectLoop],
    ),
    (
        K::Connection,
        "127.0.0.1: Fetching https://a.test:8443/x: Invalid port in redirect target. Only ports 80 and 443 are supported, not 8443",
        &[F::ChallengeRedirectPort],
    ),
    (
        K::Connection,
        "127.0.0.1: Fetching https://a.test/x: Invalid empty host in redirect target",
        &[F::ChallengeRedirectMalformed],
    ),
    (
        K::Connection,
        "127.0.0.1: Fetching https://a.test/x: Invalid host in redirect target \"a.test.well-known\". Check webserver config for missing '/' in redirect target.",
        &[F::ChallengeRedirectMalformed],
    ),
    (
        K::Connection,
        "127.0.0.1: Fetching https://a.test/x: Invalid host in redirect target, must end in IANA registered TLD",
        &[F::ChallengeRedirectElsewhere, F::ChallengeRedirectMalformed],
    ),
    (
        K::Connection,
        "127.0.0.1: Fetching https://a.test/x: received disallowed redirect status code",
        &[F::ChallengeRedirectMalformed, F::ChallengeRedirectElsewhere],
    ),
    (
        K::Connection,
        "127.0.0.1: Fetching https://a.test/x: Redirect target too long",
        &[F::ChallengeRedirectMalformed],
    ),
    (
        K::Malformed,
        "127.0.0.1: Fetching https://a.test/x: Server only speaks HTTP, not TLS",
        &[
            F::ChallengeRedirectElsewhere,
            F::ChallengeConnectionClosed,
            F::ChallengeRedirectMalformed,
        ],
    ),
    (
        K::Tls,
        "127.0.0.1: Fetching https://a.test/x: remote error: tls: handshake failure",
        &[F::ChallengeConnectionClosed],
    ),
    (
        K::Unauthorized,
        "127.0.0.1: Invalid response from http://a.test/.well-known/acme-challenge/x: 403",
        &[F::ChallengeForbidden],
    ),
    (
        K::Unauthorized,
        "127.0.0.1: Invalid response from http://a.test/.well-known/acme-challenge/x: 404",
        &[F::ChallengeNotFound],
    ),
    (
        K::Unauthorized,
        "127.0.0.1: Invalid response from http://a.test/.well-known/acme-challenge/x: 502",
        &[F::ChallengeServerError],
    ),
    (
        K::Unauthorized,
        "127.0.0.1: Invalid response from http://a.test/x: \"<!DOCTYPE html><title>parked</title>\"",
        &[F::ChallengeWrongAnswer],
    ),
    (
        K::Unauthorized,
        "The key authorization file from the server did not match this challenge. Expected \"a.b\" (got \"c.d\")",
        &[F::ChallengeWrongAnswer],
    ),
    (
        K::Unauthorized,
        "During secondary validation: 127.0.0.1: Invalid response from http://a.test/x: 403",
        &[F::ChallengeForbidden],
    ),
    (
        K::Dns,
        "DNS problem: NXDOMAIN looking up A for a.test - check that a DNS record exists for this domain",
        &[F::DnsNoSuchName],
    ),
    (
        K::Dns,
        "DNS problem: SERVFAIL looking up A for a.test - the domain's nameservers may be malfunctioning",
        &[F::DnsServerFailure],
    ),
    (
        K::Dns,
        "DNS problem: query timed out looking up A for a.test",
        &[F::DnsTimeout],
    ),
    (
        K::Dns,
        "DNS problem: server failure at resolver looking up CAA for a.test",
        &[F::CaBusy, F::DnsServerFailure],
    ),
    (
        K::Dns,
        "DNS problem: looking up CAA for a.test: DNSSEC: Bogus: validation failure",
        &[F::DnssecBogus],
    ),
    (
        K::Dns,
        "DNS problem: REFUSED looking up A for a.test",
        &[F::DnsServerFailure],
    ),
    (
        K::Dns,
        "no valid A records found for a.test; no valid AAAA records found for a.test",
        &[F::DnsNoAddress, F::DnsPrivateAddress],
    ),
];
