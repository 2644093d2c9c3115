//! How is one CA asked for something?
//!
//! [`Client::signed`] is the way to all of a CA's resources: it finds the account, a nonce and, where needed,
//! another chance.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Uri};
use jiff::Timestamp;
use renewal::policy::Ca;
use renewal::ports::Waiting;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::account::{Account, AccountFile};
use crate::chances::{Chances, Persistence};
use crate::diagnosis;
use crate::directory::Directory;
use crate::endpoints::Endpoints;
use crate::error::RequestError;
use crate::http::{Call, Http, Patience, Reply};
use crate::jws::{self, Signer};
use crate::nonce::Nonces;
use crate::origin::https;
use crate::pace::Pace;
use crate::problem::Problem;
use crate::retry_after;

/// Tells the present moment.
pub(crate) type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Takes in what is waited for.
pub(crate) type Told<'a> = &'a (dyn Fn(Waiting) + Send + Sync);

/// One CA, and our account there.
pub(crate) struct Client {
    pub(crate) ca: Ca,
    pub(crate) file: AccountFile,
    pub(crate) contact: Vec<String>,
    /// This host's public addresses, when they are known.
    pub(crate) own_addresses: Vec<IpAddr>,
    pub(crate) now: Now,
    /// How long validations take.
    pub(crate) validation: Pace,
    /// How long the CA takes to sign.
    pub(crate) issuance: Pace,
    pub(crate) account: Mutex<Shared<Account>>,
    http: Arc<Http>,
    directory: Mutex<Shared<Directory>>,
    nonces: Nonces,
    endpoints: Endpoints,
}

/// What all orders at a CA share, once the first of them has it.
pub(crate) enum Shared<T> {
    /// Not asked for yet.
    Unknown,
    /// Known, and since when.
    Known(Arc<T>, Instant),
    /// It could not be had: who waited behind the first need not find that out again.
    Failed(RequestError, Instant),
}

impl<T> Shared<T> {
    /// Returns what was found out lately.
    pub(crate) fn recent(&self, life: Duration) -> Option<Result<Arc<T>, RequestError>> {
        match self {
            Self::Known(value, since) if since.elapsed() < life => Some(Ok(Arc::clone(value))),
            Self::Failed(error, since) if since.elapsed() < FAILURE_LIFE => {
                Some(Err(error.clone()))
            }
            Self::Unknown | Self::Known(..) | Self::Failed(..) => None,
        }
    }

    /// Keeps what was found out.
    pub(crate) fn keep(&mut self, found: Result<T, RequestError>) -> Result<Arc<T>, RequestError> {
        match found {
            Ok(value) => {
                let value = Arc::new(value);
                *self = Self::Known(Arc::clone(&value), Instant::now());
                Ok(value)
            }
            Err(error) => {
                *self = Self::Failed(error.clone(), Instant::now());
                Err(error)
            }
        }
    }
}

/// A question to one of the CA's resources.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) uri: &'a Uri,
    /// Empty for POST-as-GET.
    pub(crate) payload: &'a str,
    pub(crate) accept: &'static str,
    pub(crate) patience: Patience,
}

impl<'a> Question<'a> {
    /// Asks for a resource as it is.
    pub(crate) fn look(uri: &'a Uri) -> Self {
        Self {
            uri,
            payload: "",
            accept: JSON,
            patience: Patience::Lookup,
        }
    }

    /// Asks for something to be done.
    pub(crate) fn act(uri: &'a Uri, payload: &'a str) -> Self {
        Self {
            uri,
            payload,
            accept: JSON,
            patience: Patience::Work,
        }
    }
}

impl Client {
    pub(crate) fn new(
        ca: Ca,
        http: Arc<Http>,
        file: AccountFile,
        contact: Vec<String>,
        own_addresses: Vec<IpAddr>,
        now: Now,
    ) -> Self {
        Self {
            ca,
            file,
            contact,
            own_addresses,
            now,
            validation: Pace::new(),
            issuance: Pace::new(),
            account: Mutex::new(Shared::Unknown),
            http,
            directory: Mutex::new(Shared::Unknown),
            nonces: Nonces::default(),
            endpoints: Endpoints::new(),
        }
    }

