//! May what the CA sent be kept, and as which version?
//!
//! Checked before anything is written. Then the four files are written once, each synced, and never changed; nothing
//! that nginx reads is touched. The same leaf gets the same version, so that a crash half way costs nothing.

use std::path::PathBuf;

use jiff::Timestamp;
use renewal::acceptance::{Candidate, Rejection, accept};
use renewal::finding::{Finding, FindingName};
use renewal::ports::{HostFailure, Issued, Staged};
use renewal::secret::Secret;
use renewal::site::Site;
use rustls::pki_types::CertificateDer;
use x509::chain::Chain;

use super::{Lineages, Part};
use crate::file::{self, Access, FileError};

/// What the CA sent was not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageError {
    /// Each chain breaks a rule; the first one's reason.
    #[error("{0}")]
    Rejected(String),
    /// It becomes valid later, by this host's clock.
    #[error("the certificate is not valid before {0}, and this host's clock says that it is {1}")]
    Early(Timestamp, Timestamp),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<StageError> for HostFailure {
    fn from(error: StageError) -> Self {
        match error {
            StageError::File(error) => error.into(),
            // Not the certificate's fault: it is taken up again, without another order, once the clock is right.
            StageError::Early(..) => Self(
                Finding::new(
                    FindingName::ClockWrong,
                    "By this host's clock the new certificate is not valid yet, so it is not deployed; what is served stays served.",
                )
                .detail(error.to_string())
                .fix("Set the clock, and keep it right: timedatectl set-ntp true."),
            ),
            StageError::Rejected(reason) => Self(
                Finding::new(
                    FindingName::CertificateRejected,
                    "The CA sent a certificate that must not be deployed; what is served stays served.",
                )
                .detail(reason)
                .fix("It is tried again later. If it happens again, ask the CA, or check this host's clock."),
            ),
        }
    }
}

/// Checks what the CA sent for `site` and writes it to `archive/`.
///
/// `roots` are known besides the public ones.
pub(crate) fn stage(
    lineages: &Lineages,
    roots: &[CertificateDer<'static>],
    site: &Site,
    key: &Secret,
    issued: &Issued,
    now: Timestamp,
) -> Result<Staged, StageError> {
    let chain = choose(roots, site, key, issued, now)?;
    let version = write(lineages, &site.lineage, &chain, key)?;
    Ok(Staged {
        version,
        certificate: chain.leaf,
        path: lineages.link(&site.lineage, Part::Fullchain),
    })
}

/// Returns the first chain that may be deployed, in the CA's order.
fn choose(
    roots: &[CertificateDer<'static>],
    site: &Site,
    key: &Secret,
    issued: &Issued,
    now: Timestamp,
) -> Result<Chain, StageError> {
    let mut reason = None;
    for pem in &issued.chains {
        match check(roots, site, key, pem, now) {
            Ok(chain) => return Ok(chain),
            Err(rejection) => reason = reason.or(Some(rejection)),
        }
    }
    let none = || StageError::Rejected("the CA sent no certificate at all".to_owned());
    Err(reason.unwrap_or_else(none))
}

fn check(
    roots: &[CertificateDer<'static>],
    site: &Site,
    key: &Secret,
    pem: &str,
    now: Timestamp,
) -> Result<Chain, StageError> {
    let rejected = |reason: String| StageError::Rejected(reason);
    let chain = Chain::read(pem.as_bytes())
        .map_err(|error| rejected(format!("what came is no chain: {error}")))?;
    let key_fits = x509::key::fits(key, chain.leaf_der())
        .map_err(|error| rejected(format!("the key cannot be compared: {error}")))?;
    let candidate = Candidate {
        certificate: &chain.leaf,
        key_fits,
        chain_fault: chain.fault_with(roots),
    };
    let current = site.current.as_ref().map(|current| &current.certificate);
    accept(&candidate, &site.wanted, current, now).map_err(|rejection| match rejection {
        Rejection::NotYetValid(start) => StageError::Early(start, now),
        other => rejected(other.to_string()),
    })?;
    Ok(chain)
}

fn write(lineages: &Lineages, name: &str, chain: &Chain, key: &Secret) -> Result<u32, FileError> {
    let folder = lineages.archive().join(name);
    file::make_folders(lineages.archive(), ARCHIVE_MODE)?;
    file::make_folders(&folder, FOLDER_MODE)?;
    let newest = lineages.versions(name).last().copied();
    let begun = match newest {
        Some(newest) => {
            let leaf = lineages.file(name, Part::Cert, newest);
            file::holds(&leaf, chain.leaf_pem().as_bytes())? == Some(true)
        }
        None => false,
    };
    let mut version = newest.unwrap_or(0) + u32::from(!begun);
    while !write_version(lineages, name, version, chain, key)? {
        version += 1;
    }
    file::sync_folder(&folder)?;
    Ok(version)
}

/// Writes what is missing of a version; says whether it now is this chain with this key.
fn write_version(
    lineages: &Lineages,
    name: &str,
    version: u32,
    chain: &Chain,
    key: &Secret,
) -> Result<bool, FileError> {
    for part in Part::ALL {
        let path: PathBuf = lineages.file(name, part, version);
        let is_ours = match part {
            Part::Cert => file::create(&path, chain.leaf_pem().as_bytes(), Access::PUBLIC)?,
            Part::Chain => file::create(&path, chain.issuers_pem().as_bytes(), Access::PUBLIC)?,
            Part::Fullchain => file::create(&path, chain.pem().as_bytes(), Access::PUBLIC)?,
            Part::Privkey => file::create(&path, key.reveal().as_bytes(), Access::PRIVATE)?,
        };
        if !is_ours {
            return Ok(false);
        }
    }
    Ok(true)
}

/// As certbot makes `archive/`: for root alone.
const ARCHIVE_MODE: u32 = 0o700;

/// As certbot makes `archive/NAME/`.
const FOLDER_MODE: u32 = 0o755;

#[cfg(test)]
mod tests;
