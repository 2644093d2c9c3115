//! How does a test run the program on its host, and look at what it said?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::program::{self, Output, Program};

/// The program under test, with the host's configuration, an empty environment and a time limit.
#[derive(Clone, Debug)]
pub struct Clpctl {
    program: PathBuf,
    host: PathBuf,
    /// What it is started by, with its own arguments.
    inside: Vec<String>,
    env: Vec<(String, String)>,
    limit: Duration,
}

/// A `clpctl` that was left running; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Clpctl {
    pub(super) fn new(program: PathBuf, host: PathBuf) -> Self {
        Self {
            program,
            host,
            inside: Vec::new(),
            env: Vec::new(),
            limit: LIMIT,
        }
    }

    /// Adds a variable to the environment, which is empty otherwise.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Has it started by another program, such as `unshare --mount`.
    #[must_use]
    pub fn inside(mut self, words: &[&str]) -> Self {
        self.inside = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Sets how long a run may take.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs `clpctl --config=HOST/clpctl.toml ARGS…` to its end.
    ///
    /// # Panics
    ///
    /// When it takes longer than its limit; the message holds what it had said.
    #[must_use]
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Output {
        self.program(args).run()
    }

    /// Starts it and leaves it running, as `service:run` does.
    #[must_use]
    #[track_caller]
    pub fn spawn(&self, args: &[&str]) -> Running {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let file = |name: &str| self.host.join(format!("running-{number}.{name}"));
        let (stdout, stderr) = (file("stdout"), file("stderr"));
        Running {
            child: self.program(args).spawn_apart(&stdout, &stderr),
            stdout,
            stderr,
        }
    }

    fn program(&self, args: &[&str]) -> Program {
        let mut config = std::ffi::OsString::from("--config=");
        config.push(config_of(&self.host));
        let program = match self.inside.split_first() {
            None => Program::new(&self.program),
            Some((first, rest)) => Program::new(first).args(rest).arg(&self.program),
        };
        let program = program.arg(config).args(args).limit(self.limit);
        let program = program.folder(&self.host).env("HOME", &self.host);
        self.env
            .iter()
            .fold(program, |program, (name, value)| program.env(name, value))
    }
}

impl Running {
    /// Returns what it wrote to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// Returns what it wrote to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Returns its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// When it has ended and was waited for.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let number = i32::try_from(self.child.id()).expect("Linux's process ids are small");
        kill_process(
            Pid::from_raw(number).expect("a process id is not 0"),
            signal,
        )
        .expect("it runs");
    }

    /// Waits for its end; `None` when it has not ended within the limit.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        program::wait(&mut self.child, limit)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        program::kill(&mut self.child);
    }
}

pub(super) fn config_of(host: &Path) -> PathBuf {
    host.join("clpctl.toml")
}

/// How long a run may take; generous, for busy machines.
const LIMIT: Duration = Duration::from_secs(120);
