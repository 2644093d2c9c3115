//! How is a request signed? (RFC 7515, RFC 8555 section 6.2)

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use renewal::secret::Secret;
use rustls_pki_types::PrivateKeyDer;
use serde::Serialize;

/// An account's private key. We make P-256 keys; the others come from accounts of other clients.
pub(crate) enum AccountKey {
    Es256(EcdsaKeyPair),
    Es384(EcdsaKeyPair),
    Rs256(Box<RsaKeyPair>),
}

impl AccountKey {
    /// Reads PKCS #8, SEC1 or PKCS #1 in PEM.
    pub(crate) fn read(pem: &Secret) -> Result<Self, JwsError> {
        x509::key::with_der(pem, Self::of_der).map_err(|_| JwsError::Key)?
    }

    fn of_der(der: &PrivateKeyDer<'_>) -> Result<Self, JwsError> {
        let ecdsa = |algorithm| EcdsaKeyPair::from_private_key_der(algorithm, der.secret_der());
        if let Ok(pair) = ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING) {
            return Ok(Self::Es256(pair));
        }
        if let Ok(pair) = ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING) {
            return Ok(Self::Es384(pair));
        }
        let rsa = match der {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            other => RsaKeyPair::from_pkcs8(other.secret_der()),
        };
        rsa.map(|pair| Self::Rs256(Box::new(pair)))
            .map_err(|_| JwsError::Key)
    }

    /// Returns the public key as a JWK, in the form of which the thumbprint is made (RFC 7638 section 3).
    pub(crate) fn jwk(&self) -> String {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let ecdsa = |curve: &str, pair: &EcdsaKeyPair| {
            // An uncompressed point: 4, then the two coordinates (SEC 1 section 2.3.3).
            let point = &pair.public_key().as_ref()[1..];
            let (x, y) = point.split_at(point.len() / 2);
            format!(
                r#"{{"crv":"{curve}","kty":"EC","x":"{}","y":"{}"}}"#,
                encode(x),
                encode(y)
            )
        };
        match self {
            Self::Es256(pair) => ecdsa("P-256", pair),
            Self::Es384(pair) => ecdsa("P-384", pair),
            Self::Rs256(pair) => {
                let key = pair.public_key();
                let exponent = key.exponent();
                let modulus = key.modulus();
                format!(
                    r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#,
                    encode(exponent.big_endian_without_leading_zero()),
                    encode(modulus.big_endian_without_leading_zero())
                )
            }
        }
    }

    /// Returns the thumbprint (RFC 7638), half of every key authorization.
    pub(crate) fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, self.jwk().as_bytes()))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Es256(_) => "ES256",
            Self::Es384(_) => "ES384",
            Self::Rs256(_) => "RS256",
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, JwsError> {
        let random = SystemRandom::new();
        match self {
            Self::Es256(pair) | Self::Es384(pair) => {
                let signature = pair
                    .sign(&random, message)
                    .map_err(|_| JwsError::Signature)?;
                Ok(signature.as_ref().to_vec())
            }
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(
                    &signature::RSA_PKCS1_SHA256,
                    &random,
                    message,
                    &mut signature,
                )
                .map_err(|_| JwsError::Signature)?;
                Ok(signature)
            }
        }
    }
}

/// How the CA finds the key with which a request is signed.
#[derive(Clone, Copy)]
pub(crate) enum Signer<'a> {
    /// By the account's URL.
    Account(&'a AccountKey, &'a str),
    /// By the key itself: for making an account, and inside a key change.
    Key(&'a AccountKey),
}

/// Signs `payload`; an empty one makes a POST-as-GET (RFC 8555 section 6.3).
///
/// `nonce` is missing only in the inner signature of a key change (RFC 8555 section 7.3.5).
pub(crate) fn sign(
    signer: Signer<'_>,
    url: &str,
    nonce: Option<&str>,
    payload: &str,
) -> Result<String, JwsError> {
    #[derive(Serialize)]
    struct Protected<'a> {
        alg: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        jwk: Option<serde_json::Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        kid: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        nonce: Option<&'a str>,
        url: &'a str,
    }
    let (key, jwk, kid) = match signer {
        Signer::Account(key, account) => (key, None, Some(account)),
        Signer::Key(key) => {
            let jwk = serde_json::from_str(&key.jwk()).map_err(|_| JwsError::Signature)?;
            (key, Some(jwk), None)
        }
    };
    let protected = Protected {
        alg: key.algorithm(),
        jwk,
        kid,
        nonce,
        url,
    };
    let protected = serde_json::to_vec(&protected).map_err(|_| JwsError::Signature)?;
    let mut message = String::with_capacity((protected.len() + payload.len()) * 4 / 3 + 8);
    URL_SAFE_NO_PAD.encode_string(&protected, &mut message);
    let dot = message.len();
    message.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut message);
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes())?);
    Ok(format!(
        r#"{{"protected":"{}","payload":"{}","signature":"{signature}"}}"#,
        &message[..dot],
        &message[dot + 1..]
    ))
}

