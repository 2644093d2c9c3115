//! How is an account taken over that another client made, and given back?
//!
//! The same key is the same account at the CA (RFC 8555 section 7.3.1), so CAA records that name it and the limits
//! that count for it stay what they were. The other client's files are read and left as they are.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use renewal::policy::Ca;
use renewal::secret::Secret;
use serde::Deserialize;
use x509::key::Form;
use zeroize::Zeroizing;

use super::file::{AccountError, AccountFile, Record};
use crate::jws::AccountKey;

/// An account that another client made.
#[derive(Clone, Debug)]
pub struct ForeignAccount {
    /// Its private key, in PEM.
    pub key: Secret,
    /// Its URL, when the other client wrote it down; else the CA is asked on first use.
    pub url: Option<String>,
    /// The addresses that the CA may write to.
    pub contact: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What came of taking an account over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Takeover {
    /// It is ours as well now, or would be; kept in this file.
    Taken(PathBuf),
    /// It was already.
    Same(PathBuf),
    /// We have another account at this CA, which stays.
    Another(PathBuf),
}

/// Takes the account over as ours at `ca`, unless we have one there; only says so when `apply` is false.
pub(crate) fn take_over(
    file: &AccountFile,
    ca: &Ca,
    account: &ForeignAccount,
    apply: bool,
) -> Result<Takeover, AccountError> {
    let path = file.path().to_owned();
    let theirs = thumbprint(file, &account.key)?;
    if let Some(ours) = file.read()? {
        let same = thumbprint(file, &ours.key.into())? == theirs;
        return Ok(if same {
            Takeover::Same(path)
        } else {
            Takeover::Another(path)
        });
    }
    if apply {
        file.create(&Record {
            directory: ca.0.to_string(),
            url: account.url.clone(),
            key: super::text_of(&account.key),
            next_key: None,
            contact: account.contact.clone(),
            created_at: account.created_at,
            deactivated_at: None,
        })?;
    }
    Ok(Takeover::Taken(path))
}

/// Forgets the account if its key is still the one with this thumbprint, and says whether it did: with another key the
/// other client could not use the account any more, and the only copy of the key would be lost.
pub(crate) fn give_back(file: &AccountFile, theirs: &str) -> Result<bool, AccountError> {
    let Some(ours) = file.read()? else {
        return Ok(true);
    };
    let unchanged = ours.next_key.is_none() && thumbprint(file, &ours.key.into())? == theirs;
    if unchanged {
        file.remove()?;
    }
    Ok(unchanged)
}

fn thumbprint(file: &AccountFile, key: &Secret) -> Result<String, AccountError> {
    let key = AccountKey::read(key).map_err(|error| file.unusable(error))?;
    Ok(key.thumbprint())
}

/// Returns the thumbprint (RFC 7638) of a private key in PEM; `None` when no account can have such a key.
#[must_use]
pub fn thumbprint_of(key: &Secret) -> Option<String> {
    AccountKey::read(key).ok().map(|key| key.thumbprint())
}

/// Reads a private key that is written as a JWK (RFC 7517), and writes it in PEM.
///
/// # Errors
///
/// When it is no RSA, P-256 or P-384 key. Never shows what stands there.
pub fn pem_of_jwk(jwk: &Secret) -> Result<Secret, JwkError> {
    let key: Jwk = serde_json::from_str(jwk.reveal()).map_err(|_| JwkError)?;
    let pem = match key {
        Jwk::Rsa(rsa) => x509::key::to_pem(Form::Pkcs1, &Zeroizing::new(rsa.pkcs1()?)),
        Jwk::Ec(ec) => x509::key::to_pem(Form::Sec1, &Zeroizing::new(ec.sec1()?)),
    };
    AccountKey::read(&pem).map_err(|_| JwkError)?;
    Ok(pem)
}

/// The text is no private key in a form that ACME accounts have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("it holds no RSA, P-256 or P-384 key as a JWK")]
pub struct JwkError;

#[derive(Deserialize)]
#[serde(tag = "kty")]
enum Jwk {
    #[serde(rename = "RSA")]
    Rsa(Rsa),
    #[serde(rename = "EC")]
    Ec(Ec),
}

/// RFC 7518 section 6.3.
#[derive(Deserialize)]
struct Rsa {
    n: String,
    e: String,
    d: Zeroizing<String>,
    p: Zeroizing<String>,
    q: Zeroizing<String>,
    dp: Zeroizing<String>,
    dq: Zeroizing<String>,
    qi: Zeroizing<String>,
}

impl Rsa {
    /// RFC 8017 appendix A.1.2.
    fn pkcs1(&self) -> Result<Vec<u8>, JwkError> {
        let Self {
            n,
            e,
            d,
            p,
            q,
            dp,
            dq,
            qi,
        } = self;
        let mut body = integer(&[0]);
        for number in [n, e, &**d, p, q, dp, dq, qi] {
            body.extend(integer(&decode(number)?));
        }
        Ok(element(SEQUENCE, &body))
    }
}

/// RFC 7518 section 6.2.
#[derive(Deserialize)]
struct Ec {
    crv: String,
    x: String,
    y: String,
    d: Zeroizing<String>,
}

impl Ec {
    /// RFC 5915 section 3.
    fn sec1(&self) -> Result<Vec<u8>, JwkError> {
        let (curve, bytes) = match self.crv.as_str() {
            "P-256" => (&P256[..], 32_usize),
            "P-384" => (&P384[..], 48),
            _ => return Err(JwkError),
        };
        let padded = |text: &str| -> Result<Vec<u8>, JwkError> {
            let number = decode(text)?;
            let missing = bytes.checked_sub(number.len()).ok_or(JwkError)?;
            Ok([vec![0; missing], number].concat())
        };
        // No unused bits, and an uncompressed point (SEC 1 section 2.3.3).
        let point = [vec![0, 4], padded(&self.x)?, padded(&self.y)?].concat();
        let body = [
            integer(&[1]),
            element(OCTETS, &padded(&self.d)?),
            element(CONTEXT, curve),
            element(CONTEXT | 1, &element(BITS, &point)),
        ];
        Ok(element(SEQUENCE, &body.concat()))
    }
}

fn decode(text: &str) -> Result<Vec<u8>, JwkError> {
    URL_SAFE_NO_PAD
        .decode(text.trim_end_matches('='))
        .map_err(|_| JwkError)
}

/// Encodes a number that is not negative (X.690 section 8.3).
fn integer(bytes: &[u8]) -> Vec<u8> {
    let first = bytes.iter().position(|byte| *byte != 0);
    let digits = first.map_or(&[0][..], |first| &bytes[first..]);
    let sign = if digits[0] & 0x80 != 0 { &[0][..] } else { &[] };
    element(INTEGER, &[sign, digits].concat())
}

/// Encodes a tag, a length and what it is the length of (X.690 section 8.1).
fn element(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len().to_be_bytes();
    let significant: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut der = vec![tag];
    match (u8::try_from(body.len()), u8::try_from(significant.len())) {
        (Ok(short), _) if short < 0x80 => der.push(short),
        (_, Ok(count)) => {
            der.push(0x80 | count);
            der.extend(significant);
        }
        // A length has at most eight bytes.
        (_, Err(_)) => {}
    }
    der.extend_from_slice(body);
    der
}

/// X.690 section 8.
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
/// Number 0 of the context; numbers are added to it.
const CONTEXT: u8 = 0xa0;

/// The curves' object identifiers, encoded (RFC 5480 section 2.1.1.1).
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

#[cfg(test)]
mod tests;
