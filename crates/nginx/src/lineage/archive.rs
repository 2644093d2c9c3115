//! May what the CA sent be kept, and as which version?
//!
//! Checked before anything is written. Then the four files are written once, synced, and never changed; nothing
//! that nginx reads is touched. The same leaf gets the same version, so that a crash half way costs nothing.
//!
//! Where a panel projects certificates to plain files, the pair that somebody else obtained is kept as a version first:
//! it is replaced there soon, and may be wanted back.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use renewal::acceptance::{Candidate, Rejection, accept};
use renewal::finding::{Finding, FindingName};
use renewal::panel::PemPair;
use renewal::ports::{HostFailure, Issued, Staged};
use renewal::secret::Secret;
use renewal::site::Site;
use rustls::pki_types::CertificateDer;
use x509::chain::Chain;

use super::{Lineages, Part};
use crate::file::{self, Access, Beside, FileError, Unsynced};

/// What the CA sent was not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageError {
    /// Each chain breaks a rule; the first one's reason.
    #[error("{0}")]
    Rejected(String),
    /// It becomes valid later, by this host's clock.
    #[error("the certificate is not valid before {0}, and this host's clock says that it is {1}")]
    Early(Timestamp, Timestamp),
    /// Somebody else wrote the same version at the same time.
    #[error("somebody else writes to {} at the same time", .0.display())]
    Raced(PathBuf),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<StageError> for HostFailure {
    fn from(error: StageError) -> Self {
        match error {
            StageError::File(error) => error.into(),
            StageError::Raced(_) => Self(
                Finding::new(
                    FindingName::FileNotUsable,
                    "The new certificate could not be written.",
                )
                .detail(error.to_string())
                .fix("Let only one program renew this certificate: certbot keeps its lineages there too. The next run goes on with the same order."),
            ),
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

/// What the CA sent for a site.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) site: Site,
    pub(crate) key: Secret,
    /// Where the key is kept meanwhile.
    pub(crate) kept: PathBuf,
    pub(crate) issued: Issued,
    pub(crate) now: Timestamp,
}

/// Checks what the CA sent and writes it to `archive/`; returns an answer for each arrival, in order.
///
/// `roots` are known besides the public ones.
pub(crate) fn stage(
    lineages: &Lineages,
    roots: &[CertificateDer<'static>],
    arrivals: &[Arrival],
) -> Vec<Result<Staged, HostFailure>> {
    let kept = keep_others(lineages, arrivals);
    let mut unsynced = Unsynced::default();
    let drafts: Vec<Result<Draft, StageError>> = arrivals
        .iter()
        .zip(kept)
        .map(|(arrival, kept)| {
            kept?;
            let chain = choose(roots, arrival)?;
            let Arrival { site, key, .. } = arrival;
            let moved = Some(arrival.kept.as_path());
            Ok(Draft::write(
                lineages,
                &site.lineage,
                key,
                moved,
                chain,
                &mut unsynced,
            )?)
        })
        .collect();
    let written = unsynced.sync();
    let mut unsynced = Unsynced::default();
    let staged: Vec<Result<Staged, HostFailure>> = drafts
        .into_iter()
        .zip(arrivals)
        .map(|(draft, arrival)| {
            let draft = draft?;
            if let Err(error) = &written {
                return Err(HostFailure(error.finding()));
            }
            let mut staged = draft.put_in_place(lineages, &mut unsynced)?;
            if let Some(panel) = arrival.site.panel.site() {
                staged.path.clone_from(&panel.files.certificate);
            }
            Ok(staged)
        })
        .collect();
    match unsynced.sync() {
        Ok(()) => staged,
        Err(error) => staged
            .into_iter()
            .map(|one| one.and_then(|_| Err(HostFailure(error.finding()))))
            .collect(),
    }
}

/// Returns a version as text.
pub(crate) fn pair(lineages: &Lineages, lineage: &str, version: u32) -> Result<PemPair, FileError> {
    let read = |part| {
        let content = file::read(&lineages.file(lineage, part, version), FILE_BYTES_MAX)?;
        Ok(String::from_utf8_lossy(&content).into_owned())
    };
    Ok(PemPair {
        key: file::read_secret(
            &lineages.file(lineage, Part::Privkey, version),
            FILE_BYTES_MAX,
        )?,
        leaf: read(Part::Cert)?,
        issuers: read(Part::Chain)?,
    })
}

/// Keeps the pairs of other CAs' making that a panel projects; one answer per arrival, in order.
fn keep_others(lineages: &Lineages, arrivals: &[Arrival]) -> Vec<Result<(), StageError>> {
    let keep = |arrival: &Arrival| {
        let Some((chain, key)) = of_others(lineages, arrival) else {
            return Ok(());
        };
        let mut unsynced = Unsynced::default();
        let draft = Draft::write(
            lineages,
            &arrival.site.lineage,
            &key,
            None,
            chain,
            &mut unsynced,
        )?;
        unsynced.sync()?;
        let mut unsynced = Unsynced::default();
        draft.put_in_place(lineages, &mut unsynced)?;
        Ok(unsynced.sync()?)
    };
    arrivals.iter().map(keep).collect()
}

/// Returns the pair that is projected and stands in no version; none that is self-signed or broken, which nobody wants
/// back.
fn of_others(lineages: &Lineages, arrival: &Arrival) -> Option<(Chain, Secret)> {
    let site = &arrival.site;
    let files = &site.panel.site()?.files;
    let current = site.current.as_ref()?;
    let others = current.version.is_none()
        && current.key_fits
        && !current.certificate.self_signed
        && current.path == files.certificate;
    if !others {
        return None;
    }
    let chain = Chain::read(&file::read(&files.certificate, FILE_BYTES_MAX).ok()?).ok()?;
    let key = file::read_secret(&files.key, FILE_BYTES_MAX).ok()?;
    let leaf = chain.leaf_pem();
    let mut versions = lineages.versions(&site.lineage).into_iter();
    let known = versions.any(|version| {
        let path = lineages.file(&site.lineage, Part::Cert, version);
        matches!(file::holds(&path, leaf.as_bytes()), Ok(Some(true)))
    });
    (!known).then_some((chain, key))
}

/// A version whose missing files lie beside their places.
struct Draft {
    lineage: String,
    version: u32,
    chain: Chain,
    missing: Vec<Beside>,
}

impl Draft {
    /// Writes what is missing beside its place; the key's file may be there already, as `moved`.
    fn write(
        lineages: &Lineages,
        lineage: &str,
        key: &Secret,
        moved: Option<&Path>,
        chain: Chain,
        unsynced: &mut Unsynced,
    ) -> Result<Self, FileError> {
        let lineage = lineage.to_owned();
        let folder = lineages.archive().join(&lineage);
        file::make_folders(lineages.archive(), ARCHIVE_MODE, unsynced)?;
        file::make_folders(&folder, FOLDER_MODE, unsynced)?;
        let content = |part| match part {
            Part::Cert => Cow::from(chain.leaf_pem()),
            Part::Chain => chain.issuers_pem().into(),
            Part::Fullchain => chain.pem().into(),
            Part::Privkey => key.reveal().into(),
        };
        let newest = lineages.versions(&lineage).last().copied();
        // The newest may be this leaf's own, of a run that died; else the next one is free.
        let mut version = newest.unwrap_or(1);
        let parts = loop {
            match missing(lineages, &lineage, version, content)? {
                Some(parts) => break parts,
                None => version += 1,
            }
        };
        let mut missing = Vec::new();
        for part in parts {
            let access = match part {
                Part::Cert | Part::Chain | Part::Fullchain => Access::PUBLIC,
                Part::Privkey => Access::PRIVATE,
            };
            let (path, content) = (lineages.file(&lineage, part, version), content(part));
            // The key's file is moved and not copied. It goes last: until then the order can be taken up with it.
            let adopted = match part {
                Part::Privkey => {
                    moved.and_then(|kept| Beside::adopt(kept, &path, content.as_bytes()))
                }
                Part::Cert | Part::Chain | Part::Fullchain => None,
            };
            missing.push(match adopted {
                Some(kept) => kept,
                None => Beside::write(&path, content.as_bytes(), access, unsynced)?,
            });
        }
        Ok(Self {
            lineage,
            version,
            chain,
            missing,
        })
    }

    fn put_in_place(
        self,
        lineages: &Lineages,
        unsynced: &mut Unsynced,
    ) -> Result<Staged, StageError> {
        for file in self.missing {
            if !file.put_where_nothing_is()? {
                return Err(StageError::Raced(lineages.archive().join(&self.lineage)));
            }
        }
        unsynced.folder(&lineages.archive().join(&self.lineage))?;
        Ok(Staged {
            version: self.version,
            certificate: self.chain.leaf,
            path: lineages.link(&self.lineage, Part::Fullchain),
        })
    }
}

/// Lists the files that the version lacks; `None` when it is another certificate's.
fn missing<'a>(
    lineages: &Lineages,
    lineage: &str,
    version: u32,
    content: impl Fn(Part) -> Cow<'a, str>,
) -> Result<Option<Vec<Part>>, FileError> {
    let mut missing = Vec::new();
    for part in Part::ALL {
        let path = lineages.file(lineage, part, version);
        match file::holds(&path, content(part).as_bytes())? {
            Some(true) => {}
            Some(false) => return Ok(None),
            None => missing.push(part),
        }
    }
    // Files without their `cert` are nobody's: they are left alone.
    let begun = missing.len() < Part::ALL.len();
    Ok((!begun || missing.first() != Some(&Part::Cert)).then_some(missing))
}

/// Returns the first chain that may be deployed, in the CA's order.
fn choose(roots: &[CertificateDer<'static>], arrival: &Arrival) -> Result<Chain, StageError> {
    let mut reason = None;
    for pem in &arrival.issued.chains {
        match check(roots, arrival, pem) {
            Ok(chain) => return Ok(chain),
            Err(rejection) => reason = reason.or(Some(rejection)),
        }
    }
    let none = || StageError::Rejected("the CA sent no certificate at all".to_owned());
    Err(reason.unwrap_or_else(none))
}

fn check(
    roots: &[CertificateDer<'static>],
    arrival: &Arrival,
    pem: &str,
) -> Result<Chain, StageError> {
    let Arrival { site, key, now, .. } = arrival;
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
    let current = site.current.as_ref();
    let current = current.map(|current| &*current.certificate);
    accept(&candidate, &site.wanted, current, *now).map_err(|rejection| match rejection {
        Rejection::NotYetValid(start) => StageError::Early(start, *now),
        other => rejected(other.to_string()),
    })?;
    Ok(chain)
}

/// A certificate file with a whole chain has a few KiB; what has more is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// As certbot makes `archive/`: for root alone.
const ARCHIVE_MODE: u32 = 0o700;

/// As certbot makes `archive/NAME/`.
const FOLDER_MODE: u32 = 0o755;

#[cfg(test)]
mod tests;
