//! How is another program started, so that it can neither hang us nor flood us?
//!
//! The one place of the whole program where that happens. Each program has a time limit, is killed with its
//! children when the limit is over or nobody waits any more, and only the begin and the end of what it says are kept.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// What a program did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Output {
    /// Whether it ended with 0.
    pub(crate) success: bool,
    /// How it ended, as a phrase.
    pub(crate) ending: String,
    /// What it said on both streams, standard error first; long output without its middle.
    pub(crate) said: String,
}

/// A program that did not come to its end.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum CommandError {
    /// There is no such program.
    #[error("{} does not exist", program.display())]
    Missing {
        /// Its path.
        program: PathBuf,
    },
    /// It could not be started.
    #[error("{} cannot be started: {cause}", program.display())]
    NotStarted {
        /// Its path.
        program: PathBuf,
        /// The system's words.
        cause: String,
    },
    /// It took too long and was killed.
    #[error("{} did not end within {} s and was killed{}", program.display(), limit.as_secs(), last_words(said))]
    TimedOut {
        /// Its path.
        program: PathBuf,
        /// The limit.
        limit: Duration,
        /// What it had said by then.
        said: String,
    },
}

/// Runs a program to its end.
///
/// # Errors
///
/// When it cannot be started or takes longer than `limit`. Ending with something else than 0 is no error here.
pub(crate) async fn run(
    program: &Path,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    limit: Duration,
) -> Result<Output, CommandError> {
    run_keeping(program, arguments, limit, BEGIN_BYTES).await
}

/// Runs a program that lists something, and keeps all it says up to [`LISTED_BYTES_MAX`].
///
/// # Errors
///
/// As [`run`].
pub(crate) async fn list(
    program: &Path,
    arguments: &[&str],
    limit: Duration,
) -> Result<Output, CommandError> {
    run_keeping(program, arguments, limit, LISTED_BYTES_MAX).await
}

async fn run_keeping(
    program: &Path,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    limit: Duration,
    room: usize,
) -> Result<Output, CommandError> {
    let mut group = Group::start(program, arguments)?;
    let mut errors = Gathered::new(BEGIN_BYTES);
    let mut words = Gathered::new(room);
    let ended = {
        let stdout = group.child.stdout.take();
        let stderr = group.child.stderr.take();
        let listening = async { tokio::join!(errors.gather(stderr), words.gather(stdout)) };
        tokio::pin!(listening);
        let child = &mut group.child;
        let all = async {
            let status = tokio::select! {
                status = child.wait() => status,
                _ = &mut listening => return child.wait().await,
            };
            // A grandchild that lives on may keep the pipes open: what it says is not waited for.
            let _ = timeout(LAST_WORDS, listening).await;
            status
        };
        timeout(limit, all).await
    };
    let said = errors.into_text() + &words.into_text();
    match ended {
        Ok(Ok(status)) => {
            group.ended = true;
            Ok(Output {
                success: status.success(),
                ending: status.to_string(),
                said,
            })
        }
        Ok(Err(cause)) => Err(CommandError::NotStarted {
            program: program.to_owned(),
            cause: cause.to_string(),
        }),
        Err(_) => Err(CommandError::TimedOut {
            program: program.to_owned(),
            limit,
            said,
        }),
    }
}

/// Runs a line as a person would type it into a shell.
///
/// # Errors
///
/// As [`run`].
pub(crate) async fn run_line(line: &str, limit: Duration) -> Result<Output, CommandError> {
    let arguments: [OsString; 2] = ["-c".into(), line.into()];
    run(Path::new(SHELL), arguments, limit).await
}

/// A child and all that it starts; killed when dropped before it ended.
struct Group {
    child: Child,
    ended: bool,
}

