//! How is a file read that may hold a key, or that somebody else may have put there?

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use renewal::secret::Secret;
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::{FileError, cannot};

/// Reads a whole file of at most `most` bytes. It may hold a key, so what was read is wiped when it is dropped.
pub(crate) fn read(path: &Path, most: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let mut bytes = Zeroizing::new(Vec::new());
    read_into(&mut bytes, path, most)?;
    Ok(bytes)
}

/// Reads a file that is a key, as [`read`] does.
pub(crate) fn read_secret(path: &Path, most: u64) -> Result<Secret, FileError> {
    let mut bytes = read(path, most)?;
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Secret::new(text)),
        Err(error) => {
            *bytes = error.into_bytes();
            Err(cannot("read", path, io::Error::other("it is no text")))
        }
    }
}

fn read_into(bytes: &mut Vec<u8>, path: &Path, most: u64) -> Result<(), FileError> {
    let wrong = |cause| cannot("read", path, cause);
    // Not blocking: who may put a pipe in place of a certificate, a site's user perhaps, would hold us for ever.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = opened.map_err(wrong)?;
    let facts = file.metadata().map_err(wrong)?;
    if !facts.is_file() {
        return Err(wrong(io::Error::other("it is no file")));
    }
    // All at once: where a buffer grows, its old place keeps a copy. One byte more shows that the file has no more.
    let size = facts.len().min(most) + 1;
    bytes.reserve_exact(usize::try_from(size).unwrap_or_default());
    file.take(most + 1).read_to_end(bytes).map_err(wrong)?;
    if bytes.len() as u64 > most {
        let cause = format!("it has more than {most} bytes");
        return Err(wrong(io::Error::other(cause)));
    }
    Ok(())
}

/// Says whether the file has exactly these bytes; `None` when there is no file.
pub(crate) fn holds(path: &Path, bytes: &[u8]) -> Result<Option<bool>, FileError> {
    match read(path, bytes.len() as u64) {
        Ok(found) => Ok(Some(*found == *bytes)),
        Err(error) if error.is_missing() => Ok(None),
        // It is longer.
        Err(error) if error.errno().is_none() => Ok(Some(false)),
        Err(error) => Err(error),
    }
}
