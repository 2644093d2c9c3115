//! What happens when two runs meet, and when one is killed?

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use testca::Endpoint;
use testkit::host::{Host, Running};
use testkit::nginx::Site;
use testkit::openssl;
use testkit::program::{Program, wait_until};

use crate::answer::{SOON, clpctl, document};
use crate::disk::put;
use crate::practice::Practice;

const RENEW: [&str; 2] = ["site:renew-certificates", "--domain=a.test"];

/// Starts a run that waits for a slow validation, and waits until it does.
fn slow_run(host: &Host, practice: &Practice) -> Running {
    practice.slow(Duration::from_secs(4));
    let running = clpctl(host).spawn(&RENEW);
    // It is told to look when the order is on record.
    let asked = || practice.asked(Endpoint::Challenge) > 0;
    assert!(wait_until(SOON, asked), "{}", running.stderr());
    running
}

#[test]
fn a_second_run_says_who_is_at_work() {
    let mut host = Host::start([Site::files("a.test")]);
    let practice = Practice::start(&mut host, |_| {});
    let mut first = slow_run(&host, &practice);
    let second = clpctl(&host).run(&["site:renew-certificates"]);
    assert_eq!(second.code, Some(3), "{}", second.stderr);
    let holder = format!("pid {}, clpctl site:renew-certificates", first.pid());
    assert!(second.stderr.contains(&holder), "{}", second.stderr);
    assert!(
        second
            .stderr
            .contains("finding: another-run-holds-the-lock"),
        "{}",
        second.stderr
    );
    let third = document(
        &clpctl(&host).run(&["site:renew-certificates", "--json"]),
        3,
    );
    assert_eq!(third["error"]["finding"], "another-run-holds-the-lock");
    // Those who only look need no lock.
    document(&clpctl(&host).run(&["site:list", "--json"]), 0);
    document(
        &clpctl(&host).run(&["site:renew-certificates", "--dry-run", "--json"]),
        0,
    );
    assert_eq!(
        first.wait(SOON).unwrap().code(),
        Some(0),
        "{}",
        first.stderr()
    );
}

#[test]
fn a_run_that_waits_takes_its_turn() {
    let mut host = Host::start([Site::files("a.test")]);
    let practice = Practice::start(&mut host, |_| {});
    let mut first = slow_run(&host, &practice);
    let second = clpctl(&host).run(&[&RENEW[..], &["--wait", "--json"]].concat());
    assert_eq!(document(&second, 0)["sites"][0]["outcome"], "not-due");
    assert_eq!(first.wait(Duration::from_secs(10)).unwrap().code(), Some(0));
    assert_eq!(practice.orders(), 1);
}

#[test]
fn a_waiting_run_can_be_told_to_end() {
    let mut host = Host::start([Site::files("a.test")]);
    let practice = Practice::start(&mut host, |_| {});
    let first = slow_run(&host, &practice);
    let mut second = clpctl(&host).spawn(&["site:renew-certificates", "--wait"]);
    // It waits: nothing else can be seen of it.
    std::thread::sleep(Duration::from_millis(500));
    second.signal(Signal::TERM);
    assert_eq!(
        second.wait(SOON).unwrap().code(),
        Some(3),
        "{}",
        second.stderr()
    );
    drop(first);
}

/// What must hold at every moment, whoever was killed.
#[track_caller]
fn assert_sound(host: &Host) {
    let test = host.nginx.test();
    assert!(test.ok(), "{}", test.stderr);
    let live = host.live("a.test");
    if live.exists() {
        let version = |name: &str| {
            let target = std::fs::read_link(live.join(name)).unwrap();
            target
                .to_str()
                .unwrap()
                .chars()
                .filter(char::is_ascii_digit)
                .collect::<String>()
        };
        let versions = ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"].map(version);
        assert!(
            versions.iter().all(|one| *one == versions[0]),
            "{versions:?}"
        );
        assert!(openssl::key_fits(
            &live.join("cert.pem"),
            &live.join("privkey.pem")
        ));
    }
}

/// The run after a crash: one order in all, and its certificate is served.
#[track_caller]
fn assert_converges(host: &Host, practice: &Practice, orders: u64) {
    practice.ca.set_faults(Vec::new());
    let output = clpctl(host).run(&RENEW);
    let log = || format!("{}\n{}\n{}", output.stdout, output.stderr, host.log());
    assert!(output.ok(), "{}", log());
    assert_sound(host);
    assert_eq!(practice.orders(), orders, "{}", log());
    let leaf = openssl::sha256(&host.live("a.test").join("cert.pem"));
    for address in host.nginx.https_addresses() {
        assert_eq!(
            openssl::served(address, "a.test"),
            Some(leaf.clone()),
            "{}",
            log()
        );
    }
    let again = document(&clpctl(host).run(&[&RENEW[..], &["--json"]].concat()), 0);
    assert_eq!(again["sites"][0]["outcome"], "not-due");
    assert_eq!(again["reloads"], 0);
    assert_eq!(practice.orders(), orders);
}

