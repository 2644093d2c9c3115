//! What did nginx's master complain of since it was told to reload?
//!
//! A reload is only asked for: when nginx cannot take up its configuration, a port taken by somebody else for one, it
//! goes on with the old one and says why in its error log alone.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use renewal::name::Name;
use renewal::ports::HostFailure;
use rustix::fs::OFlags;

use crate::error_logs::{Source, of_master};
use crate::test::without_process;

/// The error logs, and how far they were written when the last reload began.
#[derive(Default)]
pub(crate) struct Complaints(Mutex<Vec<Mark>>);

/// One log at one moment.
struct Mark {
    log: PathBuf,
    inode: u64,
    length: u64,
}

impl Complaints {
    /// Takes in that a reload begins.
    pub(crate) fn begin(&self, source: Source<'_>) {
        let marks = of_master(source).into_iter().map(Mark::new).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = marks;
    }

    /// Returns the worst of what was written since: a few lines, each once, the last at the end.
    pub(crate) fn read(&self) -> Vec<String> {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written: Vec<String> = marks.iter().map(Mark::written_since).collect();
        worst(written.iter().flat_map(|text| text.lines()))
    }

    /// Adds what was written since to a failure's evidence.
    pub(crate) fn added_to(&self, HostFailure(mut finding): HostFailure) -> HostFailure {
        let said = self.read();
        if !said.is_empty() {
            finding.detail = format!(
                "{}; nginx's error log says: {}",
                finding.detail,
                said.join("; ")
            );
        }
        HostFailure(finding)
    }
}

impl Mark {
    fn new(log: PathBuf) -> Self {
        let (inode, length) = std::fs::metadata(&log)
            .map(|facts| (facts.ino(), facts.len()))
            .unwrap_or_default();
        Self { log, inode, length }
    }

    fn written_since(&self) -> String {
        let written = tail(&self.log, |inode, length| {
            // Another file, or a shorter one: the log was rotated.
            let same = inode == self.inode && length >= self.length;
            if same { self.length } else { 0 }
        });
        written.unwrap_or_default()
    }
}

