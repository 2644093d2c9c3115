//! The port to this host: nginx, its files, the lineages.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::certificate::{Certificate, Fingerprint};
use crate::challenge::Way;
use crate::choice::Decided;
use crate::deployment::Switch;
use crate::finding::Finding;
use crate::name::Name;
use crate::panel::PemPair;
use crate::ports::{Issued, PresentError};
use crate::report::Served;
use crate::secret::Secret;
use crate::site::Site;

/// Looks at this host and changes it. Everything it writes is on disk when a method returns.
pub trait Host: Send + Sync {
    /// Looks at vhosts and lineages. `known` saves reading certificates that have not changed.
    ///
    /// # Errors
    ///
    /// Only when nothing at all can be said; a vhost that is not understood is a finding.
    fn look(&self, known: &Known) -> impl Future<Output = Result<Look, HostFailure>> + Send;

    /// Keeps the private key of an order, readable by root alone; returns the one kept before, if there is one.
    fn keep_key(
        &self,
        domain: &Name,
        key: &Secret,
    ) -> impl Future<Output = Result<(), HostFailure>> + Send;

    /// Returns the private key kept for the site's order.
    fn kept_key(
        &self,
        domain: &Name,
    ) -> impl Future<Output = Result<Option<Secret>, HostFailure>> + Send;

    /// Checks what the CA sent and writes it to `archive/` as the next version; forgets the kept key.
    ///
    /// Where a panel projects another CA's certificate to plain files, that is kept as a version before, so that it can be
    /// served again.
    ///
    /// MUST NOT touch anything that nginx reads. Safe to repeat: the same leaf gets the same version.
    fn stage(
        &self,
        site: &Site,
        key: &Secret,
        issued: &Issued,
        now: Timestamp,
    ) -> impl Future<Output = Result<Staged, HostFailure>> + Send;

    /// Returns a version of the site's lineage as text.
    fn pair(
        &self,
        site: &Site,
        version: u32,
    ) -> impl Future<Output = Result<PemPair, HostFailure>> + Send;

