//! Which requests does one certificate need?
//!
//! Seven when nothing has to be asked twice (RFC 8555 section 7): order, authorization, challenge, order (ready?),
//! finalize, order (valid?), certificate.

use std::io;
use std::thread;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use super::answer::Answers;
use super::connection::{Connection, Reply};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    /// The connection broke, or the CA did not answer.
    #[error("the CA cannot be talked to: {0}")]
    Io(io::Error),
    /// The bundle is no use.
    #[error("the bundle holds no root certificate")]
    Bundle,
    /// The directory names something strange.
    #[error("{0} is not a URL with an address, a port and a path")]
    Url(String),
    /// The CA said no.
    #[error("the CA answers {status} to {url}: {said}")]
    Refused {
        url: String,
        status: u16,
        said: String,
    },
    /// The CA never comes to an end.
    #[error("the order {0} is not done after {MOST_POLLS} looks")]
    NotDone(String),
    /// No key could be made.
    #[error("no key can be made")]
    Key,
    /// A defect of the ideal client.
    #[error("a thread of the ideal client panicked")]
    Panicked,
}

/// The account at the CA, and the URLs of the directory that orders need.
pub(super) struct Account {
    key: EcdsaKeyPair,
    random: SystemRandom,
    thumbprint: String,
    url: String,
    new_order: String,
    new_nonce: String,
}

/// One connection of the account, with the nonce for its next request.
pub(super) struct Session<'a> {
    account: &'a Account,
    connection: Connection,
    nonce: String,
    validation: Patience,
    issuance: Patience,
}

/// When to look whether the CA is done. Looking too early costs a request, looking too late costs time: so it learns.
#[derive(Clone, Copy, Debug)]
struct Patience(Duration);

