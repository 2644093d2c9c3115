//! How is the port on which the CA knocks opened for the minutes of a validation, and closed again whatever happens?
//!
//! Let's Encrypt publishes no addresses, so a firewall cannot let the CA alone in; it can be open while the CA knocks. The
//! opening is made so that the kernel itself ends it: an element of an nftables set with a timeout, or a rule of iptables
//! that holds until a moment. Before anything is changed it is written down how to undo it, so that the next run clears away
//! what a run that died has left, be it without effect by then.
//!
//! | the firewall | what is put into it | what ends it |
//! | --- | --- | --- |
//! | nftables, every `filter` chain on `input` | a set, a rule first in the chain, an element with a timeout | the kernel |
//! | iptables and ip6tables, and with them ufw | a rule first in `INPUT` with `-m time --datestop` | the kernel; without `xt_time`, the next run |

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use renewal::finding::{Finding, FindingName};
use renewal::ports::HostFailure;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::command::{self, CommandError};
use crate::file::{self, Access, Beside, FileError, Unsynced};
use crate::host::{NginxHost, blocking};
use crate::settings::Settings;

mod iptables;
mod nft;

/// What is open now.
#[derive(Debug, Default)]
pub(crate) struct Firewall(Mutex<Vec<Opening>>);

/// One opening, with everything that is needed to undo it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Opening {
    Nft(nft::Chain),
    Iptables(iptables::Rule),
}

/// A firewall could not be changed.
#[derive(Debug, thiserror::Error)]
enum FirewallError {
    /// The program could not be run.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The program refused.
    #[error("{program} ended with {ending}: {said}")]
    Refused {
        /// Which.
        program: &'static str,
        /// How it ended.
        ending: String,
        /// Its words.
        said: String,
    },
    /// The undo could not be written down.
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<FirewallError> for HostFailure {
    fn from(error: FirewallError) -> Self {
        let finding = Finding::new(
            FindingName::FirewallBlocks80,
            "The firewall of this host is kept closed between validations, and could not be opened for one.",
        );
        Self(finding.detail(error.to_string()).fix(
            "Run clpctl as root, and see that nft or iptables works; or open the port yourself and set firewall.mode = \"off\".",
        ))
    }
}

impl NginxHost {
    /// Opens the port, or puts off the end of what is open.
    pub(crate) async fn open_port(&self, now: Timestamp) -> Result<Option<Timestamp>, HostFailure> {
        let Some(open_for) = self.settings.open_for_validation else {
            return Ok(None);
        };
        let mut open = self.firewall.0.lock().await;
        let wanted = Wanted {
            port: self.settings.http01_port,
            open_for,
            until: now.checked_add(open_for).unwrap_or(Timestamp::MAX),
        };
        let before = open.clone();
        *open = openings(&wanted, &before).await?;
        if open.is_empty() {
            // Nothing is filtered here, so nothing has to be opened.
            return Ok(None);
        }
        // Both, for until the new ones are in place the old ones are.
        let all: Vec<Opening> = before.iter().chain(&*open).cloned().collect();
        self.write_down(&all).await?;
        for opening in &*open {
            match opening {
                Opening::Nft(chain) => nft::open(chain, &wanted).await?,
                Opening::Iptables(rule) => iptables::open(rule).await?,
            }
        }
        let outdated = before.into_iter().filter(|old| !open.contains(old));
        close(&outdated.collect::<Vec<_>>()).await;
        Ok(now.checked_add(open_for / 2).ok())
    }

    /// Closes what is open.
    pub(crate) async fn close_port(&self) {
        let mut open = self.firewall.0.lock().await;
        let closing = std::mem::take(&mut *open);
        if closing.is_empty() {
            return;
        }
        if close(&closing).await {
            self.forget().await;
        }
    }

