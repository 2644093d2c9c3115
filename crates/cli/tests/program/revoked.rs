//! Is a certificate replaced before it is revoked, and is a key that somebody else has never used again?

use testca::{Endpoint, Fault, Refusal, ValidationFault};
use testkit::host::Host;
use testkit::nginx::Site;
use testkit::openssl;
use testkit::pebble::Pebble;

use crate::answer::{ask, clpctl};
use crate::disk::{assert_served, linked_version};
use crate::hosts::host_with;
use crate::practice::Practice;

const REVOKE: [&str; 2] = ["site:revoke-certificate", "--domain=a.test"];
const FORCE: [&str; 3] = ["site:renew-certificates", "--domain=a.test", "--force"];

fn serial(host: &Host, version: u32) -> String {
    let file = host.archive("a.test").join(format!("cert{version}.pem"));
    let serial = openssl::x509(&file, &["-serial"]);
    serial.trim().trim_start_matches("serial=").to_owned()
}

#[track_caller]
fn assert_status(pebble: &Pebble, serial: &str, expected: &str) {
    let status = pebble.status_of(serial).expect("pebble issued it");
    assert!(status.contains(expected), "{serial}: {status}");
}

fn public_key(host: &Host, version: u32) -> String {
    let file = host.archive("a.test").join(format!("cert{version}.pem"));
    openssl::x509(&file, &["-pubkey"])
}

#[test]
fn the_replacement_is_served_before_the_old_one_is_revoked() {
    let mut host = host_with([(Site::cloudpanel("a.test"), 10)]);
    let pebble = host.with_pebble(|settings| settings);
    let _ = ask(&host, &FORCE).expect_code(0);
    let answer = ask(&host, &[REVOKE[0], REVOKE[1], "--reason=superseded"]).expect_code(0);
    pebble.assert_well();
    assert_eq!(answer.json["revoked"], true, "{:#}", answer.json);
    assert_eq!(answer.json["replacement"]["sites"][0]["outcome"], "renewed");
    assert_eq!(linked_version(&host, "a.test"), 3);
    assert_served(&host, "a.test");
    assert_status(&pebble, &serial(&host, 2), "Revoked");
    assert_status(&pebble, &serial(&host, 3), "Valid");
    let log = pebble.log();
    let at = |what: &str| {
        log.rfind(what)
            .unwrap_or_else(|| panic!("no {what} in {log}"))
    };
    assert!(
        at("/certZ/") < at("revoke-cert"),
        "the replacement was fetched first"
    );
    let show = ask(&host, &["site:show", "--domain=a.test"]).expect_code(0);
    assert_eq!(show.json["site"]["history"][0]["what"], "revoked");
}

#[test]
fn a_compromised_key_is_never_used_again() {
    let mut host = host_with([(Site::cloudpanel("a.test"), 10)]);
    let pebble = host.with_pebble(|settings| settings);
    let _ = ask(&host, &FORCE).expect_code(0);
    let _ = ask(&host, &[REVOKE[0], REVOKE[1], "--reason=key-compromise"]).expect_code(0);
    pebble.assert_well();
    let status = pebble.status_of(&serial(&host, 2)).unwrap();
    assert!(status.contains("Revoked"), "{status}");
    assert_ne!(public_key(&host, 2), public_key(&host, 3));
    let back = clpctl(&host).run(&[
        "site:rollback-certificate",
        "--domain=a.test",
        "--version=2",
    ]);
    assert_eq!(back.code, Some(1));
    assert!(
        back.stderr.contains("compromised, and is never used again"),
        "{}",
        back.stderr
    );
    let file = |kind: &str| format!("={}", host.archive("a.test").join(kind).display());
    let import = clpctl(&host).run(&[
        "site:install:certificate",
        "--domainName=a.test",
        &format!("--privateKey{}", file("privkey2.pem")),
        &format!("--certificate{}", file("fullchain2.pem")),
    ]);
    assert_eq!(import.code, Some(1));
    assert!(
        import.stderr.contains("revoked here as compromised"),
        "{}",
        import.stderr
    );
    assert_served(&host, "a.test");
}

