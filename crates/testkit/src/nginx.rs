//! How does a test get an nginx of its own, with sample sites, on ports that nobody else uses?
//!
//! [`Nginx`] is the distribution's nginx with a configuration in a temporary folder:
//!
//! | path | is |
//! | --- | --- |
//! | `nginx.conf` | the main file; includes `sites-enabled/*.conf`, as on a CloudPanel host |
//! | `sites-enabled/DOMAIN.conf` | one file per [`Site`] |
//! | `ssl-certificates/DOMAIN.{crt,key}` | the certificate a site has until it gets another: self-signed |
//! | `htdocs/DOMAIN/` | its document root |
//! | `logs/` | error and access log |

mod site;
mod vhost;

pub use site::Site;

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::certificate::{Days, self_signed};
use crate::port::{Port, has_ipv6};
use crate::program::{self, Output, Program};

/// An nginx of its own, stopped and removed when dropped.
#[derive(Debug)]
pub struct Nginx {
    folder: TempDir,
    http: Port,
    https: Port,
    child: Option<Child>,
    sites: Vec<Site>,
    /// Whether it listens on every address, rather than on loopback alone.
    everywhere: bool,
}

impl Nginx {
    /// Leaves all files where they are when it ends.
    pub fn keep_files(&mut self) {
        self.folder.disable_cleanup(true);
    }

    /// Starts nginx with the given sites.
    ///
    /// # Panics
    ///
    /// When nginx is not installed or does not start; the message holds its error log.
    #[must_use]
    #[track_caller]
    pub fn start(sites: impl IntoIterator<Item = Site>) -> Self {
        let mut nginx = Self::prepare(sites);
        nginx.launch();
        nginx
    }

    /// Writes everything nginx needs, but does not start it.
    ///
    /// # Panics
    ///
    /// When the folder for temporary files cannot be written.
    #[must_use]
    pub fn prepare(sites: impl IntoIterator<Item = Site>) -> Self {
        Self::prepare_at(sites, Port::free(), Port::free(), false)
    }

    /// The same on the real ports 80 and 443 of every address; for a network namespace of one's own.
    ///
    /// # Panics
    ///
    /// When the ports are taken, or the folder for temporary files cannot be written.
    #[must_use]
    pub fn prepare_real() -> Self {
        Self::prepare_at([], Port::exactly(80), Port::exactly(443), true)
    }