#[test]
fn killed_while_the_ca_validates_the_order_is_resumed() {
    let mut host = Host::start([Site::cloudpanel("a.test")]);
    let practice = Practice::start(&mut host, |_| {});
    let running = slow_run(&host, &practice);
    // Killed with SIGKILL.
    drop(running);
    assert_sound(&host);
    assert_converges(&host, &practice, 1);
}

/// Kills a run while the program that stands for nginx or for its reload sleeps, `when` it is called that often.
fn killed_at(step: &Step, again: bool) {
    let mut host = Host::start([Site::cloudpanel("a.test")]);
    let practice = Practice::start(&mut host, |_| {});
    // So that a first certificate takes two tests and two reloads: for the challenge line, and for itself.
    host.set("http01", "mode", "\"stateless\"");
    let mut orders = 1;
    if again {
        let _ = clpctl(&host).run(&RENEW).expect_ok();
        orders += 1;
    }
    let marker = host.folder().join("reached");
    let script = host.folder().join("step");
    let usual = step.set(&mut host, &script, &marker);
    let words = if again {
        [&RENEW[..], &["--force"]].concat()
    } else {
        RENEW.to_vec()
    };
    let running = clpctl(&host).spawn(&words);
    assert!(
        wait_until(SOON, || marker.exists()),
        "{}\n{}",
        running.stderr(),
        host.log()
    );
    drop(running);
    host.set("nginx", step.key(), &usual);
    assert_sound(&host);
    assert_converges(&host, &practice, orders);
}

/// Where a run is killed.
enum Step {
    /// In the n-th `nginx -t`.
    Test(u32),
    /// In the n-th reload.
    Reload(u32),
}

impl Step {
    fn key(&self) -> &'static str {
        match self {
            Self::Test(_) => "binary",
            Self::Reload(_) => "reload",
        }
    }

    /// Makes the step hang; returns the setting that undoes it.
    fn set(&self, host: &mut Host, script: &Path, marker: &Path) -> String {
        let (marker, count) = (marker.display(), script.with_extension("count"));
        let count = count.display();
        let (number, condition, otherwise, usual) = match self {
            Self::Test(number) => (
                number,
                "case \" $* \" in *' -t '*) true ;; *) false ;; esac",
                "exec /usr/sbin/nginx \"$@\"".to_owned(),
                "\"/usr/sbin/nginx\"",
            ),
            Self::Reload(number) => (
                number,
                "true",
                format!("kill -HUP {}", host.nginx.pid()),
                "\"signal\"",
            ),
        };
        // It ends with the test: whoever started it is gone by then.
        let text = format!(
            "#!/bin/sh\nif {condition}; then echo >> {count}; \
             if [ $(wc -l < {count}) = {number} ]; then touch {marker}; exec sleep 5; fi; fi\n{otherwise}\n"
        );
        // Written by a shell: a file that this process had open could not be executed while another test forks.
        let _ = Program::new("sh")
            .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
            .arg(script)
            .input(text)
            .run()
            .expect_ok();
        host.set("nginx", self.key(), &format!("\"{}\"", script.display()));
        usual.to_owned()
    }
}

#[test]
fn killed_in_the_first_test_of_a_first_certificate() {
    killed_at(&Step::Test(1), false);
}

#[test]
fn killed_in_the_second_test_of_a_first_certificate() {
    killed_at(&Step::Test(2), false);
}

#[test]
fn killed_in_the_first_reload_of_a_first_certificate() {
    killed_at(&Step::Reload(1), false);
}

#[test]
fn killed_in_the_second_reload_of_a_first_certificate() {
    killed_at(&Step::Reload(2), false);
}

#[test]
fn killed_in_the_test_of_a_renewal() {
    killed_at(&Step::Test(1), true);
}

#[test]
fn killed_in_the_reload_of_a_renewal() {
    killed_at(&Step::Reload(1), true);
}

#[test]
fn a_stale_lock_file_holds_nobody_up() {
    let mut host = Host::start([Site::files("a.test")]);
    let practice = Practice::start(&mut host, |_| {});
    std::fs::create_dir(host.state()).unwrap();
    put(
        &host.state().join("lock"),
        "pid 1, clpctl site:renew-certificates, since 2019-01-01T00:00:00Z\n",
    );
    assert_converges(&host, &practice, 1);
}
