//! Is the host unharmed by a CA that means harm, or is gone for weeks?

use std::time::{Duration, Instant};

use testca::{Endpoint, Fault, Problem, ProblemKind, Refusal, WireFault};
use testkit::nginx::Site;

use crate::answer::{ask, clpctl};
use crate::disk::{self, NOTHING, assert_served};
use crate::hosts::host_with;
use crate::practice::Practice;

#[test]
fn ten_gigabytes_are_neither_kept_nor_waited_for() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    let endless = |step| Fault::new(WireFault::Endless(10 << 30)).at(step);
    for step in [Endpoint::NewOrder, Endpoint::Certificate] {
        practice.ca.set_faults(vec![endless(step)]);
        let begun = Instant::now();
        let mut running = clpctl(&host).spawn(&["site:renew-certificates", "--json", "--force"]);
        let mut most = 0;
        let status = loop {
            most = most.max(peak(running.pid()));
            if let Some(status) = running.wait(Duration::from_millis(10)) {
                break status;
            }
        };
        assert!(begun.elapsed() < Duration::from_secs(60), "{step:?}");
        assert_eq!(status.code(), Some(3), "{}", running.stdout());
        assert!((1..PEAK_KIB_MAX).contains(&most), "{step:?}: {most} KiB");
    }
    assert_eq!(host.nginx.reloads(), 0);
}

/// Returns the most memory that a process has had, in KiB; none when it has ended.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    number.unwrap_or(0)
}

#[test]
fn words_of_the_ca_are_shown_and_logged_as_text_alone() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    let words =
        "see here\u{1b}]0;owned\u{7}\u{1b}[2J\r\n2026-01-01T00:00:00Z ERROR forged\u{202e}\0";
    let problem = Problem::new(ProblemKind::Malformed, words);
    let refuse = Fault::new(Refusal::Problem(problem)).at(Endpoint::NewOrder);
    practice.ca.add_fault(refuse);
    let output = clpctl(&host).run(&["site:renew-certificates"]);
    assert_eq!(output.code, Some(1), "{}\n{}", output.stdout, output.stderr);
    let logs = host.log() + &host.acme_log();
    for text in [&output.stdout, &output.stderr, &logs] {
        let obeyed = text
            .chars()
            .find(|c| c.is_control() && *c != '\n' || *c == '\u{202e}');
        assert_eq!(obeyed, None, "{text:?}");
        let forged = text.lines().any(|line| line.starts_with("2026-01-01"));
        assert!(!forged, "{text}");
    }
    let shown = output.stdout + &output.stderr;
    assert!(
        shown.contains("see here") && logs.contains("see here"),
        "{shown}"
    );
}

#[test]
fn a_ca_that_is_gone_for_twenty_days_is_asked_as_soon_as_it_is_back() {
    let mut host = host_with([(Site::files("a.test"), 25)]);
    let practice = Practice::start(&mut host, |_| {});
    let there = format!("\"{}\"", practice.ca.directory_url());
    host.set("acme", "directory", "\"https://127.0.0.1:9/directory\"");
    let files = disk::lineage(&host, "a.test");
    for day in [0, 6, 13, 19] {
        let offset = format!("--clock-offset=+{day}d");
        let answer = ask(&host, &["site:renew-certificates", &offset]).expect_code(3);
        let _ = answer.finding("a.test", "ca-unreachable");
        assert_eq!(
            disk::differences(&files, &disk::lineage(&host, "a.test")),
            NOTHING
        );
    }
    assert_eq!(host.nginx.reloads(), 0);
    host.set("acme", "directory", &there);
    let answer = ask(&host, &["site:renew-certificates", "--clock-offset=+20d"]).expect_code(0);
    assert_eq!(answer.outcome("a.test"), "renewed", "{:#}", answer.json);
    assert_eq!((practice.orders(), practice.ca.issued()), (1, 1));
    assert_served(&host, "a.test");
}

/// A run of a debug build with a site or two has a third of it; a reply has a quarter of a mebibyte.
const PEAK_KIB_MAX: u64 = 128 << 10;
