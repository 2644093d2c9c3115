//! Cases in one line: what is done one after the other, and what the ledger says to each order.
//!
//! A step is `MOMENT VERB NAMES [WORDS]`. Moments are counted from the start: `90m`, `36s`, `2d`. Verbs are `order` (asked
//! for, and placed when allowed), `refused` (the last one was not placed after all), `issue`, `fail`, and `told KIND
//! MOMENT NAMES [about NAME]`. Words are `renews`, `replaces`, `force`, and `xN` for N times, each with another number in the
//! place of `#`.

use expect_test::{Expect, expect};
use jiff::{SignedDuration, Timestamp};

use super::{Ledger, LimitKind, OrderFacts, Spent};
use crate::name::Name;
use crate::names::Names;
use crate::policy::Ca;

const PRODUCTION: &str = "https://acme-v02.api.letsencrypt.org/directory";
const STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";
const PRIVATE: &str = "https://ca.test/directory";

#[track_caller]
fn check(ca: &str, script: &str, expect: Expect) {
    expect.assert_eq(&play(ca, script).join("; "));
}

fn play(ca: &str, script: &str) -> Vec<String> {
    let ca = Ca(ca.into());
    let mut ledger = Ledger::default();
    let mut remembered: Vec<Spent> = Vec::new();
    let mut answers: Vec<String> = Vec::new();
    for step in script.split(';').map(str::trim) {
        let words: Vec<&str> = step.split(' ').collect();
        let now = after(words[0]);
        let has = |word| words.contains(&word);
        let times = words
            .iter()
            .find_map(|word| word.strip_prefix('x')?.parse().ok());
        let skipped = if words[1] == "told" { 4 } else { 2 };
        for number in 0..times.unwrap_or(1) {
            let names = names(&words[skipped.min(words.len())..], number);
            let order = OrderFacts {
                ca: &ca,
                names: &names,
                same_set: has("renews"),
                replaces_in_window: has("replaces"),
                urgent: has("force"),
            };
            let spent = match words[1] {
                "order" => match ledger.reserve(order, now) {
                    Ok(spent) => {
                        said(&mut answers, "yes".to_owned());
                        spent
                    }
                    Err(refusal) => {
                        let wait = refusal.retry_at.duration_since(now);
                        said(
                            &mut answers,
                            format!("{} in {wait:#}", kind_text(refusal.kind)),
                        );
                        Vec::new()
                    }
                },
                "refused" => ledger.not_placed(order, now),
                "issue" => ledger.issued(order, now),
                "fail" => ledger.failed(&ca, names.domain(), now),
                "told" => {
                    let kind = serde_json::from_value(words[2].into()).unwrap();
                    let about = words.iter().position(|word| *word == "about");
                    let about = about.map(|at| Name::parse(words[at + 1]).unwrap());
                    ledger.told(order, kind, about.as_ref(), after(words[3]), now)
                }
                "restart" => {
                    ledger = Ledger::new(remembered.clone());
                    ledger.mend(now)
                }
                other => panic!("{other}"),
            };
            for (bucket, level) in spent {
                remembered.retain(|(other, _)| *other != bucket);
                remembered.push((bucket, level));
            }
        }
    }
    answers
}

/// Reads the names among the words; `#` in them stands for the number of the repetition.
fn names(words: &[&str], number: u32) -> Names {
    let listed = words.iter().take_while(|word| word.contains(['.', ':']));
    let parse = |word: &&str| Name::parse(&word.replace('#', &number.to_string())).unwrap();
    let names = Names::new(listed.map(parse));
    names.unwrap_or_else(|| Names::from(Name::parse("none.test").unwrap()))
}

/// Adds an answer, or counts one more of the same.
fn said(answers: &mut Vec<String>, answer: String) {
    if let Some(last) = answers.last_mut() {
        let (text, times) = last.rsplit_once(" x").unwrap_or((last.as_str(), "1"));
        if text == answer {
            let times: u32 = times.parse().unwrap();
            *last = format!("{answer} x{}", times + 1);
            return;
        }
    }
    answers.push(answer);
}

fn kind_text(kind: LimitKind) -> String {
    serde_json::to_value(kind)
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned()
}

fn after(text: &str) -> Timestamp {
    let start: Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
    let (number, unit) = text.split_at(text.len() - 1);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        other => panic!("{other}"),
    };
    let number: i64 = number.parse().unwrap();
    start
        .checked_add(SignedDuration::from_secs(number * seconds))
        .unwrap()
}

