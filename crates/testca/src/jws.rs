//! Who signed this request, and is the signature good for exactly this request?
//!
//! RFC 8555 sections 6.2 to 6.5. Nothing is forgiven: a client that passes here passes
//! at a real CA.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Method;
use hyper::body::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::accounts::Account;
use crate::ca::Ca;
use crate::endpoint::{Endpoint, Route};
use crate::faults::{NonceFault, Occasion};
use crate::keys::{Jwk, PublicKey};
use crate::problems::{Problem, ProblemKind};

/// A request, read but not yet believed.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) route: Route<'a>,
    /// The URL the client must have signed.
    pub(crate) url: String,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Bytes,
}

/// A request whose signature was checked.
#[derive(Debug)]
pub(crate) struct Signed {
    signer: Signer,
    payload: Vec<u8>,
}

/// Who signed.
#[derive(Debug)]
pub(crate) enum Signer {
    /// Someone who brought the key along.
    Key(PublicKey),
    /// The owner of a valid account.
    Account(Account),
}

/// A JWS in its flattened form, taken apart (RFC 7515 section 7.2.2).
#[derive(Debug)]
pub(crate) struct Jws {
    header: Header,
    signing_input: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flattened {
    protected: String,
    payload: String,
    signature: String,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    url: Option<String>,
    nonce: Option<String>,
    kid: Option<String>,
    jwk: Option<Jwk>,
    crit: Option<serde_json::Value>,
}

/// Checks a signed request.
pub(crate) fn open(ca: &Ca, call: &Call<'_>) -> Result<Signed, Problem> {
    if call.content_type.as_deref() != Some("application/jose+json") {
        return Err(Problem::malformed(
            "Invalid Content-Type header on POST. Content-Type must be \"application/jose+json\"",
        )
        .with_status(415));
    }
    let jws = Jws::read(&call.body)?;
    let signer = signer(ca, &jws.header)?;
    jws.verify(signer.key())?;
    check_nonce(ca, call, jws.header.nonce.as_deref())?;
    jws.check_url(&call.url)?;
    Ok(Signed {
        signer,
        payload: jws.payload,
    })
}

impl Signed {
    /// Returns the account that signed.
    pub(crate) fn account(&self) -> Result<&Account, Problem> {
        match &self.signer {
            Signer::Account(account) => Ok(account),
            Signer::Key(_) => Err(Problem::malformed("No Key ID in JWS header")),
        }
    }

    /// Returns the key that came along with the request.
    pub(crate) fn new_key(&self) -> Result<&PublicKey, Problem> {
        match &self.signer {
            Signer::Key(key) => Ok(key),
            Signer::Account(_) => Err(Problem::malformed("No embedded JWK in JWS header")),
        }
    }

    pub(crate) fn signer(&self) -> &Signer {
        &self.signer
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Checks that the request only asks for a look (RFC 8555 section 6.3).
    pub(crate) fn is_post_as_get(&self) -> bool {
        self.payload.is_empty()
    }

    /// Refuses a request that wants more than a look.
    pub(crate) fn expect_post_as_get(&self) -> Result<(), Problem> {
        if self.is_post_as_get() {
            return Ok(());
        }
        Err(Problem::malformed(
            "POST-as-GET requests must have an empty payload",
        ))
    }

    /// Reads the payload.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        read_payload(&self.payload)
    }
}

impl Signer {
    fn key(&self) -> &PublicKey {
        match self {
            Signer::Key(key) => key,
            Signer::Account(account) => &account.key,
        }
    }
}

impl Jws {
    /// Takes a JWS apart without believing it.
    pub(crate) fn read(body: &[u8]) -> Result<Jws, Problem> {
        let flattened: Flattened = serde_json::from_slice(body)
            .map_err(|error| Problem::malformed(format!("Parse error reading JWS: {error}")))?;
        let header: Header = serde_json::from_slice(&decode(&flattened.protected, "protected")?)
            .map_err(|error| {
                Problem::malformed(format!("Parse error reading JWS protected header: {error}"))
            })?;
        if header.crit.is_some() {
            return Err(Problem::malformed(
                "JWS header parameter 'crit' is not supported",
            ));
        }
        Ok(Jws {
            header,
            signing_input: format!("{}.{}", flattened.protected, flattened.payload).into_bytes(),
            payload: decode(&flattened.payload, "payload")?,
            signature: decode(&flattened.signature, "signature")?,
        })
    }

    /// Returns the key in the header, which the inner JWS of a key change must have.
    pub(crate) fn embedded_key(&self) -> Result<PublicKey, Problem> {
        let jwk = self
            .header
            .jwk
            .as_ref()
            .ok_or_else(|| Problem::malformed("No embedded JWK in JWS header"))?;
        PublicKey::from_jwk(jwk)
    }