/// A request could not be signed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum JwsError {
    /// The account's key cannot be read.
    #[error(
        "the account's private key cannot be used: neither P-256, P-384 nor RSA of 2048 bits or more"
    )]
    Key,
    /// The system failed.
    #[error("the system could not make a signature")]
    Signature,
}

#[cfg(test)]
mod tests {
    use super::{AccountKey, Signer, sign};
    use aws_lc_rs::signature::{self, UnparsedPublicKey};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use renewal::certificate::KeyType;

    /// RFC 7638 section 3.1: the example's key, of which only the public part is given.
    #[test]
    fn the_thumbprint_of_rfc_7638_comes_out_of_its_jwk() {
        let jwk = concat!(
            r#"{"e":"AQAB","kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"#,
            r#"tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}"#
        );
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, jwk.as_bytes());
        assert_eq!(
            URL_SAFE_NO_PAD.encode(digest),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    /// RFC 7515 appendix A.3.1: the private key of the ES256 example, as PKCS #8.
    #[test]
    fn the_jwk_of_rfc_7515_comes_out_of_its_key() {
        let (d, x, y) = (
            "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
            "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        );
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let mut der = vec![0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20];
        der.extend(decode(d));
        der.extend([
            0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
        ]);
        der.extend([0xa1, 0x44, 0x03, 0x42, 0x00, 0x04]);
        der.extend(decode(x));
        der.extend(decode(y));
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        let pem = format!("-----BEGIN EC PRIVATE KEY-----\n{body}\n-----END EC PRIVATE KEY-----\n");
        let key = AccountKey::read(&renewal::secret::Secret::new(pem)).unwrap();
        assert_eq!(
            key.jwk(),
            format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
        );
    }

    #[test]
    fn each_kind_of_key_signs_what_its_public_key_verifies() {
        for kind in [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::Rsa2048] {
            let key = AccountKey::read(&x509::key::generate(kind).unwrap()).unwrap();
            let signed = sign(
                Signer::Account(&key, "https://ca/1"),
                "https://ca/new",
                Some("n\"1"),
                "{}",
            )
            .unwrap();
            let signed: serde_json::Value = serde_json::from_str(&signed).unwrap();
            let field = |name: &str| signed[name].as_str().unwrap().to_owned();
            let message = format!("{}.{}", field("protected"), field("payload"));
            let signature = URL_SAFE_NO_PAD.decode(field("signature")).unwrap();
            let verifier: &dyn signature::VerificationAlgorithm = match &key {
                AccountKey::Es256(_) => &signature::ECDSA_P256_SHA256_FIXED,
                AccountKey::Es384(_) => &signature::ECDSA_P384_SHA384_FIXED,
                AccountKey::Rs256(_) => &signature::RSA_PKCS1_2048_8192_SHA256,
            };
            use aws_lc_rs::signature::KeyPair as _;
            let public = match &key {
                AccountKey::Es256(pair) | AccountKey::Es384(pair) => {
                    pair.public_key().as_ref().to_vec()
                }
                AccountKey::Rs256(pair) => pair.public_key().as_ref().to_vec(),
            };
            UnparsedPublicKey::new(verifier, public)
                .verify(message.as_bytes(), &signature)
                .unwrap();
            let protected = URL_SAFE_NO_PAD.decode(field("protected")).unwrap();
            let protected: serde_json::Value = serde_json::from_slice(&protected).unwrap();
            assert_eq!(protected["nonce"], "n\"1");
            assert_eq!(protected["kid"], "https://ca/1");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for pem in [
            "",
            "-----BEGIN PRIVATE KEY-----\nMAMBAf8=\n-----END PRIVATE KEY-----\n",
        ] {
            assert!(AccountKey::read(&renewal::secret::Secret::new(pem.to_owned())).is_err());
        }
    }
}