impl Group {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place where programs are started"
    )]
    fn start(
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Self, CommandError> {
        let child = Command::new(program)
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        match child {
            Ok(child) => Ok(Self {
                child,
                ended: false,
            }),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                Err(CommandError::Missing {
                    program: program.to_owned(),
                })
            }
            Err(cause) => Err(CommandError::NotStarted {
                program: program.to_owned(),
                cause: cause.to_string(),
            }),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // `id` is none once the child was waited for, so the number cannot belong to somebody else by now.
        let leader = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let (false, Some(leader)) = (self.ended, leader) {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// The begin and the end of what was said.
struct Gathered {
    /// How much of the begin is kept.
    room: usize,
    begin: Vec<u8>,
    end: std::collections::VecDeque<u8>,
    lost: bool,
}

impl Gathered {
    fn new(room: usize) -> Self {
        Self {
            room,
            begin: Vec::new(),
            end: std::collections::VecDeque::new(),
            lost: false,
        }
    }

    async fn gather(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        let mut part = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut part).await {
            self.take(&part[..length]);
        }
    }

    fn take(&mut self, part: &[u8]) {
        let room = self.room.saturating_sub(self.begin.len()).min(part.len());
        let (first, rest) = part.split_at(room);
        self.begin.extend_from_slice(first);
        self.end.extend(rest);
        let surplus = self.end.len().saturating_sub(END_BYTES);
        self.lost |= surplus > 0;
        self.end.drain(..surplus);
    }

    fn into_text(self) -> String {
        let mut bytes = self.begin;
        if self.lost {
            bytes.extend_from_slice(b"\n[\xe2\x80\xa6]\n");
        }
        bytes.extend(self.end);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn last_words(said: &str) -> String {
    match said.trim().lines().last() {
        Some(line) => format!("; its last words: {line}"),
        None => String::new(),
    }
}

/// What is kept of a long output. nginx's complaint stands at the end, after its warnings.
const BEGIN_BYTES: usize = 16 << 10;
const END_BYTES: usize = 48 << 10;

/// What is kept of a list that is read by machine; the largest set of rules that was ever seen has a third of it.
const LISTED_BYTES_MAX: usize = 32 << 20;

/// How long the pipes may stay open after the program has ended.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// POSIX has a shell here.
const SHELL: &str = "/bin/sh";

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use std::time::Instant;

    async fn check(line: &str, limit_ms: u64, expect: Expect) {
        let text = match run_line(line, Duration::from_millis(limit_ms)).await {
            Ok(output) => format!("{}: {}", output.ending, output.said.trim_end()),
            Err(error) => format!("error: {error}"),
        };
        expect.assert_eq(&text);
    }

    #[tokio::test]
    async fn both_streams_and_the_ending_are_seen() {
        check(
            "echo out; echo err >&2",
            10_000,
            expect![[r#"
                exit status: 0: err
                out"#]],
        )
        .await;
        check("exit 3", 10_000, expect!["exit status: 3: "]).await;
        check("kill -9 $$", 10_000, expect!["signal: 9 (SIGKILL): "]).await;
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        let line = format!(
            "sleep 600 & echo $! > {}; echo still here; wait",
            pid_file.display()
        );
        let begin = Instant::now();
        check(
            &line,
            500,
            expect![
                "error: /bin/sh did not end within 0 s and was killed; its last words: still here"
            ],
        )
        .await;
        assert!(begin.elapsed() < Duration::from_secs(60));
        let pid = std::fs::read_to_string(&pid_file).unwrap();
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
        };
        while !gone() {
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "the child lives on"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_grandchild_that_keeps_the_pipes_is_not_waited_for() {
        let begin = Instant::now();
        let output = run_line("sleep 5 & echo done", Duration::from_secs(60)).await;
        assert_eq!(output.unwrap().said, "done\n");
        assert!(begin.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn of_a_flood_the_begin_and_the_end_are_kept() {
        let line = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo '[emerg] at the end'";
        let said = run_line(line, Duration::from_secs(60)).await.unwrap().said;
        assert!(said.starts_with("line 0\n"));
        assert!(said.ends_with("[emerg] at the end\n"));
        assert!(said.len() <= BEGIN_BYTES + END_BYTES + 10, "{}", said.len());
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let nothing: [&str; 0] = [];
        let error = run(Path::new("/nowhere/nginx"), nothing, Duration::from_secs(1)).await;
        assert_eq!(
            error.unwrap_err().to_string(),
            "/nowhere/nginx does not exist"
        );
    }
}
