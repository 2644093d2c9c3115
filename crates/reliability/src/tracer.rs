//! How does a run die, or stumble, at exactly its nth effect?
//!
//! It is held at every system call (`ptrace`), whichever of its threads makes it, from outside: the program is the one
//! that people run, with no switch of its own for any of this.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::calls::{self, Connections, Watched};
use crate::effect::{Effect, Kind};
use crate::tracee::Tracee;

/// What happens to the run. Effects are counted from 1.
#[derive(Clone, Copy, Debug)]
pub enum Blow {
    /// Nothing: it is only watched.
    None,
    /// It is killed (SIGKILL) just before this effect.
    Kill(usize),
    /// This effect of these kinds fails.
    Fail {
        /// Which of them.
        nth: usize,
        /// The error.
        errno: Errno,
        /// Whether all after it fail too.
        lasting: bool,
        /// Of which kinds effects are counted, and fail.
        kinds: &'static [Kind],
    },
}

/// A run as it was seen.
#[derive(Debug)]
pub struct Traced {
    /// Its exit code; `None` when it was killed.
    pub code: Option<i32>,
    /// What it was struck at.
    pub struck: Option<Effect>,
    /// Every effect that came about, in order.
    pub effects: Vec<Effect>,
    /// What it said on standard output.
    pub stdout: String,
    /// What it said on standard error.
    pub stderr: String,
}

/// A program about to be run.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// Program and arguments.
    pub words: Vec<std::ffi::OsString>,
    /// The working folder, which also takes what it says.
    pub folder: &'a Path,
    /// What of the world counts.
    pub watched: &'a Watched,
    /// What happens to it.
    pub blow: Blow,
}

/// Runs the program to its end.
///
/// # Panics
///
/// When it cannot be held, or takes longer than its limit.
#[must_use]
#[track_caller]
pub fn run(run: &Run<'_>) -> Traced {
    let said = ["stdout", "stderr"].map(|name| run.folder.join(format!("traced.{name}")));
    let [stdout, stderr] = said
        .each_ref()
        .map(|path| File::create(path).expect("the file for what it says can be made"));
    // It waits for us before it becomes the program.
    let child = Command::new("/bin/sh")
        .args(["-c", "kill -STOP $$; exec \"$@\"", "sh"])
        .args(&run.words)
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("LANG", "C")
        .env("HOME", run.folder)
        .current_dir(run.folder)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .expect("a shell can be started");
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("Linux's process ids are small"));
    // Waited for below, by its number.
    drop(child);
    let (done, ended) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let late = ended.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout);
        if late {
            let _ = kill(pid, Signal::SIGKILL);
        }
        late
    });
    let held = Held::new(pid, run).and_then(Held::watch);
    drop(done);
    let late = watchdog.join().unwrap_or(true);
    let [stdout, stderr] =
        said.map(|path: PathBuf| std::fs::read_to_string(path).unwrap_or_default());
    assert!(
        !late,
        "it did not end within {LIMIT:?}:\n{stdout}\n{stderr}"
    );
    let (code, struck, effects) = held.expect("a child can be traced");
    Traced {
        code,
        struck,
        effects,
        stdout,
        stderr,
    }
}

/// A process that is being watched.
struct Held<'a> {
    pid: Pid,
    watched: &'a Watched,
    blow: Blow,
    /// What each thread is in the middle of.
    begun: HashMap<Pid, Begun>,
    connections: Connections,
    counted: usize,
    struck: Option<Effect>,
    effects: Vec<Effect>,
    /// Whether it is the program yet.
    executed: bool,
}

/// A system call that a thread is in the middle of.
#[derive(Default)]
struct Begun {
    effect: Option<Effect>,
    fails: Option<Errno>,
}

type Seen = (Option<i32>, Option<Effect>, Vec<Effect>);

