//! Does the next run finish what a run that was killed had begun, without ordering twice?

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use testca::{Endpoint, Fault, ValidationFault, WireFault};
use testkit::host::Host;
use testkit::nginx::Site;
use testkit::program::wait_until;

use crate::answer::{clpctl, renew};
use crate::disk::{self, assert_served, linked_version};
use crate::hosts::host_with;
use crate::practice::Practice;

/// Starts a renewal and kills it, without a chance to tidy up, as soon as it is so far.
#[track_caller]
fn kill_once(host: &Host, so_far: impl FnMut() -> bool) {
    let mut running = clpctl(host).spawn(&["site:renew-certificates"]);
    let reached = wait_until(Duration::from_secs(60), so_far);
    assert!(reached, "{}\n{}", running.stdout(), running.stderr());
    running.signal(Signal::KILL);
    let ended = running.wait(Duration::from_secs(60));
    assert!(
        ended.is_some_and(|ended| ended.code().is_none()),
        "it ended before it was killed: {ended:?}"
    );
}

#[test]
fn an_order_is_taken_up_again_while_the_ca_validates() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    practice
        .ca
        .add_fault(Fault::new(ValidationFault::Slow(Duration::from_secs(4))).times(1));
    kill_once(&host, || practice.asked(Endpoint::Challenge) > 0);
    assert_eq!(linked_version(&host, "a.test"), 1);
    assert_eq!(renew(&host).outcome("a.test"), "renewed");
    assert_eq!(
        (practice.asked(Endpoint::NewOrder), practice.ca.issued()),
        (1, 1)
    );
    assert_eq!(practice.asked(Endpoint::NewAccount), 1);
    assert_served(&host, "a.test");
    // Folders that a killed run made cannot be told from others', and stay; the answer itself goes.
    let root = host.nginx.document_root("a.test");
    let left = disk::tree(&root, &[])
        .into_keys()
        .filter(|path| path.is_file());
    assert_eq!(left.collect::<Vec<_>>(), [root.join("index.html")]);
}

#[test]
fn a_certificate_that_was_issued_is_fetched_by_the_next_run() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    let slow = Fault::new(WireFault::Slow(Duration::from_secs(20)));
    practice
        .ca
        .add_fault(slow.at(Endpoint::Certificate).times(1));
    kill_once(&host, || practice.asked(Endpoint::Certificate) > 0);
    assert_eq!(renew(&host).outcome("a.test"), "renewed");
    assert_eq!(
        (practice.asked(Endpoint::NewOrder), practice.ca.issued()),
        (1, 1)
    );
    assert_eq!(linked_version(&host, "a.test"), 2);
    assert_served(&host, "a.test");
}

#[test]
fn a_deployment_is_finished_from_the_links_on() {
    let mut host = host_with([(Site::files("a.test"), 10), (Site::files("b.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    host.set("nginx", "reload", "\"/bin/sleep 5\"");
    let links = host.live("b.test").join("cert.pem");
    let switched = || fs::read_link(&links).is_ok_and(|target| target.ends_with("cert2.pem"));
    kill_once(&host, switched);
    assert!(host.nginx.test().ok());
    assert_eq!(host.nginx.reloads(), 0);
    host.set("nginx", "reload", "\"signal\"");
    let _ = renew(&host);
    for domain in ["a.test", "b.test"] {
        assert_eq!(linked_version(&host, domain), 2);
        assert_served(&host, domain);
    }
    assert_eq!(
        (practice.asked(Endpoint::NewOrder), practice.ca.issued()),
        (2, 2)
    );
    assert_eq!(host.nginx.reloads(), 1);
}