    pub(crate) fn has_nonce(&self) -> bool {
        self.header.nonce.is_some()
    }

    pub(crate) fn read_payload<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        read_payload(&self.payload)
    }

    pub(crate) fn verify(&self, key: &PublicKey) -> Result<(), Problem> {
        let known = ["ES256", "ES384", "RS256"];
        if !known.contains(&self.header.alg.as_str()) {
            return Err(Problem::new(
                ProblemKind::BadSignatureAlgorithm,
                format!(
                    "JWS signature header contains unsupported algorithm {:?}",
                    self.header.alg
                ),
            ));
        }
        if self.header.alg != key.algorithm() {
            return Err(Problem::malformed(format!(
                "JWS header's algorithm {:?} does not fit the key, which needs {:?}",
                self.header.alg,
                key.algorithm()
            )));
        }
        if key.verifies(&self.signing_input, &self.signature) {
            return Ok(());
        }
        Err(Problem::malformed("JWS verification error"))
    }

    pub(crate) fn check_url(&self, expected: &str) -> Result<(), Problem> {
        match self.header.url.as_deref() {
            Some(url) if url == expected => Ok(()),
            Some(url) => Err(Problem::malformed(format!(
                "JWS header parameter 'url' incorrect. Expected {expected:?} got {url:?}"
            ))),
            None => Err(Problem::malformed("JWS header parameter 'url' required")),
        }
    }
}

fn signer(ca: &Ca, header: &Header) -> Result<Signer, Problem> {
    match (&header.jwk, &header.kid) {
        (Some(jwk), None) => Ok(Signer::Key(PublicKey::from_jwk(jwk)?)),
        (None, Some(kid)) => {
            let account = ca
                .routes
                .id_in(kid, Endpoint::Account)
                .and_then(|id| ca.accounts.find(id))
                .ok_or_else(|| {
                    Problem::new(
                        ProblemKind::AccountDoesNotExist,
                        format!("Account {kid:?} not found"),
                    )
                })?;
            account.expect_valid()?;
            Ok(Signer::Account(account))
        }
        (Some(_), Some(_)) => Err(Problem::malformed(
            "jwk and kid header fields are mutually exclusive",
        )),
        (None, None) => Err(Problem::malformed("JWS header has neither jwk nor kid")),
    }
}

fn check_nonce(ca: &Ca, call: &Call<'_>, nonce: Option<&str>) -> Result<(), Problem> {
    let refused = |detail: String| Err(Problem::new(ProblemKind::BadNonce, detail));
    let Some(nonce) = nonce else {
        return refused("JWS has no anti-replay nonce".to_owned());
    };
    let good = ca.nonces.take_back(nonce);
    let occasion = Occasion {
        endpoint: call.route.endpoint,
        names: &[],
    };
    // Taken only for good nonces: "the next n" are good ones that are refused.
    match good.then(|| ca.faults.take::<NonceFault>(occasion)) {
        Some(None) => Ok(()),
        Some(Some(NonceFault::Refuse)) | None => {
            refused(format!("JWS has an invalid anti-replay nonce: {nonce:?}"))
        }
    }
}

fn read_payload<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(payload)
        .map_err(|error| Problem::malformed(format!("Error unmarshaling JSON: {error}")))
}

fn decode(part: &str, name: &str) -> Result<Vec<u8>, Problem> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|error| Problem::malformed(format!("JWS {name} is no base64url: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(body: &str, expected: &Expect) {
        let seen =
            Jws::read(body.as_bytes()).map_or_else(|problem| problem.detail, |_| "read".to_owned());
        expected.assert_eq(&seen);
    }

    #[test]
    fn what_is_no_jws() {
        check(
            "",
            &expect!["Parse error reading JWS: EOF while parsing a value at line 1 column 0"],
        );
        check(
            r#"{"protected":"e30","payload":"","signature":"","header":{}}"#,
            &expect![
                "Parse error reading JWS: unknown field `header`, expected one of `protected`, `payload`, `signature` at line 1 column 55"
            ],
        );
        check(
            r#"{"protected":"e30","payload":"","signature":""}"#,
            &expect![
                "Parse error reading JWS protected header: missing field `alg` at line 1 column 2"
            ],
        );
        check(
            r#"{"protected":"e30=","payload":"","signature":""}"#,
            &expect!["JWS protected is no base64url: Invalid padding"],
        );
        check(
            // {"alg":"ES256","crit":["b64"]}
            r#"{"protected":"eyJhbGciOiJFUzI1NiIsImNyaXQiOlsiYjY0Il19","payload":"","signature":""}"#,
            &expect!["JWS header parameter 'crit' is not supported"],
        );
    }
}
