//! What did people decide about lineages, and where is it kept?
//!
//! In `renewal/clpctl/NAME.json`, one file for each lineage about which something was decided, so that a host with
//! thousands of lineages and no decisions pays for one look at one folder. certbot reads `renewal/*.conf` alone.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use renewal::certificate::Fingerprint;
use renewal::choice::{Choice, Decided};
use renewal::finding::{Finding, FindingName};
use renewal::ports::HostFailure;
use renewal::revocation::Revoked;

use crate::file::{self, Access, Beside, FileError, Unsynced};

/// The folder of decisions.
#[derive(Clone, Debug)]
pub(crate) struct Decisions {
    folder: PathBuf,
}

/// The lineages about which something was decided, as one look sees them.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    names: HashSet<String>,
}

/// A decision cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecidedError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// What stands in it.
    #[error("{} makes no sense: {cause}", path.display())]
    Nonsense {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: serde_json::Error,
    },
}

impl From<DecidedError> for HostFailure {
    fn from(error: DecidedError) -> Self {
        match error {
            DecidedError::File(error) => error.into(),
            DecidedError::Nonsense { .. } => Self(
                Finding::new(
                    FindingName::FileNotUsable,
                    "What was decided about a lineage cannot be read.",
                )
                .detail(error.to_string())
                .fix("Correct the file, or remove it: then an imported certificate is renewed like any other."),
            ),
        }
    }
}

impl Decisions {
    pub(crate) fn new(letsencrypt: &Path) -> Self {
        Self {
            folder: letsencrypt.join("renewal").join("clpctl"),
        }
    }

    /// Returns what was decided about a lineage.
    pub(crate) fn read(&self, lineage: &str) -> Result<Decided, DecidedError> {
        let path = self.path(lineage);
        let bytes = match file::read(&path, FILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.is_missing() => return Ok(Decided::default()),
            Err(error) => return Err(error.into()),
        };
        serde_json::from_slice(&bytes).map_err(|cause| DecidedError::Nonsense { path, cause })
    }

    /// Writes down what was decided about a lineage; a file that would say nothing is removed.
    pub(crate) fn write(&self, lineage: &str, decided: &Decided) -> Result<(), DecidedError> {
        let path = self.path(lineage);
        if decided.is_empty() {
            file::remove(&path)?;
            return Ok(());
        }
        let mut unsynced = Unsynced::default();
        file::make_folders(&self.folder, FOLDER_MODE, &mut unsynced)?;
        let mut text =
            serde_json::to_vec_pretty(decided).map_err(|cause| DecidedError::Nonsense {
                path: path.clone(),
                cause,
            })?;
        text.push(b'\n');
        let beside = Beside::write(&path, &text, Access::PUBLIC, &mut unsynced)?;
        unsynced.sync()?;
        beside.put_in_place()?;
        Ok(file::sync_folder(&self.folder)?)
    }

    /// Lists the lineages about which something was decided.
    pub(crate) fn list(&self) -> Listed {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            let file = entry.file_name();
            file.to_str()?.strip_suffix(EXTENSION).map(str::to_owned)
        });
        Listed {
            names: names.collect(),
        }
    }

    /// Returns the choice that somebody made about a leaf of a listed lineage; a file that makes no sense is a finding.
    pub(crate) fn choice(
        &self,
        listed: &Listed,
        lineage: &str,
        leaf: Fingerprint,
        findings: &mut Vec<Finding>,
    ) -> Option<Choice> {
        if !listed.names.contains(lineage) {
            return None;
        }
        match self.read(lineage) {
            Ok(decided) => decided.choice(leaf).copied(),
            Err(error) => {
                findings.push(HostFailure::from(error).0);
                None
            }
        }
    }

    /// Returns the keys that must never be used again, of all lineages.
    pub(crate) fn burnt_keys(&self) -> Result<HashSet<Fingerprint>, DecidedError> {
        let mut keys = HashSet::new();
        for lineage in self.list().names {
            let burnt = self.read(&lineage)?.revoked.into_iter();
            keys.extend(burnt.filter(Revoked::burns_key).map(|one| one.key));
        }
        Ok(keys)
    }

    fn path(&self, lineage: &str) -> PathBuf {
        self.folder.join(format!("{lineage}{EXTENSION}"))
    }
}

const EXTENSION: &str = ".json";

/// As certbot makes `renewal/`.
const FOLDER_MODE: u32 = 0o755;

/// Thousands of revocations of one lineage.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use renewal::choice::How;
    use renewal::revocation::RevocationReason;

    fn decided(key: u8, reason: RevocationReason) -> Decided {
        let at = "2026-02-01T00:00:00Z".parse().unwrap();
        Decided {
            choices: vec![Choice {
                how: How::Imported,
                leaf: Fingerprint([7; 32]),
                at,
                newest: 3,
            }],
            revoked: vec![Revoked {
                leaf: Fingerprint([8; 32]),
                key: Fingerprint([key; 32]),
                reason,
                wanted_at: at,
                done_at: None,
            }],
        }
    }

    #[test]
    fn what_was_decided_is_read_again_and_nothing_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let decisions = Decisions::new(folder.path());
        assert!(decisions.read("a.test").unwrap().is_empty());
        let one = decided(1, RevocationReason::KeyCompromise);
        decisions.write("a.test", &one).unwrap();
        assert_eq!(decisions.read("a.test").unwrap(), one);
        assert!(decisions.list().names.contains("a.test"));
        decisions.write("a.test", &Decided::default()).unwrap();
        assert!(decisions.list().names.is_empty());
    }

    #[test]
    fn only_keys_that_were_compromised_are_burnt() {
        let folder = tempfile::tempdir().unwrap();
        let decisions = Decisions::new(folder.path());
        let burnt = decided(1, RevocationReason::KeyCompromise);
        decisions.write("a.test", &burnt).unwrap();
        decisions
            .write("b.test", &decided(2, RevocationReason::Superseded))
            .unwrap();
        let keys = decisions.burnt_keys().unwrap();
        assert_eq!(keys.into_iter().collect::<Vec<_>>(), [Fingerprint([1; 32])]);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_a_finding() {
        let folder = tempfile::tempdir().unwrap();
        let decisions = Decisions::new(folder.path());
        decisions
            .write("a.test", &decided(1, RevocationReason::Superseded))
            .unwrap();
        crate::testing::put(&decisions.path("a.test"), "{\"choices\": 1");
        let mut findings = Vec::new();
        let leaf = Fingerprint([7; 32]);
        let choice = decisions.choice(&decisions.list(), "a.test", leaf, &mut findings);
        assert_eq!((choice, findings.len()), (None, 1));
        assert!(findings[0].detail.contains("a.test.json"), "{findings:?}");
    }
}
