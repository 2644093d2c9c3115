//! A case is one line: `wanted | covered or - or self or badkey | valid | before expiry | suggested`.

use std::sync::Arc;

use expect_test::{Expect, expect};
use jiff::{SignedDuration, Timestamp};

use crate::certificate::{Certificate, CertificateId, Fingerprint};
use crate::due::due;
use crate::name::Name;
use crate::names::Names;
use crate::site::Current;
use crate::suggestion::{Answer, Suggestion};
use crate::window::Window;

#[track_caller]
fn check(case: &str, expect: Expect) {
    let now = moment("2026-02-20");
    let fields: Vec<&str> = case.split('|').map(str::trim).collect();
    let [wanted, covered, valid, before, suggested] = fields[..] else {
        panic!("five fields: {case}")
    };
    let wanted = Names::new(wanted.split(' ').map(|name| Name::parse(name).unwrap())).unwrap();
    let current = (covered != "-").then(|| Current {
        certificate: Arc::new(Certificate {
            names: covered
                .split(' ')
                .filter_map(|name| Name::parse(name).ok())
                .collect(),
            valid: window(valid),
            issuer: "Practice CA".into(),
            serial: "01".into(),
            sha256: Fingerprint([1; 32]),
            id: Some(CertificateId("key.serial".into())),
            self_signed: covered.contains("self"),
        }),
        path: "/live/a.test/fullchain.pem".into(),
        version: Some(1),
        key_fits: !covered.contains("badkey"),
    });
    let before = before
        .strip_suffix('d')
        .map(|days| SignedDuration::from_hours(days.parse::<i64>().unwrap() * 24));
    let suggestion = (suggested != "-").then(|| {
        let answer = Answer {
            window: window(suggested),
            explanation: None,
            retry_after: None,
        };
        Suggestion::answered(None, &CertificateId("key.serial".into()), answer, now)
    });
    let due = due(&wanted, current.as_ref(), before, suggestion.as_ref(), now);
    expect.assert_eq(&format!("{}: {}", due.at, due.reason));
}

fn moment(day: &str) -> Timestamp {
    format!("{day}T00:00:00Z").parse().unwrap()
}

fn window(days: &str) -> Window {
    let (start, end) = days.split_once(' ').unwrap();
    Window::new(moment(start), moment(end)).unwrap()
}

#[test]
fn without_a_certificate_it_is_due_at_once() {
    check(
        "a.test | - | - | - | -",
        expect!["2026-02-20T00:00:00Z: there is no certificate"],
    );
    check(
        "a.test | self a.test | 2026-02-01 2036-05-02 | - | -",
        expect!["2026-02-20T00:00:00Z: the certificate is self-signed"],
    );
    check(
        "a.test | badkey a.test | 2026-02-01 2026-05-02 | - | -",
        expect!["2026-02-20T00:00:00Z: the private key does not belong to the certificate"],
    );
}

#[test]
fn a_name_was_added() {
    check(
        "a.test www.a.test | a.test | 2026-02-01 2026-05-02 | - | -",
        expect!["2026-02-20T00:00:00Z: the certificate does not cover www.a.test"],
    );
    check(
        "a.test www.a.test | www.a.test a.test more.test | 2026-02-01 2026-05-02 | - | -",
        expect!["2026-04-01T08:20:21Z: a third of its life is left"],
    );
    check(
        "www.a.test | *.a.test | 2026-02-01 2026-05-02 | - | -",
        expect!["2026-04-01T08:32:34Z: a third of its life is left"],
    );
}

#[test]
fn a_third_of_90_64_and_45_days_and_half_of_six() {
    check(
        "a.test | a.test | 2026-02-01 2026-05-02 | - | -",
        expect!["2026-04-01T08:20:21Z: a third of its life is left"],
    );
    check(
        "a.test | a.test | 2026-02-01 2026-04-06 | - | -",
        expect!["2026-03-15T04:51:48Z: a third of its life is left"],
    );
    check(
        "a.test | a.test | 2026-02-01 2026-03-18 | - | -",
        expect!["2026-03-02T16:10:11Z: a third of its life is left"],
    );
    check(
        "a.test | a.test | 2026-02-18 2026-02-24 | - | -",
        expect!["2026-02-20T22:57:22Z: half of its life is left"],
    );
    check(
        "a.test | a.test | 2026-02-18 2026-02-28 | - | -",
        expect!["2026-02-22T22:15:36Z: half of its life is left"],
    );
}

#[test]
fn another_site_with_the_same_dates_has_another_moment() {
    check(
        "b.test | b.test | 2026-02-01 2026-05-02 | - | -",
        expect!["2026-04-01T22:25:24Z: a third of its life is left"],
    );
}

#[test]
fn the_ca_suggests_a_window() {
    check(
        "a.test | a.test | 2026-02-01 2026-05-02 | - | 2026-03-31 2026-04-02",
        expect![
            "2026-03-31T12:18:54Z: the CA suggests renewing between 2026-03-31T00:00:00Z and 2026-04-02T00:00:00Z"
        ],
    );
    check(
        "a.test | a.test | 2026-02-01 2026-05-02 | - | 2026-02-18 2026-02-19",
        expect!["2026-02-18T06:09:27Z: the CA's window for renewing ended on 2026-02-19T00:00:00Z"],
    );
    check(
        "a.test | a.test | 2026-02-01 2026-03-02 | - | 2026-04-18 2026-04-19",
        expect![
            "2026-03-02T00:00:00Z: the CA suggests renewing between 2026-04-18T00:00:00Z and 2026-04-19T00:00:00Z"
        ],
    );
}

#[test]
fn the_policy_goes_before_the_ca() {
    check(
        "a.test | a.test | 2026-02-01 2026-05-02 | 30d | 2026-03-31 2026-04-02",
        expect!["2026-04-02T00:00:00Z: less than 30 days of its life are left"],
    );
    check(
        "a.test | a.test | 2026-02-01 2026-05-02 | 9000d | -",
        expect!["2001-09-10T00:00:00Z: less than 9000 days of its life are left"],
    );
}
