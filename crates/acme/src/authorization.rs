//! How is control over the names proved? (RFC 8555 sections 7.1.4 and 7.5)
//!
//! First every answer is put in place, then the CA is told to look: a name that cannot be answered for costs no
//! failed validation of the others. All names are seen through to the end, so that one attempt finds all faults.

use std::net::IpAddr;

use futures_util::{StreamExt as _, stream};
use http::Uri;
use renewal::name::Name;
use renewal::ports::{OrderDesk, OrderFailure, OrderRequest, Waiting};
use serde::Deserialize;
use tokio::time::Instant;

use crate::bounds::VALIDATION_LONGEST;
use crate::client::{Client, Question, Told};
use crate::diagnosis;
use crate::error::RequestError;
use crate::failure;
use crate::order::Order;
use crate::problem::{Identifier, Problem};

/// An authorization, as the CA describes it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Authorization {
    pub(crate) identifier: Identifier,
    status: AuthorizationStatus,
    #[serde(default)]
    challenges: Vec<Challenge>,
}

/// RFC 8555 section 7.1.6.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum AuthorizationStatus {
    Pending,
    Valid,
    Invalid,
    Deactivated,
    Expired,
    Revoked,
}

/// One way to prove control.
#[derive(Clone, Debug, Deserialize)]
struct Challenge {
    #[serde(rename = "type")]
    kind: String,
    url: String,
    token: Option<String>,
    error: Option<Problem>,
    #[serde(rename = "validationRecord", default)]
    records: Vec<ValidationRecord>,
}

/// Where the CA went to validate (Let's Encrypt's addition to challenges); one per redirect.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct ValidationRecord {
    /// The URL it fetched.
    pub url: String,
    /// The host it looked up.
    pub hostname: String,
    /// The addresses it found.
    pub addresses_resolved: Vec<IpAddr>,
    /// The address it went to.
    pub address_used: Option<IpAddr>,
}

/// A name whose answer is in place.
struct Ready {
    name: Name,
    authorization: Uri,
    challenge: Uri,
    token: String,
}

/// The answers that are in place.
#[must_use = "they stay until they are withdrawn"]
pub(crate) struct Proofs(Vec<Ready>);

impl Proofs {
    /// Takes the answers away.
    pub(crate) async fn withdraw(self, desk: &impl OrderDesk) {
        for one in &self.0 {
            desk.withdraw(&one.name, &one.token).await;
        }
    }
}

impl Client {
    /// Proves control over all names of a pending order; returns the answers, which are of no more use.
    pub(crate) async fn prove<D: OrderDesk>(
        &self,
        order: &Order,
        request: &OrderRequest,
        desk: &D,
        told: Told<'_>,
    ) -> Result<Proofs, OrderFailure> {
        told(Waiting::Validation);
        let account = self.account(told).await?;
        let (ready, failed) = self.look_at_all(order, request, told).await?;
        if let Some(failed) = failed {
            return Err(failed);
        }
        let proofs = Proofs(ready);
        match self
            .answer(&proofs.0, &account.thumbprint, desk, told)
            .await
        {
            Ok(()) => Ok(proofs),
            Err(failure) => {
                proofs.withdraw(desk).await;
                Err(failure)
            }
        }
    }

    /// Says which validations of an order failed that an earlier run had asked for, and of which it did not live to
    /// hear.
    pub(crate) async fn unheard_failure(
        &self,
        order: &Order,
        request: &OrderRequest,
        told: Told<'_>,
    ) -> Result<Option<OrderFailure>, OrderFailure> {
        let (_, failed) = self.look_at_all(order, request, told).await?;
        Ok(failed.filter(|failed| !failed.failed_names.is_empty()))
    }

