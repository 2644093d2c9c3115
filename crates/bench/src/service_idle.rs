//! What does the service cost while nothing happens?
//!
//! `service:run` on a host where nothing is due, watched from outside as systemd would: it says that it is ready, and
//! that it is alive each time the watchdog asks. After it has settled, processor time and wake-ups are read from
//! `/proc`, of all its threads. A wake-up is a thread that had given up the processor and got it back.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use testkit::host::Host;

use crate::arguments::Arguments;
use crate::fleet::Lineages;
use crate::host;
use crate::table::{Table, number};

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut table = Table::new([
        "sites",
        "watched, s",
        "CPU, ms",
        "wake-ups",
        "CPU per wake-up, ms",
        "signs of life",
        "memory, MB",
        "to reach",
    ]);
    let watched = Duration::from_secs(arguments.choose(60, 15) as u64);
    for sites in [1_000, 10_000] {
        if arguments.quick && sites > 1_000 {
            continue;
        }
        let idle = idle(arguments, sites, watched)?;
        #[expect(clippy::cast_precision_loss, reason = "wake-ups are few")]
        let each = idle.cpu_ms / idle.wakeups.max(1) as f64;
        table.line([
            sites.to_string(),
            watched.as_secs().to_string(),
            number(idle.cpu_ms),
            idle.wakeups.to_string(),
            number(each),
            idle.alive.to_string(),
            number(idle.memory_mb),
            "≤ 1 ms".to_owned(),
        ]);
    }
    println!(
        "`clpctl service:run`, watchdog every {} s\n\n{table}",
        2 * SIGN_OF_LIFE.as_secs()
    );
    Ok(())
}

struct Idle {
    cpu_ms: f64,
    wakeups: u64,
    alive: usize,
    memory_mb: f64,
}

fn idle(arguments: &Arguments, sites: usize, watched: Duration) -> Result<Idle, Box<dyn Error>> {
    let fleet = Lineages::make(sites)?;
    let mut host = fleet.serve(sites);
    let pebble = host::pebble(arguments, host.nginx.http_port(), host.nginx.https_port())?;
    host::use_pebble(&mut host, &pebble);
    let systemd = Systemd::listen(host.folder())?;
    let mut service = Service(systemd.start(arguments, &host)?);
    let outcome = watch(&mut service, &systemd, watched);
    outcome.map_err(|error| {
        let said = fs::read_to_string(host.folder().join("service.log")).unwrap_or_default();
        format!("{error}; the service had said:\n{said}").into()
    })
}

fn watch(service: &mut Service, systemd: &Systemd, watched: Duration) -> io::Result<Idle> {
    let process = service.0.id();
    systemd.wait_until_ready(&mut service.0)?;
    settle(process)?;
    systemd.signs_of_life()?;
    let before = Threads::of(process)?;
    thread::sleep(watched);
    let after = Threads::of(process)?;
    if let Some(status) = service.0.try_wait()? {
        return Err(io::Error::other(format!("the service ended with {status}")));
    }
    Ok(Idle {
        cpu_ms: after.since(&before, |thread| thread.nanoseconds) as f64 / 1e6,
        wakeups: after.since(&before, |thread| thread.wakeups),
        alive: systemd.signs_of_life()?,
        memory_mb: memory_mb(process)?,
    })
}

/// Waits until the pass at the start is over: until the service has rested for a while.
fn settle(process: u32) -> io::Result<()> {
    let until = Instant::now() + SETTLED;
    let mut before = Threads::of(process)?;
    while Instant::now() < until {
        thread::sleep(RESTED);
        let now = Threads::of(process)?;
        if now.since(&before, |thread| thread.nanoseconds) < RESTED_NANOSECONDS {
            return Ok(());
        }
        before = now;
    }
    Err(io::Error::other(format!(
        "the service does not come to rest within {SETTLED:?}"
    )))
}

/// The service, ended when dropped.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What stands in for systemd: the socket on which a service says that it is ready, and alive.
struct Systemd(UnixDatagram);

impl Systemd {
    fn listen(folder: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::bind(folder.join("notify"))?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    fn start(&self, arguments: &Arguments, host: &Host) -> io::Result<Child> {
        let log = fs::File::create(host.folder().join("service.log"))?;
        Command::new(host::program(arguments)?)
            .arg("--config")
            .arg(host.config())
            .arg("service:run")
            .current_dir(host.folder())
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("NOTIFY_SOCKET", host.folder().join("notify"))
            .env("WATCHDOG_USEC", (2 * SIGN_OF_LIFE).as_micros().to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
    }

    fn wait_until_ready(&self, service: &mut Child) -> io::Result<()> {
        let until = Instant::now() + SETTLED;
        while Instant::now() < until {
            if self
                .messages()?
                .iter()
                .any(|message| message.contains("READY=1"))
            {
                return Ok(());
            }
            if let Some(status) = service.try_wait()? {
                return Err(io::Error::other(format!("the service ended with {status}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(io::Error::other("the service never says READY=1"))
    }

    /// Counts the signs of life since the last time.
    fn signs_of_life(&self) -> io::Result<usize> {
        Ok(self
            .messages()?
            .iter()
            .filter(|message| message.contains("WATCHDOG=1"))
            .count())
    }

    fn messages(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.0.recv(&mut buffer) {
                Ok(length) => found.push(String::from_utf8_lossy(&buffer[..length]).into_owned()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(found),
                Err(error) => return Err(error),
            }
        }
    }
}

/// What the kernel counted for each thread of a process.
struct Threads(BTreeMap<String, Counted>);

#[derive(Default)]
struct Counted {
    nanoseconds: u64,
    wakeups: u64,
}

impl Threads {
    fn of(process: u32) -> io::Result<Self> {
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{process}/task"))? {
            let entry = entry?;
            // A thread that ends between the two calls is one that did nothing.
            let read = |name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
            let nanoseconds = read("schedstat")
                .split(' ')
                .next()
                .and_then(|word| word.parse().ok());
            let counted = Counted {
                nanoseconds: nanoseconds.unwrap_or(0),
                wakeups: value(&read("status"), "voluntary_ctxt_switches:").unwrap_or(0),
            };
            threads.insert(entry.file_name().to_string_lossy().into_owned(), counted);
        }
        Ok(Self(threads))
    }

    fn since(&self, before: &Self, of: impl Fn(&Counted) -> u64) -> u64 {
        let new =
            |(id, now): (&String, &Counted)| of(now) - before.0.get(id).map_or(0, &of).min(of(now));
        self.0.iter().map(new).sum()
    }
}

fn memory_mb(process: u32) -> io::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "memory is far below 2^52 kibibytes"
    )]
    let megabytes = value(&status, "VmRSS:").unwrap_or(0) as f64 * 1024.0 / 1e6;
    Ok(megabytes)
}

/// The number after a word at the start of a line.
fn value(text: &str, word: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How often the watchdog wants a sign of life, halved as sd_watchdog_enabled(3) advises.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// How long the first pass may take: it asks the CA about each certificate.
const SETTLED: Duration = Duration::from_secs(300);

/// A service that spends less than this in so long a time rests.
const RESTED: Duration = Duration::from_secs(7);
const RESTED_NANOSECONDS: u64 = 20_000_000;