/// Reads a log from where `from` says, or its last [`READ_BYTES_MAX`].
fn tail(log: &Path, from: impl FnOnce(u64, u64) -> u64) -> std::io::Result<String> {
    // Not blocking: a pipe in the place of a log would otherwise hold us for ever.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(log)?;
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    let begin = from(facts.ino(), facts.len()).max(facts.len().saturating_sub(READ_BYTES_MAX));
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.take(READ_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the last lines about challenges of these names, and about limits that nginx ran into, each once.
///
/// Tokens are left out, as everywhere.
pub(crate) fn of_challenges(logs: &[PathBuf], names: &[Name]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for log in logs {
        let text =
            tail(log, |_, length| length.saturating_sub(CHALLENGES_BYTES)).unwrap_or_default();
        for line in text.lines() {
            let Some(said) = of_challenge(line, names) else {
                continue;
            };
            found.retain(|other| *other != said);
            found.push(said);
        }
    }
    found.drain(..found.len().saturating_sub(LINES_MAX));
    found
}

fn of_challenge(line: &str, names: &[Name]) -> Option<String> {
    let words = without_process(line.split_once("] ")?.1.trim());
    if LIMITS.iter().any(|limit| words.contains(limit)) {
        return Some(words.split(", client: ").next().unwrap_or(words).to_owned());
    }
    let of_name = |name: &Name| words.contains(&format!("host: \"{name}\""));
    if !words.contains(CHALLENGE_PATH) || !names.iter().any(of_name) {
        return None;
    }
    // What follows says who asked, and for what.
    let cause = words.split(", client: ").next().unwrap_or_default();
    Some(match cause.split_once(CHALLENGE_PATH) {
        Some((before, rest)) => {
            let after = rest.find(['"', ' ']).map_or("", |end| &rest[end..]);
            format!("{before}{CHALLENGE_PATH}TOKEN{after}")
        }
        None => cause.to_owned(),
    })
}

/// Picks the lines that tell why: what ended the reload, or else plain errors.
fn worst<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let (mut fatal, mut errors) = (Vec::new(), Vec::new());
    for line in lines {
        let Some((words, is_fatal)) = complaint(line) else {
            continue;
        };
        let list = if is_fatal { &mut fatal } else { &mut errors };
        // nginx tries to bind an address five times, and says so each time.
        list.retain(|other| *other != words);
        list.push(words);
    }
    let mut worst = if fatal.is_empty() { errors } else { fatal };
    worst.drain(..worst.len().saturating_sub(LINES_MAX));
    worst
}

/// Returns a complaint of nginx itself, without time and process, and whether it is fatal.
fn complaint(line: &str) -> Option<(String, bool)> {
    let (level, is_fatal) = LEVELS.into_iter().find(|(level, _)| {
        let at = line.find(level);
        // Elsewhere in a line it is part of what nginx quotes.
        at.is_some_and(|at| at <= TIME_BYTES)
    })?;
    let words = line.split_once(level)?.1.trim();
    let words = without_process(words);
    // What a visitor's request ran into has nothing to do with the reload.
    let of_request = words.contains(", client: ");
    (!of_request).then(|| (format!("{level} {words}"), is_fatal))
}

/// Where challenges are, as requests and files name it.
const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";

/// What nginx says when it runs out of something.
const LIMITS: [&str; 2] = ["Too many open files", "worker_connections are not enough"];

/// How much of the end of a log is read for challenges.
const CHALLENGES_BYTES: u64 = 256 << 10;

/// The levels that count, and whether what is said on them ends a reload.
const LEVELS: [(&str, bool); 4] = [
    ("[emerg]", true),
    ("[alert]", true),
    ("[crit]", true),
    ("[error]", false),
];

/// The length of `2026/03/01 00:00:00 `.
const TIME_BYTES: usize = 20;

/// A finding is read by people.
const LINES_MAX: usize = 3;

/// A busy site's log grows fast; why a reload failed stands near its end.
const READ_BYTES_MAX: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    #[test]
    fn lines_about_challenges_are_found() {
        let names = [renewal::name::Name::parse("a.test").unwrap()];
        let check = |line: &str, expected: Option<&str>| {
            assert_eq!(super::of_challenge(line, &names).as_deref(), expected);
        };
        let asked = "client: 192.0.2.1, server: a.test, request: \"GET /.well-known/acme-challenge/tok HTTP/1.1\", host: \"a.test\"";
        check(
            &format!(
                "2026/11/24 12:00:00 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream, {asked}"
            ),
            Some("*1 connect() failed (111: Connection refused) while connecting to upstream"),
        );
        check(
            &format!(
                "2026/11/24 12:00:00 [error] 7#7: *2 open() \"/srv/.well-known/acme-challenge/tok\" failed (13: Permission denied), {asked}"
            ),
            Some(
                "*2 open() \"/srv/.well-known/acme-challenge/TOKEN\" failed (13: Permission denied)",
            ),
        );
        check(
            "2026/11/24 12:00:00 [crit] 7#7: accept4() failed (24: Too many open files)",
            Some("accept4() failed (24: Too many open files)"),
        );
        check(
            &format!(
                "2026/11/24 12:00:00 [error] 7#7: *2 access forbidden by rule, {}",
                asked.replace("a.test", "b.test")
            ),
            None,
        );
        check("", None);
        check("[error]", None);
    }

    use super::{Complaints, Mark, worst};
    use expect_test::{Expect, expect};
    use std::fs;

    fn check(log: &str, expect: Expect) {
        expect.assert_eq(&worst(log.lines()).join("\n"));
    }

    #[test]
    fn a_port_that_another_program_has_is_told_once() {
        check(
            "2026/03/01 00:00:00 [notice] 7#7: signal 1 (SIGHUP) received from 9, reconfiguring\n\
             2026/03/01 00:00:00 [emerg] 7#7: bind() to 0.0.0.0:443 failed (98: Address already in use)\n\
             2026/03/01 00:00:00 [emerg] 7#7: bind() to 0.0.0.0:443 failed (98: Address already in use)\n\
             2026/03/01 00:00:02 [emerg] 7#7: still could not bind()\n\
             2026/03/01 00:00:02 [error] 8#8: recv() failed (104: Connection reset by peer)\n",
            expect![[r#"
                [emerg] bind() to 0.0.0.0:443 failed (98: Address already in use)
                [emerg] still could not bind()"#]],
        );
    }

    #[test]
    fn what_requests_run_into_is_left_out() {
        check(
            "2026/03/01 00:00:00 [error] 8#8: *1 open() \"/x\" failed (2: No such file or directory), client: 127.0.0.1, server: a.test\n\
             2026/03/01 00:00:00 [warn] 8#8: quotes [emerg] in its words\n\
             cut off in mid-line [emerg]\n\n",
            expect!["[emerg] "],
        );
    }

    #[test]
    fn only_the_last_few_are_quoted() {
        let log: String = (0..9)
            .map(|n| format!("2026/03/01 00:00:0{n} [error] 1#1: OCSP responder {n} timed out\n"))
            .collect();
        check(
            &log,
            expect![[r#"
                [error] OCSP responder 6 timed out
                [error] OCSP responder 7 timed out
                [error] OCSP responder 8 timed out"#]],
        );
    }

    #[test]
    fn what_was_written_before_does_not_count_and_a_rotated_log_is_read_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("error.log");
        let line = |word: &str| format!("2026/03/01 00:00:00 [crit] 1#1: {word}\n");
        crate::testing::put(&log, &line("before"));
        let complaints = Complaints::default();
        let marks = ["missing.log", "error.log"].map(|name| Mark::new(folder.path().join(name)));
        *complaints.0.lock().unwrap() = marks.into();
        assert_eq!(complaints.read(), Vec::<String>::new());
        crate::testing::put(&log, &(line("before") + &line("after")));
        assert_eq!(complaints.read(), ["[crit] after"]);
        fs::hard_link(&log, folder.path().join("error.log.1")).unwrap();
        fs::remove_file(&log).unwrap();
        crate::testing::put(&log, &line("rotated"));
        assert_eq!(complaints.read(), ["[crit] rotated"]);
    }
}
