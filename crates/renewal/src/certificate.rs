//! What do the rules know of a certificate?
//!
//! Facts, read elsewhere (crate `x509`) and compared here. The bytes stay on disk.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::window::Window;

/// The facts of one leaf certificate.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// The names it covers, in its own order; DNS names and addresses, unreadable ones left out.
    pub names: Vec<Name>,
    /// From when until when it is valid.
    pub valid: Window,
    /// Who issued it: the issuer's common name, or its organisation where there is none.
    pub issuer: String,
    /// The serial number in lower-case hexadecimal, as `openssl x509 -serial` shows it.
    pub serial: String,
    /// The SHA-256 of the DER.
    pub sha256: Fingerprint,
    /// What the CA calls it in renewal information (RFC 9773 section 4.1); `None` without a key identifier.
    pub id: Option<CertificateId>,
    /// Whether it is signed by its own key, which for the purpose of trust is no certificate at all.
    pub self_signed: bool,
}

impl Certificate {
    /// Says whether Let's Encrypt's staging CA issued it, whose issuers all begin so.
    #[must_use]
    pub fn is_staging(&self) -> bool {
        self.issuer.starts_with("(STAGING)")
    }

    /// Says whether it covers `wanted`, wildcards included.
    #[must_use]
    pub fn covers(&self, wanted: &Name) -> bool {
        self.names.iter().any(|name| name.covers(wanted))
    }

    /// Returns the first wanted name that it does not cover.
    pub fn missing<'a>(&self, wanted: impl IntoIterator<Item = &'a Name>) -> Option<&'a Name> {
        wanted.into_iter().find(|name| !self.covers(name))
    }
}

/// The SHA-256 of a certificate's DER, or of a file; shown in hexadecimal.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        let whole = text.len() == 64 && text.is_ascii();
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = whole.then(|| &text[index * 2..index * 2 + 2]);
            *byte = digits
                .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                .ok_or_else(|| serde::de::Error::custom("a SHA-256 has 64 hexadecimal digits"))?;
        }
        Ok(Self(bytes))
    }
}

/// The identifier of a certificate in renewal information, and in `replaces` (RFC 9773 section 4.1).
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub struct CertificateId(pub String);

/// The kind of key that a certificate gets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyType {
    /// NIST P-256: small, fast, and understood by every browser of the last ten years.
    #[default]
    EcdsaP256,
    /// NIST P-384.
    EcdsaP384,
    /// RSA with 2048 bits, for clients from before 2013.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// RSA with 3072 bits.
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    /// RSA with 4096 bits.
    #[serde(rename = "rsa-4096")]
    Rsa4096,
}
