//! Why is a certificate revoked, and what is remembered of that?
//!
//! A revoked certificate is never served again, and a key that somebody else may have is never used again: neither
//! for a certificate that is imported nor by going back to an earlier one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::certificate::Fingerprint;

/// Why a certificate is revoked (RFC 5280 section 5.3.1); those that public CAs accept from subscribers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RevocationReason {
    /// None given.
    #[default]
    Unspecified,
    /// Someone else may have the key.
    KeyCompromise,
    /// It was replaced.
    Superseded,
    /// The site is gone.
    CessationOfOperation,
}

impl RevocationReason {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 4] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::Superseded,
        Self::CessationOfOperation,
    ];

    /// Returns its name in RFC 5280.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
        }
    }

    /// Returns its number in RFC 5280.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
        }
    }
}

impl std::fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for RevocationReason {
    type Err = UnknownReason;

    /// Reads the name as RFC 5280 writes it, or with hyphens, or its number.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.replace(['-', '_'], "").to_ascii_lowercase();
        let known = Self::ALL.into_iter().find(|reason| {
            reason.as_str().eq_ignore_ascii_case(&plain) || reason.code().to_string() == plain
        });
        known.ok_or_else(|| UnknownReason(text.to_owned()))
    }
}

/// There is no such reason, or CAs do not take it from subscribers.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("“{0}” is none of unspecified, keyCompromise, superseded, cessationOfOperation")]
pub struct UnknownReason(String);

/// A certificate that is revoked, or about to be.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Revoked {
    /// The leaf.
    pub leaf: Fingerprint,
    /// Its public key: the SHA-256 of its SubjectPublicKeyInfo.
    pub key: Fingerprint,
    /// Why.
    pub reason: RevocationReason,
    /// When somebody wanted it.
    pub wanted_at: Timestamp,
    /// When the CA said that it is done; `None` until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Timestamp>,
}

impl Revoked {
    /// Says whether the key must never be used again.
    #[must_use]
    pub fn burns_key(&self) -> bool {
        self.reason == RevocationReason::KeyCompromise
    }
}

#[cfg(test)]
mod tests {
    use super::RevocationReason;

    #[test]
    fn a_reason_is_read_in_each_spelling_and_others_are_refused() {
        for (text, code) in [
            ("keyCompromise", 1),
            ("key-compromise", 1),
            ("KEYCOMPROMISE", 1),
            ("1", 1),
            ("superseded", 4),
            ("cessation-of-operation", 5),
            ("unspecified", 0),
        ] {
            assert_eq!(
                text.parse::<RevocationReason>().unwrap().code(),
                code,
                "{text}"
            );
        }
        for text in ["", "2", "cACompromise", "remove-from-crl", "keyCompromise "] {
            assert!(text.parse::<RevocationReason>().is_err(), "{text}");
        }
    }
}
