//! How does a ready order get its certificate?
//!
//! RFC 8555 section 7.4: the signing request arrives, and the certificate is made at once,
//! unless a fault puts it off.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::{Finalized, Order, Status, not_found, shown};
use crate::accounts::Account;
use crate::ca::Ca;
use crate::certificates;
use crate::endpoint::Endpoint;
use crate::faults::{FinalizationFault, Occasion};
use crate::jws::Signed;
use crate::problems::{Problem, ProblemKind, Subproblem};
use crate::reply::Reply;
use crate::signing_request::{self, SigningRequest};

#[derive(Debug, Deserialize)]
struct Finalization {
    csr: String,
}

/// Takes the signing request of a ready order, and makes the certificate.
pub(crate) fn finalize(ca: &Ca, id: &str, signed: &Signed) -> Result<Reply, Problem> {
    let account = signed.account()?;
    let order = ca.orders.of(account, id)?;
    let status = order.status(ca);
    if status != Status::Ready || !ca.orders.claim(id) {
        return Err(Problem::new(
            ProblemKind::OrderNotReady,
            format!(
                "Order's status ({:?}) is not acceptable for finalization",
                status.name()
            ),
        ));
    }
    let (finalized, refusal) = match make(ca, account, &order, signed) {
        Ok(finalized) => (Some(finalized), None),
        Err(problem) => (None, Some(problem)),
    };
    let order = ca.orders.finish(id, finalized).ok_or_else(not_found)?;
    match refusal {
        None => Ok(shown(ca, &order)),
        Some(problem) => Err(problem),
    }
}

/// Makes the certificate, or does what a fault wants instead.
fn make(ca: &Ca, account: &Account, order: &Order, signed: &Signed) -> Result<Finalized, Problem> {
    let request: Finalization = signed.read()?;
    let der = URL_SAFE_NO_PAD.decode(&request.csr).map_err(|error| {
        Problem::malformed(format!("Error decoding certificate request: {error}"))
    })?;
    let names = &order.wanted.names;
    let request = signing_request::read(&der, names, &account.key)?;
    let fault = ca.faults.take::<FinalizationFault>(Occasion {
        endpoint: Endpoint::Finalize,
        names,
    });
    let polls = match fault {
        None => 0,
        Some(FinalizationFault::Processing { polls }) => polls,
        Some(FinalizationFault::Fails) => {
            let problem = Problem::new(ProblemKind::ServerInternal, "Error finalizing order");
            return Ok(Finalized {
                outcome: Err(problem),
                polls: 1,
            });
        }
        Some(FinalizationFault::CaaForbids) => return Err(caa_forbids(names)),
    };
    Ok(Finalized {
        outcome: Ok(certificate(ca, account, order, &request)?),
        polls,
    })
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
