//! What did a program cost: processor time, memory, time on the clock?
//!
//! The kernel tells a process what its ended children cost, all of them together. So each program that is measured
//! is started by a process of its own ([`wrap`]), which has no other child and then says what it was told. This is
//! exact to the microsecond, where `/proc` counts in hundredths of a second.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::{Deserialize, Serialize};

/// What one run of a program cost, its own children included.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// From its start to its end, in seconds.
    pub(crate) wall: f64,
    /// User and system time, in seconds.
    pub(crate) cpu: f64,
    /// The part of it that programs spent which it started, to a hundredth of a second.
    pub(crate) started: f64,
    /// The most memory it had at once, in megabytes (10⁶ bytes).
    pub(crate) peak_mb: f64,
    /// Its exit code; a signal's number with 128 added, as shells have it.
    pub(crate) code: i32,
}

/// A program about to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    words: Vec<OsString>,
    variables: Vec<(String, OsString)>,
    folder: PathBuf,
    limit: Duration,
}

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MeasureError {
    /// It takes too long.
    #[error("{program} did not end within {limit:?}; it had said:\n{said}")]
    TooLong {
        program: String,
        limit: Duration,
        said: String,
    },
    /// It failed.
    #[error("{program} ended with {code}:\n{said}")]
    Failed {
        program: String,
        code: i32,
        said: String,
    },
    /// It could not be started, or its output not be kept.
    #[error("{program} could not be measured: {error}")]
    NotStarted { program: String, error: io::Error },
}

/// What it cost, and what it said on standard output.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) cost: Cost,
    pub(crate) stdout: String,
}

impl Program {
    /// Names a program and the folder in which it runs and what it says is kept.
    pub(crate) fn new(program: impl AsRef<OsStr>, folder: &Path) -> Self {
        Self {
            words: vec![program.as_ref().to_owned()],
            variables: Vec::new(),
            folder: folder.to_owned(),
            limit: LIMIT,
        }
    }

    /// Adds one argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.words.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub(crate) fn args(self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        args.into_iter().fold(self, Program::arg)
    }

    /// Adds a variable to the environment, which is empty but for `PATH`, `HOME` and `LANG`.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables
            .push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Puts another program before it, which starts it: with these arguments, a file, and `--`.
    pub(crate) fn under<const N: usize>(
        mut self,
        program: &str,
        args: [&str; N],
        file: &Path,
    ) -> Self {
        let mut words: Vec<OsString> = vec![program.into()];
        words.extend(args.map(OsString::from));
        words.extend([file.into(), "--".into()]);
        words.append(&mut self.words);
        self.words = words;
        self
    }

    /// Sets how long it may take.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Returns the command line, for people: without the folders of this run.
    pub(crate) fn shown(&self) -> String {
        let (program, args) = self.words.split_first().expect("a program has a name");
        let program = Path::new(program).file_name().unwrap_or(program);
        let folder = format!("{}/", self.folder.display());
        let args = args
            .iter()
            .map(|word| word.to_string_lossy().replace(&folder, ""));
        args.fold(program.to_string_lossy().into_owned(), |line, word| {
            format!("{line} {word}")
        })
    }

    /// Runs it to its end; an exit code other than 0 is an error.
    pub(crate) fn run(&self) -> Result<Measured, MeasureError> {
        let program = self.words[0].to_string_lossy().into_owned();
        let not_started = |error| MeasureError::NotStarted {
            program: program.clone(),
            error,
        };
        let scratch = tempfile::Builder::new()
            .prefix("measure-")
            .tempdir_in(&self.folder)
            .map_err(not_started)?;
        let file = |name: &str| scratch.path().join(name);
        let (report, stdout, stderr) = (file("report"), file("stdout"), file("stderr"));
        let mut command = self.command(&report).map_err(not_started)?;
        command
            .stdout(File::create(&stdout).map_err(not_started)?)
            .stderr(File::create(&stderr).map_err(not_started)?);
        let mut child = command.spawn().map_err(not_started)?;
        let until = Instant::now() + self.limit;
        let ended = loop {
            if child.try_wait().map_err(not_started)?.is_some() {
                break true;
            }
            if Instant::now() >= until {
                break false;
            }
            thread::sleep(POLL);
        };
        let read =
            |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        if !ended {
            let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            // Fails only when all of the group has ended meanwhile.
            let _ = group.map(|group| kill_process_group(group, Signal::KILL));
            let _ = child.wait();
            let (limit, said) = (self.limit, tail(&read(&stderr)));
            return Err(MeasureError::TooLong {
                program,
                limit,
                said,
            });
        }
        let cost: Cost = serde_json::from_str(&read(&report)).map_err(|error| {
            not_started(io::Error::other(format!(
                "{error}; {}",
                tail(&read(&stderr))
            )))
        })?;
        let stdout = read(&stdout);
        if cost.code != 0 {
            let said = format!("{}\n{}", tail(&stdout), tail(&read(&stderr)));
            return Err(MeasureError::Failed {
                program,
                code: cost.code,
                said,
            });
        }
        Ok(Measured { cost, stdout })
    }

    /// The process in between, in a group of its own so that all of it can be ended.
    fn command(&self, report: &Path) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("measure")
            .arg(report)
            .arg("--")
            .args(&self.words)
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", SEARCHED)
            .env("LANG", "C.UTF-8")
            .env("HOME", &self.folder)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .process_group(0);
        Ok(command)
    }
}

