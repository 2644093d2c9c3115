//! Did this key sign that certificate?

use aws_lc_rs::signature::{self, VerificationAlgorithm};
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512,
};
use x509_parser::x509::SubjectPublicKeyInfo;

/// Verifies the signature of `certificate` with the issuer's key.
pub(crate) fn verify(
    certificate: &X509Certificate<'_>,
    issuer_key: &SubjectPublicKeyInfo<'_>,
) -> Result<(), Failure> {
    if let Some(algorithm) = ecdsa(certificate, issuer_key) {
        let key = signature::UnparsedPublicKey::new(algorithm, &issuer_key.subject_public_key.data);
        return key
            .verify(
                certificate.tbs_certificate.as_ref(),
                &certificate.signature_value.data,
            )
            .map_err(|_| Failure::Wrong);
    }
    match certificate.verify_signature(Some(issuer_key)) {
        Ok(()) => Ok(()),
        Err(X509Error::SignatureUnsupportedAlgorithm) => Err(Failure::Unsupported),
        Err(_) => Err(Failure::Wrong),
    }
}

/// Why a signature did not verify.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// Another key made it, or something was changed.
    Wrong,
    /// The algorithm is not known here.
    Unsupported,
}

/// Returns the algorithm of an ECDSA signature. The parser's own table knows neither P-521 nor SHA-512.
fn ecdsa(
    certificate: &X509Certificate<'_>,
    issuer_key: &SubjectPublicKeyInfo<'_>,
) -> Option<&'static dyn VerificationAlgorithm> {
    let curve = issuer_key.algorithm.parameters.as_ref()?.as_oid().ok()?;
    let hash = &certificate.signature_algorithm.algorithm;
    let row = [
        (
            OID_EC_P256,
            [
                &signature::ECDSA_P256_SHA256_ASN1,
                &signature::ECDSA_P256_SHA384_ASN1,
                &signature::ECDSA_P256_SHA512_ASN1,
            ],
        ),
        (
            OID_NIST_EC_P384,
            [
                &signature::ECDSA_P384_SHA256_ASN1,
                &signature::ECDSA_P384_SHA384_ASN1,
                &signature::ECDSA_P384_SHA512_ASN1,
            ],
        ),
        (
            OID_NIST_EC_P521,
            [
                &signature::ECDSA_P521_SHA256_ASN1,
                &signature::ECDSA_P521_SHA384_ASN1,
                &signature::ECDSA_P521_SHA512_ASN1,
            ],
        ),
    ]
    .into_iter()
    .find_map(|(known, row)| (known == curve).then_some(row))?;
    let column = [
        OID_SIG_ECDSA_WITH_SHA256,
        OID_SIG_ECDSA_WITH_SHA384,
        OID_SIG_ECDSA_WITH_SHA512,
    ]
    .iter()
    .position(|known| known == hash)?;
    Some(row[column])
}
