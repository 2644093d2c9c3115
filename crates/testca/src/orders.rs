//! Which certificates were asked for, and how far did it get?
//!
//! RFC 8555 section 7.4. An order's status is not stored: it follows from its
//! authorizations, its clock and what became of its finalization.

use std::collections::HashMap;
use std::sync::Mutex;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::accounts::Account;
use crate::authorizations;
use crate::ca::Ca;
use crate::clock::rfc3339;
use crate::endpoint::Endpoint;
use crate::jws::Signed;
use crate::options::Profile;
use crate::problems::{Problem, RetryAfter};
use crate::random::{self, lock};
use crate::renewal_info;
use crate::reply::Reply;

mod finalization;
mod new_order;

pub(crate) use finalization::finalize;
use new_order::NewOrder;
pub(crate) use new_order::{create, names_in_request};

/// Every order.
#[derive(Debug, Default)]
pub(crate) struct Orders(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_id: HashMap<String, Order>,
    /// The last order of an account for exactly these names and this profile.
    latest: HashMap<Wanted, String>,
}

/// What makes two orders the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wanted {
    account: String,
    names: Vec<String>,
    profile: String,
}

#[derive(Clone, Debug)]
struct Order {
    id: String,
    wanted: Wanted,
    /// Whether the order named its profile, so that the reply does.
    profile_was_named: bool,
    expires: Timestamp,
    authorizations: Vec<String>,
    replaces: Option<String>,
    /// Whether a signing request is being looked at.
    claimed: bool,
    finalized: Option<Finalized>,
}

/// What became of the finalization.
#[derive(Clone, Debug)]
struct Finalized {
    outcome: Result<String, Problem>,
    /// The polls that still see `processing`.
    polls: u32,
}

/// The states of RFC 8555 section 7.1.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Pending,
    Ready,
    Processing,
    Valid,
    Invalid,
}

/// Shows an order.
pub(crate) fn show(ca: &Ca, id: &str, signed: &Signed) -> Result<Reply, Problem> {
    signed.expect_post_as_get()?;
    let order = ca.orders.of(signed.account()?, id)?;
    let reply = shown(ca, &order);
    ca.orders.count_poll(id);
    Ok(reply)
}

impl Orders {
    /// Returns the names of an order; none where there is no such order.
    pub(crate) fn names(&self, id: &str) -> Vec<String> {
        lock(&self.0)
            .by_id
            .get(id)
            .map(|order| order.wanted.names.clone())
            .unwrap_or_default()
    }

    /// Says whether the order still stands in the way of another that replaces the same certificate.
    pub(crate) fn blocks_replacement(&self, ca: &Ca, id: &str) -> bool {
        let order = lock(&self.0).by_id.get(id).cloned();
        order.is_some_and(|order| order.expires > ca.now() && order.status(ca) != Status::Invalid)
    }

    fn of(&self, account: &Account, id: &str) -> Result<Order, Problem> {
        let order = lock(&self.0).by_id.get(id).cloned();
        order
            .filter(|order| order.wanted.account == account.id)
            .ok_or_else(not_found)
    }

    fn reusable(&self, ca: &Ca, wanted: &Wanted) -> Option<Order> {
        if !ca.options.reuse_orders {
            return None;
        }
        let order = {
            let known = lock(&self.0);
            known.by_id.get(known.latest.get(wanted)?).cloned()?
        };
        matches!(order.status(ca), Status::Pending | Status::Ready).then_some(order)
    }

    fn insert(&self, ca: &Ca, wanted: Wanted, request: &NewOrder, profile: &Profile) -> Order {
        let mut authorizations: Vec<String> = wanted
            .names
            .iter()
            .map(|name| {
                ca.authorizations
                    .find_or_create(ca, &wanted.account, name, profile)
            })
            .collect();
        // RFC 8555 promises no order, so clients must not count on that of the names.
        ca.dice.shuffle(&mut authorizations);
        let order = Order {
            id: random::id(),
            wanted,
            profile_was_named: request.profile.is_some(),
            expires: ca.now() + profile.order_lifetime,
            authorizations,
            replaces: request.replaces.clone(),
            claimed: false,
            finalized: None,
        };
        if let Some(replaced) = &order.replaces {
            renewal_info::note_replacement(ca, replaced, &order.id);
        }
        let mut known = lock(&self.0);
        known.latest.insert(order.wanted.clone(), order.id.clone());
        known.by_id.insert(order.id.clone(), order.clone());
        order
    }

