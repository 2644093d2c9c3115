//! Does the service renew by itself, wake when it should, sleep when it can, and end when it is told to?

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;
use testkit::certificate::{Authority, Days};
use testkit::host::{Host, Running};
use testkit::nginx::Site;
use testkit::openssl;
use testkit::program::wait_until;

use crate::answer::{SOON, clpctl};
use crate::disk::put;
use crate::disk::tree;
use crate::practice::Practice;

/// A running service, and what it tells systemd.
struct Service {
    running: Running,
    socket: UnixDatagram,
    told: Vec<String>,
}

impl Service {
    fn start(host: &Host) -> Self {
        Self::start_with(host, &[])
    }

    fn start_with(host: &Host, variables: &[(&str, &str)]) -> Self {
        let path = host.folder().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let program = clpctl(host).env("NOTIFY_SOCKET", path.to_str().unwrap());
        let program = variables
            .iter()
            .fold(program, |program, (name, value)| program.env(name, value));
        Self {
            running: program.spawn(&["service:run"]),
            socket,
            told: Vec::new(),
        }
    }

    /// Takes in what came since the last time.
    fn listen(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            self.told
                .push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
    }

    /// Waits until `done` of what was told.
    #[track_caller]
    fn wait(&mut self, what: &str, done: impl Fn(&[String]) -> bool) {
        let happened = wait_until(SOON, || {
            self.listen();
            done(&self.told)
        });
        assert!(
            happened,
            "{what} was not told: {:#?}\n{}",
            self.told,
            self.running.stderr()
        );
    }

    /// Waits until so many passes are over.
    #[track_caller]
    fn wait_for_passes(&mut self, count: usize) {
        self.wait("a pass", |told| passes(told) >= count);
    }

    fn passes(&mut self) -> usize {
        self.listen();
        passes(&self.told)
    }

    /// Asks it to end, and waits until it has, without an error.
    #[track_caller]
    fn end(mut self, limit: Duration) {
        self.running.signal(Signal::TERM);
        let status = self.running.wait(limit);
        assert!(
            status.is_some_and(|status| status.success()),
            "{status:?}: {}",
            self.running.stderr()
        );
        self.wait("the end", |told| {
            told.iter().any(|text| text.contains("STOPPING=1"))
        });
    }

