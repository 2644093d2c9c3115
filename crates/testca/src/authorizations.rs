//! Which account has shown that it controls which name?
//!
//! RFC 8555 sections 7.5 and 8. An authorization takes one attempt: a failed challenge
//! makes it invalid, as at Let's Encrypt.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::accounts::Account;
use crate::ca::Ca;
use crate::clock::rfc3339;
use crate::endpoint::Endpoint;
use crate::jws::Signed;
use crate::options::Profile;
use crate::problems::Problem;
use crate::random::{self, lock};
use crate::renewal_info::whole_seconds;
use crate::reply::Reply;
use crate::validation::{Attempt, Verdict};

mod challenge;

use challenge::{Challenge, Kind, State};

/// Every authorization.
#[derive(Debug, Default)]
pub(crate) struct Authorizations(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_id: HashMap<String, Authorization>,
    ids_by_challenge: HashMap<String, String>,
    /// The last authorization with which an account showed that it controls a name.
    shown: HashMap<(String, String), String>,
}

#[derive(Clone, Debug)]
struct Authorization {
    id: String,
    account: String,
    /// As ordered, so with the `*.` of a wildcard.
    name: String,
    status: Status,
    expires: Timestamp,
    challenges: Vec<Challenge>,
}

/// The states of RFC 8555 section 7.1.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Nothing has been shown yet.
    Pending,
    /// The account controls the name.
    Valid,
    /// The attempt failed.
    Invalid,
    /// The account gave it up.
    Deactivated,
    /// It was not used in time.
    Expired,
}

#[derive(Debug, Deserialize)]
struct AuthorizationUpdate {
    status: String,
}

/// Shows an authorization, or gives it up.
pub(crate) fn show(ca: &Ca, id: &str, signed: &Signed) -> Result<Reply, Problem> {
    let mut authorization = ca.authorizations.of(signed.account()?, id)?;
    if !signed.is_post_as_get() {
        let update: AuthorizationUpdate = signed.read()?;
        if update.status != "deactivated" {
            return Err(Problem::malformed(format!(
                "Invalid value provided for status field: {:?}",
                update.status
            )));
        }
        authorization = ca.authorizations.change(id, |authorization| {
            authorization.status = Status::Deactivated;
        })?;
    }
    let reply = Reply::json(200, &authorization.document(ca));
    Ok(match authorization.status_at(ca.now()) {
        Status::Pending => {
            reply.with_retry_after(ca.options.poll_retry_after.map(whole_seconds), ca.now())
        }
        Status::Valid | Status::Invalid | Status::Deactivated | Status::Expired => reply,
    })
}

/// Shows a challenge, or begins its validation.
pub(crate) fn challenge(
    ca: &Arc<Ca>,
    challenge_id: &str,
    signed: &Signed,
) -> Result<Reply, Problem> {
    let account = signed.account()?;
    let id = ca
        .authorizations
        .with_challenge(challenge_id)
        .ok_or_else(not_found)?;
    let mut authorization = ca.authorizations.of(account, &id)?;
    if !signed.is_post_as_get() {
        // RFC 8555 section 7.5.1: an object, today without fields.
        let _: serde_json::Map<String, Value> = signed.read()?;
        if authorization.status_at(ca.now()) == Status::Expired {
            return Err(Problem::not_found("Expired authorization"));
        }
        authorization = begin(ca, account, &id, challenge_id)?;
    }
    let challenge = authorization
        .challenges
        .iter()
        .find(|challenge| challenge.id == challenge_id)
        .ok_or_else(not_found)?;
    Ok(Reply::json(200, &challenge.document(ca))
        .with_link(&ca.routes.to(Endpoint::Authorization, &id), "up"))
}

/// Marks a pending challenge as processing and starts to validate it. Any other stays as it is.
fn begin(
    ca: &Arc<Ca>,
    account: &Account,
    id: &str,
    challenge_id: &str,
) -> Result<Authorization, Problem> {
    let mut begun = None;
    let changed = ca.authorizations.change(id, |authorization| {
        let is_pending = authorization.status == Status::Pending;
        for challenge in &mut authorization.challenges {
            if is_pending
                && challenge.id == challenge_id
                && matches!(challenge.state, State::Pending)
            {
                challenge.state = State::Processing;
                begun = Some(challenge.clone());
            }
        }
    })?;
    if let Some(challenge) = begun {
        let attempt = Attempt {
            name: changed.name.clone(),
            key_authorization: format!("{}.{}", challenge.token, account.thumbprint),
            token: challenge.token,
        };
        tokio::spawn(validate(
            Arc::clone(ca),
            id.to_owned(),
            challenge.id,
            challenge.kind,
            attempt,
        ));
    }
    Ok(changed)
}

async fn validate(ca: Arc<Ca>, id: String, challenge_id: String, kind: Kind, attempt: Attempt) {
    let mut stopped = ca.stopped.clone();
    let verdict = tokio::select! {
        verdict = kind.validate(&ca, &attempt) => verdict,
        _ = stopped.changed() => return,
    };
    ca.authorizations
        .conclude(&id, &challenge_id, &verdict, ca.now());
}

impl Authorizations {
    /// Returns the name of an authorization, or of the one this challenge belongs to.
    pub(crate) fn names(&self, id: &str) -> Vec<String> {
        let known = lock(&self.0);
        let id = known.ids_by_challenge.get(id).map_or(id, String::as_str);
        known
            .by_id
            .get(id)
            .map(|authorization| vec![authorization.name.clone()])
            .unwrap_or_default()
    }

