//! How is a file read that a site's user may have put there?
//!
//! Root reads what a vhost or a job names, and that may lie in a home: a pipe in its place must not hold root for
//! ever, nor a file of many gigabytes fill the memory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Reads a whole file.
///
/// # Errors
///
/// Those of opening and reading; and when it is no file, or has more than [`FILE_BYTES_MAX`].
pub(crate) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let cause = format!("it has more than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, cause));
    }
    Ok(bytes)
}

/// Reads a whole file of text.
///
/// # Errors
///
/// As [`bytes`], and when it is no UTF-8.
pub(crate) fn text(path: &Path) -> io::Result<String> {
    // The error of a conversion would carry what was read, which may be a key.
    String::from_utf8(bytes(path)?).map_err(|_| io::Error::other("it is no text"))
}

fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is no file"))
    }
}

/// Chains, keys and settings have a few KiB; jobs of a large host some more.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::{FILE_BYTES_MAX, bytes, text};
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    #[test]
    fn a_pipe_and_an_endless_file_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cert.pem");
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert!(bytes(&path).is_err());
        std::fs::remove_file(&path).unwrap();
        let sparse = std::fs::File::create(&path).unwrap();
        sparse.set_len(10 << 30).unwrap();
        let refused = text(&path).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::FileTooLarge);
        sparse.set_len(FILE_BYTES_MAX).unwrap();
        assert!(bytes(&path).is_ok());
    }
}
