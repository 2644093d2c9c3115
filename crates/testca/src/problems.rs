//! How does the practice CA say no?
//!
//! With a problem document (RFC 7807, with the types of RFC 8555 section 6.7). The status
//! that goes with a type is Let's Encrypt's.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock::http_date;

/// A refusal, as the client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The type of the problem.
    pub kind: ProblemKind,
    /// The HTTP status that goes with it.
    pub status: u16,
    /// The sentence for people.
    pub detail: String,
    /// What is wrong with each single name, where several are.
    pub subproblems: Vec<Subproblem>,
    /// When to come back.
    pub retry_after: Option<RetryAfter>,
    /// The page that explains it, for a `Link` header with `rel="help"`.
    pub help: Option<String>,
}

/// A problem of one name among several (RFC 8555 section 6.7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subproblem {
    /// The type of the problem.
    pub kind: ProblemKind,
    /// The sentence for people.
    pub detail: String,
    /// The name it is about.
    pub name: String,
}

/// When a client may come back, in either form of RFC 9110 section 10.2.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// So many seconds from now, written as a number.
    Seconds(u32),
    /// So many seconds from now, written as a date.
    DateIn(u32),
}

/// The types of problems (RFC 8555 section 6.7, RFC 9773 section 7.4, and Let's Encrypt's own).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the names are those of the registered error types"
)]
pub enum ProblemKind {
    AccountDoesNotExist,
    AlreadyReplaced,
    AlreadyRevoked,
    BadCsr,
    BadNonce,
    BadPublicKey,
    BadRevocationReason,
    BadSignatureAlgorithm,
    Caa,
    Conflict,
    Connection,
    Dns,
    InvalidContact,
    InvalidProfile,
    Malformed,
    OrderNotReady,
    RateLimited,
    RejectedIdentifier,
    ServerInternal,
    Tls,
    Unauthorized,
    UnsupportedContact,
    UnsupportedIdentifier,
    UserActionRequired,
}

