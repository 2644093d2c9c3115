//! Does a site go back to an earlier certificate, and stay there until there is a reason?

use testkit::certificate::{Authority, Days};
use testkit::host::Host;
use testkit::nginx::Site;
use testkit::{lineage, openssl};

use crate::answer::{Answer, ask, clpctl, renew};
use crate::disk::{self, assert_served, assert_unchanged, guarded, linked_version};
use crate::hosts::host_with;
use crate::practice::Practice;

const BACK: [&str; 2] = ["site:rollback-certificate", "--domain=a.test"];

/// A host whose a.test was renewed: version 1 has ten days left, version 2 is served.
fn renewed() -> (Host, Practice) {
    let mut host = host_with([(Site::cloudpanel("a.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    assert_eq!(renew(&host).outcome("a.test"), "renewed");
    (host, practice)
}

fn refused(host: &Host, words: &[&str], expected: &str) {
    let before = guarded(host);
    let output = clpctl(host).run(&[&BACK[..], words].concat());
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(
        output.stderr.contains(expected),
        "{expected:?} is not in:\n{}",
        output.stderr
    );
    assert!(
        output.stderr.contains("hint: version "),
        "versions are shown:\n{}",
        output.stderr
    );
    assert_unchanged(&before, host);
}

#[test]
fn a_site_goes_back_and_is_not_taken_forward_by_the_next_run() {
    let (host, practice) = renewed();
    let answer = ask(&host, &BACK).expect_code(0);
    assert_eq!(answer.outcome("a.test"), "installed", "{:#}", answer.json);
    assert_eq!(answer.reloads(), 1);
    assert_eq!(linked_version(&host, "a.test"), 1);
    assert_served(&host, "a.test");
    let orders = practice.orders();
    for _ in 0..2 {
        let answer = renew(&host);
        assert_eq!(answer.outcome("a.test"), "not-due", "{:#}", answer.json);
    }
    assert_eq!(
        (linked_version(&host, "a.test"), practice.orders()),
        (1, orders)
    );
    // Half of the ten days that were left.
    let later = ask(&host, &["site:renew-certificates", "--clock-offset=+6d"]).expect_code(0);
    assert_eq!(later.outcome("a.test"), "renewed", "{:#}", later.json);
    assert_eq!(
        (linked_version(&host, "a.test"), practice.orders()),
        (3, orders + 1)
    );
}

#[test]
fn a_site_goes_forward_again_when_somebody_asks() {
    let (host, practice) = renewed();
    let _ = ask(&host, &BACK).expect_code(0);
    let orders = practice.orders();
    let _ = ask(&host, &[BACK[0], BACK[1], "--version=2"]).expect_code(0);
    assert_eq!(
        (linked_version(&host, "a.test"), practice.orders()),
        (2, orders)
    );
    assert_served(&host, "a.test");
    let _ = ask(&host, &BACK).expect_code(0);
    let force = ["site:renew-certificates", "--domain=a.test", "--force"];
    let forced: Answer = ask(&host, &force).expect_code(0);
    assert_eq!(forced.outcome("a.test"), "renewed", "{:#}", forced.json);
    assert_eq!(linked_version(&host, "a.test"), 3);
}

#[test]
fn what_cannot_be_served_is_refused_and_the_versions_are_shown() {
    let (host, _practice) = renewed();
    refused(
        &host,
        &["--version=7"],
        "there is no version 7; there is 1, 2",
    );
    refused(
        &host,
        &["--version=2"],
        "version 2 is the one that is served",
    );
    refused(
        &host,
        &["--clock-offset=+11d"],
        "version 1: the certificate expired on",
    );
    let other = Authority::new("Other").issue(&["b.test"], Days::left(50));
    let folder = host.archive("a.test");
    lineage::write(&host.letsencrypt(), "b.test", 1, &other);
    for kind in disk::KINDS {
        let from = host.archive("b.test").join(format!("{kind}1.pem"));
        std::fs::copy(from, folder.join(format!("{kind}3.pem"))).unwrap();
    }
    refused(
        &host,
        &["--version=3"],
        "the certificate does not cover a.test",
    );
    std::fs::copy(folder.join("privkey2.pem"), folder.join("privkey1.pem")).unwrap();
    refused(&host, &["--version=1"], "not for the key");
    assert_served(&host, "a.test");
    assert!(openssl::covers(
        &host.live("a.test").join("cert.pem"),
        "a.test"
    ));
}

#[test]
fn what_the_ca_has_given_up_is_refused() {
    let mut host = host_with([(Site::cloudpanel("a.test"), 10)]);
    let _practice = Practice::start(&mut host, |_| {});
    let force = ["site:renew-certificates", "--domain=a.test", "--force"];
    for _ in 0..2 {
        let _ = ask(&host, &force).expect_code(0);
    }
    let _ = ask(
        &host,
        &["site:revoke-certificate", "--domain=a.test", "--version=2"],
    )
    .expect_code(0);
    refused(
        &host,
        &["--version=2"],
        "version 2 cannot be served: it is revoked",
    );
    // Somebody else revoked it, and only the CA knows.
    std::fs::remove_dir_all(host.letsencrypt().join("renewal/clpctl")).unwrap();
    refused(
        &host,
        &["--version=2"],
        "the CA wants version 2 replaced at once",
    );
}
