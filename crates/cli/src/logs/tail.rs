//! How are the newest lines of a huge file found, without reading all of it?

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt as _};
use std::path::Path;

/// Reads lines of a file from its end towards its beginning.
#[derive(Debug)]
pub struct Backwards {
    file: File,
    /// Where the part begins that has been read.
    start: u64,
    /// What has been read and not handed out: ends where a line ends.
    held: Vec<u8>,
    read: u64,
}

impl Backwards {
    /// Opens the file.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or is no file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (file, metadata) = open(path)?;
        Ok(Self {
            file,
            start: metadata.len(),
            held: Vec::new(),
            read: 0,
        })
    }

    /// Returns the line before the one returned last; `None` at the beginning, or when enough has been read.
    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let body = self.held.strip_suffix(b"\n").unwrap_or(&self.held).len();
            if let Some(end) = self.held[..body].iter().rposition(|byte| *byte == b'\n') {
                let line = self.held[end + 1..body].to_vec();
                self.held.truncate(end + 1);
                return Ok(Some(line));
            }
            if self.start == 0 {
                let line = std::mem::take(&mut self.held);
                let line = line.strip_suffix(b"\n").map(<[u8]>::to_vec).unwrap_or(line);
                return Ok((!line.is_empty()).then_some(line));
            }
            if self.read >= READ_MOST || self.held.len() > LINE_MOST {
                return Ok(None);
            }
            self.read_more()?;
        }
    }

    fn read_more(&mut self) -> io::Result<()> {
        let size = self.start.min(CHUNK);
        let mut chunk = vec![0; usize::try_from(size).unwrap_or(0)];
        self.start -= size;
        self.file.read_exact_at(&mut chunk, self.start)?;
        chunk.append(&mut self.held);
        self.held = chunk;
        self.read += size;
        Ok(())
    }
}

impl Iterator for Backwards {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        // A file that shrinks under our hands has nothing older to give.
        let line = self.next_line().ok().flatten()?;
        Some(String::from_utf8_lossy(&line).into_owned())
    }
}

/// Opens a log for reading, with what the system knows of it. It may lie in the home of a site's user, and a pipe in
/// its place must not hold whoever asks for it.
///
/// # Errors
///
/// When it cannot be opened, or is no file.
pub(super) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        Err(io::Error::other("it is not a file"))
    }
}

/// How much is read at once.
const CHUNK: u64 = 64 << 10;

/// How much is read at most: what is older than this much log is not what went wrong today.
const READ_MOST: u64 = 64 << 20;

/// A longer line is no line of a log.
const LINE_MOST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::Backwards;
    use std::io::Write;

    fn read(bytes: &[u8]) -> Vec<String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        Backwards::open(file.path()).unwrap().collect()
    }

    #[test]
    fn lines_come_last_first() {
        assert_eq!(read(b"one\ntwo\nthree\n"), ["three", "two", "one"]);
        assert_eq!(read(b"one\n\ntwo"), ["two", "", "one"]);
        assert_eq!(read(b""), [""; 0]);
        assert_eq!(read(b"\xff\n"), ["\u{fffd}"]);
    }

    #[test]
    fn lines_longer_than_a_chunk_and_a_file_of_many_chunks() {
        let long = vec![b'x'; 200_000];
        let text = [b"first\n", long.as_slice(), b"\nlast\n"].concat();
        let lines = read(&text);
        assert_eq!(
            lines.iter().map(String::len).collect::<Vec<_>>(),
            [4, 200_000, 5]
        );
        let many: String = (0..100_000)
            .map(|number| format!("line {number}\n"))
            .collect();
        let lines = read(many.as_bytes());
        assert_eq!((lines.len(), lines[99_999].as_str()), (100_000, "line 0"));
    }

    #[test]
    fn a_pipe_holds_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("error.log");
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(Backwards::open(&path).is_err());
    }

    #[test]
    fn one_endless_line_is_given_up() {
        assert_eq!(read(&vec![b'x'; 3 << 20]), [""; 0]);
    }
}