impl Problem {
    /// Returns a problem of this type, with the status that Let's Encrypt gives it.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Problem {
        Problem {
            kind,
            status: kind.status(),
            detail: detail.into(),
            subproblems: Vec::new(),
            retry_after: None,
            help: None,
        }
    }

    /// Sets another HTTP status than the usual one.
    pub fn with_status(mut self, status: u16) -> Problem {
        self.status = status;
        self
    }

    /// Says when to come back.
    pub fn with_retry_after(mut self, retry_after: RetryAfter) -> Problem {
        self.retry_after = Some(retry_after);
        self
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Problem {
        Problem::new(ProblemKind::Malformed, detail)
    }

    pub(crate) fn unauthorized(detail: impl Into<String>) -> Problem {
        Problem::new(ProblemKind::Unauthorized, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Problem {
        Problem::malformed(detail).with_status(404)
    }

    /// Returns the document as it stands in a body, a challenge or an order.
    pub(crate) fn document(&self) -> Value {
        let mut document = json!({
            "type": self.kind.urn(),
            "detail": self.detail,
            "status": self.status,
        });
        if self.kind == ProblemKind::BadSignatureAlgorithm {
            // RFC 8555 section 6.2: the refusal lists what would be accepted.
            document["algorithms"] = json!(["ES256", "ES384", "RS256"]);
        }
        if !self.subproblems.is_empty() {
            document["subproblems"] = self.subproblems.iter().map(Subproblem::document).collect();
        }
        document
    }
}

impl Subproblem {
    fn document(&self) -> Value {
        json!({
            "type": self.kind.urn(),
            "detail": self.detail,
            "identifier": { "type": "dns", "value": self.name },
        })
    }
}

impl RetryAfter {
    /// Returns how many seconds from now are meant.
    pub fn seconds(self) -> u32 {
        match self {
            RetryAfter::Seconds(seconds) | RetryAfter::DateIn(seconds) => seconds,
        }
    }

    pub(crate) fn header(self, now: Timestamp) -> String {
        match self {
            RetryAfter::Seconds(seconds) => seconds.to_string(),
            RetryAfter::DateIn(seconds) => {
                http_date(now + std::time::Duration::from_secs(seconds.into()))
            }
        }
    }
}

impl ProblemKind {
    /// Returns the URN of the type.
    pub fn urn(self) -> String {
        format!("urn:ietf:params:acme:error:{}", self.name())
    }

    fn name(self) -> &'static str {
        match self {
            ProblemKind::AccountDoesNotExist => "accountDoesNotExist",
            ProblemKind::AlreadyReplaced => "alreadyReplaced",
            ProblemKind::AlreadyRevoked => "alreadyRevoked",
            ProblemKind::BadCsr => "badCSR",
            ProblemKind::BadNonce => "badNonce",
            ProblemKind::BadPublicKey => "badPublicKey",
            ProblemKind::BadRevocationReason => "badRevocationReason",
            ProblemKind::BadSignatureAlgorithm => "badSignatureAlgorithm",
            ProblemKind::Caa => "caa",
            ProblemKind::Conflict => "conflict",
            ProblemKind::Connection => "connection",
            ProblemKind::Dns => "dns",
            ProblemKind::InvalidContact => "invalidContact",
            ProblemKind::InvalidProfile => "invalidProfile",
            ProblemKind::Malformed => "malformed",
            ProblemKind::OrderNotReady => "orderNotReady",
            ProblemKind::RateLimited => "rateLimited",
            ProblemKind::RejectedIdentifier => "rejectedIdentifier",
            ProblemKind::ServerInternal => "serverInternal",
            ProblemKind::Tls => "tls",
            ProblemKind::Unauthorized => "unauthorized",
            ProblemKind::UnsupportedContact => "unsupportedContact",
            ProblemKind::UnsupportedIdentifier => "unsupportedIdentifier",
            ProblemKind::UserActionRequired => "userActionRequired",
        }
    }

    fn status(self) -> u16 {
        match self {
            ProblemKind::AccountDoesNotExist
            | ProblemKind::AlreadyRevoked
            | ProblemKind::BadCsr
            | ProblemKind::BadNonce
            | ProblemKind::BadPublicKey
            | ProblemKind::BadRevocationReason
            | ProblemKind::BadSignatureAlgorithm
            | ProblemKind::Connection
            | ProblemKind::Dns
            | ProblemKind::InvalidContact
            | ProblemKind::InvalidProfile
            | ProblemKind::Malformed
            | ProblemKind::RejectedIdentifier
            | ProblemKind::Tls
            | ProblemKind::UnsupportedContact
            | ProblemKind::UnsupportedIdentifier => 400,
            ProblemKind::Caa
            | ProblemKind::OrderNotReady
            | ProblemKind::Unauthorized
            | ProblemKind::UserActionRequired => 403,
            ProblemKind::AlreadyReplaced | ProblemKind::Conflict => 409,
            ProblemKind::RateLimited => 429,
            ProblemKind::ServerInternal => 500,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(problem: &Problem, expected: &Expect) {
        expected.assert_eq(&problem.document().to_string());
    }

    #[test]
    fn one_problem() {
        check(
            &Problem::new(ProblemKind::Caa, "CAA record for a.test prevents issuance"),
            &expect![[
                r#"{"detail":"CAA record for a.test prevents issuance","status":403,"type":"urn:ietf:params:acme:error:caa"}"#
            ]],
        );
    }

    #[test]
    fn each_name_has_its_own_problem() {
        let mut problem = Problem::malformed("two names");
        problem.subproblems.push(Subproblem {
            kind: ProblemKind::RejectedIdentifier,
            detail: "no".to_owned(),
            name: "a.test".to_owned(),
        });
        check(
            &problem,
            &expect![[
                r#"{"detail":"two names","status":400,"subproblems":[{"detail":"no","identifier":{"type":"dns","value":"a.test"},"type":"urn:ietf:params:acme:error:rejectedIdentifier"}],"type":"urn:ietf:params:acme:error:malformed"}"#
            ]],
        );
    }

    #[test]
    fn the_accepted_algorithms_are_listed() {
        check(
            &Problem::new(ProblemKind::BadSignatureAlgorithm, "HS256"),
            &expect![[
                r#"{"algorithms":["ES256","ES384","RS256"],"detail":"HS256","status":400,"type":"urn:ietf:params:acme:error:badSignatureAlgorithm"}"#
            ]],
        );
    }

    #[test]
    fn both_forms_of_retry_after() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(RetryAfter::Seconds(90).header(now), "90");
        assert_eq!(
            RetryAfter::DateIn(90).header(now),
            "Thu, 01 Jan 2026 00:01:30 GMT"
        );
    }
}