    /// Returns an authorization for the name: a valid one where the options allow, else a new one.
    pub(crate) fn find_or_create(
        &self,
        ca: &Ca,
        account: &str,
        name: &str,
        profile: &Profile,
    ) -> String {
        let now = ca.now();
        let key = (account.to_owned(), name.to_owned());
        let mut known = lock(&self.0);
        if ca.options.reuse_authorizations
            && let Some(id) = known.shown.get(&key)
            && known
                .by_id
                .get(id)
                .is_some_and(|known| known.status_at(now) == Status::Valid)
        {
            return id.clone();
        }
        let mut kinds = Kind::offered(name);
        ca.dice.shuffle(&mut kinds);
        // RFC 8555 asks for a token per challenge; Let's Encrypt uses one per authorization.
        let token = random::token();
        let authorization = Authorization {
            id: random::id(),
            account: account.to_owned(),
            name: name.to_owned(),
            status: Status::Pending,
            expires: now + profile.authorization_lifetime,
            challenges: kinds
                .into_iter()
                .map(|kind| Challenge::new(kind, &token))
                .collect(),
        };
        for challenge in &authorization.challenges {
            known
                .ids_by_challenge
                .insert(challenge.id.clone(), authorization.id.clone());
        }
        let id = authorization.id.clone();
        known.by_id.insert(id.clone(), authorization);
        id
    }

    /// Returns the state of an order that needs all of these.
    pub(crate) fn together(&self, ca: &Ca, ids: &[String]) -> Status {
        let now = ca.now();
        let known = lock(&self.0);
        ids.iter()
            .map(|id| {
                known
                    .by_id
                    .get(id)
                    .map_or(Status::Invalid, |authorization| {
                        authorization.status_at(now)
                    })
            })
            .max_by_key(|status| status.weight())
            .unwrap_or(Status::Valid)
    }

    /// Says whether the account has valid authorizations for all of these names (RFC 8555 section 7.6).
    pub(crate) fn cover(&self, ca: &Ca, account: &Account, names: &[String]) -> bool {
        let now = ca.now();
        let known = lock(&self.0);
        names.iter().all(|name| {
            let id = known.shown.get(&(account.id.clone(), name.clone()));
            id.and_then(|id| known.by_id.get(id))
                .is_some_and(|known| known.status_at(now) == Status::Valid)
        })
    }

    /// Notes what came of the one attempt.
    fn conclude(&self, id: &str, challenge_id: &str, verdict: &Verdict, at: Timestamp) {
        let mut known = lock(&self.0);
        let Some(authorization) = known.by_id.get_mut(id) else {
            return;
        };
        // As at Let's Encrypt, what was not tried is no longer shown.
        authorization
            .challenges
            .retain(|challenge| challenge.id == challenge_id);
        for challenge in &mut authorization.challenges {
            challenge.state = State::Done {
                at,
                verdict: verdict.clone(),
            };
        }
        // The account may have given it up meanwhile.
        if authorization.status != Status::Pending {
            return;
        }
        if verdict.result.is_err() {
            authorization.status = Status::Invalid;
            return;
        }
        authorization.status = Status::Valid;
        let key = (authorization.account.clone(), authorization.name.clone());
        known.shown.insert(key, id.to_owned());
    }

    fn with_challenge(&self, challenge: &str) -> Option<String> {
        lock(&self.0).ids_by_challenge.get(challenge).cloned()
    }

    fn of(&self, account: &Account, id: &str) -> Result<Authorization, Problem> {
        let authorization = lock(&self.0).by_id.get(id).cloned().ok_or_else(not_found)?;
        if authorization.account != account.id {
            return Err(Problem::unauthorized(
                "Account ID doesn't match ID for authorization",
            ));
        }
        Ok(authorization)
    }

    fn change(
        &self,
        id: &str,
        change: impl FnOnce(&mut Authorization),
    ) -> Result<Authorization, Problem> {
        let mut known = lock(&self.0);
        let authorization = known.by_id.get_mut(id).ok_or_else(not_found)?;
        change(authorization);
        Ok(authorization.clone())
    }
}

impl Authorization {
    fn status_at(&self, now: Timestamp) -> Status {
        match self.status {
            Status::Pending | Status::Valid if self.expires <= now => Status::Expired,
            status => status,
        }
    }

    fn document(&self, ca: &Ca) -> Value {
        let challenges: Vec<Value> = self
            .challenges
            .iter()
            .map(|challenge| challenge.document(ca))
            .collect();
        let base = self.name.strip_prefix("*.");
        let mut document = json!({
            "identifier": { "type": "dns", "value": base.unwrap_or(&self.name) },
            "status": self.status_at(ca.now()).name(),
            "expires": rfc3339(self.expires),
            "challenges": challenges,
        });
        if base.is_some() {
            document["wildcard"] = json!(true);
        }
        document
    }
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Valid => "valid",
            Status::Invalid => "invalid",
            Status::Deactivated => "deactivated",
            Status::Expired => "expired",
        }
    }

    /// Of several authorizations the heaviest decides: one that failed, then one that is open.
    fn weight(self) -> u8 {
        match self {
            Status::Valid => 0,
            Status::Pending => 1,
            Status::Expired => 2,
            Status::Deactivated => 3,
            Status::Invalid => 4,
        }
    }
}

fn not_found() -> Problem {
    Problem::not_found("Unable to find authorization or challenge")
}
