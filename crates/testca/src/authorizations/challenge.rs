//! By which means can a name be shown, and how far did it get?
//!
//! RFC 8555 section 8. Let's Encrypt's three kinds are offered, so that clients have to
//! choose; only HTTP-01 can be met here.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::ca::Ca;
use crate::clock::rfc3339;
use crate::endpoint::Endpoint;
use crate::random;
use crate::validation::{self, Attempt, Verdict};

#[derive(Clone, Debug)]
pub(super) struct Challenge {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) token: String,
    pub(super) state: State,
}

/// The kinds of challenge that are offered. Only HTTP-01 can be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Http01,
    Dns01,
    TlsAlpn01,
}

#[derive(Clone, Debug)]
pub(super) enum State {
    Pending,
    Processing,
    Done { at: Timestamp, verdict: Verdict },
}

impl Challenge {
    pub(super) fn new(kind: Kind, token: &str) -> Challenge {
        Challenge {
            id: random::id(),
            kind,
            token: token.to_owned(),
            state: State::Pending,
        }
    }

    pub(super) fn document(&self, ca: &Ca) -> Value {
        let mut document = json!({
            "type": self.kind.name(),
            "url": ca.routes.to(Endpoint::Challenge, &self.id),
            "token": self.token,
        });
        match &self.state {
            State::Pending => document["status"] = json!("pending"),
            State::Processing => document["status"] = json!("processing"),
            State::Done { at, verdict } => {
                document["validated"] = json!(rfc3339(*at));
                if !verdict.records.is_empty() {
                    document["validationRecord"] = verdict
                        .records
                        .iter()
                        .map(validation::Record::document)
                        .collect();
                }
                match &verdict.result {
                    Ok(()) => document["status"] = json!("valid"),
                    Err(problem) => {
                        document["status"] = json!("invalid");
                        document["error"] = problem.document();
                    }
                }
            }
        }
        document
    }
}

impl Kind {
    /// Returns what is offered for a name.
    pub(super) fn offered(name: &str) -> Vec<Kind> {
        if name.starts_with("*.") {
            vec![Kind::Dns01]
        } else {
            vec![Kind::Http01, Kind::Dns01, Kind::TlsAlpn01]
        }
    }

    pub(super) async fn validate(self, ca: &Ca, attempt: &Attempt) -> Verdict {
        match self {
            Kind::Http01 => validation::http01(ca, attempt).await,
            Kind::Dns01 => validation::dns01(attempt),
            Kind::TlsAlpn01 => validation::tls_alpn01(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Http01 => "http-01",
            Kind::Dns01 => "dns-01",
            Kind::TlsAlpn01 => "tls-alpn-01",
        }
    }
}
