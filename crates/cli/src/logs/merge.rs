//! Which lines of several logs are about a site, and in which order were they written?

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::files::aside;
use super::tail::Backwards;
use renewal::name::Name;

/// One line of a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// When it was written; lines without a time have that of the line before.
    pub at: Timestamp,
    /// Which log it stands in.
    pub origin: &'static str,
    /// What it says, without the time.
    pub text: String,
}

/// A log to look into.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// The word that lines of it begin with: `clpctl`, `ca`, `nginx`.
    pub name: &'static str,
    /// The file.
    pub path: PathBuf,
}

/// Says whether a line is about one of the names; about anything when there are none.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    names: Vec<Name>,
}

impl Filter {
    /// Keeps lines about these names.
    #[must_use]
    pub fn new(names: Vec<Name>) -> Self {
        Self { names }
    }

    /// Says whether the line is about one of the names.
    #[must_use]
    pub fn keeps(&self, line: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| mentions(line, name.as_str()))
    }
}

/// Returns the newest `limit` lines of all logs that pass the filter, oldest first.
///
/// A log that is missing or cannot be read is told in the second part.
#[must_use]
pub fn newest(
    origins: &[Origin],
    filter: &Filter,
    limit: usize,
    zone: &TimeZone,
) -> (Vec<Entry>, Vec<String>) {
    let mut entries = Vec::new();
    let mut missing = Vec::new();
    for origin in origins {
        match newest_of(origin, filter, limit, zone) {
            Ok(found) => entries.extend(found),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
            Err(cause) => {
                missing.push(format!("{} cannot be read: {cause}", origin.path.display()));
            }
        }
    }
    // Stable, so lines of one log that were written in the same millisecond keep their order.
    entries.sort_by_key(|entry| entry.at);
    entries.drain(..entries.len().saturating_sub(limit));
    (entries, missing)
}

fn newest_of(
    origin: &Origin,
    filter: &Filter,
    limit: usize,
    zone: &TimeZone,
) -> std::io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    // What was put aside is looked into when the present file does not have enough.
    let mut files = vec![origin.path.clone()];
    files.extend((1..=ASIDE_MOST).map(|number| aside(&origin.path, number)));
    for (number, file) in files.iter().enumerate() {
        let lines = match Backwards::open(file) {
            Ok(lines) => lines,
            Err(cause) if number == 0 => return Err(cause),
            Err(_) => break,
        };
        read_back(lines, origin, filter, limit, zone, &mut entries);
        if entries.len() >= limit {
            break;
        }
    }
    entries.reverse();
    Ok(entries)
}

/// Reads from the end: a line without a time belongs to the nearest line above that has one.
fn read_back(
    lines: Backwards,
    origin: &Origin,
    filter: &Filter,
    limit: usize,
    zone: &TimeZone,
    entries: &mut Vec<Entry>,
) {
    let mut below: Vec<String> = Vec::new();
    for line in lines {
        if entries.len() >= limit {
            return;
        }
        let Some((at, text)) = split(&line, zone) else {
            if below.len() < CONTINUED_MOST {
                below.push(line);
            }
            continue;
        };
        let about = filter.keeps(&line) || below.iter().any(|line| filter.keeps(line));
        for text in below.drain(..).chain([text.to_owned()]) {
            if about {
                entries.push(Entry {
                    at,
                    origin: origin.name,
                    text,
                });
            }
        }
    }
}

/// Splits a line into its time and the rest; knows our own form and nginx's (`2026/02/01 12:00:00`, local time).
#[must_use]
pub fn split<'a>(line: &'a str, zone: &TimeZone) -> Option<(Timestamp, &'a str)> {
    let (first, rest) = line.split_once(' ')?;
    if let Ok(at) = first.parse::<Timestamp>() {
        return Some((at, rest));
    }
    let (stamp, rest) = line.split_at_checked(NGINX_STAMP_BYTES)?;
    let local = DateTime::strptime("%Y/%m/%d %H:%M:%S", stamp).ok()?;
    let at = local.to_zoned(zone.clone()).ok()?.timestamp();
    Some((at, rest.trim_start()))
}

/// Says whether `line` mentions `name` itself, not merely a longer name around it.
fn mentions(line: &str, name: &str) -> bool {
    let lower;
    let line = if line.bytes().any(|byte| byte.is_ascii_uppercase()) {
        lower = line.to_ascii_lowercase();
        &lower
    } else {
        line
    };
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    line.match_indices(name).any(|(start, _)| {
        let before = line.as_bytes()[..start].last().copied();
        let after = &line.as_bytes()[start + name.len()..];
        let begins = before.is_none_or(|byte| !is_part(byte) && byte != b'.');
        let ends = match after {
            [b'.', next, ..] => !is_part(*next),
            [next, ..] => !is_part(*next),
            [] => true,
        };
        begins && ends
    })
}