    /// Returns the processor time it used so far, in hundredths of a second.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.running.pid())).unwrap();
        // The name before it may hold anything.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

fn passes(told: &[String]) -> usize {
    told.iter().filter(|text| text.contains("STATUS=")).count()
}

/// Writes a second vhost, as an editor does, for a site that is listed from now on.
fn add_listed(host: &mut Host, domain: &str) {
    host.nginx.add(Site::files(domain));
    host.nginx.reload();
    host.append(&format!("[[site]]\ndomain = \"{domain}\""));
}

#[test]
fn the_first_pass_is_made_and_systemd_is_told() {
    let mut host = Host::start([Site::files("a.test")]);
    let practice = Practice::start(&mut host, |_| {});
    host.append("[[site]]\ndomain = \"a.test\"");
    let mut service = Service::start_with(&host, &[("WATCHDOG_USEC", "400000")]);
    service.wait("READY=1", |told| {
        told.iter().any(|text| text.contains("READY=1"))
    });
    assert_eq!(practice.orders(), 1, "ready when a pass was made");
    let status = service
        .told
        .iter()
        .find(|text| text.contains("STATUS="))
        .unwrap();
    assert!(
        status.contains("STATUS=1 sites, 1 renewed, 0 failed; next at "),
        "{status}"
    );
    let pings = |told: &[String]| {
        told.iter()
            .filter(|text| text.contains("WATCHDOG=1"))
            .count()
    };
    let before = pings(&service.told);
    service.wait("WATCHDOG=1", |told| pings(told) >= before + 3);
    service.end(Duration::from_secs(10));
}

#[test]
fn a_site_that_is_added_gets_its_certificate() {
    let mut host = Host::start([Site::files("a.test")]);
    let practice = Practice::start(&mut host, |_| {});
    let mut service = Service::start(&host);
    service.wait_for_passes(1);
    assert_eq!(practice.orders(), 0);
    add_listed(&mut host, "b.test");
    // Not the second pass: the vhost may be seen before the setting, and is then no reason to order.
    service.wait("a certificate", |told| {
        told.iter()
            .any(|text| text.contains(" 1 renewed, 0 failed"))
    });
    assert_eq!(
        openssl::served(host.nginx.https_addresses()[0], "b.test"),
        Some(openssl::sha256(&host.live("b.test").join("cert.pem")))
    );

    // A mistake in the configuration does not end it: what was in force stays.
    let good = std::fs::read(host.config()).unwrap();
    put(&host.config(), "[acme]\njbos = 1\n");
    assert!(
        wait_until(SOON, || service.running.stderr().contains("cannot be used")),
        "{}",
        service.running.stderr()
    );
    assert!(
        service.running.stderr().contains("jbos"),
        "{}",
        service.running.stderr()
    );
    put(&host.config(), good);
    service.end(Duration::from_secs(10));
}

#[test]
fn a_vhost_behind_a_link_is_watched() {
    let mut host = Host::prepare();
    host.nginx.add(Site::files("a.test"));
    let (link, file) = (
        host.nginx.vhost("a.test"),
        host.folder().join("a.test.available"),
    );
    let text = std::fs::read_to_string(&link).unwrap();
    put(&file, &text);
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    host.nginx.launch();
    let _practice = Practice::start(&mut host, |_| {});
    let mut service = Service::start(&host);
    service.wait_for_passes(1);
    put(&file, format!("# a change\n{text}"));
    service.wait_for_passes(2);
    service.end(Duration::from_secs(10));
}

#[test]
fn sighup_asks_for_a_pass() {
    let mut host = Host::start([Site::files("a.test")]);
    let _practice = Practice::start(&mut host, |_| {});
    let mut service = Service::start(&host);
    service.wait_for_passes(1);
    service.running.signal(Signal::HUP);
    service.wait_for_passes(2);
    service.end(Duration::from_secs(10));
}

#[test]
fn told_to_end_in_the_middle_of_an_order() {
    let mut host = Host::start([Site::files("a.test")]);
    let practice = Practice::start(&mut host, |_| {});
    host.set("http01", "mode", "\"webroot\"");
    host.append("[[site]]\ndomain = \"a.test\"");
    practice.slow(Duration::from_secs(20));
    let mut service = Service::start(&host);
    service.told.clear();
    let tokens = host
        .nginx
        .document_root("a.test")
        .join(".well-known/acme-challenge");
    let waits = || {
        practice.orders() == 1
            && std::fs::read_dir(&tokens).is_ok_and(|mut files| files.next().is_some())
    };
    assert!(wait_until(SOON, waits), "{}", service.running.stderr());
    // Asked once, it gives the order some seconds, and asked again none.
    service.running.signal(Signal::TERM);
    assert!(
        service.running.wait(Duration::from_secs(1)).is_none(),
        "{}",
        service.running.stderr()
    );
    service.end(Duration::from_secs(10));
    let left = tree(&host.nginx.document_root("a.test"), &[]);
    assert!(
        !left
            .keys()
            .any(|path| path.starts_with(&tokens) && path.is_file()),
        "{left:?}"
    );
    assert!(left.contains_key(&host.nginx.document_root("a.test").join("index.html")));
    assert!(host.nginx.test().ok());
    // The next run goes on with the same order.
    practice.ca.set_faults(Vec::new());
    let _ = clpctl(&host).run(&["site:renew-certificates"]).expect_ok();
    assert_eq!(practice.orders(), 1, "{}", host.log());
}

#[test]
fn an_idle_service_costs_nothing() {
    let mut host = Host::prepare();
    let authority = Authority::new("Practice");
    for number in 0..20 {
        let domain = format!("s{number}.test");
        host.add_with_lineage(
            Site::files(&domain),
            &authority.issue(&[&domain], Days::left(80)),
        );
    }
    host.nginx.launch();
    let _practice = Practice::start(&mut host, |_| {});
    let mut service = Service::start(&host);
    service.wait_for_passes(1);
    // A file beside the configuration, as a log is, does not wake it.
    put(&host.folder().join("beside"), "x");
    // What the pass leaves to be done may come late on a busy machine. What is done again and again shows in
    // every window.
    let mut used = 0;
    let quiet = wait_until(SOON, || {
        let before = service.ticks();
        std::thread::sleep(Duration::from_secs(3));
        used = service.ticks() - before;
        used <= 1
    });
    assert!(quiet, "{used} hundredths of a second in three");
    assert_eq!(service.passes(), 1);
    service.end(Duration::from_secs(10));
}

#[test]
fn certificates_that_live_less_than_a_minute_are_renewed_in_time() {
    let mut host = Host::start([Site::files("a.test")]);
    let practice = Practice::start(&mut host, |options| {
        *options = options.clone().with_lifetime(Duration::from_secs(50));
    });
    host.append("[[site]]\ndomain = \"a.test\"");
    let mut service = Service::start(&host);
    service.wait_for_passes(1);
    let archive = host.archive("a.test");
    let newest = |number: u32| archive.join(format!("cert{number}.pem"));
    let mut number = 1;
    // Two renewals: the second shows that the first was not luck.
    while number < 3 {
        let end = openssl::x509(&newest(number), &["-enddate"]);
        let next = wait_until(SOON, || newest(number + 1).exists());
        assert!(next, "{}\n{}", service.running.stderr(), host.log());
        // Served while the one before is still good.
        let leaf = openssl::sha256(&newest(number + 1));
        let address = host.nginx.https_addresses()[0];
        assert!(wait_until(SOON, || openssl::served(address, "a.test")
            .as_deref()
            == Some(leaf.as_str())));
        let good = testkit::program::Program::new("openssl")
            .args(["x509", "-noout", "-checkend", "0", "-in"])
            .arg(newest(number))
            .run();
        assert!(
            good.ok(),
            "version {number} ended ({end}) before it was replaced\n{}",
            host.log()
        );
        number += 1;
    }
    assert!(practice.orders() >= 3);
    service.end(Duration::from_secs(10));
}
