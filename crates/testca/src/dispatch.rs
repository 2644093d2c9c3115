//! Who answers a request, and what goes wrong on the way?
//!
//! The one path of every request: it is counted, read, checked, refused or handled, and its
//! reply gets what every reply has; the armed faults are asked at each step.

use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Method, Request};

use crate::ca::Ca;
use crate::endpoint::{Endpoint, Route};
use crate::faults::{Disturbance, Occasion, Refusal, WireFault};
use crate::jws::{self, Call, Signed};
use crate::problems::Problem;
use crate::reply::Reply;
use crate::{accounts, authorizations, certificates, directory, orders, renewal_info, revocation};

/// A request that gets no reply: its connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed on purpose")]
pub(crate) struct Dropped;

/// Answers a request.
pub(crate) async fn answer(ca: &Arc<Ca>, request: Request<Incoming>) -> Result<Reply, Dropped> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let route = ca.routes.find(&path);
    ca.requests.count(route.endpoint);
    // A request that breaks off has nobody who waits for a reply.
    let body = Limited::new(body, LARGEST_REQUEST)
        .collect()
        .await
        .map_err(|_| Dropped)?
        .to_bytes();
    let call = Call {
        method: parts.method,
        route,
        url: ca.routes.absolute(&path),
        content_type: content_type(&parts.headers),
        body,
    };
    let names = names_of(ca, &call);
    let occasion = Occasion {
        endpoint: route.endpoint,
        names: &names,
    };
    let disturbance = Disturbance::of(ca.faults.take_all::<WireFault>(occasion));
    if disturbance.drop_request {
        return Err(Dropped);
    }
    let reply = match handle(ca, &call, occasion) {
        Ok(reply) => reply,
        Err(problem) => Reply::problem(&problem, ca.now()),
    };
    let reply = finish(ca, &call, reply);
    if !disturbance.delay.is_zero() {
        tokio::time::sleep(disturbance.delay).await;
    }
    if disturbance.lose_reply {
        return Err(Dropped);
    }
    Ok(disturbance.spoil(reply))
}

fn handle(ca: &Arc<Ca>, call: &Call<'_>, occasion: Occasion<'_>) -> Result<Reply, Problem> {
    check_method(call)?;
    let signed = if call.route.endpoint.is_signed() {
        Some(jws::open(ca, call)?)
    } else {
        None
    };
    if let Some(refusal) = ca.faults.take::<Refusal>(occasion) {
        return Ok(refusal.reply(occasion.names, &ca.routes.absolute("/unpause"), ca.now()));
    }
    match &signed {
        Some(signed) => handle_signed(ca, call, signed),
        None => handle_plain(ca, call),
    }
}

fn handle_plain(ca: &Ca, call: &Call<'_>) -> Result<Reply, Problem> {
    match call.route.endpoint {
        Endpoint::Directory => Ok(directory::show(ca)),
        // RFC 8555 section 7.2: 204 for GET, 200 for HEAD. The nonce comes with every reply to it.
        Endpoint::NewNonce => Ok(Reply::empty(if call.method == Method::HEAD {
            200
        } else {
            204
        })),
        Endpoint::RenewalInfo => renewal_info::show(ca, call.route.id),
        Endpoint::Unknown
        | Endpoint::NewAccount
        | Endpoint::NewOrder
        | Endpoint::KeyChange
        | Endpoint::RevokeCert
        | Endpoint::Account
        | Endpoint::Order
        | Endpoint::Finalize
        | Endpoint::Authorization
        | Endpoint::Challenge
        | Endpoint::Certificate => Err(Problem::not_found("Page not found")),
    }
}

fn handle_signed(ca: &Arc<Ca>, call: &Call<'_>, signed: &Signed) -> Result<Reply, Problem> {
    let Route { endpoint, id } = call.route;
    match endpoint {
        Endpoint::NewAccount => accounts::create(ca, signed),
        Endpoint::Account => accounts::update(ca, id, signed),
        Endpoint::KeyChange => accounts::change_key(ca, &call.url, signed),
        Endpoint::NewOrder => orders::create(ca, signed),
        Endpoint::Order => orders::show(ca, id, signed),
        Endpoint::Finalize => orders::finalize(ca, id, signed),
        Endpoint::Authorization => authorizations::show(ca, id, signed),
        Endpoint::Challenge => authorizations::challenge(ca, id, signed),
        Endpoint::Certificate => certificates::download(ca, id, signed),
        Endpoint::RevokeCert => revocation::revoke(ca, signed),
        Endpoint::Directory | Endpoint::NewNonce | Endpoint::RenewalInfo | Endpoint::Unknown => {
            Err(Problem::not_found("Page not found"))
        }
    }
}

fn check_method(call: &Call<'_>) -> Result<(), Problem> {
    let allowed = match call.route.endpoint {
        Endpoint::Unknown => true,
        Endpoint::Directory | Endpoint::NewNonce | Endpoint::RenewalInfo => {
            matches!(call.method, Method::GET | Method::HEAD)
        }
        Endpoint::NewAccount
        | Endpoint::NewOrder
        | Endpoint::KeyChange
        | Endpoint::RevokeCert
        | Endpoint::Account
        | Endpoint::Order
        | Endpoint::Finalize
        | Endpoint::Authorization
        | Endpoint::Challenge
        | Endpoint::Certificate => call.method == Method::POST,
    };
    if allowed {
        Ok(())
    } else {
        Err(Problem::malformed("Method not allowed").with_status(405))
    }
}

/// Adds what every reply has.
fn finish(ca: &Ca, call: &Call<'_>, reply: Reply) -> Reply {
    let reply = reply.with("cache-control", "public, max-age=0, no-cache");
    let gives_nonce = call.method == Method::POST || call.route.endpoint == Endpoint::NewNonce;
    let reply = if gives_nonce {
        reply.with("replay-nonce", &ca.nonces.hand_out())
    } else {
        reply
    };
    if call.route.endpoint == Endpoint::Directory {
        reply
    } else {
        reply.with_link(&ca.routes.directory(), "index")
    }
}

/// Returns the names that a request is about, where a fault might ask for them.
fn names_of(ca: &Ca, call: &Call<'_>) -> Vec<String> {
    if !ca.faults.any() {
        return Vec::new();
    }
    let id = call.route.id;
    match call.route.endpoint {
        Endpoint::NewOrder => orders::names_in_request(&call.body),
        Endpoint::Order | Endpoint::Finalize => ca.orders.names(id),
        Endpoint::Authorization | Endpoint::Challenge => ca.authorizations.names(id),
        Endpoint::Certificate => ca.certificates.names(id),
        Endpoint::RenewalInfo => renewal_info::find(ca, id)
            .map(|certificate| certificate.names.clone())
            .unwrap_or_default(),
        Endpoint::Directory
        | Endpoint::NewNonce
        | Endpoint::NewAccount
        | Endpoint::KeyChange
        | Endpoint::RevokeCert
        | Endpoint::Account
        | Endpoint::Unknown => Vec::new(),
    }
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    headers.get(CONTENT_TYPE)?.to_str().ok().map(str::to_owned)
}

/// In bytes. A signing request for a hundred names needs a quarter of it.
const LARGEST_REQUEST: usize = 64 * 1024;
