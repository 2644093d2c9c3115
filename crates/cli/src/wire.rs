//! How are the adapters joined?

use std::collections::HashMap;
use std::path::PathBuf;

use renewal::name::Name;
use renewal::plan::Remembered;
use renewal::ports::{HistoryEntry, Look};
use renewal::report::Served;
use renewal::site::Site;

use crate::clock::SystemClock;
use crate::commands::site_show::Version;
use crate::config::Config;
use crate::errors::CommandError;

/// Looks at this host.
///
/// # Errors
///
/// When nothing at all can be said about it.
pub fn look(_config: &Config, _clock: SystemClock) -> Result<Look, CommandError> {
    Err(absent())
}

/// Returns what is remembered of all sites.
///
/// # Errors
///
/// When the database cannot be read; a missing one remembers nothing.
pub fn remembered(_config: &Config) -> Result<HashMap<Name, Remembered>, CommandError> {
    Err(absent())
}

/// Returns the newest entries of the history, newest first.
///
/// # Errors
///
/// As [`remembered`].
pub fn history(
    _config: &Config,
    _domain: Option<&Name>,
    _limit: usize,
) -> Result<Vec<HistoryEntry>, CommandError> {
    Err(absent())
}

/// Says who holds the lock, if anyone.
///
/// # Errors
///
/// When the lock file cannot be read.
pub fn lock_holder(_config: &Config) -> Result<Option<String>, CommandError> {
    Err(absent())
}

/// Returns the versions of the site's lineage on disk, newest first.
///
/// # Errors
///
/// When the folder cannot be read.
pub fn versions(_config: &Config, _site: &Site) -> Result<Vec<Version>, CommandError> {
    Err(absent())
}

/// Looks at what each TLS address of the site serves now.
///
/// # Errors
///
/// When nothing can be asked.
pub fn served(_config: &Config, _site: &Site) -> Result<Vec<Served>, CommandError> {
    Err(absent())
}

/// Returns the error logs of nginx: those that its configuration names for the site, or the usual one.
#[must_use]
pub fn error_logs(_config: &Config, _site: Option<&Site>) -> Vec<PathBuf> {
    vec![PathBuf::from("/var/log/nginx/error.log")]
}

fn absent() -> CommandError {
    CommandError::defect("This build has no adapters, so nothing was done.")
}
