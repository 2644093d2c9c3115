//! How do the fixtures run another program: with a time limit, an environment of its own, and a clear word
//! when it is not installed?

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What a program said, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// All of standard output.
    pub stdout: String,
    /// All of standard error.
    pub stderr: String,
}

impl Output {
    /// Says whether the exit code was 0.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }

    /// Returns standard output.
    ///
    /// # Panics
    ///
    /// When the exit code was not 0; the message holds everything the program said.
    #[must_use]
    #[track_caller]
    pub fn expect_ok(self) -> String {
        assert!(
            self.ok(),
            "ended with {:?}\n{}\n{}",
            self.code,
            self.stdout,
            self.stderr
        );
        self.stdout
    }
}

/// A program about to be run. Its environment is empty but for `PATH`, `LANG=C` and what is added.
#[derive(Debug)]
pub struct Program {
    name: String,
    command: Command,
    input: Vec<u8>,
    limit: Duration,
}

impl Program {
    /// Names the program, by path or to be looked up in the usual folders.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program.as_ref());
        command.env_clear().env("PATH", SEARCHED).env("LANG", "C");
        Self {
            name: program.as_ref().to_string_lossy().into_owned(),
            command,
            input: Vec::new(),
            limit: LIMIT,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Adds a variable to the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives it a working folder.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Gives it something to read on standard input, which is empty otherwise.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Sets how long it may take. The default suits programs that answer at once.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// When it is not installed, or takes longer than its limit; it is killed then, and the message holds what
    /// it had said so far.
    #[must_use]
    #[track_caller]
    pub fn run(mut self) -> Output {
        // Files and not pipes: a grandchild that keeps a pipe open would keep us waiting for its end.
        let mut input = scratch();
        input
            .write_all(&self.input)
            .and_then(|()| input.rewind())
            .expect("a temporary file can be written");
        let (mut stdout, mut stderr) = (scratch(), scratch());
        self.command
            .stdin(input)
            .stdout(again(&stdout))
            .stderr(again(&stderr));
        let mut child = start(&mut self.command, &self.name);
        let status = wait(&mut child, self.limit);
        if status.is_none() {
            kill(&mut child);
        }
        let (stdout, stderr) = (text(&mut stdout), text(&mut stderr));
        let Some(status) = status else {
            panic!(
                "{} did not end within {:?}; it had said:\n{stdout}\n{stderr}",
                self.name, self.limit
            )
        };
        Output {
            code: status.code(),
            stdout,
            stderr,
        }
    }

    /// Starts it and leaves it running; everything it says goes to `log`.
    ///
    /// # Panics
    ///
    /// When it is not installed.
    #[must_use]
    #[track_caller]
    pub fn spawn(mut self, log: &Path) -> Child {
        let log = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("the log can be opened");
        self.command
            .stdin(Stdio::null())
            .stdout(again(&log))
            .stderr(log);
        start(&mut self.command, &self.name)
    }

    /// Starts it and leaves it running, its two outputs kept apart in two files.
    ///
    /// # Panics
    ///
    /// When it is not installed.
    #[must_use]
    #[track_caller]
    pub fn spawn_apart(mut self, stdout: &Path, stderr: &Path) -> Child {
        let open = |path| File::create(path).expect("the file for its output can be made");
        self.command
            .stdin(Stdio::null())
            .stdout(open(stdout))
            .stderr(open(stderr));
        start(&mut self.command, &self.name)
    }
}

/// Waits for the child's end, for no longer than `limit`.
///
/// # Panics
///
/// When the child is not ours to wait for.
pub fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours can be waited for") {
            return Some(status);
        }
        if Instant::now() >= until {
            return None;
        }
        thread::sleep(POLL);
    }
}

/// Waits until `done` says so, for no longer than `limit`; returns whether it did.
pub fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + limit;
    while !done() {
        if Instant::now() >= until {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}

/// Ends a child that is no longer needed, and waits for its end.
pub fn kill(child: &mut Child) {
    // Both fail only when it has ended already, which is what we want.
    let _ = child.kill();
    let _ = child.wait();
}

fn start(command: &mut Command, name: &str) -> Child {
    command.spawn().unwrap_or_else(|error| match error.kind() {
        ErrorKind::NotFound => panic!("{name} is not installed. {}", how_to_install(name)),
        _ => panic!("{name} does not start: {error}"),
    })
}

fn how_to_install(name: &str) -> &'static str {
    match Path::new(name).file_name().and_then(OsStr::to_str) {
        Some("nginx") => "Run: apt-get install nginx-light (or ./test --setup)",
        Some("pebble" | "pebble-challtestsrv") => "Run: apt-get install pebble (or ./test --setup)",
        Some("certbot") => "Run: apt-get install certbot (or ./test --setup)",
        Some("openssl") => "Run: apt-get install openssl (or ./test --setup)",
        _ => "Run: ./test --setup",
    }
}

fn scratch() -> File {
    tempfile::tempfile().expect("the folder for temporary files can be written")
}

fn again(file: &File) -> File {
    file.try_clone().expect("one more file can be open")
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .expect("a temporary file can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Where programs are looked for: nginx is in an `sbin`, which not every user has in `PATH`.
const SEARCHED: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a program may take that is expected to answer at once; generous, for busy machines.
const LIMIT: Duration = Duration::from_secs(60);

/// How often a child is looked at while it is waited for.
const POLL: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_outputs_and_the_code_are_returned() {
        let output = Program::new("sh")
            .args(["-c", "cat; echo err >&2; exit 7"])
            .input("in")
            .run();
        assert_eq!(
            (output.code, output.stdout.as_str(), output.stderr.as_str()),
            (Some(7), "in", "err\n")
        );
    }

    #[test]
    fn the_environment_is_not_inherited() {
        let output = Program::new("env").env("ADDED", "1").run().expect_ok();
        let mut names: Vec<_> = output
            .lines()
            .filter_map(|line| line.split('=').next())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["ADDED", "LANG", "PATH"]);
    }

    #[test]
    #[should_panic(expected = "did not end within 100ms; it had said:\nbegun")]
    fn a_program_that_hangs_is_killed() {
        let _ = Program::new("sh")
            .args(["-c", "echo begun; exec sleep 60"])
            .limit(Duration::from_millis(100))
            .run();
    }

    #[test]
    #[should_panic(expected = "/nowhere/nginx is not installed. Run: apt-get install nginx-light")]
    fn a_missing_program_says_what_to_install() {
        let _ = Program::new("/nowhere/nginx").run();
    }
}
