//! Which other programs obtain certificates on this host, for which names, and what starts them?
//!
//! [`certbot`] and [`acme_sh`] read what those two wrote down about themselves, [`schedule`] finds the timers and cron
//! jobs that start them. Nothing is asked of the programs: what is read here is true also where they are broken.
//!
//! [`judge`] says whether one of them still renews what clpctl renews.

use std::path::PathBuf;

use jiff::Timestamp;
use renewal::adoption::{Client, Managed};
use renewal::finding::{Finding, FindingName};
use renewal::secret::Secret;
use renewal::site::Site;

pub use self::schedule::{Kind, Schedule, Schedules};

pub mod acme_sh;
pub mod certbot;
pub mod schedule;

/// What one client wrote down about itself.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which.
    pub client: Client,
    /// The folder in which it keeps everything.
    pub place: PathBuf,
    /// What it renews.
    pub managed: Vec<Managed>,
    /// The accounts that those name.
    pub accounts: Vec<Account>,
    /// Programs that it runs for every renewal: when, and what.
    pub hooks: Vec<(String, String)>,
    /// What could not be read, each as a sentence.
    pub problems: Vec<String>,
}

/// An account at a CA.
#[derive(Clone, Debug)]
pub struct Account {
    /// The CA's directory.
    pub directory: String,
    /// What the client calls it.
    pub id: String,
    /// The file of its private key.
    pub place: PathBuf,
    /// Its private key, in the client's own form.
    pub key: Key,
    /// Its URL, when it is written down.
    pub url: Option<String>,
    /// The addresses that the CA may write to.
    pub contact: Vec<String>,
    /// When it was made, when that is written down.
    pub created_at: Option<Timestamp>,
}

/// A private key in one of the forms in which clients keep them.
#[derive(Clone, Debug)]
pub enum Key {
    /// RFC 7517.
    Jwk(Secret),
    /// PEM.
    Pem(Secret),
}

/// Says which clients still renew by themselves what clpctl renews, one finding for each.
#[must_use]
pub fn judge(found: &[Found], schedules: &Schedules, sites: &[Site]) -> Vec<Finding> {
    found
        .iter()
        .filter_map(|found| judge_one(found, schedules, sites))
        .collect()
}

fn judge_one(found: &Found, schedules: &Schedules, sites: &[Site]) -> Option<Finding> {
    let started: Vec<&Schedule> = schedules.of(found.client).collect();
    let ours = |managed: &&Managed| {
        let mut wanted = sites
            .iter()
            .filter(|site| site.policy.managed && !site.is_imported());
        managed.renews
            && wanted.any(|site| {
                managed
                    .names
                    .iter()
                    .any(|name| site.wanted.iter().any(|one| one == name))
            })
    };
    let shared: Vec<&str> = found
        .managed
        .iter()
        .filter(ours)
        .map(|managed| managed.name.as_str())
        .collect();
    if started.is_empty() || shared.is_empty() {
        return None;
    }
    let client = found.client;
    let by: Vec<String> = started.iter().map(ToString::to_string).collect();
    let more = shared.len().saturating_sub(SHOWN);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let names = shared[..shared.len().min(SHOWN)].join(", ");
    Some(
        Finding::new(
            FindingName::OtherClientActive,
            format!("{client} renews certificates that clpctl renews too"),
        )
        .detail(format!("{names}{more}; started by {}", by.join(", ")))
        .fix(format!(
            "see what clpctl would take over from it: clpctl host:adopt --from={} --dry-run; with \
             --disable-other-client it does not run any more",
            client.as_str().to_lowercase()
        )),
    )
}

/// More names help nobody to find out which.
const SHOWN: usize = 5;
