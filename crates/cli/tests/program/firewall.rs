//! Is a port that is kept closed open exactly while a CA knocks, and closed again even when the program dies?
//!
//! Each test lives in a network namespace of its own, with the machine's real nftables, iptables and ufw.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testkit::host::Host;
use testkit::nginx::Site;
use testkit::program::Program;

use crate::answer::{SOON, ask, clpctl};
use crate::hosts::host_with;
use crate::practice::Practice;

/// Runs the test of this name in namespaces of its own: this very program once more.
#[track_caller]
fn apart(name: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let program = std::env::current_exe().unwrap();
    let output = Program::new("unshare")
        .args([
            "--net",
            "--mount",
            "sh",
            "-c",
            "ip link set lo up && exec \"$@\"",
            "sh",
        ])
        .arg(program)
        .args([&format!("firewall::{name}"), "--exact"])
        .env(INSIDE, "yes")
        .limit(Duration::from_secs(240))
        .run();
    let said = format!("{}\n{}", output.stdout, output.stderr);
    assert!(output.ok() && said.contains("1 passed"), "{said}");
}

/// Two sites that are due, behind a firewall that is opened for validations.
fn host() -> (Host, Practice) {
    let mut host = host_with([(Site::files("a.test"), 10), (Site::files("b.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    host.set("firewall", "mode", "\"open-during-validation\"");
    (host, practice)
}

fn is_open(host: &Host) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, host.nginx.http_port()));
    TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_ok()
}

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < SOON, "{what} does not come");
        sleep(Duration::from_millis(50));
    }
}

#[track_caller]
fn run(words: &[&str]) -> String {
    Program::new(words[0]).args(&words[1..]).run().expect_ok()
}

/// Closes the port as most hosts do, by a policy that drops what is not listed.
fn close_by_nft(host: &Host) -> String {
    let all_but = format!(
        "table inet filter {{ chain input {{ type filter hook input priority filter; policy drop; \
         ct state established,related accept; tcp dport != {} accept; udp dport 1-65535 accept; }}\n}}",
        host.nginx.http_port()
    );
    run(&["nft", &all_but]);
    run(&["nft", "list", "ruleset"])
}

fn close_by_iptables(host: &Host) -> String {
    let port = host.nginx.http_port().to_string();
    for program in ["iptables", "ip6tables"] {
        let _ = run(&[
            program,
            "-A",
            "INPUT",
            "-m",
            "state",
            "--state",
            "ESTABLISHED",
            "-j",
            "ACCEPT",
        ]);
        let _ = run(&[
            program, "-A", "INPUT", "-p", "tcp", "--dport", &port, "-j", "DROP",
        ]);
    }
    rules()
}

fn rules() -> String {
    run(&["iptables", "-S", "INPUT"]) + &run(&["ip6tables", "-S", "INPUT"])
}

/// Renews both sites through a closed port, and sees that it is closed again and everything is as it was.
#[track_caller]
fn renews_and_closes(host: &Host, practice: &Practice, before: &str, now: impl Fn() -> String) {
    assert!(!is_open(host), "{before}");
    // The doctor opens it for its own looks, and foresees what comes.
    let seen = ask(host, &["site:doctor"]).expect_code(0);
    assert_eq!(seen.json["verdict"], "ready", "{:#}", seen.json);
    assert!(!is_open(host));
    assert_eq!(now(), before);
    let renewed = ask(host, &["site:renew-certificates"]).expect_code(0);
    for domain in ["a.test", "b.test"] {
        assert_eq!(renewed.outcome(domain), "renewed", "{:#}", renewed.json);
    }
    assert_eq!(practice.orders(), 2);
    assert!(!is_open(host));
    assert_eq!(now(), before);
    assert!(!host.state().join("firewall.json").exists());
}

/// Kills the program while the CA takes its time, and sees that the kernel closes the port and the next run clears up.
#[track_caller]
fn closes_by_itself(mut host: Host, practice: &Practice, before: &str, now: impl Fn() -> String) {
    host.set("firewall", "open_for", "\"3s\"");
    practice.slow(Duration::from_secs(12));
    let mut running = clpctl(&host).spawn(&["site:renew-certificates"]);
    wait_until("an opening", || is_open(&host));
    wait_until("an order", || practice.orders() > 0);
    // It is put off for as long as the CA takes.
    let opened = Instant::now();
    while opened.elapsed() < Duration::from_secs(5) {
        assert!(is_open(&host), "{}", running.stderr());
        sleep(Duration::from_millis(200));
    }
    running.signal(Signal::KILL);
    running.wait(SOON);
    wait_until("the end of the opening", || !is_open(&host));
    assert_ne!(now(), before, "what is left has no effect");
    practice.ca.set_faults(Vec::new());
    let renewed = ask(&host, &["site:renew-certificates"]).expect_code(0);
    assert_eq!(renewed.outcome("a.test"), "renewed", "{:#}", renewed.json);
    assert!(!is_open(&host));
    assert_eq!(now(), before);
    assert!(!host.state().join("firewall.json").exists());
}

fn ruleset() -> String {
    run(&["nft", "list", "ruleset"])
}