/// Returns the logs that are there.
#[must_use]
pub fn origins(log: &Path, acme_log: &Path, nginx: &[PathBuf]) -> Vec<Origin> {
    let mut origins = vec![
        Origin {
            name: "clpctl",
            path: log.to_owned(),
        },
        Origin {
            name: "ca",
            path: acme_log.to_owned(),
        },
    ];
    for path in nginx {
        if !origins.iter().any(|known| known.path == *path) {
            origins.push(Origin {
                name: "nginx",
                path: path.clone(),
            });
        }
    }
    origins
}

/// The length of `2026/02/01 12:00:00`.
const NGINX_STAMP_BYTES: usize = 19;

/// How many files that were put aside are looked into.
const ASIDE_MOST: u8 = 9;

/// How many lines without a time are kept in a row.
const CONTINUED_MOST: usize = 200;

#[cfg(test)]
mod tests {
    use super::{Filter, Origin, aside, mentions, newest};
    use crate::testing::name;
    use expect_test::{Expect, expect};
    use jiff::tz::TimeZone;
    use std::fs::File;
    use std::io::Write;

    const CLPCTL: &str = "\
2026-02-01T12:00:01.000Z INFO domain=a.test ordering
2026-02-01T12:00:03.000Z INFO domain=b.test ordering
2026-02-01T12:00:05.000Z ERROR domain=www.a.test failed
";
    const NGINX: &str = "\
2026/02/01 13:00:02 [error] 7#7: *1 open() failed, server: a.test, request: \"GET / HTTP/1.1\", host: \"A.test\"
  a line that goes on
2026/02/01 13:00:04 [error] 7#7: *2 x, server: b.test
2026/02/01 13:00:06 [warn] 7#7: *3 y, server: a.test.example
";

    fn check(filter: &[&str], limit: usize, expect: Expect) {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &'static str, text: &str| {
            let path = folder.path().join(name);
            File::create(&path)
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
            Origin { name, path }
        };
        let nginx = write("nginx", NGINX);
        let clpctl = write("clpctl", CLPCTL);
        let older = "2026-01-31T00:00:00Z INFO domain=a.test from the file that was put aside\n";
        File::create(aside(&clpctl.path, 1))
            .unwrap()
            .write_all(older.as_bytes())
            .unwrap();
        let gone = Origin {
            name: "ca",
            path: folder.path().join("none"),
        };
        let filter = Filter::new(filter.iter().map(|text| name(text)).collect());
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let (entries, missing) = newest(&[clpctl, gone, nginx], &filter, limit, &zone);
        assert_eq!(missing, Vec::<String>::new());
        let lines: String = entries
            .iter()
            .map(|entry| format!("{} {} {}\n", entry.at, entry.origin, entry.text))
            .collect();
        expect.assert_eq(&lines);
    }

    #[test]
    fn logs_are_merged_by_time_and_filtered_by_name() {
        check(
            &["a.test"],
            100,
            expect![[r#"
            2026-01-31T00:00:00Z clpctl INFO domain=a.test from the file that was put aside
            2026-02-01T12:00:01Z clpctl INFO domain=a.test ordering
            2026-02-01T12:00:02Z nginx [error] 7#7: *1 open() failed, server: a.test, request: "GET / HTTP/1.1", host: "A.test"
            2026-02-01T12:00:02Z nginx   a line that goes on
        "#]],
        );
        check(
            &["a.test", "www.a.test"],
            2,
            expect![[r#"
            2026-02-01T12:00:02Z nginx   a line that goes on
            2026-02-01T12:00:05Z clpctl ERROR domain=www.a.test failed
        "#]],
        );
        check(
            &[],
            3,
            expect![[r#"
            2026-02-01T12:00:04Z nginx [error] 7#7: *2 x, server: b.test
            2026-02-01T12:00:05Z clpctl ERROR domain=www.a.test failed
            2026-02-01T12:00:06Z nginx [warn] 7#7: *3 y, server: a.test.example
        "#]],
        );
    }

    #[test]
    fn a_name_is_not_found_inside_a_longer_one() {
        assert!(mentions("host: \"a.test\", x", "a.test"));
        assert!(mentions("It is a.test.", "a.test"));
        assert!(mentions("http://a.test/x", "a.test"));
        assert!(!mentions("www.a.test", "a.test"));
        assert!(!mentions("a.test.example", "a.test"));
        assert!(!mentions("aa.test", "a.test"));
        assert!(!mentions("a.tests", "a.test"));
        assert!(mentions("", ""));
    }
}