#[test]
fn orders_of_an_account() {
    // 300 less what is left alone, then one in 36 seconds; renewals are exempt.
    check(
        PRODUCTION,
        "0s order a.test x286; 36s order b.test; 36s order b.test",
        expect!["yes x285; orders-per-account in 36s; yes; orders-per-account in 36s"],
    );
    check(
        PRODUCTION,
        "0s order a.test x300; 0s order a.test renews; 0s order a.test replaces",
        expect!["yes x285; orders-per-account in 36s x15; yes x2"],
    );
    check(
        STAGING,
        "0s order a.test x1486",
        expect!["yes x1485; orders-per-account in 7s 200ms"],
    );
    check(PRIVATE, "0s order a.test x5000", expect!["yes x5000"]);
    // One that the CA did not take is given back.
    check(
        PRODUCTION,
        "0s order a.test x285; 0s refused a.test; 0s order b.test x2",
        expect!["yes x286; orders-per-account in 36s"],
    );
}

#[test]
fn certificates_of_a_registered_domain() {
    let spent = "0s issue n#.shop.example.co.uk x48";
    check(
        PRODUCTION,
        &format!("{spent}; 0s order b.example.co.uk; 0s order example.com"),
        expect!["certificates-per-domain in 3h 21m 36s; yes"],
    );
    check(
        PRODUCTION,
        &format!("{spent}; 0s order b.example.co.uk renews; 0s order b.example.co.uk replaces"),
        expect!["yes x2"],
    );
    check(
        PRODUCTION,
        &format!("{spent}; 202m order b.example.co.uk"),
        expect!["yes"],
    );
    // Renewals of the same set do not count, replacements with other names do.
    check(
        PRODUCTION,
        "0s issue n#.shop.test renews x100; 0s order b.shop.test",
        expect!["yes"],
    );
    check(
        PRODUCTION,
        "0s issue n#.shop.test replaces x48; 0s order b.shop.test",
        expect!["certificates-per-domain in 3h 21m 36s"],
    );
    // Every domain of an order must have something left.
    check(
        PRODUCTION,
        &format!("{spent}; 0s order a.test b.example.co.uk"),
        expect!["certificates-per-domain in 3h 21m 36s"],
    );
    // Customers below a public suffix count alone, addresses by themselves, IPv6 by network.
    check(
        PRODUCTION,
        "0s issue n#.github.io x48; 0s order b.github.io",
        expect!["yes"],
    );
    check(
        PRODUCTION,
        "0s issue 192.0.2.1 n#.test x48; 0s order 192.0.2.2; 0s order 192.0.2.1",
        expect!["yes; certificates-per-domain in 3h 21m 36s"],
    );
    check(
        PRODUCTION,
        "0s issue 2001:db8::1 n#.test x48; 0s order 2001:db8::2",
        expect!["certificates-per-domain in 3h 21m 36s"],
    );
}

#[test]
fn certificates_of_a_set() {
    check(
        PRODUCTION,
        "0s issue b.test a.test renews x5; 0s order a.test b.test renews; 0s order a.test b.test replaces; 0s order a.test",
        expect!["certificates-per-exact-set in 33h 36m; yes x2"],
    );
    check(
        PRODUCTION,
        "0s issue a.test renews x5; 34h order a.test renews",
        expect!["yes"],
    );
}

#[test]
fn failures_of_a_name() {
    // Once a cause stands, one a day; a person may insist four times an hour.
    check(
        PRIVATE,
        "0s fail a.test; 1m order a.test; 24h order a.test",
        expect!["own-failures-per-day in 23h 59m; yes"],
    );
    check(
        PRIVATE,
        "0s fail a.test; 1m order a.test force; 1m fail a.test x3; 4m order a.test force",
        expect!["yes; own-failures-per-name in 11m"],
    );
    // It is the name that waits, whichever site it is in; the others do not.
    check(
        PRIVATE,
        "0s fail a.test; 1m order b.test a.test; 1m order b.test",
        expect!["own-failures-per-day in 23h 59m; yes"],
    );
    // A success ends it.
    check(
        PRIVATE,
        "0s fail a.test; 1m issue a.test; 2m order a.test",
        expect!["yes"],
    );
    // The exemption inside the window is the CA's, not ours.
    check(
        PRODUCTION,
        "0s fail a.test x4; 0s order a.test replaces force",
        expect!["own-failures-per-name in 15m"],
    );
}

#[test]
fn a_pause_is_never_reached() {
    // One a day for ten years costs nothing.
    let daily: String = (0..3_650)
        .map(|day| format!("{day}d order a.test; {day}d fail a.test; "))
        .collect();
    check(
        PRODUCTION,
        &format!("{daily} 3650d order a.test"),
        expect!["yes x3651"],
    );
    // Insisted on four times an hour, it ends below the pause, and goes on with what the CA forgives.
    let insisted: String = (0..1_113)
        .map(|n| format!("{}m order a.test force; {}m fail a.test; ", n * 16, n * 16))
        .collect();
    check(
        PRODUCTION,
        &format!("{insisted} 17808m order a.test force"),
        expect!["yes x1112; failures-in-a-row in 15h 28m; failures-in-a-row in 39h 12m"],
    );
}

