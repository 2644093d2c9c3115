//! `demo`: the whole thing at work.

use crate::arguments::Demo;
use crate::commands::Session;
use crate::errors::CommandError;

/// Shows the whole thing at work.
///
/// # Errors
///
/// Always, in a build without adapters.
pub fn run(_session: &Session, _arguments: &Demo) -> Result<u8, CommandError> {
    Err(CommandError::defect(
        "This build has no adapters, so nothing was done.",
    ))
}
