//! What does the driver learn of a failure?
//!
//! Everything that can go wrong here becomes an [`OrderFailure`]: whose fault, when again, and findings for people.

use renewal::finding::{Finding, FindingName};
use renewal::name::Name;
use renewal::ports::OrderFailure;
use renewal::retry::Blame;

use crate::account::AccountError;
use crate::bounds::{FINDINGS_MAX, WORDS_MAX};
use crate::diagnosis::{self, Diagnosis};
use crate::error::RequestError;
use crate::http::HttpFailure;

impl From<RequestError> for OrderFailure {
    fn from(error: RequestError) -> Self {
        let resumable = error.passes();
        let text = error.to_string();
        let mut failure = match error {
            RequestError::Refused { status, problem, retry_at, .. } => {
                let mut failure = diagnosed(diagnosis::refusal(status, &problem), None);
                failure.retry_at = retry_at;
                failure
            }
            RequestError::NoReply { failure, .. } => no_reply(&failure, text),
            RequestError::NotAcme { .. } => Self::new(
                Blame::Ca,
                Finding::new(FindingName::CaUnreachable, text)
                    .fix("Compare acme.directory with the CA's documentation; if it is right, the CA, or a proxy on the way, is at fault."),
            ),
            RequestError::Malformed { .. } => Self::new(
                Blame::Ca,
                Finding::new(FindingName::CaUnreachable, "the CA's answer cannot be understood")
                    .detail(text)
                    .fix("Try again later. If it stays, tell the CA, with the lines of the ACME log."),
            ),
            RequestError::NotOffered(why) => Self::new(
                Blame::Host,
                Finding::new(FindingName::OrderRejected, why)
                    .fix("Change the settings in [acme] to what this CA offers, or choose another CA."),
            ),
            RequestError::Account(error) => account(&error),
            RequestError::Signature(error) => Self::new(
                Blame::Host,
                Finding::new(FindingName::OrderRejected, error.to_string()),
            ),
        };
        failure.resumable = resumable;
        failure
    }
}

fn no_reply(failure: &HttpFailure, text: String) -> OrderFailure {
    let finding = match failure {
        HttpFailure::NotTrusted(_) => Finding::new(
            FindingName::CaNotTrusted,
            "the CA's own certificate is not trusted, so nothing was sent to it",
        )
        .fix("For a private CA, name its root certificate in acme.ca_bundle. For a public one, look at this host's clock, and for a proxy that opens TLS."),
        HttpFailure::NoConnection(_) | HttpFailure::Broken(_) | HttpFailure::Silent(_) | HttpFailure::TooLong => {
            Finding::new(FindingName::CaUnreachable, "the CA cannot be reached")
                .fix("Look at this host's DNS, its way out to port 443, and the CA's status page. clpctl tries again by itself.")
        }
    };
    OrderFailure::new(Blame::Network, finding.detail(text))
}

fn account(error: &AccountError) -> OrderFailure {
    let cause = match error {
        AccountError::File { kind, .. } => Some(*kind),
        AccountError::Unusable { .. } => None,
    };
    let name = match cause {
        Some(std::io::ErrorKind::StorageFull) => FindingName::DiskFull,
        Some(_) | None => FindingName::AccountGone,
    };
    let finding = Finding::new(name, error.to_string())
        .fix("The account's file must be readable and writable for root, and whole. Restore it from a backup rather than removing it: without its key the account is lost.");
    OrderFailure::new(Blame::Host, finding)
}

/// Makes a failure of a diagnosis; `validated` is the name whose validation the CA counted.
pub(crate) fn diagnosed(diagnosis: Diagnosis, validated: Option<&Name>) -> OrderFailure {
    OrderFailure {
        blame: diagnosis.blame,
        retry_at: diagnosis.retry_at,
        limit: diagnosis.limit,
        limit_about: diagnosis.limit_about,
        resumable: false,
        failed_names: validated.cloned().into_iter().collect(),
        findings: diagnosis.findings,
    }
}

/// Keeps of a CA's words what people can read: it may send a quarter of a mebibyte of them or a name for each
/// three bytes.
pub(crate) fn bounded(mut failure: OrderFailure) -> OrderFailure {
    failure.findings.truncate(FINDINGS_MAX);
    for finding in &mut failure.findings {
        for text in [
            &mut finding.explanation,
            &mut finding.detail,
            &mut finding.fix,
        ] {
            if let Some((end, _)) = text.char_indices().nth(WORDS_MAX) {
                text.truncate(end);
                text.push('…');
            }
        }
    }
    failure
}

/// Joins the failures of several names of one order.
pub(crate) fn join(joined: Option<OrderFailure>, other: OrderFailure) -> OrderFailure {
    let Some(mut joined) = joined else {
        return other;
    };
    // What a site's owner must mend comes first: it will not pass by itself.
    if rank(other.blame) < rank(joined.blame) {
        joined.blame = other.blame;
        joined.findings.splice(0..0, other.findings);
    } else {
        joined.findings.extend(other.findings);
    }
    joined.retry_at = joined.retry_at.max(other.retry_at);
    if joined.limit.is_none() {
        joined.limit = other.limit;
        joined.limit_about = other.limit_about;
    }
    joined.resumable &= other.resumable;
    joined.failed_names.extend(other.failed_names);
    joined
}

fn rank(blame: Blame) -> u8 {
    match blame {
        Blame::Site => 0,
        Blame::Host => 1,
        Blame::Ca => 2,
        Blame::Network => 3,
    }
}

/// The answer to a challenge could not be put in place: the CA was not told to look, so the order can wait.
pub(crate) fn present(finding: Finding) -> OrderFailure {
    OrderFailure {
        resumable: true,
        ..OrderFailure::new(Blame::Host, finding)
    }
}

/// The CA takes longer than we wait.
pub(crate) fn slow(what: &str) -> OrderFailure {
    let finding = Finding::new(FindingName::CaBusy, "the CA takes unusually long")
        .detail(what)
        .fix("Nothing: clpctl takes the order up again later.");
    OrderFailure {
        resumable: true,
        ..OrderFailure::new(Blame::Ca, finding)
    }
}

/// An authorization is of no use any more.
pub(crate) fn spent(name: &Name, state: &str) -> OrderFailure {
    let explanation = format!("the CA's permission for {name} is {state}");
    let finding = Finding::new(FindingName::OrderRejected, explanation)
        .fix("Nothing: clpctl places a new order.");
    OrderFailure::new(Blame::Ca, finding)
}

/// The CA offers other ways only.
pub(crate) fn no_http01(name: &Name, offered: &str) -> OrderFailure {
    let offered = if offered.is_empty() {
        "nothing"
    } else {
        offered
    };
    let finding = Finding::new(
        FindingName::OrderRejected,
        format!("the CA does not offer to validate {name} over HTTP, only by {offered}"),
    )
    .fix("A wildcard can only be proved over DNS. For any other name ask the CA why it does not offer http-01.");
    OrderFailure::new(Blame::Ca, finding)
}

/// The CA's answer contradicts RFC 8555 or itself.
pub(crate) fn malformed(cause: impl std::fmt::Display) -> RequestError {
    RequestError::Malformed {
        call: "the order".to_owned(),
        cause: cause.to_string(),
    }
}