impl Account {
    /// Makes a key and registers it.
    pub(super) fn register(
        connection: &mut Connection,
        directory: &str,
    ) -> Result<Self, OrderError> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| OrderError::Key)?;
        // The public key is 0x04, x, y (SEC 1 section 2.3.3).
        let (x, y) = key.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (BASE64.encode(x), BASE64.encode(y));
        // RFC 7638 section 3: members in this order, no spaces.
        let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let thumbprint = BASE64.encode(digest(&SHA256, jwk.as_bytes()));
        let listed = parse(&connection.get(directory)?);
        let text = |key: &str| listed[key].as_str().unwrap_or_default().to_owned();
        let mut account = Self {
            key,
            random: SystemRandom::new(),
            thumbprint,
            url: String::new(),
            new_order: text("newOrder"),
            new_nonce: text("newNonce"),
        };
        let (nonce, new_account) = (account.nonce(connection)?, text("newAccount"));
        let agreed = json!({"termsOfServiceAgreed": true}).to_string();
        let body = account.sign(&format!(r#""jwk":{jwk}"#), &nonce, &new_account, &agreed);
        let reply = accepted(&new_account, connection.post(&new_account, &body)?)?;
        account.url = reply.location.unwrap_or_default();
        Ok(account)
    }

    /// Asks for a nonce; done once for each connection.
    pub(super) fn nonce(&self, connection: &mut Connection) -> Result<String, OrderError> {
        Ok(connection.get(&self.new_nonce)?.nonce.unwrap_or_default())
    }

    /// Returns the thumbprint of the key (RFC 7638).
    pub(super) fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Gives a connection to the account.
    pub(super) fn session(&self, connection: Connection, nonce: String) -> Session<'_> {
        Session {
            account: self,
            connection,
            nonce,
            validation: Patience(VALIDATED),
            issuance: Patience(ISSUED),
        }
    }

    fn sign(&self, who: &str, nonce: &str, url: &str, payload: &str) -> String {
        let protected = format!(r#"{{"alg":"ES256",{who},"nonce":"{nonce}","url":"{url}"}}"#);
        let (protected, payload) = (BASE64.encode(protected), BASE64.encode(payload));
        let input = format!("{protected}.{payload}");
        let signature = self
            .key
            .sign(&self.random, input.as_bytes())
            .expect("a P-256 key signs any text");
        let signature = BASE64.encode(signature);
        format!(r#"{{"protected":"{protected}","payload":"{payload}","signature":"{signature}"}}"#)
    }
}

impl Session<'_> {
    /// Obtains one certificate. Needs someone who answers challenges.
    pub(super) fn certificate(
        &mut self,
        name: &str,
        request: &[u8],
        _: &Answers,
    ) -> Result<(), OrderError> {
        let wanted = json!({"identifiers": [{"type": "dns", "value": name}]}).to_string();
        let made = self.post(&self.account.new_order, &wanted)?;
        let order = parse(&made);
        let url = made.location.unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let authorization = parse(&self.post(&text(&order["authorizations"][0]), "")?);
        let challenges = authorization["challenges"].as_array().into_iter().flatten();
        let challenge = challenges.into_iter().find(|one| one["type"] == "http-01");
        self.post(
            &text(challenge.map_or(&Value::Null, |one| &one["url"])),
            "{}",
        )?;
        self.validation = self.until(&url, "ready", self.validation)?.1;
        let request = json!({"csr": BASE64.encode(request)}).to_string();
        let finalized = parse(&self.post(&text(&order["finalize"]), &request)?);
        let order = match finalized["status"].as_str() {
            Some("valid") => finalized,
            _ => {
                let (order, patience) = self.until(&url, "valid", self.issuance)?;
                self.issuance = patience;
                order
            }
        };
        self.post(&text(&order["certificate"]), "")?;
        Ok(())
    }

    /// Looks at the order until it has the status, and learns when to look the next time.
    fn until(
        &mut self,
        url: &str,
        status: &str,
        patience: Patience,
    ) -> Result<(Value, Patience), OrderError> {
        let mut wait = patience.0;
        for looks in 0..MOST_POLLS {
            thread::sleep(wait);
            let order = parse(&self.post(url, "")?);
            match order["status"].as_str() {
                Some(found) if found == status || found == "valid" => {
                    return Ok((order, patience.after(looks == 0)));
                }
                Some("invalid") => break,
                _ => wait = AGAIN,
            }
        }
        Err(OrderError::NotDone(url.to_owned()))
    }

    fn post(&mut self, url: &str, payload: &str) -> Result<Reply, OrderError> {
        let who = format!(r#""kid":"{}""#, self.account.url);
        let body = self.account.sign(&who, &self.nonce, url, payload);
        let mut reply = accepted(url, self.connection.post(url, &body)?)?;
        self.nonce = reply.nonce.take().unwrap_or_default();
        Ok(reply)
    }
}

impl Patience {
    /// Waits longer after a look that came too early, and tries a little less after one that did not.
    fn after(self, in_time: bool) -> Self {
        let Self(wait) = self;
        Self(
            if in_time {
                wait * 15 / 16
            } else {
                wait * 5 / 4
            }
            .clamp(AGAIN / 2, LONGEST),
        )
    }
}

fn accepted(url: &str, reply: Reply) -> Result<Reply, OrderError> {
    if reply.status < 300 {
        return Ok(reply);
    }
    Err(OrderError::Refused {
        url: url.to_owned(),
        status: reply.status,
        said: String::from_utf8_lossy(&reply.body).into_owned(),
    })
}

fn parse(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_default()
}

/// When a CA on the same machine has usually validated, to begin with.
const VALIDATED: Duration = Duration::from_millis(6);

/// When it has usually issued, to begin with.
const ISSUED: Duration = Duration::from_millis(3);

/// The wait between two looks.
const AGAIN: Duration = Duration::from_millis(2);

/// However slow the CA is, it is looked at so often.
const LONGEST: Duration = Duration::from_millis(200);

/// Looks before giving up: some seconds.
const MOST_POLLS: u32 = 1000;
