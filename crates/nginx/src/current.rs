//! Which certificate is in a file, without reading it again when it has not changed?

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use renewal::certificate::Certificate;
use renewal::ports::{Known, Seen, Stamp};
use rustix::fs::AtFlags;
use x509::chain::{Chain, ChainError};

use crate::file::{self, FileError};
use crate::near::Near;

/// What is known of certificate files, and what was read because it was not known.
pub(crate) struct Certificates<'k> {
    known: &'k Known,
    near: Arc<Near>,
    read: Known,
    /// Looked at already, for a look at a file is most of its cost.
    stamps: HashMap<OsString, Stamp>,
    /// Read without their keys.
    leaves: HashMap<OsString, Leaf>,
}

/// A certificate whose key was not asked for yet.
struct Leaf {
    stamp: Stamp,
    certificate: Arc<Certificate>,
    der: Box<[u8]>,
}

/// The certificate in a file, and whether the key is its own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Pair {
    /// Its facts.
    pub(crate) certificate: Arc<Certificate>,
    /// Whether the key belongs to it.
    pub(crate) key_fits: bool,
}

/// A certificate or its key could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// What stands in it.
    #[error("{}: {cause}", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        cause: ChainError,
    },
}

impl Unreadable {
    /// Says that nothing is known of the files: the disk or this process is in trouble, not what stands in them.
    pub(crate) fn says_nothing(&self) -> bool {
        match self {
            Self::File(error) => error.says_nothing(),
            Self::NoCertificate { .. } => false,
        }
    }
}

impl<'k> Certificates<'k> {
    /// Starts with what is known.
    pub(crate) fn new(known: &'k Known) -> Self {
        Self {
            known,
            near: Arc::default(),
            read: Known::new(),
            stamps: HashMap::with_capacity(known.len()),
            leaves: HashMap::new(),
        }
    }

    /// Looks at files from these folders.
    pub(crate) fn near(self, near: Arc<Near>) -> Self {
        Self { near, ..self }
    }

    /// Returns the certificate in `path`; `key` is the file of its private key.
    pub(crate) fn pair(&mut self, path: &Path, key: &Path) -> Result<Pair, Unreadable> {
        let stamp = match self.stamps.get(path.as_os_str()) {
            Some(stamp) => *stamp,
            None => self.stamp(path)?,
        };
        let key_stamp = self.stamp(key).ok();
        let seen = self.read.get(path).or_else(|| self.known.get(path));
        if let Some(seen) = seen
            && seen.stamp == stamp
            && seen.key_stamp == key_stamp
        {
            return Ok(Pair {
                certificate: Arc::clone(&seen.certificate),
                key_fits: seen.key_fits,
            });
        }
        // Most are asked for twice: first for their names, then with the key.
        let leaf = match self.leaves.remove(path.as_os_str()) {
            Some(leaf) if leaf.stamp == stamp => leaf,
            Some(_) | None => Leaf::read(path, stamp)?,
        };
        let key_fits = fits(key, &leaf.der)?;
        let certificate = leaf.certificate;
        let seen = Seen {
            stamp,
            key_stamp,
            certificate: Arc::clone(&certificate),
            key_fits,
        };
        self.read.insert(path.to_owned(), seen);
        Ok(Pair {
            certificate,
            key_fits,
        })
    }

    /// Returns the certificate in `path`, whatever its key.
    pub(crate) fn leaf(&mut self, path: &Path) -> Result<Arc<Certificate>, Unreadable> {
        let stamp = self.stamp(path)?;
        self.stamps.insert(path.into(), stamp);
        let seen = self.read.get(path).or_else(|| self.known.get(path));
        if let Some(seen) = seen.filter(|seen| seen.stamp == stamp) {
            return Ok(Arc::clone(&seen.certificate));
        }
        let leaf = self.leaves.get(path.as_os_str());
        if let Some(leaf) = leaf.filter(|leaf| leaf.stamp == stamp) {
            return Ok(Arc::clone(&leaf.certificate));
        }
        let leaf = Leaf::read(path, stamp)?;
        let certificate = Arc::clone(&leaf.certificate);
        self.leaves.insert(path.into(), leaf);
        Ok(certificate)
    }

    fn stamp(&self, path: &Path) -> Result<Stamp, FileError> {
        let of =
            |seconds: i64, nanoseconds: i128| i128::from(seconds) * 1_000_000_000 + nanoseconds;
        let (begin, way) = self.near.way(path.as_os_str().as_bytes());
        if let Ok(facts) = rustix::fs::statat(begin, way, AtFlags::empty()) {
            return Ok(Stamp {
                inode: facts.st_ino,
                modified_ns: of(facts.st_mtime, facts.st_mtime_nsec.into()),
                size: facts.st_size.cast_unsigned(),
            });
        }
        // Asked again for the words with which it is said.
        let facts = file::look_at(path)?;
        Ok(Stamp {
            inode: facts.ino(),
            modified_ns: of(facts.mtime(), facts.mtime_nsec().into()),
            size: facts.size(),
        })
    }

    /// Returns what was read and not known before.
    pub(crate) fn into_read(self) -> Vec<(PathBuf, Seen)> {
        self.read.into_iter().collect()
    }
}

impl Leaf {
    fn read(path: &Path, stamp: Stamp) -> Result<Self, Unreadable> {
        let pem = file::read(path, FILE_BYTES_MAX)?;
        let chain = Chain::read(&pem).map_err(|cause| Unreadable::NoCertificate {
            path: path.to_owned(),
            cause,
        })?;
        let der = chain.leaf_der().as_ref().into();
        Ok(Self {
            stamp,
            certificate: Arc::new(chain.leaf),
            der,
        })
    }
}

/// Says whether the key in a file is the leaf's; one that is missing or makes no sense is not.
///
/// # Errors
///
/// When the file cannot be read at this moment, which says nothing of the key.
fn fits(key: &Path, leaf: &[u8]) -> Result<bool, FileError> {
    match file::read_secret(key, FILE_BYTES_MAX) {
        Ok(key) => Ok(x509::key::fits(&key, leaf).unwrap_or(false)),
        Err(error) if error.says_nothing() => Err(error),
        Err(_) => Ok(false),
    }
}

/// A certificate file with a whole chain has a few KiB; what has more is something else.
const FILE_BYTES_MAX: u64 = 128 << 10;

#[cfg(test)]
mod tests;
