//! How does a test get Let's Encrypt's own test CA, which no one here wrote?
//!
//! [`Pebble`] is `pebble -strict` with a DNS of its own ([`Dns`], `pebble-challtestsrv`), on loopback, knocking at
//! the ports of the nginx it is given. Every name leads to 127.0.0.1 until a test says otherwise.
//!
//! Every version of pebble dead-locks now and then under many orders at once. [`Pebble::health`] tells such a CA
//! from a test that failed; `GOMAXPROCS=1`, which is the default here, makes it rare.

mod dns;
mod requests;

pub use dns::Dns;
pub use requests::Requests;

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::Mutex;
use std::time::Duration;
use std::{fs, io};

use tempfile::TempDir;

use crate::certificate::{Authority, Days};
use crate::fetch;
use crate::port::Port;
use crate::program::{self, Program};

/// A CA of its own, stopped and removed when dropped.
#[derive(Debug)]
pub struct Pebble {
    folder: TempDir,
    api: Port,
    management: Port,
    /// Its own, where no other was given.
    dns: Option<Dns>,
    at: IpAddr,
    child: Mutex<Child>,
}

/// What a [`Pebble`] should be like. Each setting has the default that tests want most.
#[derive(Clone, Debug)]
pub struct Settings {
    program: PathBuf,
    http_port: u16,
    tls_port: u16,
    rejected_nonces: u8,
    reused_authorizations: u8,
    alternate_roots: u8,
    life: Duration,
    profiles: Vec<(String, Duration)>,
    retry_after: u64,
    processors: usize,
    at: IpAddr,
    dns: Option<SocketAddr>,
}

/// Why a CA does not answer.
#[derive(Debug, thiserror::Error)]
pub enum Sick {
    /// It runs and takes connections, but does not answer: the dead-lock.
    #[error(
        "the CA hung: pebble runs but did not answer within {0:?}; a defect of pebble, not of the test"
    )]
    Hung(Duration),
    /// It is gone.
    #[error("the CA is gone: pebble ended with {0}")]
    Ended(ExitStatus),
    /// It answers nonsense.
    #[error("the CA is not well: {0}")]
    Failing(io::Error),
}

impl Pebble {
    /// Describes a CA, of the distribution's version, that validates at the two ports (see
    /// [`crate::nginx::Nginx::http_port`]).
    #[must_use]
    pub fn settings(http_port: u16, tls_port: u16) -> Settings {
        Settings {
            program: "pebble".into(),
            http_port,
            tls_port,
            rejected_nonces: 0,
            reused_authorizations: 0,
            alternate_roots: 0,
            life: Duration::from_secs(90 * DAY),
            profiles: Vec::new(),
            retry_after: 0,
            processors: 1,
            at: Ipv4Addr::LOCALHOST.into(),
            dns: None,
        }
    }

    /// Returns the URL of the directory.
    #[must_use]
    pub fn directory(&self) -> String {
        format!(
            "https://{}/dir",
            SocketAddr::new(self.at, self.api.number())
        )
    }

    /// Returns the file with the root that the directory's own HTTPS certificate leads to.
    #[must_use]
    pub fn ca_bundle(&self) -> PathBuf {
        self.folder.path().join("bundle.pem")
    }

    /// Returns the CA's DNS.
    ///
    /// # Panics
    ///
    /// When it was given another one to ask.
    #[must_use]
    pub fn dns(&self) -> &Dns {
        self.dns.as_ref().expect("it has a DNS of its own")
    }

    /// Counts the validations that failed, as it logged them.
    #[must_use]
    pub fn failed_validations(&self) -> usize {
        let is_failed = |line: &&str| line.contains("set INVALID by completed challenge");
        self.log().lines().filter(is_failed).count()
    }

    /// Writes the root of the certificates it issues into its folder, and returns the file.
    ///
    /// # Panics
    ///
    /// When the CA does not answer.
    #[must_use]
    #[track_caller]
    pub fn root(&self) -> PathBuf {
        self.managed_file("roots/0", "root.pem")
    }

    /// Asks the CA about a certificate by its serial number in hexadecimal; `None` when it never issued it.
    /// The answer is JSON with `Status`, which is `Valid` or `Revoked`.
    ///
    /// # Panics
    ///
    /// When the CA does not answer.
    #[must_use]
    #[track_caller]
    pub fn status_of(&self, serial: &str) -> Option<String> {
        let reply = self
            .managed(&format!("cert-status-by-serial/{serial}"), ANSWER)
            .expect("the CA answers");
        (reply.status == 200).then_some(reply.body)
    }