#[test]
fn nothing_is_revoked_when_there_is_no_replacement() {
    let mut host = host_with([(Site::cloudpanel("a.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    let _ = ask(&host, &FORCE).expect_code(0);
    practice
        .ca
        .set_faults(vec![Fault::new(ValidationFault::CaaForbids)]);
    let answer = ask(&host, &REVOKE).expect_code(1);
    assert_eq!(answer.json["revoked"], false, "{:#}", answer.json);
    assert_eq!(practice.asked(Endpoint::RevokeCert), 0);
    assert!(!practice.ca.is_revoked("a.test"));
    assert_eq!(linked_version(&host, "a.test"), 2);
    practice.ca.set_faults(Vec::new());
    // It is not as if it were revoked.
    let later = ["--clock-offset=+2d"];
    let _ = ask(&host, &[&FORCE[..], &later].concat()).expect_code(0);
    let back = [
        "site:rollback-certificate",
        "--domain=a.test",
        "--version=2",
    ];
    let _ = ask(&host, &[&back[..], &later].concat()).expect_code(0);
}

#[test]
fn a_revocation_that_the_ca_did_not_do_is_taken_up_without_another_order() {
    let mut host = host_with([(Site::cloudpanel("a.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    let _ = ask(&host, &FORCE).expect_code(0);
    let refusal = Refusal::Busy {
        status: 503,
        retry_after: None,
    };
    let fault = Fault::new(refusal).at(Endpoint::RevokeCert);
    practice.ca.set_faults(vec![fault]);
    let output = clpctl(&host).run(&REVOKE);
    assert_eq!(output.code, Some(3), "{}", output.stderr);
    assert!(
        output.stderr.contains(
            "The site serves another certificate, but the CA did not revoke the old one."
        ),
        "{}",
        output.stderr
    );
    assert_eq!(linked_version(&host, "a.test"), 3);
    practice.ca.set_faults(Vec::new());
    let orders = practice.orders();
    let answer = ask(&host, &REVOKE).expect_code(0);
    assert_eq!(answer.json["replacement"], serde_json::Value::Null);
    let expected = serial(&host, 2).to_lowercase();
    let serial = answer.json["serial"].as_str().unwrap();
    assert_eq!(
        serial.trim_start_matches('0'),
        expected.trim_start_matches('0')
    );
    assert_eq!(
        (practice.orders(), linked_version(&host, "a.test")),
        (orders, 3)
    );
}

#[test]
fn the_certificates_own_key_revokes_what_another_account_obtained() {
    let mut host = host_with([(Site::cloudpanel("a.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    let _ = ask(&host, &FORCE).expect_code(0);
    let _ = ask(&host, &FORCE).expect_code(0);
    std::fs::remove_dir_all(host.letsencrypt().join("accounts")).unwrap();
    let old = [REVOKE[0], REVOKE[1], "--version=2"];
    let answer = ask(&host, &old).expect_code(0);
    assert_eq!(answer.json["revoked"], true);
    assert_eq!(
        answer.json["replacement"],
        serde_json::Value::Null,
        "version 3 is served"
    );
    // The new account may not: it has shown control of no name.
    assert_eq!(
        practice.asked(Endpoint::RevokeCert),
        2,
        "refused to the account, then done"
    );
    let again = ask(&host, &old).expect_code(0);
    assert_eq!(again.json["revoked"], true);
}

#[test]
fn a_reason_that_no_ca_takes_is_wrong_usage() {
    let host = host_with([(Site::files("a.test"), 10)]);
    let output = clpctl(&host).run(&[REVOKE[0], REVOKE[1], "--reason=removeFromCRL"]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("keyCompromise"), "{}", output.stderr);
}