    /// Returns the CA's directory.
    pub(crate) async fn directory(&self, told: Told<'_>) -> Result<Arc<Directory>, RequestError> {
        let mut shared = self.directory.lock().await;
        if let Some(recent) = shared.recent(DIRECTORY_LIFE) {
            return recent;
        }
        let found = self.fetch_directory(told).await;
        match (&found, &*shared) {
            // An old directory is better than none.
            (Err(_), Shared::Known(old, _)) => Ok(Arc::clone(old)),
            _ => shared.keep(found),
        }
    }

    /// Returns the time at which the CA answers for its directory, by its own clock.
    pub(crate) async fn clock(&self, told: Told<'_>) -> Result<Option<Timestamp>, RequestError> {
        let uri = https(&self.ca.0).map_err(|fault| RequestError::Malformed {
            call: "the CA's directory".to_owned(),
            cause: fault.to_string(),
        })?;
        let reply = self.get(&uri, Persistence::Little, told).await?;
        Ok(retry_after::date(&reply.headers))
    }

    async fn fetch_directory(&self, told: Told<'_>) -> Result<Directory, RequestError> {
        let uri = https(&self.ca.0).map_err(|fault| RequestError::Malformed {
            call: "the CA's directory".to_owned(),
            cause: fault.to_string(),
        })?;
        let not_acme = |what: String| RequestError::NotAcme {
            url: uri.to_string(),
            what,
            wanted: "directory",
        };
        let reply = match self.get(&uri, Persistence::Usual, told).await {
            Ok(reply) => reply,
            Err(RequestError::Refused {
                status, problem, ..
            }) if status.is_client_error()
                && status != http::StatusCode::TOO_MANY_REQUESTS
                && problem.kind.is_empty() =>
            {
                return Err(not_acme(status.to_string()));
            }
            Err(error) => return Err(error),
        };
        if is_web_page(&reply) {
            return Err(not_acme("a web page".to_owned()));
        }
        Directory::read(&uri, &reply.body)
            .map_err(|fault| not_acme(format!("something else ({fault})")))
    }

    /// Asks without a signature: for the directory and for renewal information.
    pub(crate) async fn get(
        &self,
        uri: &Uri,
        persistence: Persistence,
        told: Told<'_>,
    ) -> Result<Reply, RequestError> {
        let mut chances = Chances::new(persistence);
        loop {
            let call = Call {
                method: Method::GET,
                uri,
                body: None,
                accept: JSON,
                patience: Patience::Lookup,
            };
            let (error, wait) = match self.exchange(call, &mut chances).await {
                Ok(reply) => return Ok(reply),
                Err(outcome) => outcome,
            };
            self.pause(wait.ok_or(error)?, told).await;
        }
    }

    /// Asks in the name of our account, which is made when there is none yet.
    ///
    /// A CA that has lost the account gets it once more, with the same key.
    pub(crate) async fn signed(
        &self,
        question: Question<'_>,
        told: Told<'_>,
    ) -> Result<Reply, RequestError> {
        let account = self.account(told).await?;
        let signer = Signer::Account(&account.key, &account.url);
        match self.post(question, signer, told).await {
            Err(error) if error.refused_as("accountDoesNotExist").is_some() => {
                let account = self.account_again(&account, told).await?;
                self.post(question, Signer::Account(&account.key, &account.url), told)
                    .await
            }
            other => other,
        }
    }

    /// As [`Client::signed`], and reads the answer. One that makes no sense is asked for again: a proxy's page, say,
    /// or half a document. What was done at the CA is not undone by it, and the next answer tells.
    pub(crate) async fn signed_json<T: DeserializeOwned>(
        &self,
        question: Question<'_>,
        told: Told<'_>,
    ) -> Result<(T, Reply), RequestError> {
        let mut again = AFTER_NONSENSE.iter();
        loop {
            let reply = self.signed(question, told).await?;
            match (Self::json(question.uri, &reply), again.next()) {
                (Ok(value), _) => return Ok((value, reply)),
                (Err(error), Some(wait)) => {
                    tracing::warn!(target: "acme", url = %question.uri, again = true, "{error}");
                    tokio::time::sleep(*wait).await;
                }
                (Err(error), None) => return Err(error),
            }
        }
    }

