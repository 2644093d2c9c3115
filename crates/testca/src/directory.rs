//! Where is everything?
//!
//! RFC 8555 section 7.1.1, with `renewalInfo` of RFC 9773 and the profiles of
//! draft-ietf-acme-profiles.

use serde_json::{Map, Value, json};

use crate::ca::Ca;
use crate::endpoint::Endpoint;
use crate::random;
use crate::reply::Reply;

/// Shows the directory.
pub(crate) fn show(ca: &Ca) -> Reply {
    let url = |endpoint| ca.routes.of(endpoint);
    let profiles: Map<String, Value> = ca
        .options
        .profiles
        .iter()
        .map(|profile| (profile.name.clone(), json!(profile.description)))
        .collect();
    let mut directory = json!({
        "newNonce": url(Endpoint::NewNonce),
        "newAccount": url(Endpoint::NewAccount),
        "newOrder": url(Endpoint::NewOrder),
        "keyChange": url(Endpoint::KeyChange),
        "revokeCert": url(Endpoint::RevokeCert),
        "renewalInfo": url(Endpoint::RenewalInfo),
        "meta": {
            "termsOfService": ca.routes.absolute("/terms"),
            "caaIdentities": [ca.options.caa_identity],
            "profiles": profiles,
        },
    });
    // As Boulder does, so that no client insists on knowing every key.
    directory[random::id()] = json!("Keys that a client does not know are to be ignored");
    Reply::json(200, &directory)
}
