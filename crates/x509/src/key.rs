//! Which private key belongs to this certificate?
//!
//! Keys are made as PKCS #8, and read as PKCS #8, SEC1 (`EC PRIVATE KEY`) and PKCS #1 (`RSA PRIVATE KEY`).

use aws_lc_rs::digest;
use rcgen::{KeyPair, RsaKeySize, SignatureAlgorithm};
use renewal::certificate::{Fingerprint, KeyType};
use renewal::secret::Secret;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::SectionKind;
use x509_parser::asn1_rs::{Any, FromDer as _};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
    OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
};
use x509_parser::x509::AlgorithmIdentifier;
use zeroize::Zeroize as _;

use crate::chain::FactsError;
use crate::facts;
use crate::pem::{self, PemError};

/// Makes a private key, in PKCS #8 PEM. RSA takes up to seconds of CPU: not for an async task.
///
/// # Errors
///
/// When the system has no randomness to give.
pub fn generate(kind: KeyType) -> Result<Secret, KeyError> {
    let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
    let pair = match kind {
        KeyType::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        KeyType::EcdsaP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
        KeyType::Rsa2048 => rsa(RsaKeySize::_2048),
        KeyType::Rsa3072 => rsa(RsaKeySize::_3072),
        KeyType::Rsa4096 => rsa(RsaKeySize::_4096),
    };
    let pair = Pair(pair.map_err(|_| KeyError::NotMade)?);
    Ok(to_pem(Form::Pkcs8, pair.serialized_der()))
}

/// The forms in which private keys are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// Any kind of key (RFC 5958).
    Pkcs8,
    /// RSA alone (RFC 8017).
    Pkcs1,
    /// ECDSA alone (RFC 5915).
    Sec1,
}

/// Writes a private key in PEM.
#[must_use]
pub fn to_pem(form: Form, der: &[u8]) -> Secret {
    let label = match form {
        Form::Pkcs8 => "PRIVATE KEY",
        Form::Pkcs1 => "RSA PRIVATE KEY",
        Form::Sec1 => "EC PRIVATE KEY",
    };
    Secret::new(pem::encode(label, der))
}

/// Says whether the private key belongs to the certificate.
///
/// # Errors
///
/// When one of them cannot be read.
pub fn fits(key: &Secret, certificate_der: &[u8]) -> Result<bool, KeyError> {
    let pair = read(key)?;
    let certificate = facts::parse(certificate_der).map_err(KeyError::Certificate)?;
    Ok(pair.public_key_raw() == &*certificate.public_key().subject_public_key.data)
}

/// Returns the SHA-256 of a certificate's public key (its SubjectPublicKeyInfo), by which the key is known for ever.
///
/// # Errors
///
/// When it is no certificate.
pub fn public_fingerprint(certificate_der: &[u8]) -> Result<Fingerprint, KeyError> {
    let certificate = facts::parse(certificate_der).map_err(KeyError::Certificate)?;
    let digest = digest::digest(&digest::SHA256, certificate.public_key().raw);
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest.as_ref());
    Ok(Fingerprint(sha256))
}

/// Says whether the text holds a private key that can be used.
///
/// # Errors
///
/// Why not.
pub fn check(key: &Secret) -> Result<(), KeyError> {
    read(key).map(|_| ())
}

/// A key pair that is wiped when it is dropped.
pub(crate) struct Pair(KeyPair);

impl std::ops::Deref for Pair {
    type Target = KeyPair;

    fn deref(&self) -> &KeyPair {
        &self.0
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Reads the first private key of a PEM text; parameters and certificates around it are passed over.
pub(crate) fn read(key: &Secret) -> Result<Pair, KeyError> {
    let pair = with_der(key, pair)?;
    pair.map(Pair).map_err(|_| KeyError::Unusable)
}

/// Hands the first private key of a PEM text to `read`, decoded; it is wiped afterwards.
///
/// # Errors
///
/// When there is none, or it is protected or damaged. What stands in it is not looked at.
pub fn with_der<T>(
    key: &Secret,
    read: impl FnOnce(&PrivateKeyDer<'_>) -> T,
) -> Result<T, KeyError> {
    let text = key.reveal().as_bytes();
    if is_encrypted(text) {
        return Err(KeyError::Encrypted);
    }
    let (kind, der) = pem::Text::new(text)?
        .private_key()?
        .ok_or(KeyError::Absent)?;
    let der = match kind {
        SectionKind::EcPrivateKey => PrivateKeyDer::Sec1(der[..].into()),
        SectionKind::RsaPrivateKey => PrivateKeyDer::Pkcs1(der[..].into()),
        _ => PrivateKeyDer::Pkcs8(der[..].into()),
    };
    Ok(read(&der))
}

/// Reads a key of the kind that it says it is. To try one kind after the other would check an RSA key five times.
fn pair(der: &PrivateKeyDer<'_>) -> Result<KeyPair, rcgen::Error> {
    match algorithm(der) {
        Some(algorithm) => KeyPair::from_der_and_sign_algo(der, algorithm),
        None => KeyPair::try_from(der),
    }
}

/// Returns what the key says that it is for (RFC 5958 section 2).
fn algorithm(der: &PrivateKeyDer<'_>) -> Option<&'static SignatureAlgorithm> {
    let der = match der {
        PrivateKeyDer::Pkcs1(_) => return Some(&rcgen::PKCS_RSA_SHA256),
        PrivateKeyDer::Pkcs8(der) => der.secret_pkcs8_der(),
        _ => return None,
    };
    let (_, whole) = Any::from_der(der).ok()?;
    let (after_version, _) = Any::from_der(whole.data).ok()?;
    let (_, kind) = AlgorithmIdentifier::from_der(after_version).ok()?;
    let curve = kind
        .parameters
        .as_ref()
        .and_then(|curve| curve.as_oid().ok());
    let oid = match curve {
        Some(curve) if kind.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY => curve,
        _ => kind.algorithm,
    };
    let known: [(_, &SignatureAlgorithm); 5] = [
        (OID_EC_P256, &rcgen::PKCS_ECDSA_P256_SHA256),
        (OID_NIST_EC_P384, &rcgen::PKCS_ECDSA_P384_SHA384),
        (OID_NIST_EC_P521, &rcgen::PKCS_ECDSA_P521_SHA512),
        (OID_PKCS1_RSAENCRYPTION, &rcgen::PKCS_RSA_SHA256),
        (OID_SIG_ED25519, &rcgen::PKCS_ED25519),
    ];
    known
        .into_iter()
        .find_map(|(known, algorithm)| (known == oid).then_some(algorithm))
}

/// A private key could not be made, read or compared. Never shows what stands in it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The system failed.
    #[error("the system could not make a private key")]
    NotMade,
    /// It is no PEM.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// There is none.
    #[error("there is no private key in it")]
    Absent,
    /// nginx could not start unattended with it.
    #[error("the private key in it is protected by a passphrase")]
    Encrypted,
    /// An unknown kind, or bytes that are no key.
    #[error(
        "the private key in it cannot be used: neither RSA of 2048 bits or more, ECDSA nor Ed25519"
    )]
    Unusable,
    /// The other side of the comparison.
    #[error("the certificate cannot be read: {0}")]
    Certificate(FactsError),
    /// The request could not be signed.
    #[error("the certificate request could not be made")]
    Request,
}

/// Says whether a passphrase protects a key in the text.
pub(crate) fn is_encrypted(text: &[u8]) -> bool {
    contains(text, b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || contains(text, b"Proc-Type: 4,ENCRYPTED")
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests;
