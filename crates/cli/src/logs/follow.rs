//! What is written to the logs from now on?
//!
//! Files are looked at now and then: a log may be put aside, made anew, cut, or not be there yet, and all of that
//! looks the same to someone who only asks for the size and the inode.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::merge::{Entry, Filter, Origin, split};
use super::tail;

/// Follows several logs.
#[derive(Debug)]
pub struct Followed {
    files: Vec<One>,
    filter: Filter,
    zone: TimeZone,
}

#[derive(Debug)]
struct One {
    origin: Origin,
    open: Option<Open>,
    at: Timestamp,
    about: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    inode: u64,
    offset: u64,
    held: Vec<u8>,
}

impl Followed {
    /// Begins at the present end of each log.
    #[must_use]
    pub fn new(origins: &[Origin], filter: Filter, zone: TimeZone, now: Timestamp) -> Self {
        let files = origins.iter().map(|origin| One {
            open: open(origin, true).ok(),
            origin: origin.clone(),
            at: now,
            about: false,
        });
        Self {
            files: files.collect(),
            filter,
            zone,
        }
    }

    /// Returns what was written since the last time, merged by time.
    pub fn poll(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for one in &mut self.files {
            one.poll(&self.filter, &self.zone, &mut entries);
        }
        entries.sort_by_key(|entry| entry.at);
        entries
    }
}

impl One {
    fn poll(&mut self, filter: &Filter, zone: &TimeZone, entries: &mut Vec<Entry>) {
        let named = std::fs::metadata(&self.origin.path).ok();
        let mut lines = Vec::new();
        if let Some(open) = &mut self.open {
            let cut = named
                .as_ref()
                .is_some_and(|named| named.ino() == open.inode && named.len() < open.offset);
            if cut {
                (open.offset, open.held) = (0, Vec::new());
            }
            // What was written before the file was put aside is read before the new one.
            open.read(&mut lines);
        }
        let moved = named.is_some_and(|named| {
            self.open
                .as_ref()
                .is_none_or(|open| open.inode != named.ino())
        });
        if moved {
            self.open = open(&self.origin, false).ok();
            if let Some(open) = &mut self.open {
                open.read(&mut lines);
            }
        }
        for line in lines {
            self.take(&line, filter, zone, entries);
        }
    }

    fn take(&mut self, line: &str, filter: &Filter, zone: &TimeZone, entries: &mut Vec<Entry>) {
        let text = match split(line, zone) {
            Some((at, text)) => {
                (self.at, self.about) = (at, filter.keeps(line));
                text
            }
            None => line,
        };
        if self.about {
            entries.push(Entry {
                at: self.at,
                origin: self.origin.name,
                text: text.to_owned(),
            });
        }
    }
}

impl Open {
    fn read(&mut self, lines: &mut Vec<String>) {
        let mut chunk = vec![0; CHUNK];
        // What is more comes the next time: a log may grow faster than anybody reads.
        while self.held.len() < POLL_BYTES_MAX
            && let Ok(count) = self.file.read_at(&mut chunk, self.offset)
        {
            if count == 0 {
                break;
            }
            self.offset += u64::try_from(count).unwrap_or(0);
            self.held.extend_from_slice(&chunk[..count]);
        }
        if let Some(end) = self.held.iter().rposition(|byte| *byte == b'\n') {
            let rest = self.held.split_off(end + 1);
            let whole = std::mem::replace(&mut self.held, rest);
            let texts = whole[..end].split(|byte| *byte == b'\n');
            lines.extend(texts.map(|line| String::from_utf8_lossy(line).into_owned()));
        }
        // A line without an end that long is no line.
        if self.held.len() > LINE_MOST {
            self.held.clear();
        }
    }
}

fn open(origin: &Origin, at_end: bool) -> io::Result<Open> {
    let (file, metadata) = tail::open(&origin.path)?;
    let offset = if at_end { metadata.len() } else { 0 };
    Ok(Open {
        file,
        inode: metadata.ino(),
        offset,
        held: Vec::new(),
    })
}

/// What is taken in at once, of each log.
const POLL_BYTES_MAX: usize = 4 << 20;

const CHUNK: usize = 64 << 10;
const LINE_MOST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::Followed;
    use crate::logs::files::{LogFile, aside};
    use crate::logs::merge::{Filter, Origin};
    use crate::testing::{name, now};
    use jiff::tz::TimeZone;
    use std::io::Write;

    fn texts(followed: &mut Followed) -> Vec<String> {
        followed
            .poll()
            .into_iter()
            .map(|entry| entry.text)
            .collect()
    }

    fn line(number: u32) -> String {
        format!("2026-02-01T12:00:0{number}Z INFO domain=a.test {number}\n")
    }

    #[test]
    fn rotation_cutting_and_a_file_that_is_not_there_yet_are_survived() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let origin = Origin {
            name: "clpctl",
            path: path.clone(),
        };
        let filter = Filter::new(vec![name("a.test")]);
        let mut followed = Followed::new(&[origin], filter, TimeZone::UTC, now());
        assert_eq!(texts(&mut followed), [""; 0]);

        let mut log = LogFile::open(&path, 0o600, 100, 3).unwrap();
        log.append(&line(1)).unwrap();
        log.append("2026-02-01T12:00:01Z INFO domain=b.test x\n")
            .unwrap();
        assert_eq!(texts(&mut followed), ["INFO domain=a.test 1"]);

        // The second of these no longer fits, so the file is put aside between them.
        log.append(&line(2)).unwrap();
        log.append(&line(3)).unwrap();
        assert!(aside(&path, 1).exists());
        assert_eq!(
            texts(&mut followed),
            ["INFO domain=a.test 2", "INFO domain=a.test 3"]
        );

        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(0).unwrap();
        assert_eq!(texts(&mut followed), [""; 0]);
        (&file).write_all(line(4).as_bytes()).unwrap();
        assert_eq!(texts(&mut followed), ["INFO domain=a.test 4"]);
    }

    #[test]
    fn half_a_line_waits_for_its_other_half() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(line(1).as_bytes()).unwrap();
        let origin = Origin {
            name: "clpctl",
            path,
        };
        let mut followed = Followed::new(&[origin], Filter::default(), TimeZone::UTC, now());
        file.write_all(b"2026-02-01T12:00:02Z INFO ha").unwrap();
        assert_eq!(texts(&mut followed), [""; 0]);
        file.write_all(b"lf\n").unwrap();
        assert_eq!(texts(&mut followed), ["INFO half"]);
    }
}