    /// Asks with any signature.
    pub(crate) async fn post(
        &self,
        question: Question<'_>,
        signer: Signer<'_>,
        told: Told<'_>,
    ) -> Result<Reply, RequestError> {
        let url = question.uri.to_string();
        let mut chances = Chances::new(Persistence::Usual);
        loop {
            let nonce = self.nonces.take(|| self.new_nonce(told)).await?;
            let call = Call {
                method: Method::POST,
                uri: question.uri,
                body: Some(jws::sign(signer, &url, Some(&nonce), question.payload)?),
                accept: question.accept,
                patience: question.patience,
            };
            let (error, wait) = match self.exchange(call, &mut chances).await {
                Ok(reply) => return Ok(reply),
                Err(outcome) => outcome,
            };
            if error.refused_as("badNonce").is_some() && chances.after_bad_nonce() {
                // The refusal brought a fresh one, which now lies on top of the pool.
                continue;
            }
            self.pause(wait.ok_or(error)?, told).await;
        }
    }

    async fn new_nonce(&self, told: Told<'_>) -> Result<String, RequestError> {
        let directory = self.directory(told).await?;
        let mut chances = Chances::new(Persistence::Usual);
        loop {
            let call = Call {
                method: Method::HEAD,
                uri: &directory.new_nonce,
                body: None,
                accept: JSON,
                patience: Patience::Lookup,
            };
            let sent = self.http.send(call).await;
            log(
                &Method::HEAD,
                &directory.new_nonce,
                sent.as_ref().map(|reply| reply.status.as_u16()).ok(),
            );
            let (error, wait) = match sent {
                Ok(reply) if reply.status.is_success() => {
                    return nonce(&reply.headers).ok_or_else(|| RequestError::Malformed {
                        call: called(&Method::HEAD, &directory.new_nonce),
                        cause: "there is no nonce in it".to_owned(),
                    });
                }
                Ok(reply) => {
                    self.refusal(&Method::HEAD, &directory.new_nonce, &reply, &mut chances)
                }
                Err(failure) => {
                    let wait = chances.after_failure(&failure);
                    let call = called(&Method::HEAD, &directory.new_nonce);
                    (RequestError::NoReply { call, failure }, wait)
                }
            };
            self.pause(wait.ok_or(error)?, told).await;
        }
    }

    /// Sends once. An error comes with the wait after which it may be tried again.
    async fn exchange(
        &self,
        call: Call<'_>,
        chances: &mut Chances,
    ) -> Result<Reply, (RequestError, Option<Duration>)> {
        let (method, uri) = (call.method.clone(), call.uri);
        self.endpoints.turn(&self.ca, uri).await;
        let sent = self.http.send(call).await;
        log(
            &method,
            uri,
            sent.as_ref().map(|reply| reply.status.as_u16()).ok(),
        );
        let reply = match sent {
            Ok(reply) => reply,
            Err(failure) => {
                let wait = chances.after_failure(&failure);
                let call = called(&method, uri);
                tracing::warn!(target: "acme", %method, url = %uri, again = wait.is_some(), "{failure}");
                return Err((RequestError::NoReply { call, failure }, wait));
            }
        };
        if let Some(nonce) = nonce(&reply.headers) {
            self.nonces.put(nonce);
        }
        if reply.status.is_success() {
            return Ok(reply);
        }
        Err(self.refusal(&method, uri, &reply, chances))
    }

