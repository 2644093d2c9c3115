//! Which limits does a CA have? Data, each with its source and date.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::policy::Ca;

/// A limit that we reckon with.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LimitKind {
    /// New orders of one account; renewals are exempt.
    #[error("the limit of new orders per account")]
    OrdersPerAccount,
    /// Certificates for exactly the same set of names.
    #[error("the limit of certificates for the same set of names")]
    CertificatesPerExactSet,
    /// Failed validations of one name by one account.
    #[error("the limit of failed validations per name")]
    FailuresPerName,
    /// Our own floor under the CA's, at every CA.
    #[error("clpctl's own limit of failed validations per name")]
    OwnFailuresPerName,
}

/// `count` at once, refilled evenly over `period`.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Which one it is.
    pub kind: LimitKind,
    /// How many a full bucket holds.
    pub count: i32,
    /// How long an empty bucket takes to fill.
    pub period: SignedDuration,
}

impl Limit {
    /// Says whether the CA publishes how much there is; of the others only what the CA tells is known.
    #[must_use]
    pub fn is_published(&self) -> bool {
        !self.period.is_zero()
    }
}

/// Lists the limits of `ca`: those it publishes, or else those it may tell of, and our own.
pub fn limits(ca: &Ca) -> impl Iterator<Item = &'static Limit> {
    let published: &[Limit] = match &*ca.0 {
        "https://acme-v02.api.letsencrypt.org/directory" => &LETS_ENCRYPT,
        "https://acme-staging-v02.api.letsencrypt.org/directory" => &LETS_ENCRYPT_STAGING,
        _ => &TOLD,
    };
    published.iter().chain(&OWN)
}

/// <https://letsencrypt.org/docs/rate-limits/>, as of 2026-08-05.
static LETS_ENCRYPT: [Limit; 3] = [
    Limit {
        kind: LimitKind::OrdersPerAccount,
        count: 300,
        period: SignedDuration::from_hours(3),
    },
    Limit {
        kind: LimitKind::CertificatesPerExactSet,
        count: 5,
        period: SignedDuration::from_hours(7 * 24),
    },
    Limit {
        kind: LimitKind::FailuresPerName,
        count: 5,
        period: SignedDuration::from_hours(1),
    },
];

/// <https://letsencrypt.org/docs/staging-environment/>, as of 2026-08.
static LETS_ENCRYPT_STAGING: [Limit; 3] = [
    Limit {
        kind: LimitKind::OrdersPerAccount,
        count: 1_500,
        period: SignedDuration::from_hours(3),
    },
    Limit {
        kind: LimitKind::CertificatesPerExactSet,
        count: 30_000,
        period: SignedDuration::from_hours(7 * 24),
    },
    Limit {
        kind: LimitKind::FailuresPerName,
        count: 200,
        period: SignedDuration::from_hours(1),
    },
];

/// What any CA may have without saying how much. They are never reckoned with, and hold once the CA refuses.
static TOLD: [Limit; 2] = [
    Limit {
        kind: LimitKind::OrdersPerAccount,
        count: 1,
        period: SignedDuration::ZERO,
    },
    Limit {
        kind: LimitKind::CertificatesPerExactSet,
        count: 1,
        period: SignedDuration::ZERO,
    },
];

/// One below the lowest that a public CA is known to have, so that no order is ever refused for failures.
static OWN: [Limit; 1] = [Limit {
    kind: LimitKind::OwnFailuresPerName,
    count: 4,
    period: SignedDuration::from_hours(1),
}];
