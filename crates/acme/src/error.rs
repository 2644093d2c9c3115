//! What can go wrong between us and a CA?

use http::StatusCode;
use jiff::Timestamp;

use crate::account::AccountError;
use crate::http::HttpFailure;
use crate::jws::JwsError;
use crate::problem::Problem;

/// A request that did not get what it asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// There was no reply.
    #[error("{call}: {failure}")]
    NoReply { call: String, failure: HttpFailure },
    /// The CA said no, or that it cannot now.
    #[error("{call}: {status}: {problem}")]
    Refused {
        call: String,
        status: StatusCode,
        problem: Box<Problem>,
        retry_at: Option<Timestamp>,
    },
    /// Whoever answers there does not speak ACME.
    #[error("{url} answered with {what}, not an ACME {wanted}")]
    NotAcme {
        url: String,
        what: String,
        wanted: &'static str,
    },
    /// An ACME server's answer that makes no sense.
    #[error("{call}: the answer makes no sense: {cause}")]
    Malformed { call: String, cause: String },
    /// The CA does not offer this.
    #[error("{0}")]
    NotOffered(String),
    /// Our account's file.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Our own signature.
    #[error(transparent)]
    Signature(#[from] JwsError),
}

impl RequestError {
    /// Returns the CA's refusal, when it is one of the kind `name`.
    pub(crate) fn refused_as(&self, name: &str) -> Option<&Problem> {
        match self {
            Self::Refused { problem, .. } if problem.is(name) => Some(problem),
            _ => None,
        }
    }

    /// Says whether the CA said no, for good.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. }) && !self.passes()
    }

    /// Says whether nothing was decided: the same request may be made again later.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::NoReply { .. } => true,
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Malformed { .. } | Self::NotAcme { .. } => true,
            Self::NotOffered(_) | Self::Account(_) | Self::Signature(_) => false,
        }
    }

    /// Says whether there was an answer, but none of ACME's.
    pub(crate) fn makes_no_sense(&self) -> bool {
        matches!(self, Self::NotAcme { .. } | Self::Malformed { .. })
    }
}