    /// Works out what each change takes, without making it; one answer per change, in order.
    fn prepare(
        &self,
        changes: &[Change<'_>],
    ) -> impl Future<Output = Vec<Result<Switch, HostFailure>>> + Send;

    /// Makes the switches, in order. Safe to repeat. After a failure some may have been made.
    fn switch(&self, switches: &[Switch]) -> impl Future<Output = Result<(), HostFailure>> + Send;

    /// Undoes the switches, in the opposite order. Safe to repeat, and MUST succeed for those that were never made.
    /// Goes on after a failure, and returns the first.
    fn revert(&self, switches: &[Switch]) -> impl Future<Output = Result<(), HostFailure>> + Send;

    /// Forgets what an undo of the switches would have needed.
    fn settle(&self, switches: &[Switch]) -> impl Future<Output = ()> + Send;

    /// Asks nginx whether it accepts its configuration.
    fn test(&self) -> impl Future<Output = Result<(), HostFailure>> + Send;

    /// Tells nginx to take up its configuration. Returns when it was told: what is served shows whether it did.
    fn reload(&self) -> impl Future<Output = Result<(), HostFailure>> + Send;

    /// Says whether a web server runs here that takes up what is deployed. Cheap: every run asks.
    ///
    /// # Errors
    ///
    /// With [`NginxNotInstalled`](crate::finding::FindingName::NginxNotInstalled) when there is none to test with,
    /// and [`NginxNotRunning`](crate::finding::FindingName::NginxNotRunning) when it does not run; that only when
    /// it was seen.
    fn running(&self) -> impl Future<Output = Result<(), HostFailure>> + Send;

    /// Returns what the web server's log says went wrong since the last reload began: the worst, a few lines.
    fn complaints(&self) -> impl Future<Output = Vec<String>> + Send;

    /// Looks at what each TLS address of the site serves for its domain, until `expected` is served
    /// everywhere or `patience` is over. Says which server block answered where another leaf is served.
    fn served(
        &self,
        site: &Site,
        expected: Option<Fingerprint>,
        patience: std::time::Duration,
    ) -> impl Future<Output = Vec<Served>> + Send;

    /// Says of each file whether it was changed after nginx took up its configuration last, so that nginx may serve
    /// something else. Cheap: every run asks. Nothing is said against a file where that cannot be seen.
    fn changed_since_reload(
        &self,
        files: &[&Path],
        now: Timestamp,
    ) -> impl Future<Output = Vec<bool>> + Send {
        let _ = now;
        std::future::ready(vec![false; files.len()])
    }

    /// Makes the answer to a challenge available by `way`. Safe to repeat.
    fn present(
        &self,
        site: &Site,
        way: Way,
        token: &str,
        answer: &str,
    ) -> impl Future<Output = Result<(), PresentError>> + Send;

    /// Takes the answer away; only our own file. MUST succeed when it is not there.
    fn withdraw(&self, site: &Site, way: Way, token: &str) -> impl Future<Output = ()> + Send;

    /// Returns what people decided about a lineage; nothing where they decided nothing.
    fn decided(&self, lineage: &str) -> impl Future<Output = Result<Decided, HostFailure>> + Send;

    /// Remembers what people decided about a lineage, beside it on disk: it MUST outlive what a run remembers.
    fn decide(
        &self,
        lineage: &str,
        decided: &Decided,
    ) -> impl Future<Output = Result<(), HostFailure>> + Send;

    /// Takes away what was made for answers and is of no more use; never a folder that others use.
    fn tidy(&self) -> impl Future<Output = ()> + Send;

    /// Ends what an earlier run left half done beyond its deployments, when it died: a fix, an opening of the firewall.
    /// Says whether there was anything, so that the host must be looked at again.
    ///
    /// # Errors
    ///
    /// When it can neither be finished nor undone.
    fn end_unfinished(&self) -> impl Future<Output = Result<bool, HostFailure>> + Send {
        std::future::ready(Ok(false))
    }

    /// Opens the port on which the CA knocks in this host's firewall, where it is kept closed between validations.
    /// Safe to repeat, which puts the end off.
    ///
    /// Returns the moment by which it has to be repeated if validations still go on; `None` where nothing is kept closed.
    /// The opening MUST end by itself, or with the next run, even if this process dies.
    ///
    /// # Errors
    ///
    /// When the firewall could not be opened, so that no CA would get through.
    fn open_for_validation(
        &self,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Timestamp>, HostFailure>> + Send {
        let _ = now;
        std::future::ready(Ok(None))
    }

    /// Closes what [`Host::open_for_validation`] opened. Safe to repeat.
    fn close_after_validation(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// A change to prepare.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// Serve this version of the site's lineage, editing the vhost where its lines are missing or name other files.
    Serve {
        /// The site.
        site: &'a Site,
        /// The version to serve.
        version: u32,
        /// The leaf that must be served afterwards.
        serves: Fingerprint,
    },
    /// Put our stateless line first in the blocks that answer the CA for the site.
    Stateless {
        /// The site.
        site: &'a Site,
        /// The account's thumbprint.
        thumbprint: &'a str,
    },
}

/// A certificate written to `archive/`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Staged {
    /// Its number.
    pub version: u32,
    /// Its facts.
    pub certificate: Certificate,
    /// The file that nginx will read, once it is linked.
    pub path: PathBuf,
}

/// What was seen on this host.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// The sites, in the order of the configuration.
    pub sites: Vec<Site>,
    /// What is wrong beyond any one site.
    pub findings: Vec<Finding>,
    /// Certificates that were read because they were not known, to be remembered.
    pub read: Vec<(PathBuf, Seen)>,
    /// Every file and folder whose change would change the answer.
    pub watched: Vec<PathBuf>,
}

/// Certificate files read before, so that an unchanged one is not read again.
///
/// Files are told apart by the bytes of their paths: to compare ten thousand paths part by part takes longer than to
/// look at the files.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Known(HashMap<OsString, Seen>);

impl Known {
    /// Starts with nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts with nothing, and room for so many files.
    #[must_use]
    pub fn with_capacity(files: usize) -> Self {
        Self(HashMap::with_capacity(files))
    }

    /// Returns how many files are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Says whether no file is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns what was read from the file with this very path.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&Seen> {
        self.0.get(path.as_os_str())
    }

    /// Takes in what was read from a file, in the place of what was read before.
    pub fn insert(&mut self, path: PathBuf, seen: Seen) {
        self.0.insert(path.into_os_string(), seen);
    }
}

impl Extend<(PathBuf, Seen)> for Known {
    fn extend<I: IntoIterator<Item = (PathBuf, Seen)>>(&mut self, files: I) {
        for (path, seen) in files {
            self.insert(path, seen);
        }
    }
}

impl IntoIterator for Known {
    type Item = (PathBuf, Seen);
    type IntoIter = std::iter::Map<
        std::collections::hash_map::IntoIter<OsString, Seen>,
        fn((OsString, Seen)) -> (PathBuf, Seen),
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(|(path, seen)| (path.into(), seen))
    }
}

impl FromIterator<(PathBuf, Seen)> for Known {
    fn from_iter<I: IntoIterator<Item = (PathBuf, Seen)>>(files: I) -> Self {
        let mut known = Self::default();
        known.extend(files);
        known
    }
}

/// What was read from one certificate file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// What the file looked like then.
    pub stamp: Stamp,
    /// What the key's file looked like then.
    pub key_stamp: Option<Stamp>,
    /// The facts.
    pub certificate: Arc<Certificate>,
    /// Whether the key fitted.
    pub key_fits: bool,
}

/// What identifies the content of a file without reading it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Stamp {
    /// The inode.
    pub inode: u64,
    /// The time of the last change, in nanoseconds since 1970.
    pub modified_ns: i128,
    /// The size in bytes.
    pub size: u64,
}

/// Something on this host went wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}{}{}", .0.explanation, if .0.detail.is_empty() { "" } else { ": " }, .0.detail)]
pub struct HostFailure(pub Finding);
