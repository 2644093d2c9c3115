//! Whose public key is this, and did it sign that?
//!
//! Keys arrive as JWK (RFC 7517) and are known by their thumbprint (RFC 7638).

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use x509_parser::public_key::PublicKey as X509Key;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::problems::{Problem, ProblemKind};

/// A public key of an account, or of a certificate that revokes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublicKey {
    /// The point, uncompressed.
    P256(Vec<u8>),
    /// The point, uncompressed.
    P384(Vec<u8>),
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
}

/// A JWK as it stands in a header, before anything is known about it.
#[derive(Debug, Deserialize)]
pub(crate) struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl PublicKey {
    /// Reads a JWK.
    pub(crate) fn from_jwk(jwk: &Jwk) -> Result<PublicKey, Problem> {
        match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("EC", Some("P-256")) => Ok(PublicKey::P256(point(jwk, 32)?)),
            ("EC", Some("P-384")) => Ok(PublicKey::P384(point(jwk, 48)?)),
            ("RSA", None) => {
                let modulus = number(jwk.n.as_deref(), "n")?;
                let exponent = number(jwk.e.as_deref(), "e")?;
                if !(2048 / 8..=4096 / 8).contains(&modulus.len()) {
                    return Err(bad_key(&format!(
                        "key size not supported: {}",
                        modulus.len() * 8
                    )));
                }
                Ok(PublicKey::Rsa { modulus, exponent })
            }
            (kty, crv) => Err(bad_key(&format!(
                "unknown key type {kty:?} with curve {crv:?}"
            ))),
        }
    }

    /// Returns the key of a certificate or of a signing request, where it is of a known type.
    pub(crate) fn from_spki(spki: &SubjectPublicKeyInfo<'_>) -> Option<PublicKey> {
        match spki.parsed().ok()? {
            X509Key::EC(point) => match point.data().len() {
                65 => Some(PublicKey::P256(point.data().to_vec())),
                97 => Some(PublicKey::P384(point.data().to_vec())),
                _ => None,
            },
            X509Key::RSA(rsa) => Some(PublicKey::Rsa {
                modulus: without_leading_zeros(rsa.modulus).to_vec(),
                exponent: without_leading_zeros(rsa.exponent).to_vec(),
            }),
            // The remaining types are those of the x509 library: no CA issues for them.
            _ => None,
        }
    }

    /// Returns the one JWS algorithm that fits the key (RFC 7518 section 3.1).
    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            PublicKey::P256(_) => "ES256",
            PublicKey::P384(_) => "ES384",
            PublicKey::Rsa { .. } => "RS256",
        }
    }

    /// Says whether the key made this signature.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            PublicKey::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            PublicKey::P384(point) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature)
            }
            PublicKey::Rsa { modulus, exponent } => RsaPublicKeyComponents {
                n: modulus,
                e: exponent,
            }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
        }
        .is_ok()
    }

    /// Returns the thumbprint that goes into key authorizations (RFC 7638).
    pub(crate) fn thumbprint(&self) -> String {
        let canonical = match self {
            PublicKey::P256(point) => canonical_point("P-256", point),
            PublicKey::P384(point) => canonical_point("P-384", point),
            PublicKey::Rsa { modulus, exponent } => format!(
                r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#,
                URL_SAFE_NO_PAD.encode(exponent),
                URL_SAFE_NO_PAD.encode(modulus)
            ),
        };
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
    }
}

fn canonical_point(curve: &str, point: &[u8]) -> String {
    let (x, y) = point[1..].split_at(point.len() / 2);
    format!(
        r#"{{"crv":"{curve}","kty":"EC","x":"{}","y":"{}"}}"#,
        URL_SAFE_NO_PAD.encode(x),
        URL_SAFE_NO_PAD.encode(y)
    )
}

fn point(jwk: &Jwk, size: usize) -> Result<Vec<u8>, Problem> {
    let mut point = vec![UNCOMPRESSED];
    for (value, name) in [(&jwk.x, "x"), (&jwk.y, "y")] {
        let coordinate = bytes(value.as_deref(), name)?;
        if coordinate.len() != size {
            return Err(bad_key(&format!(
                "coordinate {name:?} has {} bytes, not {size}",
                coordinate.len()
            )));
        }
        point.extend(coordinate);
    }
    Ok(point)
}

fn number(value: Option<&str>, name: &str) -> Result<Vec<u8>, Problem> {
    let number = bytes(value, name)?;
    // RFC 7518 section 6.3.1.1: no leading zero, or one key would have two thumbprints.
    if number.first().is_none_or(|first| *first == 0) {
        return Err(bad_key(&format!("{name:?} is empty or has a leading zero")));
    }
    Ok(number)
}

fn bytes(value: Option<&str>, name: &str) -> Result<Vec<u8>, Problem> {
    let value = value.ok_or_else(|| bad_key(&format!("{name:?} is missing")))?;
    URL_SAFE_NO_PAD
        .decode(value)
        .map_err(|error| bad_key(&format!("{name:?} is no base64url: {error}")))
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn bad_key(detail: &str) -> Problem {
    Problem::new(ProblemKind::BadPublicKey, format!("invalid JWK: {detail}"))
}

/// The first byte of a point whose two coordinates follow (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(jwk: &str, expected: &Expect) {
        let jwk: Jwk = serde_json::from_str(jwk).unwrap();
        let seen =
            PublicKey::from_jwk(&jwk).map_or_else(|problem| problem.detail, |key| key.thumbprint());
        expected.assert_eq(&seen);
    }

    #[test]
    fn the_example_of_rfc_7638_has_its_thumbprint() {
        check(
            r#"{"kty":"RSA","e":"AQAB","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}"#,
            &expect!["NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"],
        );
    }

    #[test]
    fn keys_that_are_none() {
        check(
            r#"{"kty":"oct"}"#,
            &expect![[r#"invalid JWK: unknown key type "oct" with curve None"#]],
        );
        check(
            r#"{"kty":"EC","crv":"P-256","x":"AA"}"#,
            &expect![[r#"invalid JWK: coordinate "x" has 1 bytes, not 32"#]],
        );
        check(
            r#"{"kty":"EC","crv":"P-384"}"#,
            &expect![[r#"invalid JWK: "x" is missing"#]],
        );
        check(
            r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#,
            &expect!["invalid JWK: key size not supported: 24"],
        );
        check(
            r#"{"kty":"RSA","n":"AAAB","e":"AQAB"}"#,
            &expect![[r#"invalid JWK: "n" is empty or has a leading zero"#]],
        );
        check(
            r#"{"kty":"RSA","n":"%","e":"AQAB"}"#,
            &expect![[r#"invalid JWK: "n" is no base64url: Invalid symbol 37, offset 0."#]],
        );
    }
}
