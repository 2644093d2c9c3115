//! Which limits does a CA have? Data, each with its source and date.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::policy::Ca;

/// A limit that we reckon with.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LimitKind {
    /// New accounts from one address.
    #[error("the limit of new accounts per address")]
    RegistrationsPerAddress,
    /// New accounts from one IPv6 network.
    #[error("the limit of new accounts per IPv6 network")]
    RegistrationsPerRange,
    /// New orders of one account; renewals are exempt.
    #[error("the limit of new orders per account")]
    OrdersPerAccount,
    /// Certificates for names below one registered domain, by anybody; renewals are exempt.
    #[error("the limit of certificates per registered domain")]
    CertificatesPerDomain,
    /// Certificates for exactly the same set of names.
    #[error("the limit of certificates for the same set of names")]
    CertificatesPerExactSet,
    /// Failed validations of one name by one account.
    #[error("the limit of failed validations per name")]
    FailuresPerName,
    /// Failed validations of one name by one account without a success between; at its end the CA pauses the name
    /// until a person lifts that.
    #[error("the limit of failed validations in a row, after which the CA pauses the name")]
    FailuresInARow,
    /// Our own floor under the CA's, at every CA.
    #[error("clpctl's own limit of failed validations per name and hour")]
    OwnFailuresPerName,
    /// Our own patience with a name whose validation failed, at every CA.
    #[error("clpctl's own limit of one failed validation per name and day")]
    OwnFailuresPerDay,
}

impl LimitKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::RegistrationsPerAddress,
        Self::RegistrationsPerRange,
        Self::OrdersPerAccount,
        Self::CertificatesPerDomain,
        Self::CertificatesPerExactSet,
        Self::FailuresPerName,
        Self::FailuresInARow,
        Self::OwnFailuresPerName,
        Self::OwnFailuresPerDay,
    ];

    /// Says whether its buckets belong to single names or domains, so that a refusal must say which.
    pub(super) fn is_about_names(self) -> bool {
        match self {
            Self::CertificatesPerDomain
            | Self::FailuresPerName
            | Self::FailuresInARow
            | Self::OwnFailuresPerName
            | Self::OwnFailuresPerDay => true,
            Self::RegistrationsPerAddress
            | Self::RegistrationsPerRange
            | Self::OrdersPerAccount
            | Self::CertificatesPerExactSet => false,
        }
    }

    /// Says whether it is our own rather than the CA's.
    #[must_use]
    pub fn is_own(self) -> bool {
        matches!(self, Self::OwnFailuresPerName | Self::OwnFailuresPerDay)
    }
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
    /// How many of them are left alone, for what a crash, another host with the same account, or another client spent
    /// without our knowing.
    pub spare: i32,
}

/// Lists the limits of `ca`: those it publishes, and our own.
pub fn limits(ca: &Ca) -> impl Iterator<Item = &'static Limit> {
    let published = PUBLISHED.iter().find(|(directory, _)| *directory == &*ca.0);
    published
        .map_or(&[][..], |(_, limits)| limits)
        .iter()
        .chain(&OWN)
}

/// The limits that CAs publish, by directory. A CA that is not here has none that we reckon with: what it tells with a
/// 429 holds all the same.
///
/// Looked for and not found, as of 2026-08: ZeroSSL says it has none; Google Trust Services asks clients to honour
/// Retry-After and gives no numbers (<https://pki.goog/updates/september2025-acme-best-practices.html>).
static PUBLISHED: [(&str, &[Limit]); 2] = [
    (
        "https://acme-v02.api.letsencrypt.org/directory",
        &LETS_ENCRYPT,
    ),
    (
        "https://acme-staging-v02.api.letsencrypt.org/directory",
        &LETS_ENCRYPT_STAGING,
    ),
];

/// <https://letsencrypt.org/docs/rate-limits/>, as of 2026-08-05.
static LETS_ENCRYPT: [Limit; 7] = [
    limit(LimitKind::RegistrationsPerAddress, 10, HOUR * 3, 1),
    limit(LimitKind::RegistrationsPerRange, 500, HOUR * 3, 5),
    limit(LimitKind::OrdersPerAccount, 300, HOUR * 3, 15),
    limit(LimitKind::CertificatesPerDomain, 50, HOUR * 24 * 7, 2),
    limit(LimitKind::CertificatesPerExactSet, 5, HOUR * 24 * 7, 0),
    limit(LimitKind::FailuresPerName, 5, HOUR, 0),
    limit(LimitKind::FailuresInARow, 1_152, HOUR * 24 * 1_152, 52),
];

/// <https://letsencrypt.org/docs/staging-environment/>, as of 2026-08. Certificates per domain are 30,000 a second.
static LETS_ENCRYPT_STAGING: [Limit; 6] = [
    limit(LimitKind::RegistrationsPerAddress, 50, HOUR * 3, 1),
    limit(LimitKind::RegistrationsPerRange, 500, HOUR * 3, 5),
    limit(LimitKind::OrdersPerAccount, 1_500, HOUR * 3, 15),
    limit(LimitKind::CertificatesPerExactSet, 30_000, HOUR * 24 * 7, 0),
    limit(LimitKind::FailuresPerName, 200, HOUR, 0),
    limit(LimitKind::FailuresInARow, 3_600, HOUR * 6, 52),
];

/// The first is one below the lowest that a public CA is known to have, so that no order is ever refused for failures.
/// The second is what Let's Encrypt's pause limit forgives in a day, which makes it neutral.
static OWN: [Limit; 2] = [
    limit(LimitKind::OwnFailuresPerName, 4, HOUR, 0),
    limit(LimitKind::OwnFailuresPerDay, 1, HOUR * 24, 0),
];

const fn limit(kind: LimitKind, count: i32, hours: i64, spare: i32) -> Limit {
    let period = SignedDuration::from_hours(hours);
    Limit {
        kind,
        count,
        period,
        spare,
    }
}

/// Periods are written in hours.
const HOUR: i64 = 1;