    fn refusal(
        &self,
        method: &Method,
        uri: &Uri,
        reply: &Reply,
        chances: &mut Chances,
    ) -> (RequestError, Option<Duration>) {
        let status = reply.status;
        let problem = Problem::read(&reply.body, &reply.headers);
        if problem.is_none()
            && (status.is_redirection() || status.is_client_error() && is_web_page(reply))
        {
            let what = if status.is_redirection() {
                "a redirect"
            } else {
                "a web page"
            };
            let error = RequestError::NotAcme {
                url: uri.to_string(),
                what: format!("{what} ({status})"),
                wanted: if *uri == *self.ca.0 {
                    "directory"
                } else {
                    "reply"
                },
            };
            return (error, None);
        }
        let problem = problem.unwrap_or_default();
        let now = (self.now)();
        let wish = retry_after::wait(&reply.headers, now);
        let wait = chances.after_refusal(status, &problem, wish, now);
        tracing::info!(target: "acme", %method, url = %uri, status = status.as_u16(), again = wait.is_some(), "{problem}");
        let error = RequestError::Refused {
            call: called(method, uri),
            status,
            retry_at: wish
                .and_then(|wish| now.checked_add(wish).ok())
                .or_else(|| diagnosis::told_moment(&problem)),
            problem: Box::new(problem),
        };
        (error, wait)
    }

    /// Waits before another try, and says so when a person would notice.
    async fn pause(&self, wait: Duration, told: Told<'_>) {
        if wait >= WORTH_TELLING {
            let until = (self.now)().checked_add(wait).unwrap_or(Timestamp::MAX);
            told(Waiting::Until(until));
        }
        tokio::time::sleep(wait).await;
    }

    /// Reads the JSON of a reply.
    fn json<T: DeserializeOwned>(uri: &Uri, reply: &Reply) -> Result<T, RequestError> {
        if is_web_page(reply) {
            return Err(RequestError::NotAcme {
                url: uri.to_string(),
                what: "a web page".to_owned(),
                wanted: "reply",
            });
        }
        serde_json::from_slice(&reply.body).map_err(|error| RequestError::Malformed {
            call: uri.to_string(),
            cause: error.to_string(),
        })
    }

    /// Returns the URL of what was made (RFC 8555 sections 7.3 and 7.4).
    pub(crate) fn location(
        &self,
        directory: &Directory,
        uri: &Uri,
        reply: &Reply,
    ) -> Result<Uri, RequestError> {
        let malformed = |cause: String| RequestError::Malformed {
            call: uri.to_string(),
            cause,
        };
        let location = reply
            .headers
            .get(http::header::LOCATION)
            .and_then(|value| value.to_str().ok());
        let location =
            location.ok_or_else(|| malformed("there is no Location in it".to_owned()))?;
        directory
            .origins
            .read(location)
            .map_err(|fault| malformed(fault.to_string()))
    }

    /// Returns how long the CA wants to be left alone.
    pub(crate) fn wish(&self, reply: &Reply) -> Option<jiff::SignedDuration> {
        retry_after::wait(&reply.headers, (self.now)())
    }
}

/// Writes down what was asked and with which status it was answered. Never what was in it.
fn log(method: &Method, uri: &Uri, status: Option<u16>) {
    tracing::debug!(target: "acme", %method, url = %uri, status, "asked");
}

fn called(method: &Method, uri: &Uri) -> String {
    format!("{method} {uri}")
}

fn nonce(headers: &HeaderMap) -> Option<String> {
    headers
        .get("replay-nonce")?
        .to_str()
        .ok()
        .map(str::to_owned)
}

/// Says whether a reply is HTML, by its first character: content types are often wrong.
fn is_web_page(reply: &Reply) -> bool {
    reply.body.trim_ascii_start().starts_with(b"<")
}

/// The waits after answers that make no sense.
const AFTER_NONSENSE: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// The kind of reply that nearly all resources have.
pub(crate) const JSON: &str = "application/json, application/problem+json";

/// CAs change their directories about once a year.
const DIRECTORY_LIFE: Duration = Duration::from_secs(6 * 3600);

/// Long enough for the orders of one batch, short enough for the next.
const FAILURE_LIFE: Duration = Duration::from_secs(5);

/// Below this nobody sees what is waited for.
const WORTH_TELLING: Duration = Duration::from_millis(500);