    /// Looks at every authorization of an order: what is still to be proved, and what cannot be any more.
    async fn look_at_all(
        &self,
        order: &Order,
        request: &OrderRequest,
        told: Told<'_>,
    ) -> Result<(Vec<Ready>, Option<OrderFailure>), OrderFailure> {
        let directory = self.directory(told).await?;
        if order.authorizations.len() > request.names.as_slice().len() {
            return Err(failure::malformed("the order has more authorizations than names").into());
        }
        let mut uris = Vec::with_capacity(order.authorizations.len());
        for text in &order.authorizations {
            uris.push(directory.origins.read(text).map_err(failure::malformed)?);
        }
        let prepared: Vec<_> = stream::iter(uris)
            .map(|uri| async move {
                let (authorization, _) = self.look_at_authorization(&uri, told).await?;
                self.prepare(&authorization, uri, request)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut ready = Vec::with_capacity(prepared.len());
        let mut failed = None;
        for outcome in prepared {
            match outcome {
                Ok(Some(one)) => ready.push(one),
                Ok(None) => {}
                Err(failure) => failed = Some(failure::join(failed, failure)),
            }
        }
        Ok((ready, failed))
    }

    async fn answer<D: OrderDesk>(
        &self,
        ready: &[Ready],
        thumbprint: &str,
        desk: &D,
        told: Told<'_>,
    ) -> Result<(), OrderFailure> {
        for one in ready {
            let key_authorization = format!("{}.{thumbprint}", one.token);
            let presented = desk
                .present(&one.name, &one.token, &key_authorization)
                .await;
            presented.map_err(|error| failure::present(error.0))?;
        }
        let validations: Vec<_> = ready.iter().map(|one| self.validate(one, told)).collect();
        let outcomes: Vec<_> = stream::iter(validations)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let failures = outcomes.into_iter().filter_map(Result::err);
        let joined = failures.fold(None, |joined, failure| Some(failure::join(joined, failure)));
        joined.map_or(Ok(()), Err)
    }

    /// Chooses the challenge; `None` when control is proved already.
    fn prepare(
        &self,
        authorization: &Authorization,
        uri: Uri,
        request: &OrderRequest,
    ) -> Result<Option<Ready>, OrderFailure> {
        let identifier = &authorization.identifier;
        let name = request
            .names
            .iter()
            .find(|name| identifier.stands_for(name));
        let Some(name) = name else {
            return Err(failure::malformed(format!(
                "an authorization is for “{}”",
                identifier.value
            ))
            .into());
        };
        match authorization.status {
            AuthorizationStatus::Valid => return Ok(None),
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Invalid => return Err(self.refused(name, authorization)),
            AuthorizationStatus::Deactivated
            | AuthorizationStatus::Expired
            | AuthorizationStatus::Revoked => {
                return Err(failure::spent(
                    name,
                    &format!("{:?}", authorization.status).to_lowercase(),
                ));
            }
        }
        let http01 = authorization
            .challenges
            .iter()
            .find(|challenge| challenge.kind == HTTP_01);
        let (challenge, token) = match http01
            .map(|challenge| (challenge, challenge.token.as_deref()))
        {
            Some((challenge, Some(token))) if is_token(token) => (challenge, token),
            Some(_) => {
                return Err(
                    failure::malformed("the challenge has no token, or a malformed one").into(),
                );
            }
            None => {
                let offered: Vec<&str> = authorization
                    .challenges
                    .iter()
                    .map(|challenge| &*challenge.kind)
                    .collect();
                return Err(failure::no_http01(name, &offered.join(", ")));
            }
        };
        let challenge = self.sibling(&uri, &challenge.url)?;
        Ok(Some(Ready {
            name: name.clone(),
            authorization: uri,
            challenge,
            token: token.to_owned(),
        }))
    }

    /// Reads a URL that must be on the same host as the resource that named it.
    fn sibling(&self, uri: &Uri, text: &str) -> Result<Uri, RequestError> {
        let mut origins = crate::origin::Origins::default();
        origins.allow(uri);
        origins.read(text).map_err(failure::malformed)
    }

    /// Tells the CA to look, and waits until it has.
    async fn validate(&self, one: &Ready, told: Told<'_>) -> Result<(), OrderFailure> {
        let mut wish = None;
        let asked_at = Instant::now();
        match self.signed(Question::act(&one.challenge, "{}"), told).await {
            Ok(reply) => wish = self.wish(&reply),
            // A repeated request may meet a challenge that is done already: the authorization tells.
            Err(error) if error.refused_as("malformed").is_some() => {}
            Err(error) => return Err(error.into()),
        }
        let mut poll = self.validation.poll(VALIDATION_LONGEST, asked_at.elapsed());
        while poll.wait(wish).await {
            let (authorization, again) =
                self.look_at_authorization(&one.authorization, told).await?;
            wish = again;
            match authorization.status {
                AuthorizationStatus::Pending => {}
                AuthorizationStatus::Valid => {
                    poll.done();
                    return Ok(());
                }
                AuthorizationStatus::Invalid => return Err(self.refused(&one.name, &authorization)),
                AuthorizationStatus::Deactivated
                | AuthorizationStatus::Expired
                | AuthorizationStatus::Revoked => {
                    return Err(failure::spent(
                        &one.name,
                        &format!("{:?}", authorization.status).to_lowercase(),
                    ));
                }
            }
        }
        Err(failure::slow(&format!(
            "it has not validated {} within {} minutes",
            one.name,
            VALIDATION_LONGEST.as_secs() / 60
        )))
    }

    async fn look_at_authorization(
        &self,
        uri: &Uri,
        told: Told<'_>,
    ) -> Result<(Authorization, Option<jiff::SignedDuration>), RequestError> {
        let (authorization, reply) = self.signed_json(Question::look(uri), told).await?;
        Ok((authorization, self.wish(&reply)))
    }

    /// Reads why a validation failed.
    fn refused(&self, name: &Name, authorization: &Authorization) -> OrderFailure {
        let challenge = authorization
            .challenges
            .iter()
            .find(|challenge| challenge.error.is_some());
        let problem = challenge
            .and_then(|challenge| challenge.error.clone())
            .unwrap_or_default();
        let records = challenge.map_or(&[][..], |challenge| &challenge.records);
        tracing::info!(target: "acme", %name, "not validated: {problem}");
        failure::diagnosed(
            diagnosis::validation(name, &problem, records, &self.own_addresses),
            Some(name),
        )
    }
}

/// RFC 8555 section 8.3: base64url. Anything else could lead out of the challenge folder.
fn is_token(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !text.is_empty() && text.len() <= TOKEN_BYTES_MAX && text.bytes().all(allowed)
}

const HTTP_01: &str = "http-01";

/// A file's name has at most 255 bytes.
const TOKEN_BYTES_MAX: usize = 200;

/// Names of one order looked after at once. Let's Encrypt allows 250 such requests a second.
const AT_ONCE: usize = 16;