    fn prepare_at(
        sites: impl IntoIterator<Item = Site>,
        http: Port,
        https: Port,
        everywhere: bool,
    ) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("nginx-")
            .tempdir()
            .expect("a temporary folder can be made");
        // The workers are another user, as on every host, and must reach the document roots.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))
            .expect("the folder is ours");
        for name in FOLDERS {
            fs::create_dir_all(folder.path().join(name))
                .expect("a folder can be made in the temporary folder");
        }
        let mut nginx = Self {
            folder,
            http,
            https,
            child: None,
            sites: Vec::new(),
            everywhere,
        };
        fs::write(nginx.config(), vhost::main(nginx.folder())).expect("nginx.conf can be written");
        self_signed(&["placeholder.invalid"], Days::left(3650))
            .write(&nginx.certificates(), site::PLACEHOLDER);
        for site in sites {
            nginx.add(site);
        }
        nginx
    }

    /// Adds a site: its vhost, document root and self-signed certificate. Seen by nginx after a reload.
    ///
    /// # Panics
    ///
    /// When the files cannot be written.
    pub fn add(&mut self, site: Site) {
        let root = self.document_root(site.domain());
        fs::create_dir_all(&root).expect("the document root can be made");
        fs::write(
            root.join("index.html"),
            format!("this is {}\n", site.domain()),
        )
        .expect("the page can be written");
        if site.has_own_certificate() {
            self_signed(&site.names(), Days::left(3650)).write(&self.certificates(), site.domain());
        }
        fs::write(self.vhost(site.domain()), vhost::text(&site, self))
            .expect("the vhost can be written");
        self.sites.push(site);
    }

    /// Starts nginx after [`Nginx::prepare`], or again after [`Nginx::stop`].
    ///
    /// # Panics
    ///
    /// When it does not start; the message holds its error log.
    #[track_caller]
    pub fn launch(&mut self) {
        let mut child = self
            .program()
            .args(["-g", "daemon off;"])
            .spawn(&self.folder().join("logs/start.log"));
        let mut ended = None;
        let ready = program::wait_until(START, || {
            ended = child.try_wait().expect("a child of ours can be waited for");
            ended.is_some() || self.is_ready(child.id())
        });
        self.child = Some(child);
        assert!(
            ended.is_none(),
            "nginx ended at once, {ended:?}:\n{}",
            self.said()
        );
        assert!(
            ready,
            "nginx was not ready within {START:?}:\n{}",
            self.said()
        );
    }

    /// Stops nginx, workers included, and waits until all of them are gone.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // SIGTERM is nginx's fast shutdown. It fails only when the master is gone already.
        let _ = kill_process(pid(child.id()), Signal::TERM);
        if program::wait(&mut child, STOP).is_none() {
            program::kill(&mut child);
        }
        // A master that was killed, by us or by a test, leaves its workers behind.
        for worker in processes(self.folder()) {
            let _ = kill_process(pid(worker), Signal::KILL);
        }
    }

    /// Has nginx take up its configuration, and waits until no worker with the one before takes connections.
    ///
    /// For a moment the old workers accept beside the new ones: whoever asks then is answered by either.
    ///
    /// # Panics
    ///
    /// When nginx does not run, or does not take it up.
    #[track_caller]
    pub fn reload(&self) {
        let before = self.accepting();
        self.tell_to_reload();
        let taken_up = program::wait_until(START, || {
            let now = self.accepting();
            !now.is_empty() && now.is_disjoint(&before)
        });
        assert!(
            taken_up,
            "nginx does not take up its configuration:\n{}",
            self.said()
        );
    }

    /// Tells the master to read its configuration again. Returns at once, as the signal does.
    ///
    /// # Panics
    ///
    /// When nginx does not run.
    #[track_caller]
    pub fn tell_to_reload(&self) {
        kill_process(pid(self.pid()), Signal::HUP).expect("nginx runs");
    }

    /// The workers that were not told to end, by their titles.
    fn accepting(&self) -> BTreeSet<u32> {
        let master = self.pid();
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children"));
        let children = children.expect("the kernel lists children (CONFIG_PROC_CHILDREN)");
        let accepts = |child: &u32| {
            let title = fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
            title.starts_with("nginx: worker process") && !title.contains("shutting down")
        };
        let children = children.split_whitespace().flat_map(str::parse);
        children.filter(accepts).collect()
    }

    /// Runs `nginx -t` on this configuration.
    #[must_use]
    pub fn test(&self) -> Output {
        self.program().arg("-t").run()
    }

    /// Returns the process id of the master.
    ///
    /// # Panics
    ///
    /// When nginx does not run.
    #[must_use]
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("nginx runs").id()
    }

    /// Returns the process ids of the workers, old ones that are still closing included.
    #[must_use]
    pub fn workers(&self) -> Vec<u32> {
        let master = self.pid();
        processes(self.folder())
            .into_iter()
            .filter(|process| *process != master)
            .collect()
    }

    /// Returns how often the configuration was read again since the start, as the error log tells it.
    #[must_use]
    pub fn reloads(&self) -> usize {
        self.error_log()
            .lines()
            .filter(|line| line.contains("signal 1 (SIGHUP) received"))
            .count()
    }

    /// Returns the whole error log.
    #[must_use]
    pub fn error_log(&self) -> String {
        fs::read_to_string(self.folder().join("logs/error.log")).unwrap_or_default()
    }

    /// Returns the whole access log.
    #[must_use]
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.folder().join("logs/access.log")).unwrap_or_default()
    }

    /// Returns nginx's folder, its `-p`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the main configuration file, its `-c`.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder().join("nginx.conf")
    }

    /// Returns the vhost file of a site.
    #[must_use]
    pub fn vhost(&self, domain: &str) -> PathBuf {
        self.folder()
            .join("sites-enabled")
            .join(format!("{domain}.conf"))
    }

    /// Returns the document root of a site.
    #[must_use]
    pub fn document_root(&self, domain: &str) -> PathBuf {
        self.folder().join("htdocs").join(domain)
    }

    /// Returns the folder of certificates that came with the sites.
    #[must_use]
    pub fn certificates(&self) -> PathBuf {
        self.folder().join("ssl-certificates")
    }

    /// Returns the port that stands for 80.
    #[must_use]
    pub fn http_port(&self) -> u16 {
        self.http.number()
    }

    /// Returns the port that stands for 443.
    #[must_use]
    pub fn https_port(&self) -> u16 {
        self.https.number()
    }

    /// Returns the addresses on which http is listened for: IPv4, and IPv6 where the machine has it.
    #[must_use]
    pub fn http_addresses(&self) -> Vec<SocketAddr> {
        self.addresses(&self.http)
    }

    /// Returns the addresses on which https is listened for: IPv4, and IPv6 where the machine has it.
    #[must_use]
    pub fn https_addresses(&self) -> Vec<SocketAddr> {
        self.addresses(&self.https)
    }

    /// The addresses of a port that nginx listens on.
    fn addresses(&self, port: &Port) -> Vec<SocketAddr> {
        if self.everywhere {
            let number = port.number();
            return vec![
                (Ipv4Addr::UNSPECIFIED, number).into(),
                (Ipv6Addr::UNSPECIFIED, number).into(),
            ];
        }
        let v6 = has_ipv6().then(|| port.v6());
        [port.v4()].into_iter().chain(v6).collect()
    }

    /// The master has written its pid, which it does after it listens; it has a worker, and every address takes a
    /// connection.
    fn is_ready(&self, master: u32) -> bool {
        let written = fs::read_to_string(self.folder().join("nginx.pid")).unwrap_or_default();
        let http = self.sites.iter().flat_map(|_| self.http_addresses());
        let https = self
            .sites
            .iter()
            .filter(|site| site.has_tls())
            .flat_map(|_| self.https_addresses());
        let listened: BTreeSet<_> = http.chain(https).collect();
        written.trim() == master.to_string()
            && processes(self.folder()).len() > 1
            && listened
                .into_iter()
                .all(|at| TcpStream::connect(at).is_ok())
    }

    fn program(&self) -> Program {
        // `-e`: the log compiled into nginx is the system's, and would be opened before the configuration is read.
        Program::new(BINARY)
            .arg("-p")
            .arg(self.folder())
            .arg("-e")
            .arg(self.folder().join("logs/error.log"))
            .arg("-c")
            .arg(self.config())
    }

    fn said(&self) -> String {
        let start = fs::read_to_string(self.folder().join("logs/start.log")).unwrap_or_default();
        format!("{start}\n{}", self.error_log())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.stop();
    }
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).expect("Linux's process ids are small"))
        .expect("a process id is not 0")
}

/// The nginx processes that have a file open in the folder: all that belong to this nginx.
fn processes(folder: &Path) -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|number| is_ours(*number, folder)).collect()
}

fn is_ours(process: u32, folder: &Path) -> bool {
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    let files = fs::read_dir(format!("/proc/{process}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    name.trim() == "nginx"
        && files
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|target| target.starts_with(folder))
}

/// Where Debian and Ubuntu put nginx.
pub const BINARY: &str = "/usr/sbin/nginx";

/// What nginx.conf expects to be there.
const FOLDERS: [&str; 5] = [
    "sites-enabled",
    "ssl-certificates",
    "htdocs",
    "logs",
    "temp",
];

/// How long nginx may take to start; thousands of vhosts take seconds.
const START: Duration = Duration::from_secs(60);

/// How long nginx may take to stop before it is killed.
const STOP: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
