//! May this order be made?
//!
//! RFC 8555 section 7.4, with profiles and `replaces` (RFC 9773 section 5).

use serde::Deserialize;
use serde_json::Value;

use super::Wanted;
use crate::accounts::Account;
use crate::ca::Ca;
use crate::endpoint::Endpoint;
use crate::faults::{NameFault, Occasion, ReplacesFault};
use crate::jws::{Jws, Signed};
use crate::names;
use crate::options::Profile;
use crate::problems::{Problem, ProblemKind};
use crate::renewal_info;
use crate::reply::Reply;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewOrder {
    identifiers: Vec<Identifier>,
    pub(super) profile: Option<String>,
    pub(super) replaces: Option<String>,
    not_before: Option<Value>,
    not_after: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Identifier {
    #[serde(rename = "type")]
    kind: String,
    value: String,
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

/// Returns the names in a request for an order that has not been checked yet.
pub(crate) fn names_in_request(body: &[u8]) -> Vec<String> {
    let request = Jws::read(body).and_then(|jws| jws.read_payload::<NewOrder>());
    request
        .and_then(|request| names_of(&request.identifiers))
        .unwrap_or_default()
}

/// Returns the names, each once, in lower case and sorted, as Boulder keeps them.
fn names_of(identifiers: &[Identifier]) -> Result<Vec<String>, Problem> {
    let mut names = Vec::with_capacity(identifiers.len());
    for Identifier { kind, value } in identifiers {
        if kind != "dns" {
            return Err(Problem::new(
                ProblemKind::UnsupportedIdentifier,
                format!(
                    "NewOrder request included unsupported identifier: type {kind:?}, value {value:?}"
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