    fn count_poll(&self, id: &str) {
        if let Some(finalized) = lock(&self.0)
            .by_id
            .get_mut(id)
            .and_then(|order| order.finalized.as_mut())
        {
            finalized.polls = finalized.polls.saturating_sub(1);
        }
    }

    /// Says whether this finalization is the only one, and keeps others away until [`Orders::finish`].
    fn claim(&self, id: &str) -> bool {
        let mut known = lock(&self.0);
        let order = known.by_id.get_mut(id);
        order.is_some_and(|order| {
            order.finalized.is_none() && !std::mem::replace(&mut order.claimed, true)
        })
    }

    /// Notes the outcome of a claimed order; without one, another attempt may be made.
    fn finish(&self, id: &str, finalized: Option<Finalized>) -> Option<Order> {
        let mut known = lock(&self.0);
        let order = known.by_id.get_mut(id)?;
        order.claimed = false;
        order.finalized = finalized;
        Some(order.clone())
    }
}

impl Order {
    fn status(&self, ca: &Ca) -> Status {
        match &self.finalized {
            Some(Finalized { polls: 1.., .. }) => return Status::Processing,
            Some(Finalized { outcome: Ok(_), .. }) => return Status::Valid,
            Some(Finalized {
                outcome: Err(_), ..
            }) => return Status::Invalid,
            None if self.claimed => return Status::Processing,
            None => {}
        }
        if self.expires <= ca.now() {
            return Status::Invalid;
        }
        match ca.authorizations.together(ca, &self.authorizations) {
            authorizations::Status::Pending => Status::Pending,
            authorizations::Status::Valid => Status::Ready,
            authorizations::Status::Invalid
            | authorizations::Status::Deactivated
            | authorizations::Status::Expired => Status::Invalid,
        }
    }

    fn document(&self, ca: &Ca) -> Value {
        let status = self.status(ca);
        let identifiers: Vec<Value> = self
            .wanted
            .names
            .iter()
            .map(|name| json!({ "type": "dns", "value": name }))
            .collect();
        let authorizations: Vec<String> = self
            .authorizations
            .iter()
            .map(|id| ca.routes.to(Endpoint::Authorization, id))
            .collect();
        let mut document = json!({
            "status": status.name(),
            "expires": rfc3339(self.expires),
            "identifiers": identifiers,
            "authorizations": authorizations,
            "finalize": ca.routes.to(Endpoint::Finalize, &self.id),
        });
        if self.profile_was_named {
            document["profile"] = json!(self.wanted.profile);
        }
        if let Some(replaces) = &self.replaces {
            document["replaces"] = json!(replaces);
        }
        match &self.finalized {
            Some(Finalized {
                outcome: Ok(certificate),
                ..
            }) if status == Status::Valid => {
                document["certificate"] = json!(ca.routes.to(Endpoint::Certificate, certificate));
            }
            Some(Finalized {
                outcome: Err(problem),
                ..
            }) if status == Status::Invalid => {
                document["error"] = problem.document();
            }
            Some(_) | None => {}
        }
        document
    }
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Ready => "ready",
            Status::Processing => "processing",
            Status::Valid => "valid",
            Status::Invalid => "invalid",
        }
    }
}

fn shown(ca: &Ca, order: &Order) -> Reply {
    let now = ca.now();
    let reply = Reply::json(200, &order.document(ca))
        .with_location(&ca.routes.to(Endpoint::Order, &order.id));
    let configured = ca.options.poll_retry_after.map(renewal_info::whole_seconds);
    match order.status(ca) {
        Status::Processing => {
            reply.with_retry_after(Some(configured.unwrap_or(PROCESSING_RETRY_AFTER)), now)
        }
        Status::Pending => reply.with_retry_after(configured, now),
        Status::Ready | Status::Valid | Status::Invalid => reply,
    }
}

fn not_found() -> Problem {
    Problem::not_found("No order found for account ID")
}

/// As Boulder's, for orders in processing.
const PROCESSING_RETRY_AFTER: RetryAfter = RetryAfter::Seconds(3);
