//! Which certificates of a lineage lie on disk, and could each be served?

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use renewal::certificate::Fingerprint;
use renewal::choice::Decided;
use renewal::rollback::{Facts, Version};
use renewal::secret::Secret;
use rustls::pki_types::CertificateDer;
use x509::chain::Chain;

use super::{Lineages, Part};
use crate::file;

/// A member of a lineage as its files hold it.
#[derive(Clone, Debug)]
pub struct Member {
    /// The leaf and those above it.
    pub chain: Chain,
    /// The private key.
    pub key: Secret,
    /// The file of the leaf.
    pub path: PathBuf,
}

/// Reads one member.
///
/// # Errors
///
/// Says which file cannot be used, and why.
pub(crate) fn member(lineages: &Lineages, lineage: &str, version: u32) -> Result<Member, String> {
    let path = |part| lineages.file(lineage, part, version);
    let read = |part| file::read(&path(part), FILE_BYTES_MAX).map_err(|error| error.to_string());
    let chain = read(Part::Fullchain)?;
    let chain = Chain::read(&chain)
        .map_err(|error| format!("{}: {error}", path(Part::Fullchain).display()))?;
    let key = file::read_secret(&path(Part::Privkey), FILE_BYTES_MAX)
        .map_err(|error| error.to_string())?;
    Ok(Member {
        chain,
        key,
        path: path(Part::Cert),
    })
}

/// Reads all members, the first one first. `roots` are known besides the public ones.
pub(crate) fn versions(
    lineages: &Lineages,
    lineage: &str,
    decided: &Decided,
    burnt: &HashSet<Fingerprint>,
    roots: &[CertificateDer<'static>],
) -> Vec<Version> {
    let facts = |number| {
        let member = member(lineages, lineage, number)?;
        let der = member.chain.leaf_der();
        let key_fits = x509::key::fits(&member.key, der).map_err(|error| error.to_string())?;
        let key = x509::key::public_fingerprint(der).map_err(|error| error.to_string())?;
        Ok(Facts {
            key_fits,
            chain_fault: member.chain.fault_with(roots),
            revoked: decided.revoked(member.chain.leaf.sha256).is_some(),
            key_burnt: burnt.contains(&key),
            certificate: Arc::new(member.chain.leaf),
        })
    };
    let numbers = lineages.versions(lineage).into_iter();
    numbers
        .map(|number| Version {
            number,
            state: facts(number),
        })
        .collect()
}

/// A chain of ten RSA-4096 certificates has a quarter of this.
const FILE_BYTES_MAX: u64 = 128 << 10;