/// Runs the command and writes its [`Cost`] into the file: all that the process in between does.
pub(crate) fn wrap(report: &Path, command: &[OsString]) -> ExitCode {
    let written = cost_of(command).and_then(|cost| {
        let text = serde_json::to_string(&cost).map_err(io::Error::other)?;
        fs::write(report, text)
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", command[0].display());
            ExitCode::FAILURE
        }
    }
}

fn cost_of(command: &[OsString]) -> io::Result<Cost> {
    let start = Instant::now();
    let mut child = Command::new(&command[0]).args(&command[1..]).spawn()?;
    let process = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let process = process.ok_or_else(|| io::Error::other("a process id that is none"))?;
    // Ended, but not waited for: the kernel still tells about it.
    waitid(
        WaitId::Pid(process),
        WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
    )?;
    let wall = start.elapsed().as_secs_f64();
    let started = started(&fs::read_to_string(format!("/proc/{}/stat", child.id()))?);
    let status = child.wait()?;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    // Linux tells memory in kibibytes.
    #[expect(
        clippy::cast_precision_loss,
        reason = "memory is far below 2^52 kibibytes"
    )]
    let peak_mb = usage.max_rss() as f64 * 1024.0 / 1e6;
    let code = status.code().unwrap_or(128 + status.signal().unwrap_or(0));
    Ok(Cost {
        wall,
        cpu: seconds(usage.user_time()) + seconds(usage.system_time()),
        started: started.unwrap_or(0.0),
        peak_mb,
        code,
    })
}

/// The time of the ended children of a process, in seconds: `cutime` and `cstime` of proc_pid_stat(5).
fn started(stat: &str) -> Option<f64> {
    // The name of the program stands in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(13);
    let mut next = || ticks.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS_PER_SECOND)
}

/// Returns the processor time that this process spent so far, in seconds.
pub(crate) fn own_cpu() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| {
        seconds(usage.user_time()) + seconds(usage.system_time())
    })
}

/// Returns the one in the middle, by the given measure.
pub(crate) fn median<T>(mut all: Vec<T>, by: impl Fn(&T) -> f64) -> Option<T> {
    all.sort_by(|one, other| by(one).total_cmp(&by(other)));
    let middle = all.len().checked_sub(1)? / 2;
    Some(all.swap_remove(middle))
}

fn seconds(time: nix::sys::time::TimeVal) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a run takes far less than 2^52 seconds"
    )]
    let seconds = time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds
}

/// The end of what a program said, which is where it says why.
fn tail(text: &str) -> String {
    let lines: Vec<_> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

/// How long a program may take unless told otherwise: no benchmark here takes minutes when all is well.
const LIMIT: Duration = Duration::from_secs(300);

/// What `/proc` counts in, on every Linux (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// How often its end is looked for. Its own time is taken elsewhere, so this is in no figure.
const POLL: Duration = Duration::from_millis(5);

/// Where programs are looked for: nginx is in an `sbin`.
const SEARCHED: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How many lines of a failed program are shown.
const LINES_SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use super::{cost_of, median, started};

    #[test]
    fn the_exit_code_and_the_time_of_a_program_are_told() {
        let words = [
            "sh",
            "-c",
            "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 3",
        ];
        let cost = cost_of(&words.map(Into::into)).unwrap();
        assert_eq!(cost.code, 3);
        assert!(cost.wall > 0.0 && cost.cpu > 0.0 && cost.peak_mb > 0.0);
    }

    #[test]
    fn the_time_of_ended_children_is_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 96 0 0 0 11 12 13 14 20 0 1 0 5 6 7";
        assert_eq!(started(stat), Some(0.27));
        assert_eq!(started("nonsense"), None);
    }

    #[test]
    fn the_one_in_the_middle_is_taken() {
        assert_eq!(median(vec![9.0, 1.0, 5.0], |value| *value), Some(5.0));
        assert_eq!(median(Vec::<f64>::new(), |value| *value), None);
    }
}
