//! What does certbot renew here, with which account and how?
//!
//! | path below its folder | is |
//! | --- | --- |
//! | `renewal/NAME.conf` | how a lineage is renewed |
//! | `live/NAME/` | its certificate |
//! | `accounts/HOST/PATH/ID/` | an account: `private_key.json`, `regr.json`, `meta.json` |
//! | `renewal-hooks/{pre,post,deploy}/` | programs for every renewal |

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use renewal::adoption::{Client, Managed, Proof};
use renewal::certificate::KeyType;
use renewal::policy::Ca;
use renewal::secret::Secret;
use serde::Deserialize;

use super::{Account, Found, Key};
use crate::reading;

/// Reads everything; `None` when certbot never was here.
#[must_use]
pub fn read(letsencrypt: &Path) -> Option<Found> {
    let renewal = letsencrypt.join("renewal");
    let mut files: Vec<PathBuf> = fs::read_dir(renewal)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "conf")
        })
        .collect();
    files.sort();
    if files.is_empty() {
        return None;
    }
    let mut found = Found {
        client: Client::Certbot,
        place: letsencrypt.to_owned(),
        managed: Vec::new(),
        accounts: Vec::new(),
        hooks: hooks_for_all(letsencrypt),
        problems: Vec::new(),
    };
    for file in files {
        match reading::text(&file) {
            Ok(text) => found.managed.push(managed(letsencrypt, &file, &text)),
            Err(error) => found.problems.push(format!("{}: {error}", file.display())),
        }
    }
    let mut wanted: Vec<(Ca, String)> = Vec::new();
    for managed in &found.managed {
        if let (Some(ca), Some(id)) = (&managed.ca, &managed.account)
            && !wanted.contains(&(ca.clone(), id.clone()))
        {
            wanted.push((ca.clone(), id.clone()));
        }
    }
    for (ca, id) in wanted {
        match account(letsencrypt, &ca, &id) {
            Ok(account) => found.accounts.push(account),
            Err(problem) => found.problems.push(problem),
        }
    }
    Some(found)
}

/// Reads one lineage.
pub(crate) fn managed(letsencrypt: &Path, file: &Path, text: &str) -> Managed {
    let parameters = Parameters::read(text);
    let get = |key: &str| parameters.values.get(key).map(String::as_str);
    let name = file
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let certificate = get("cert").map_or_else(
        || letsencrypt.join("live").join(&name).join("cert.pem"),
        PathBuf::from,
    );
    let leaf = reading::bytes(&certificate)
        .ok()
        .and_then(|pem| x509::chain::leaf(&pem).ok());
    let hooks = [
        ("pre_hook", "before"),
        ("post_hook", "after"),
        ("renew_hook", "deploy"),
    ];
    let hooks = hooks
        .into_iter()
        .filter_map(|(key, when)| Some((when.to_owned(), get(key)?.to_owned())));
    Managed {
        name,
        place: file.to_owned(),
        names: leaf
            .as_ref()
            .map(|leaf| leaf.names.clone())
            .unwrap_or_default(),
        leaf: leaf.map(|leaf| leaf.sha256),
        ca: get("server").map(|server| Ca(server.into())),
        account: get("account").map(str::to_owned),
        key_type: key_type(get("key_type"), get("elliptic_curve"), get("rsa_key_size")),
        profile: get("required_profile")
            .or(get("preferred_profile"))
            .map(str::to_owned),
        before_expiry: get("renew_before_expiry").and_then(days),
        proof: proof(get("authenticator")),
        renews: get("autorenew").is_none_or(|value| !value.eq_ignore_ascii_case("false")),
        hooks: hooks.collect(),
        notes: notes(&parameters),
    }
}

fn key_type(kind: Option<&str>, curve: Option<&str>, bits: Option<&str>) -> Option<KeyType> {
    match (kind?, curve, bits) {
        ("ecdsa", None | Some("secp256r1"), _) => Some(KeyType::EcdsaP256),
        // P-521 is what few CAs take; the nearest that all take is P-384.
        ("ecdsa", Some(_), _) => Some(KeyType::EcdsaP384),
        ("rsa", _, Some("3072")) => Some(KeyType::Rsa3072),
        ("rsa", _, Some("4096")) => Some(KeyType::Rsa4096),
        ("rsa", _, _) => Some(KeyType::Rsa2048),
        _ => None,
    }
}

fn proof(authenticator: Option<&str>) -> Proof {
    match authenticator {
        Some("webroot" | "standalone" | "nginx" | "apache") => Proof::Http,
        Some(other) => Proof::Other(other.to_owned()),
        None => Proof::Other("nothing that is written down".to_owned()),
    }
}

