//! The port to the CAs.

use jiff::Timestamp;

use crate::certificate::{CertificateId, KeyType};
use crate::finding::Finding;
use crate::ledger::LimitKind;
use crate::name::Name;
use crate::names::Names;
use crate::policy::Ca;
use crate::retry::Blame;
use crate::secret::Secret;
use crate::suggestion::Answer;

/// Obtains certificates. Knows every CA that a policy names; each is contacted on first use.
pub trait Authority: Send + Sync {
    /// Returns the thumbprint (RFC 7638) of our account's key at `ca`; makes the account on first use.
    fn thumbprint(&self, ca: &Ca) -> impl Future<Output = Result<String, OrderFailure>> + Send;

    /// Returns by which names CAA records would let `ca` and our account there issue; nothing when the CA does not say.
    fn issuer(&self, ca: &Ca) -> impl Future<Output = Result<Issuer, OrderFailure>> + Send;

    /// Obtains a certificate; takes up the order at `request.resume` where there is one.
    ///
    /// MUST tell the desk the order's URL before anything else is asked of the CA, and MUST NOT place a
    /// second order while the first can still be fulfilled.
    fn order<D: OrderDesk>(
        &self,
        request: &OrderRequest,
        desk: &D,
    ) -> impl Future<Output = Result<Issued, OrderFailure>> + Send;

    /// Makes a private key. Slow for RSA; MUST NOT block the caller's other work.
    fn make_key(&self, kind: KeyType) -> impl Future<Output = Result<Secret, OrderFailure>> + Send;

    /// Asks when the CA would like the certificate renewed (RFC 9773); `None` when it offers no such thing.
    ///
    /// # Errors
    ///
    /// With [`Blame::Ca`] for an answer that makes no sense or a refusal, which lasts;
    /// with [`Blame::Network`] for anything that passes.
    fn suggestion(
        &self,
        ca: &Ca,
        id: &CertificateId,
    ) -> impl Future<Output = Result<Option<Answer>, OrderFailure>> + Send;
}

/// Who would issue, as CAA records name them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Issuer {
    /// The names of the CA (RFC 8659 section 4.2); none when it does not say.
    pub identities: Vec<String>,
    /// The URL of our account (RFC 8657 section 3); `None` when there is none yet.
    pub account: Option<String>,
}

/// A certificate to obtain.
#[derive(Clone, Debug)]
pub struct OrderRequest {
    /// From whom.
    pub ca: Ca,
    /// For which names.
    pub names: Names,
    /// With which private key; kept by the caller, so that it survives a crash.
    pub key: Secret,
    /// Which kind of certificate, in the CA's words.
    pub profile: Option<String>,
    /// Which certificate it replaces.
    pub replaces: Option<CertificateId>,
    /// The URL of an order that was placed earlier for the same names and key.
    pub resume: Option<String>,
}

/// A certificate as the CA sent it; nothing about it is checked yet.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Leaf first, in PEM; the CA's first choice at the front, its alternates after it (RFC 8555 section 7.4.2).
    pub chains: Vec<String>,
}

/// What the driver does while an order goes on.
pub trait OrderDesk: Send + Sync {
    /// Takes in the order's URL.
    fn placed(&self, url: &str);

    /// Waits until the URL is on disk. MUST have ended before the order is finalized: a certificate that was issued
    /// for an order nobody remembers is lost with its key.
    ///
    /// # Errors
    ///
    /// When it cannot be written down; the order MUST NOT go on then.
    fn recorded(&self) -> impl Future<Output = Result<(), PresentError>> + Send;

    /// Takes in what the order waits for.
    fn waiting(&self, waiting: Waiting);

    /// Puts the answer to a challenge in place. MUST return quickly; safe to repeat.
    fn present(
        &self,
        name: &Name,
        token: &str,
        key_authorization: &str,
    ) -> impl Future<Output = Result<(), PresentError>> + Send;

    /// Takes the answer away. MUST succeed when it is not there.
    fn withdraw(&self, name: &Name, token: &str) -> impl Future<Output = ()> + Send;
}

/// What an order waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Waiting {
    /// The CA to take the order.
    Order,
    /// The CA to look at the challenges.
    Validation,
    /// The CA to sign.
    Issuance,
    /// The chain to arrive.
    Download,
    /// The moment the CA named, after it was busy.
    Until(Timestamp),
}

/// The answer to a challenge could not be put in place.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", .0.explanation)]
pub struct PresentError(pub Finding);

/// An order that did not lead to a certificate.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", self.summary())]
pub struct OrderFailure {
    /// Whose fault it is.
    pub blame: Blame,
    /// The moment before which the CA does not want to be asked again, when it named one.
    pub retry_at: Option<Timestamp>,
    /// The limit that is used up until then, where the CA's words tell which.
    pub limit: Option<LimitKind>,
    /// Whose bucket of that limit it is, where the CA names it.
    pub limit_about: Option<Name>,
    /// Whether the order can be taken up again at its URL: it was not refused, only interrupted.
    pub resumable: bool,
    /// The names whose validation the CA counted as failed.
    pub failed_names: Vec<Name>,
    /// What went wrong; never none. The first is the cause.
    pub findings: Vec<Finding>,
}

impl OrderFailure {
    /// Makes a failure with one finding.
    #[must_use]
    pub fn new(blame: Blame, finding: Finding) -> Self {
        Self {
            blame,
            retry_at: None,
            limit: None,
            limit_about: None,
            resumable: false,
            failed_names: Vec::new(),
            findings: vec![finding],
        }
    }

    /// Returns the cause in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let Some(cause) = self.findings.first() else {
            return "the order failed".to_owned();
        };
        if cause.detail.is_empty() {
            cause.explanation.clone()
        } else {
            format!("{}: {}", cause.explanation, cause.detail)
        }
    }
}