    /// Clears away what a run that died has left in the firewall.
    pub(crate) async fn end_unfinished_opening(&self) {
        let settings = self.settings.clone();
        let left = blocking(move || read(&settings)).await;
        let Some(left) = left else { return };
        tracing::warn!(
            "an earlier run died while the firewall was open for a validation; what it left is removed"
        );
        if close(&left).await {
            self.forget().await;
        }
    }

    async fn write_down(&self, openings: &[Opening]) -> Result<(), FirewallError> {
        let (settings, openings) = (self.settings.clone(), openings.to_owned());
        blocking(move || write(&settings, &openings)).await
    }

    async fn forget(&self) {
        let journal = self.settings.state.join(JOURNAL);
        if let Err(error) = blocking(move || file::remove(&journal)).await {
            tracing::warn!(%error, "the next run undoes once more what is undone");
        }
    }
}

/// What shall be open, and how long.
struct Wanted {
    port: u16,
    open_for: SignedDuration,
    until: Timestamp,
}

/// Finds every filter that could drop what the CA sends.
async fn openings(wanted: &Wanted, before: &[Opening]) -> Result<Vec<Opening>, FirewallError> {
    let known: Vec<Opening> = before
        .iter()
        .filter(|opening| matches!(opening, Opening::Nft(_)))
        .cloned()
        .collect();
    // What was found once in this run is still there; only the end of iptables' rules stands in the rules themselves.
    let mut found = if before.is_empty() {
        let chains = nft::chains().await?;
        chains.into_iter().map(Opening::Nft).collect()
    } else {
        known
    };
    let rules = iptables::rules(wanted).await?;
    found.extend(rules.into_iter().map(Opening::Iptables));
    Ok(found)
}

/// Closes all; says whether each is closed.
async fn close(openings: &[Opening]) -> bool {
    let mut all = true;
    for opening in openings {
        let closed = match opening {
            Opening::Nft(chain) => nft::close(chain).await,
            Opening::Iptables(rule) => iptables::close(rule).await,
        };
        if let Err(error) = closed {
            tracing::error!(%error, "the firewall could not be closed; the kernel closes it when its time is over");
            all = false;
        }
    }
    all
}

fn write(settings: &Settings, openings: &[Opening]) -> Result<(), FirewallError> {
    // Values of our own, without maps: they always have a form in JSON.
    let text = serde_json::to_vec(openings).unwrap_or_default();
    let mut unsynced = Unsynced::default();
    file::make_folders(&settings.state, STATE_MODE, &mut unsynced)?;
    let path = settings.state.join(JOURNAL);
    let beside = Beside::write(&path, &text, Access::PRIVATE, &mut unsynced)?;
    unsynced.sync()?;
    beside.put_in_place()?;
    Ok(file::sync_folder(&settings.state)?)
}

fn read(settings: &Settings) -> Option<Vec<Opening>> {
    let text = file::read(&settings.state.join(JOURNAL), JOURNAL_BYTES_MAX).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Runs one of the firewall's programs; returns what it said, or `None` when it is not installed.
async fn run(program: &'static str, arguments: &[&str]) -> Result<Option<String>, FirewallError> {
    let Some(path) = find(program) else {
        return Ok(None);
    };
    let output = command::run(&path, arguments, LIMIT).await?;
    if output.success {
        return Ok(Some(output.said));
    }
    Err(FirewallError::Refused {
        program,
        ending: output.ending,
        said: output.said.trim().to_owned(),
    })
}

fn find(program: &str) -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/sbin", "/usr/bin"].map(Path::new);
    let mut places = folders.into_iter().map(|folder| folder.join(program));
    places.find(|path| path.exists())
}

/// How an opening is undone.
const JOURNAL: &str = "firewall.json";

/// As the database's folder.
const STATE_MODE: u32 = 0o700;

/// A host has a few filters.
const JOURNAL_BYTES_MAX: u64 = 1 << 20;

/// iptables waits for its lock, which a long `iptables-restore` may hold.
const LIMIT: Duration = Duration::from_secs(20);
