//! Which certificates were issued, and how are they handed out?
//!
//! RFC 8555 section 7.4.2.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use rcgen::KeyPair;

use crate::accounts::Account;
use crate::ca::Ca;
use crate::endpoint::Endpoint;
use crate::faults::{ChainFault, IssuanceFault, Occasion};
use crate::issuing::{Leaf, LeafContent};
use crate::jws::Signed;
use crate::keys::PublicKey;
use crate::options::Profile;
use crate::problems::{Problem, ProblemKind};
use crate::random::{self, lock};
use crate::renewal_info::Suggestion;
use crate::reply::Reply;
use crate::signing_request::SigningRequest;

/// A certificate that was issued.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) id: String,
    pub(crate) account: String,
    /// The names of its order, whatever a fault made of them.
    pub(crate) names: Vec<String>,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) public_key: PublicKey,
    pub(crate) leaf: Leaf,
    /// What happened to it since.
    pub(crate) fate: Mutex<Fate>,
}

/// What happens to a certificate after it was issued.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    pub(crate) revoked: bool,
    /// The order that replaces it.
    pub(crate) replaced_by: Option<String>,
    /// The window that was put in place of the usual one.
    pub(crate) suggestion: Option<Suggestion>,
}

/// Every certificate.
#[derive(Debug, Default)]
pub(crate) struct Certificates(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_id: HashMap<String, Arc<Certificate>>,
    by_serial: HashMap<Vec<u8>, Arc<Certificate>>,
    /// The last one that covers the name.
    latest: HashMap<String, Arc<Certificate>>,
    /// What is left of the life of the next certificate for a name.
    next_left: HashMap<String, Duration>,
}

/// Makes a certificate for a ready order, and returns its id.
pub(crate) fn issue(
    ca: &Ca,
    account: &Account,
    names: &[String],
    profile: &Profile,
    request: &SigningRequest,
) -> Result<String, Problem> {
    let fault = ca.faults.take::<IssuanceFault>(Occasion {
        endpoint: Endpoint::Finalize,
        names,
    });
    let (not_before, not_after) = validity(ca, names, profile, fault.as_ref());
    let wrong_names = [WRONG_NAME.to_owned()];
    let covered: &[String] = match fault {
        Some(IssuanceFault::WrongNames) => &wrong_names,
        Some(IssuanceFault::MissingName) if names.len() > 1 => &names[..names.len() - 1],
        Some(
            IssuanceFault::WrongKey
            | IssuanceFault::MissingName
            | IssuanceFault::Expired
            | IssuanceFault::NotYetValid,
        )
        | None => names,
    };
    let content = LeafContent {
        names: covered,
        with_common_name: profile.with_common_name,
        not_before,
        not_after,
    };
    let leaf = if fault == Some(IssuanceFault::WrongKey) {
        KeyPair::generate().and_then(|key| ca.hierarchy.issue(&content, &key))
    } else {
        ca.hierarchy.issue(&content, &request.subject_public_key)
    };
    let leaf = leaf.map_err(|error| {
        Problem::new(ProblemKind::ServerInternal, format!("cannot sign: {error}"))
    })?;
    let id = random::id();
    ca.certificates.insert(Certificate {
        id: id.clone(),
        account: account.id.clone(),
        names: names.to_vec(),
        not_before,
        not_after,
        public_key: request.public_key.clone(),
        leaf,
        fate: Mutex::default(),
    });
    Ok(id)
}

/// Hands out a certificate with its chain, the default one or another.
pub(crate) fn download(ca: &Ca, id: &str, signed: &Signed) -> Result<Reply, Problem> {
    signed.expect_post_as_get()?;
    let (id, number) = match id.split_once('/') {
        None => (id, 0),
        Some((id, number)) => (id, number.parse().map_err(|_| not_found())?),
    };
    let certificate = ca.certificates.with_id(id).ok_or_else(not_found)?;
    if certificate.account != signed.account()?.id {
        return Err(Problem::unauthorized(
            "Account in use did not issue specified certificate",
        ));
    }
    let fault = ca.faults.take::<ChainFault>(Occasion {
        endpoint: Endpoint::Certificate,
        names: &certificate.names,
    });
    let mut reply =
        Reply::pem(chain(ca, &certificate, number, fault.as_ref()).ok_or_else(not_found)?);
    for other in (0..ca.hierarchy.intermediates.len()).filter(|other| *other != number) {
        let url = ca.routes.to(Endpoint::Certificate, &certificate.id);
        let url = if other == 0 {
            url
        } else {
            format!("{url}/{other}")
        };
        reply = reply.with_link(&url, "alternate");
    }
    Ok(reply)
}