#[test]
fn what_the_ca_says_goes_first() {
    check(
        PRODUCTION,
        "0s told orders-per-account 30m a.test; 0s order b.test; 0s order b.test renews; 30m order b.test x2",
        expect!["orders-per-account in 30m; yes x2; orders-per-account in 36s"],
    );
    check(
        PRODUCTION,
        "0s told certificates-per-exact-set 100m a.test b.test; 0s order b.test a.test renews; 100m order a.test b.test",
        expect!["certificates-per-exact-set in 1h 40m; yes"],
    );
    check(
        PRODUCTION,
        "0s told certificates-per-domain 100m a.x.test b.y.test about y.test; 0s order y.test; 0s order x.test",
        expect!["certificates-per-domain in 1h 40m; yes"],
    );
    check(
        PRODUCTION,
        "0s told failures-per-name 20m a.test b.test about b.test; 0s order a.test; 0s order b.test",
        expect!["yes; failures-per-name in 20m"],
    );
    // Which of several names it is about, nobody said; of one there is no doubt.
    check(
        PRODUCTION,
        "0s told failures-per-name 20m a.test b.test; 0s order b.test",
        expect!["yes"],
    );
    check(
        PRODUCTION,
        "0s told failures-per-name 20m a.test; 0s order a.test",
        expect!["failures-per-name in 20m"],
    );
    check(
        PRODUCTION,
        "0s told registrations-per-address 20m a.test; 0s order b.test renews replaces",
        expect!["registrations-per-address in 20m"],
    );
    // Of a CA that publishes nothing it is not known whom it exempts.
    check(
        PRIVATE,
        "0s told orders-per-account 30m a.test; 0s order b.test renews; 30m order b.test",
        expect!["orders-per-account in 30m; yes"],
    );
    // The word of the CA does not refill what we know to be spent.
    check(
        PRODUCTION,
        "0s order a.test x285; 0s told orders-per-account 1s a.test; 2s order a.test",
        expect!["yes x285; orders-per-account in 34s"],
    );
}

#[test]
fn a_mistake_keeps_nobody_waiting_for_years() {
    // The CA's …
    check(
        PRODUCTION,
        "0s told orders-per-account 3650d a.test; 0s order a.test",
        expect!["orders-per-account in 192h"],
    );
    // … or our clock's, which was a year ahead: an empty bucket, and nothing that was told then.
    check(
        PRODUCTION,
        "365d order a.test; 0s restart; 0s order a.test; 11m order a.test",
        expect!["yes; orders-per-account in 9m 36s; yes"],
    );
    check(
        PRODUCTION,
        "365d told orders-per-account 366d a.test; 365d fail b.test; 0s restart; 10m order a.test; 1d order b.test",
        expect!["yes x2"],
    );
}

#[test]
fn a_restart_forgets_nothing() {
    check(
        PRODUCTION,
        "0s order a.test x285; 0s fail b.test; 0s restart; 1s order a.test; 60s order b.test renews",
        expect!["yes x285; orders-per-account in 35s; own-failures-per-day in 23h 59m"],
    );
    check(
        PRODUCTION,
        "0s told certificates-per-exact-set 7d a.test; 1d restart; 1d order a.test",
        expect!["certificates-per-exact-set in 144h"],
    );
}

#[test]
fn a_renewal_is_the_same_set_within_120_days() {
    use crate::certificate::{Certificate, Fingerprint};

    use crate::site::{Current, Site};
    use crate::window::Window;

    let facts = |wanted: &str, issued_days_ago: i64, self_signed: bool| {
        let now = after("0s");
        let begin = now
            .checked_sub(SignedDuration::from_hours(24 * issued_days_ago))
            .unwrap();
        let end = begin
            .checked_add(SignedDuration::from_hours(24 * 398))
            .unwrap();
        let parse = |text: &str| -> Vec<Name> {
            text.split(' ')
                .map(|name| Name::parse(name).unwrap())
                .collect()
        };
        let site = Site {
            current: Some(Current {
                certificate: std::sync::Arc::new(Certificate {
                    names: parse("b.test a.test"),
                    valid: Window::new(begin, end).unwrap(),
                    issuer: "CA".into(),
                    serial: "01".into(),
                    sha256: Fingerprint([1; 32]),
                    id: None,
                    self_signed,
                }),
                path: "/live/a.test/fullchain.pem".into(),
                version: Some(1),
                key_fits: true,
            }),
            ..Site::new(Names::new(parse(wanted)).unwrap())
        };
        OrderFacts::of(&site, false, false, now).same_set
    };
    assert!(facts("a.test b.test", 119, false));
    assert!(!facts("a.test b.test", 120, false), "forgotten by then");
    assert!(!facts("a.test", 60, false), "another set");
    assert!(!facts("a.test b.test", 60, true), "not the CA's");
}
