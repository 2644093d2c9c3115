//! Which certificates were asked for, and how far did it get?
//!
//! RFC 8555 section 7.4. An order's status is not stored: it follows from its
//! authorizations, its clock and what became of its finalization.

use std::collections::HashMap;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::accounts::Account;
use crate::authorizations;
use crate::ca::Ca;
use crate::certificates;
use crate::clock::rfc3339;
use crate::endpoint::Endpoint;
use crate::faults::{FinalizationFault, NameFault, Occasion, ReplacesFault};
use crate::jws::{Jws, Signed};
use crate::names;
use crate::options::Profile;
use crate::problems::{Problem, ProblemKind, RetryAfter, Subproblem};
use crate::random::{self, lock};
use crate::renewal_info;
use crate::reply::Reply;
use crate::signing_request::{self, SigningRequest};

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
    finalized: Option<Finalized>,
}

/// What became of the finalization.
#[derive(Clone, Debug)]
struct Finalized {
    outcome: Result<String, Problem>,
    /// The polls that still see `processing`.
    polls: u32,
}

impl Finalized {
    fn at_once(certificate: String) -> Finalized {
        Finalized {
            outcome: Ok(certificate),
            polls: 0,
        }
    }
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

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewOrder {
    identifiers: Vec<Identifier>,
    profile: Option<String>,
    replaces: Option<String>,
    not_before: Option<Value>,
    not_after: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Identifier {
    r#type: String,
    value: String,
}

#[derive(Debug, Deserialize)]
struct Finalization {
    csr: String,
}

/// Makes an order.
pub(crate) fn create(ca: &Ca, signed: &Signed) -> Result<Reply, Problem> {
    let account = signed.account()?;
    let request: NewOrder = signed.read()?;
    if request.not_before.is_some() || request.not_after.is_some() {
        return Err(Problem::malformed(
            "NotBefore and NotAfter are not supported",
        ));
    }
    let profile = ca.profile(request.profile.as_deref()).ok_or_else(|| {
        let name = request.profile.as_deref().unwrap_or("");
        Problem::new(
            ProblemKind::InvalidProfile,
            format!("profile name {name:?} not recognized"),
        )
    })?;
    let names = names_of(&request.identifiers)?;
    check_names(ca, &names, profile)?;
    let must_echo = check_replaces(ca, account, &names, request.replaces.as_deref())?;
    let wanted = Wanted {
        account: account.id.clone(),
        names,
        profile: profile.name.clone(),
    };
    let reused = if request.replaces.is_none() {
        ca.orders.reusable(ca, &wanted)
    } else {
        None
    };
    let order = match reused {
        Some(order) => order,
        None => ca.orders.insert(ca, wanted, &request, profile),
    };
    let mut document = order.document(ca);
    if !must_echo && let Some(fields) = document.as_object_mut() {
        fields.remove("replaces");
    }
    Ok(Reply::json(201, &document).with_location(&ca.routes.to(Endpoint::Order, &order.id)))
}

/// Shows an order.
pub(crate) fn show(ca: &Ca, id: &str, signed: &Signed) -> Result<Reply, Problem> {
    signed.expect_post_as_get()?;
    let order = ca.orders.of(signed.account()?, id)?;
    let reply = shown(ca, &order);
    ca.orders.count_poll(id);
    Ok(reply)
}

/// Takes the signing request of a ready order, and makes the certificate.
pub(crate) fn finalize(ca: &Ca, id: &str, signed: &Signed) -> Result<Reply, Problem> {
    let account = signed.account()?;
    let order = ca.orders.of(account, id)?;
    let status = order.status(ca);
    if status != Status::Ready {
        return Err(Problem::new(
            ProblemKind::OrderNotReady,
            format!(
                "Order's status ({:?}) is not acceptable for finalization",
                status.name()
            ),
        ));
    }
    let request: Finalization = signed.read()?;
    let der = URL_SAFE_NO_PAD.decode(&request.csr).map_err(|error| {
        Problem::malformed(format!("Error decoding certificate request: {error}"))
    })?;
    let names = &order.wanted.names;
    let request = signing_request::read(&der, names, &account.key)?;
    let finalized = match ca.faults.take::<FinalizationFault>(Occasion {
        endpoint: Endpoint::Finalize,
        names,
    }) {
        None => Finalized::at_once(certificate(ca, account, &order, &request)?),
        Some(FinalizationFault::Processing { polls }) => Finalized {
            polls,
            ..Finalized::at_once(certificate(ca, account, &order, &request)?)
        },
        Some(FinalizationFault::Fails) => Finalized {
            outcome: Err(Problem::new(
                ProblemKind::ServerInternal,
                "Error finalizing order",
            )),
            polls: 1,
        },
        Some(FinalizationFault::CaaForbids) => return Err(caa_forbids(names)),
    };
    let order = ca.orders.finish(id, finalized);
    Ok(shown(ca, &order.ok_or_else(not_found)?))
}

/// Returns the names in a request for an order that has not been checked yet.
pub(crate) fn names_in_request(body: &[u8]) -> Vec<String> {
    let request = Jws::read(body).and_then(|jws| jws.read_payload::<NewOrder>());
    request
        .and_then(|request| names_of(&request.identifiers))
        .unwrap_or_default()
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
        order.is_some_and(|order| order.status(ca) != Status::Invalid)
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

    /// Notes the outcome. Of two finalizations at once the first counts.
    fn finish(&self, id: &str, finalized: Finalized) -> Option<Order> {
        let mut known = lock(&self.0);
        let order = known.by_id.get_mut(id)?;
        order.finalized.get_or_insert(finalized);
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

/// Returns the names, each once, in lower case and sorted, as Boulder keeps them.
fn names_of(identifiers: &[Identifier]) -> Result<Vec<String>, Problem> {
    let mut names = Vec::with_capacity(identifiers.len());
    for Identifier { r#type, value } in identifiers {
        if r#type != "dns" {
            return Err(Problem::new(
                ProblemKind::UnsupportedIdentifier,
                format!(
                    "NewOrder request included unsupported identifier: type {:?}, value {value:?}",
                    r#type
                ),
            ));
        }
        names.push(value.to_lowercase());
    }
    names.sort();
    names.dedup();
    Ok(names)
}

fn check_names(ca: &Ca, names: &[String], profile: &Profile) -> Result<(), Problem> {
    if names.is_empty() {
        return Err(Problem::malformed(
            "NewOrder request did not specify any identifiers",
        ));
    }
    if names.len() > profile.max_names {
        return Err(Problem::malformed(format!(
            "Order cannot contain more than {} identifiers",
            profile.max_names
        )));
    }
    names::check(names, |name| {
        let occasion = Occasion {
            endpoint: Endpoint::NewOrder,
            names: &[name.to_owned()],
        };
        ca.faults.take::<NameFault>(occasion).is_some()
    })
}

/// Checks `replaces`, and says whether the reply echoes it.
fn check_replaces(
    ca: &Ca,
    account: &Account,
    names: &[String],
    replaces: Option<&str>,
) -> Result<bool, Problem> {
    let Some(cert_id) = replaces else {
        return Ok(false);
    };
    let occasion = Occasion {
        endpoint: Endpoint::NewOrder,
        names,
    };
    match ca.faults.take::<ReplacesFault>(occasion) {
        Some(ReplacesFault::Refuse(refusal)) => {
            Err(refusal.problem(&renewal_info::serial_in(cert_id)))
        }
        fault @ (Some(ReplacesFault::Forget) | None) => {
            renewal_info::check_replacement(ca, account, names, cert_id)?;
            Ok(fault.is_none())
        }
    }
}

fn certificate(
    ca: &Ca,
    account: &Account,
    order: &Order,
    request: &SigningRequest,
) -> Result<String, Problem> {
    let profile = ca
        .profile(Some(&order.wanted.profile))
        .ok_or_else(|| Problem::new(ProblemKind::ServerInternal, "the order's profile is gone"))?;
    certificates::issue(ca, account, &order.wanted.names, profile, request)
}

/// Boulder's refusal when CAA records changed between validation and finalization.
fn caa_forbids(names: &[String]) -> Problem {
    let first = names.first().map_or("", String::as_str);
    let mut problem = Problem::new(
        ProblemKind::Caa,
        format!(
            "Rechecking CAA for {first:?} and {} more identifiers failed. Refer to sub-problems for more information",
            names.len().saturating_sub(1)
        ),
    );
    problem.subproblems = names
        .iter()
        .map(|name| Subproblem {
            kind: ProblemKind::Caa,
            detail: format!("CAA record for {name} prevents issuance"),
            name: name.clone(),
        })
        .collect();
    problem
}

fn not_found() -> Problem {
    Problem::not_found("No order found for account ID")
}

/// As Boulder's, for orders in processing.
const PROCESSING_RETRY_AFTER: RetryAfter = RetryAfter::Seconds(3);