#[test]
fn nftables_lets_the_ca_in_and_nobody_after_it() {
    apart("nftables_lets_the_ca_in_and_nobody_after_it", || {
        let (host, practice) = host();
        let before = close_by_nft(&host);
        let log = host.folder().join("monitor.log");
        let mut monitor = Program::new("nft").arg("monitor").spawn(&log);
        let seen = || std::fs::read_to_string(&log).unwrap_or_default();
        wait_until("the monitor", || {
            run(&["nft", "add table inet noticed"]);
            run(&["nft", "delete table inet noticed"]);
            seen().contains("noticed")
        });
        renews_and_closes(&host, &practice, &before, ruleset);
        wait_until("the end of what the monitor tells", || {
            seen().contains("delete set inet filter")
        });
        let _ = monitor.kill();
        let _ = monitor.wait();
        assert_eq!(
            seen().matches("insert rule").count(),
            2,
            "once for the doctor, and once for both sites: {}",
            seen()
        );
    });
}

#[test]
fn nftables_closes_what_a_killed_run_left_open() {
    apart("nftables_closes_what_a_killed_run_left_open", || {
        let (host, practice) = host();
        let before = close_by_nft(&host);
        closes_by_itself(host, &practice, &before, ruleset);
    });
}

#[test]
fn iptables_lets_the_ca_in_and_nobody_after_it() {
    apart("iptables_lets_the_ca_in_and_nobody_after_it", || {
        let (host, practice) = host();
        let before = close_by_iptables(&host);
        renews_and_closes(&host, &practice, &before, rules);
    });
}

#[test]
fn iptables_closes_what_a_killed_run_left_open() {
    apart("iptables_closes_what_a_killed_run_left_open", || {
        let (host, practice) = host();
        let before = close_by_iptables(&host);
        closes_by_itself(host, &practice, &before, rules);
    });
}

#[test]
fn ufw_lets_the_ca_in_and_keeps_its_own_files() {
    apart("ufw_lets_the_ca_in_and_keeps_its_own_files", || {
        let (host, practice) = host();
        // Its folders are copied and mounted over the machine's, which stay as they are.
        for folder in ["/etc/ufw", "/etc/default", "/lib/ufw", "/run"] {
            let copy = host.folder().join(folder.replace('/', "_"));
            let script =
                "mkdir -p $2; if [ $1 != /run ]; then cp -a $1/. $2; fi; mount --bind $2 $1";
            run(&["sh", "-c", script, "sh", folder, copy.to_str().unwrap()]);
        }
        let port = format!("{}/tcp", host.nginx.http_port());
        let (other, own) = (
            format!("{}/tcp", host.nginx.https_port()),
            "/etc/ufw/user.rules",
        );
        let _ = run(&["ufw", "deny", &port]);
        let _ = run(&["ufw", "allow", &other]);
        let _ = run(&["ufw", "--force", "enable"]);
        // ufw lets the loopback interface pass before its own rules; the CA of this test knocks there.
        let _ = run(&[
            "iptables",
            "-D",
            "ufw-before-input",
            "-i",
            "lo",
            "-j",
            "ACCEPT",
        ]);
        let _ = run(&[
            "iptables",
            "-I",
            "ufw-before-input",
            "1",
            "-i",
            "lo",
            "-p",
            "udp",
            "-j",
            "ACCEPT",
        ]);
        let all_but = [
            "iptables",
            "-I",
            "ufw-before-input",
            "2",
            "-i",
            "lo",
            "-p",
            "tcp",
            "!",
            "--dport",
        ];
        let _ = run(&[
            &all_but[..],
            &[&host.nginx.http_port().to_string(), "-j", "ACCEPT"],
        ]
        .concat());
        let file = || std::fs::read(Path::new(own)).unwrap();
        let (before, kept) = (rules(), file());
        renews_and_closes(&host, &practice, &before, rules);
        assert_eq!(file(), kept);
        assert!(run(&["ufw", "status"]).contains("Status: active"));
    });
}

#[test]
fn where_nothing_is_filtered_nothing_is_changed() {
    apart("where_nothing_is_filtered_nothing_is_changed", || {
        let (host, _practice) = host();
        let renewed = ask(&host, &["site:renew-certificates"]).expect_code(0);
        assert_eq!(renewed.outcome("a.test"), "renewed");
        assert_eq!(ruleset(), "");
        assert!(!host.state().join("firewall.json").exists());
    });
}

#[test]
fn a_firewall_that_cannot_be_opened_is_told_before_a_ca_is_asked() {
    apart(
        "a_firewall_that_cannot_be_opened_is_told_before_a_ca_is_asked",
        || {
            let (host, practice) = host();
            let before = close_by_nft(&host);
            let fails = host.folder().join("nft");
            crate::disk::put(
                &fails,
                "#!/bin/sh\ncase \"$*\" in *add*) echo no such luck >&2; exit 1;; esac\nexec /proc/self/fd/9 \"$@\"\n",
            );
            run(&["chmod", "755", fails.to_str().unwrap()]);
            let mounted = "cp /usr/sbin/nft $1.real; sed -i \"s:/proc/self/fd/9:$1.real:\" $1; mount --bind $1 /usr/sbin/nft";
            run(&["sh", "-c", mounted, "sh", fails.to_str().unwrap()]);
            let refused = ask(&host, &["site:renew-certificates"]).expect_code(1);
            assert_eq!(refused.outcome("a.test"), "failed");
            let finding = refused.finding("a.test", "firewall-blocks-80");
            assert!(
                finding["detail"].as_str().unwrap().contains("no such luck"),
                "{finding:#}"
            );
            assert_eq!(practice.orders(), 0);
            assert_eq!(ruleset(), before);
        },
    );
}

/// Says that a test is in its namespaces already.
const INSIDE: &str = "CLPCTL_TEST_INSIDE";