impl Certificates {
    /// Returns the names of a certificate's order; none where there is no such certificate.
    pub(crate) fn names(&self, id: &str) -> Vec<String> {
        let id = id.split('/').next().unwrap_or(id);
        lock(&self.0)
            .by_id
            .get(id)
            .map(|certificate| certificate.names.clone())
            .unwrap_or_default()
    }

    pub(crate) fn with_serial(&self, serial: &[u8]) -> Option<Arc<Certificate>> {
        lock(&self.0).by_serial.get(serial).cloned()
    }

    /// Returns the last certificate that was ordered for the name.
    pub(crate) fn latest(&self, name: &str) -> Option<Arc<Certificate>> {
        lock(&self.0).latest.get(name).cloned()
    }

    /// Returns how many were issued.
    pub(crate) fn count(&self) -> usize {
        lock(&self.0).by_id.len()
    }

    /// Lets the next certificate for the name have only this much left of its life.
    pub(crate) fn age_next(&self, name: &str, left: Duration) {
        lock(&self.0).next_left.insert(name.to_lowercase(), left);
    }

    fn take_left(&self, names: &[String]) -> Option<Duration> {
        let mut known = lock(&self.0);
        names.iter().find_map(|name| known.next_left.remove(name))
    }

    fn with_id(&self, id: &str) -> Option<Arc<Certificate>> {
        lock(&self.0).by_id.get(id).cloned()
    }

    fn insert(&self, certificate: Certificate) {
        let certificate = Arc::new(certificate);
        let mut known = lock(&self.0);
        for name in &certificate.names {
            known.latest.insert(name.clone(), Arc::clone(&certificate));
        }
        known
            .by_serial
            .insert(certificate.leaf.serial.clone(), Arc::clone(&certificate));
        known.by_id.insert(certificate.id.clone(), certificate);
    }
}

/// Returns the first and the last moment of the next certificate for these names.
fn validity(
    ca: &Ca,
    names: &[String],
    profile: &Profile,
    fault: Option<&IssuanceFault>,
) -> (Timestamp, Timestamp) {
    let now = ca.now();
    let lifetime = profile.lifetime;
    let not_before = match fault {
        Some(IssuanceFault::Expired) => now - lifetime - HOUR,
        Some(IssuanceFault::NotYetValid) => now + HOUR,
        Some(IssuanceFault::WrongKey | IssuanceFault::WrongNames | IssuanceFault::MissingName)
        | None => {
            match ca.certificates.take_left(names) {
                Some(left) => now + left - lifetime,
                // As Let's Encrypt, for clocks that go wrong; less where an hour is much of the life.
                None => now - HOUR.min(lifetime / 10),
            }
        }
    };
    (not_before, not_before + lifetime)
}

/// Returns the chain of this number, in PEM; nothing where there is none.
fn chain(
    ca: &Ca,
    certificate: &Certificate,
    number: usize,
    fault: Option<&ChainFault>,
) -> Option<String> {
    let leaf = &certificate.leaf.pem;
    let intermediate = ca.hierarchy.intermediates.get(number)?;
    let root = ca.hierarchy.roots.get(number)?;
    Some(match fault {
        None => format!("{leaf}{intermediate}"),
        Some(ChainFault::LeafOnly) => leaf.clone(),
        Some(ChainFault::Reversed) => format!("{intermediate}{leaf}"),
        Some(ChainFault::WithRoot) => format!("{leaf}{intermediate}{root}"),
        Some(ChainFault::ForeignIntermediate) => {
            format!("{leaf}{}", ca.hierarchy.foreign_intermediate)
        }
        Some(ChainFault::Junk) => {
            format!(
                "#!/bin/sh\nrm -rf \"$HOME\"\0\x1b[2J\n{leaf}{JUNK}{intermediate}trailing text without an end"
            )
        }
        Some(ChainFault::Truncated) => {
            let whole = format!("{leaf}{intermediate}");
            whole[..leaf.len() + intermediate.len() / 2].to_owned()
        }
    })
}

fn not_found() -> Problem {
    Problem::not_found("Certificate not found")
}

/// What has no place in a chain. The key is none.
const JUNK: &str = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n\
    Bag Attributes\n    localKeyID: 01\n-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n";

/// The name in certificates that a fault gives wrong names.
const WRONG_NAME: &str = "nobody-asked-for-this.test";

const HOUR: Duration = Duration::from_secs(60 * 60);