    /// Says whether the CA can still answer a question that needs its locks.
    ///
    /// # Errors
    ///
    /// Tells a CA that hung from one that ended.
    ///
    /// # Panics
    ///
    /// When a test panicked while it held the CA's process.
    pub fn health(&self) -> Result<(), Sick> {
        self.health_within(ANSWER)
    }

    /// The same, with a limit of one's own.
    ///
    /// # Errors
    ///
    /// Tells a CA that hung from one that ended.
    ///
    /// # Panics
    ///
    /// When a test panicked while it held the CA's process.
    pub fn health_within(&self, limit: Duration) -> Result<(), Sick> {
        if let Ok(Some(status)) = self.child.lock().expect("no test panics here").try_wait() {
            return Err(Sick::Ended(status));
        }
        // The question takes the lock of the store, which is one of those in the dead-lock.
        match self.managed("cert-status-by-serial/00", limit) {
            Ok(_) => Ok(()),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                Err(Sick::Hung(limit))
            }
            Err(error) => Err(Sick::Failing(error)),
        }
    }

    /// Fails the test in the CA's name when the CA is not well. To be called before a test blames the program.
    ///
    /// # Panics
    ///
    /// When the CA hung or is gone; the message says which.
    #[track_caller]
    pub fn assert_well(&self) {
        if let Err(sick) = self.health() {
            panic!("{sick}");
        }
    }

    /// Returns everything the CA logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Returns the file of its log, to be followed.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        log(self.folder.path())
    }

    /// Counts the requests that came so far, as the CA logged them.
    #[must_use]
    pub fn requests(&self) -> Requests {
        Requests::in_log(&self.log())
    }

    /// Returns the process id.
    ///
    /// # Panics
    ///
    /// When a test panicked while it held the CA's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.lock().expect("no test panics here").id()
    }

    /// Ends the CA, as an outage does: connections are refused from now on.
    ///
    /// # Panics
    ///
    /// When a test panicked while it held the CA's process.
    pub fn kill(&self) {
        program::kill(&mut self.child.lock().expect("no test panics here"));
    }

    fn managed(&self, path: &str, limit: Duration) -> io::Result<fetch::Reply> {
        let root = fs::read_to_string(self.ca_bundle())?;
        let address = SocketAddr::new(self.at, self.management.number());
        fetch::https(address, &root, &format!("/{path}"), limit)
    }

    #[track_caller]
    fn managed_file(&self, path: &str, name: &str) -> PathBuf {
        let reply = self.managed(path, ANSWER).expect("the CA answers");
        let file = self.folder.path().join(name);
        fs::write(&file, reply.body).expect("the file can be written");
        file
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Settings {
    /// Uses the newer pebble, which knows renewal information (ARI) and profiles.
    #[must_use]
    #[track_caller]
    pub fn newer(self) -> Self {
        self.program(newer_pebble())
    }

    /// Uses the pebble at this path; its `pebble-challtestsrv` lies beside it.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// Sets how many of a hundred good nonces are refused.
    #[must_use]
    pub fn rejected_nonces(mut self, percent: u8) -> Self {
        self.rejected_nonces = percent;
        self
    }

    /// Sets how many of a hundred names get an authorization that is valid already, if there is one.
    #[must_use]
    pub fn reused_authorizations(mut self, percent: u8) -> Self {
        self.reused_authorizations = percent;
        self
    }

    /// Sets how many other chains are offered besides the first.
    #[must_use]
    pub fn alternate_roots(mut self, count: u8) -> Self {
        self.alternate_roots = count;
        self
    }

    /// Sets how long certificates live.
    #[must_use]
    pub fn life(mut self, life: Duration) -> Self {
        self.life = life;
        self
    }

    /// Offers one more profile, whose certificates live so long. Only the newer pebble knows profiles.
    #[must_use]
    pub fn profile(mut self, name: &str, life: Duration) -> Self {
        self.profiles.push((name.to_owned(), life));
        self
    }

    /// Sets the seconds of Retry-After on orders and authorizations that are not done. Only the newer pebble
    /// can be told.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = seconds;
        self
    }

    /// Sets how many processors it may use. More than one is faster, and dead-locks more often.
    #[must_use]
    pub fn processors(mut self, count: usize) -> Self {
        self.processors = count;
        self
    }

    /// Lets it listen on this address rather than on 127.0.0.1.
    #[must_use]
    pub fn at(mut self, address: IpAddr) -> Self {
        self.at = address;
        self
    }

    /// Lets it ask this DNS server, and have none of its own.
    #[must_use]
    pub fn asking(mut self, dns: SocketAddr) -> Self {
        self.dns = Some(dns);
        self
    }

    /// Starts the CA and its DNS.
    ///
    /// # Panics
    ///
    /// When pebble is not installed or does not start; the message holds its log.
    #[must_use]
    #[track_caller]
    pub fn start(&self) -> Pebble {
        let folder = tempfile::Builder::new()
            .prefix("pebble-")
            .tempdir()
            .expect("a temporary folder can be made");
        // Clients may run as other users, and read the bundle.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))
            .expect("the folder is ours");
        let (api, management) = (Port::free(), Port::free());
        let own = self.dns.is_none();
        let dns = own.then(|| Dns::start(&self.program, folder.path()));
        let asked = self.dns.or(dns.as_ref().map(Dns::address));
        let authority = Authority::new("Pebble's own HTTPS");
        fs::write(folder.path().join("bundle.pem"), authority.root())
            .expect("the bundle can be written");
        let at = self.at.to_string();
        let names = ["localhost", "127.0.0.1", "::1", &at];
        let (certificate, key) = authority
            .issue(
                &names,
                Days {
                    since: 1,
                    left: 100,
                },
            )
            .write(folder.path(), "https");
        let config = folder.path().join("pebble.json");
        fs::write(&config, self.config(&api, &management, &certificate, &key))
            .expect("the file can be written");
        let child = self
            .command(&config, asked.expect("there is one or the other"))
            .spawn(&log(folder.path()));
        let pebble = Pebble {
            folder,
            api,
            management,
            dns,
            at: self.at,
            child: Mutex::new(child),
        };
        let mut sick = None;
        let well = program::wait_until(START, || {
            sick = pebble.health().err();
            sick.is_none() || matches!(sick, Some(Sick::Ended(_)))
        });
        assert!(
            well && sick.is_none(),
            "pebble does not start: {sick:?}\n{}",
            pebble.log()
        );
        pebble
    }

    fn command(&self, config: &Path, dns: SocketAddr) -> Program {
        Program::new(&self.program)
            .arg("-strict")
            .arg("-config")
            .arg(config)
            .args(["-dnsserver", &dns.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", self.rejected_nonces.to_string())
            .env("PEBBLE_AUTHZREUSE", self.reused_authorizations.to_string())
            .env("PEBBLE_ALTERNATE_ROOTS", self.alternate_roots.to_string())
            .env("GOMAXPROCS", self.processors.to_string())
    }

    /// The configuration of both versions in one: each ignores what it does not know.
    fn config(&self, api: &Port, management: &Port, certificate: &Path, key: &Path) -> String {
        let life = self.life.as_secs();
        let mut profiles =
            format!(r#""default": {{"description": "the usual one", "validityPeriod": {life}}}"#);
        for (name, life) in &self.profiles {
            let life = life.as_secs();
            write!(
                profiles,
                r#", "{name}": {{"description": "lives {life} seconds", "validityPeriod": {life}}}"#
            )
            .expect("text can be added to a String");
        }
        format!(
            r#"{{"pebble": {{
  "listenAddress": "{api}", "managementListenAddress": "{management}",
  "certificate": "{certificate}", "privateKey": "{key}",
  "httpPort": {http_port}, "tlsPort": {tls_port},
  "ocspResponderURL": "", "externalAccountBindingRequired": false,
  "certificateValidityPeriod": {life}, "profiles": {{{profiles}}},
  "retryAfter": {{"authz": {retry_after}, "order": {retry_after}}}
}}}}"#,
            api = SocketAddr::new(self.at, api.number()),
            management = SocketAddr::new(self.at, management.number()),
            certificate = certificate.display(),
            key = key.display(),
            http_port = self.http_port,
            tls_port = self.tls_port,
            retry_after = self.retry_after,
        )
    }
}

/// Returns the newer pebble, which `./test --setup` unpacks into `target/tools/`.
///
/// # Panics
///
/// When it is not there.
#[must_use]
#[track_caller]
pub fn newer_pebble() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate lies in crates/");
    let program = root.join("target/tools/pebble-new/usr/bin/pebble");
    assert!(
        program.exists(),
        "the newer pebble is not at {}. Run: ./test --setup",
        program.display()
    );
    program
}

fn log(folder: &Path) -> PathBuf {
    folder.join("pebble.log")
}

const DAY: u64 = 24 * 60 * 60;

/// How long the CA may take to answer one question before it counts as hung; generous, for busy machines.
const ANSWER: Duration = Duration::from_secs(20);

/// How long it may take to start: it makes RSA keys then.
const START: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