impl<'a> Held<'a> {
    fn new(pid: Pid, run: &Run<'a>) -> Result<Self, Errno> {
        waitpid(pid, Some(WaitPidFlag::WUNTRACED))?;
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        ptrace::seize(pid, options)?;
        kill(pid, Signal::SIGCONT)?;
        Ok(Self {
            pid,
            watched: run.watched,
            blow: run.blow,
            begun: HashMap::new(),
            connections: Connections::default(),
            counted: 0,
            struck: None,
            effects: Vec::new(),
            executed: false,
        })
    }

    fn watch(mut self) -> Result<Seen, Errno> {
        loop {
            // Only threads of this thread's tracee: other tracers are at work in this process.
            let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            let signal = match waitpid(None, Some(flags)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.pid => {
                    return Ok((Some(code), self.struck, self.effects));
                }
                Ok(WaitStatus::Signaled(pid, ..)) if pid == self.pid => {
                    return Ok((None, self.struck, self.effects));
                }
                Ok(WaitStatus::PtraceSyscall(thread)) => {
                    self.at_call(thread);
                    go_on(thread, None);
                    continue;
                }
                Ok(WaitStatus::PtraceEvent(thread, _, event)) => {
                    if event == nix::libc::PTRACE_EVENT_EXEC {
                        self.executed = true;
                        // It stands in the middle of the call that made it the program.
                        self.begun.insert(thread, Begun::default());
                    }
                    (thread, None)
                }
                Ok(WaitStatus::Stopped(thread, signal)) => (thread, Some(signal)),
                Ok(_) => continue,
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error),
            };
            go_on(signal.0, signal.1);
        }
    }

    /// A thread stands before or after a system call. One that is gone meanwhile is no error.
    fn at_call(&mut self, thread: Pid) {
        let Ok(tracee) = Tracee::at(thread) else {
            return;
        };
        if !self.executed {
            return;
        }
        match self.begun.remove(&thread) {
            None => {
                let effect = calls::effect(&tracee, self.watched, &mut self.connections);
                let fails = effect.as_ref().and_then(|effect| self.strike(effect));
                if fails.is_some() {
                    let _ = tracee.skip();
                }
                self.begun.insert(thread, Begun { effect, fails });
            }
            Some(Begun { effect, fails }) => {
                if let Some(errno) = fails {
                    let _ = tracee.fail(errno as i32);
                    return;
                }
                let effect = match effect {
                    Some(effect) if tracee.result() >= 0 => Some(effect),
                    Some(_) => None,
                    None => {
                        calls::reply(&tracee, self.watched, &self.connections).inspect(|reply| {
                            self.strike(reply);
                        })
                    }
                };
                self.effects.extend(effect);
            }
        }
    }

    /// Counts an effect; kills the process, or returns the error with which the call is to fail.
    fn strike(&mut self, effect: &Effect) -> Option<Errno> {
        let opens = effect.kind() == Kind::Open;
        match self.blow {
            Blow::None => None,
            Blow::Kill(nth) => {
                self.counted += usize::from(!opens);
                if self.counted == nth && self.struck.is_none() {
                    self.struck = Some(effect.clone());
                    let _ = kill(self.pid, Signal::SIGKILL);
                }
                None
            }
            Blow::Fail {
                nth,
                errno,
                lasting,
                kinds,
            } => {
                if !kinds.contains(&effect.kind()) {
                    return None;
                }
                self.counted += 1;
                let hit = self.counted == nth || (lasting && self.counted > nth);
                if hit && self.struck.is_none() {
                    self.struck = Some(effect.clone());
                }
                hit.then_some(errno)
            }
        }
    }
}

/// Lets a thread go on; one that is gone meanwhile is no error.
fn go_on(thread: Pid, signal: Option<Signal>) {
    let signal = signal.filter(|signal| !matches!(signal, Signal::SIGSTOP | Signal::SIGTRAP));
    let _ = ptrace::syscall(thread, signal);
}

/// How long a run may take; generous, for busy machines and a CA that hangs.
const LIMIT: Duration = Duration::from_secs(60);
