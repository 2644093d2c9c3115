//! `site:renew-certificates` and the `lets-encrypt:` commands.

use crate::arguments::{InstallCertificate, RenewCertificates};
use crate::commands::Session;
use crate::config::Config;
use crate::errors::CommandError;

/// Renews what is due.
///
/// # Errors
///
/// Always, in a build without adapters.
pub fn renew(
    _session: &Session,
    _config: &Config,
    _command: &str,
    _arguments: &RenewCertificates,
) -> Result<u8, CommandError> {
    Err(CommandError::defect(
        "This build has no adapters, so nothing was done.",
    ))
}

/// Obtains the first certificate of a site.
///
/// # Errors
///
/// Always, in a build without adapters.
pub fn install(
    _session: &Session,
    _config: &Config,
    _arguments: &InstallCertificate,
) -> Result<u8, CommandError> {
    Err(CommandError::defect(
        "This build has no adapters, so nothing was done.",
    ))
}
