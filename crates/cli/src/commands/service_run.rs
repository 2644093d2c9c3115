//! `service:run`: the scheduler in the foreground.

use crate::commands::Session;
use crate::config::Config;
use crate::errors::CommandError;

/// Runs the scheduler.
///
/// # Errors
///
/// Always, in a build without adapters.
pub fn run(_session: &Session, _config: &Config) -> Result<u8, CommandError> {
    Err(CommandError::defect(
        "This build has no adapters, so nothing was done.",
    ))
}
