//! What is really so: the files of the host, what nginx serves, what the CA knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use renewal::certificate::Fingerprint;

/// Everything, behind one lock.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Truth>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Truth> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Cert {
    pub(crate) number: u64,
    pub(crate) names: Vec<String>,
    pub(crate) begin: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) key: String,
    /// Whether somebody else than we got it.
    pub(crate) foreign: bool,
}

impl Cert {
    pub(crate) fn sha256(&self) -> Fingerprint {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.number.to_le_bytes());
        Fingerprint(bytes)
    }

    pub(crate) fn id(&self) -> String {
        format!("ca.{}", self.number)
    }

    pub(crate) fn valid_at(&self, moment: Timestamp) -> bool {
        self.begin <= moment && moment < self.end
    }

    pub(crate) fn covers(&self, names: &[String]) -> bool {
        names.iter().all(|name| self.names.contains(name))
    }
}

/// A site's configuration and its files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vhost {
    /// The names it wants; the first is its domain.
    pub(crate) names: Vec<String>,
    /// The versions of its lineage, each with the key beside it.
    pub(crate) versions: BTreeMap<u32, Cert>,
    pub(crate) linked: Option<u32>,
    /// Whether our line is in the vhost.
    pub(crate) line: bool,
    /// Whether nginx serves challenge files for it.
    pub(crate) folder: bool,
    /// Whether nginx refuses versions above this one.
    pub(crate) refuses_above: Option<u32>,
    /// How often its links were written.
    pub(crate) link_writes: u32,
    /// The version that somebody else linked last.
    pub(crate) meddled: Option<u32>,
}

impl Vhost {
    pub(crate) fn linked_cert(&self) -> Option<&Cert> {
        self.versions.get(&self.linked?)
    }
}

/// Who reaches a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reach {
    /// Nobody, and we see it.
    Nobody,
    /// We do, the CA does not.
    NotTheCa,
}

/// Whether nginx runs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Nginx {
    #[default]
    Runs,
    Dead,
}

/// How the CA fares.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Mood {
    #[default]
    Well,
    /// Nobody answers.
    Gone,
    /// It asks to be left alone for so many minutes.
    Busy(i64),
    /// It signs, and its reply is lost.
    LosesReplies,
    /// It signs for other names than were asked for.
    Confused,
}

/// An order at the CA.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) names: Vec<String>,
    pub(crate) placed_at: Timestamp,
    /// The key of the one who placed it, as the host kept it then.
    pub(crate) key: String,
    pub(crate) state: OrderState,
    /// Whether the reply that tells its URL was lost with the process that waited for it.
    pub(crate) told: bool,
}

/// How far an order is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum OrderState {
    Pending,
    /// With the names whose validation failed.
    Invalid(Vec<String>),
    Valid(u64),
}

/// What nginx has in memory: what it was told at the last reload that it heard.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Loaded {
    pub(crate) certs: BTreeMap<u32, Option<u64>>,
    pub(crate) lines: BTreeSet<u32>,
}

/// All of it.
#[derive(Default)]
pub(crate) struct Truth {
    pub(crate) vhosts: BTreeMap<u32, Vhost>,
    pub(crate) reach: BTreeMap<String, Reach>,
    pub(crate) kept_keys: BTreeMap<String, String>,
    pub(crate) presented: BTreeSet<String>,
    pub(crate) loaded: Loaded,
    /// Whether a file that nginx reads was written since it was last told to reload, heard or not.
    pub(crate) written: bool,
    pub(crate) nginx: Nginx,
    pub(crate) deaf: bool,
    pub(crate) broken: bool,
    /// How far this host's clock is ahead, in seconds.
    pub(crate) clock_ahead: i64,
    /// Whether it ever was wrong: then what the ledger remembers may be wrong too.
    pub(crate) clock_was_wrong: bool,
    pub(crate) mood: Mood,
    pub(crate) lifetime_days: i64,
    pub(crate) orders: BTreeMap<String, Order>,
    pub(crate) certs: BTreeMap<u64, Cert>,
    pub(crate) revoked: BTreeSet<u64>,
    pub(crate) keys_made: u64,
    pub(crate) failures: BTreeMap<String, Vec<Timestamp>>,
    /// The last failure of each name since its last success.
    pub(crate) failed_at: BTreeMap<String, Timestamp>,
    pub(crate) orders_placed: u32,
    pub(crate) probes: u32,
    pub(crate) reloads: u32,
    /// Whether the pass may reload though nothing changed: an earlier one died, or was not heard.
    pub(crate) may_repeat_reload: bool,
    /// Whether the present pass was forced by a person.
    pub(crate) forced: bool,
    /// What must never be, and was.
    pub(crate) violations: Vec<String>,
}

impl Truth {
    /// Says whether nginx would accept its files: every link leads to a certificate, and to one that it can use.
    pub(crate) fn accepts(&self) -> bool {
        !self.broken
            && self.vhosts.values().all(|vhost| match vhost.linked {
                None => true,
                Some(version) => {
                    vhost.versions.contains_key(&version)
                        && vhost.refuses_above.is_none_or(|most| version <= most)
                }
            })
    }

    /// Returns what nginx would load now.
    pub(crate) fn loadable(&self) -> Loaded {
        let certs = self
            .vhosts
            .iter()
            .map(|(number, vhost)| (*number, vhost.linked_cert().map(|cert| cert.number)));
        let lines = self.vhosts.iter().filter(|(_, vhost)| vhost.line);
        Loaded {
            certs: certs.collect(),
            lines: lines.map(|(number, _)| *number).collect(),
        }
    }

    /// Returns the certificate that a site serves.
    pub(crate) fn served(&self, number: u32) -> Option<&Cert> {
        let cert = self.loaded.certs.get(&number).copied().flatten()?;
        self.certs.get(&cert)
    }

    /// Finds a site by one of its names, its domain first.
    pub(crate) fn by_domain(&self, domain: &str) -> Option<u32> {
        let mut vhosts = self.vhosts.iter();
        vhosts
            .find(|(_, vhost)| vhost.names.first().map(String::as_str) == Some(domain))
            .map(|(number, _)| *number)
    }

    /// Has nginx take up its files, as a reload or a start does.
    pub(crate) fn load(&mut self) {
        self.loaded = self.loadable();
        self.written = false;
    }

    pub(crate) fn violated(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    /// Makes a certificate at the CA.
    pub(crate) fn issue(&mut self, names: Vec<String>, key: String, now: Timestamp) -> Cert {
        let number = u64::try_from(self.certs.len()).unwrap() + 1;
        let cert = Cert {
            number,
            names,
            begin: now.checked_sub(SignedDuration::from_hours(1)).unwrap(),
            end: now
                .checked_add(SignedDuration::from_hours(24 * self.lifetime_days))
                .unwrap(),
            key,
            foreign: false,
        };
        self.certs.insert(number, cert.clone());
        cert
    }
}