/// Reads `30 days`, as certbot writes it.
fn days(text: &str) -> Option<SignedDuration> {
    let (number, unit) = text.split_once(' ')?;
    let number: i64 = number.parse().ok()?;
    let hours = match unit.trim_end_matches('s') {
        "day" => 24,
        "week" => 7 * 24,
        _ => return None,
    };
    Some(SignedDuration::from_hours(number.checked_mul(hours)?))
}

/// Says what clpctl does otherwise.
fn notes(parameters: &Parameters) -> Vec<String> {
    let mut notes = Vec::new();
    let is_true = |key: &str| {
        let value = parameters.values.get(key);
        value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
    };
    if is_true("reuse_key") {
        notes.push(
            "certbot keeps its key (reuse_key); clpctl makes a new one at each renewal".to_owned(),
        );
    }
    if is_true("must_staple") {
        notes.push("certbot asks for OCSP must-staple, which CAs do not offer any more".to_owned());
    }
    if let Some(chain) = parameters.values.get("preferred_chain") {
        notes.push(format!(
            "certbot prefers the chain “{chain}”; clpctl takes the CA's first"
        ));
    }
    if !parameters.webroots.is_empty() {
        let roots: Vec<String> = parameters
            .webroots
            .iter()
            .map(|(name, root)| format!("{name} in {root}"))
            .collect();
        notes.push(format!(
            "certbot puts challenge files for {}; clpctl asks nginx's configuration where",
            roots.join(", ")
        ));
    }
    notes
}

fn hooks_for_all(letsencrypt: &Path) -> Vec<(String, String)> {
    let folder = letsencrypt.join("renewal-hooks");
    let mut hooks = Vec::new();
    for (kind, when) in [("pre", "before"), ("post", "after"), ("deploy", "deploy")] {
        let entries = fs::read_dir(folder.join(kind))
            .into_iter()
            .flatten()
            .flatten();
        let files = entries
            .map(|entry| entry.path())
            .filter(|path| path.is_file());
        hooks.extend(files.map(|path| (when.to_owned(), path.display().to_string())));
    }
    hooks.sort();
    hooks
}

/// Reads one account.
fn account(letsencrypt: &Path, ca: &Ca, id: &str) -> Result<Account, String> {
    let server = ca.0.split_once("://").map_or(&*ca.0, |(_, rest)| rest);
    // Both come from a file that an attacker may have written somewhere else.
    let plain = |text: &str| {
        !text.starts_with("/") && text.split("/").all(|part| !matches!(part, "." | ".."))
    };
    if !plain(server) || !plain(id) || id.contains('/') {
        return Err(format!("the account {id} at {ca} has no plain name"));
    }
    let folder = letsencrypt.join("accounts").join(server).join(id);
    let place = folder.join("private_key.json");
    let key = reading::text(&place)
        .map_err(|error| format!("the account {id} at {ca}: {}: {error}", place.display()))?;
    let json = |name: &str| reading::bytes(&folder.join(name)).ok();
    let registration: Option<Registration> =
        json("regr.json").and_then(|text| serde_json::from_slice(&text).ok());
    let meta: Option<Meta> = json("meta.json").and_then(|text| serde_json::from_slice(&text).ok());
    Ok(Account {
        directory: ca.0.to_string(),
        id: id.to_owned(),
        place,
        key: Key::Jwk(Secret::new(key)),
        url: registration.map(|registration| registration.uri),
        contact: Vec::new(),
        created_at: meta.and_then(|meta| meta.creation_dt),
    })
}

#[derive(Deserialize)]
struct Registration {
    uri: String,
}

#[derive(Deserialize)]
struct Meta {
    creation_dt: Option<Timestamp>,
}

/// A `renewal/NAME.conf`: what is outside of sections and in `[renewalparams]`, and the `[[webroot_map]]`.
#[derive(Debug, Default)]
struct Parameters {
    values: BTreeMap<String, String>,
    webroots: BTreeMap<String, String>,
}

impl Parameters {
    fn read(text: &str) -> Self {
        let mut parameters = Self::default();
        let mut in_webroots = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                in_webroots = line.trim_matches(['[', ']']) == "webroot_map";
                continue;
            }
            let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
                continue;
            };
            let (key, value) = (key.trim().to_owned(), unquoted(value.trim()));
            if in_webroots {
                parameters.webroots.insert(key, value);
            } else if !value.is_empty() && value != "None" {
                parameters.values.insert(key, value);
            }
        }
        parameters
    }
}

fn unquoted(text: &str) -> String {
    let inner = ['"', '\'']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote));
    inner.unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests;
