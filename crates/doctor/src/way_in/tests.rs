//! What is the cause behind a recorded probe?

use super::{WayInSeen, judge};
use crate::testing::weighed;
use expect_test::{Expect, expect};

/// Judges a probe of a.test on the host 1.1.1.1; `rest` is JSON: `end`, `compared` and `rules`.
#[track_caller]
fn check(leads: &str, rest: &str, expect: Expect) {
    let addresses: Vec<String> = leads
        .split_whitespace()
        .map(|address| format!("\"{address}\""))
        .collect();
    let recorded = format!(
        r#"{{"own": {{"addresses": ["1.1.1.1", "2a01:4f8::1"], "named": false}},
            "leads": [["a.test", [{}]]], {rest}}}"#,
        addresses.join(",")
    );
    let seen: WayInSeen = serde_json::from_str(&recorded).unwrap();
    expect.assert_eq(&weighed(&judge(&seen)));
}

fn failed(name: &str, detail: &str) -> String {
    format!(
        r#"{{"failed": [{{"name": "{name}", "severity": "fatal", "explanation": "e", "detail": "{detail}", "fix": "f"}}]}}"#
    )
}

const NOTHING_ELSE: &str = r#""instead": [], "compared": [], "rules": []"#;

#[test]
fn an_answer_leaves_risks_at_most() {
    let end = |at: &str| {
        format!(r#""end": {{"answered": {{"way": "webroot", "at": [{at}]}}}}, {NOTHING_ELSE}"#)
    };
    check("1.1.1.1", &end(r#""1.1.1.1:80""#), expect![""]);
    check("9.9.9.9", &end(r#""9.9.9.9:80""#), expect![""]);
    check(
        "2620:fe::9 1.1.1.1",
        &end(r#""1.1.1.1:80""#),
        expect![
            "ipv6-points-elsewhere warning: a.test leads to 2620:fe::9; this host has 1.1.1.1, 2a01:4f8::1"
        ],
    );
    check(
        "104.16.0.1",
        &end(r#""104.16.0.1:80""#),
        expect![
            "proxied-by-cdn info: 104.16.0.1 is one of its addresses (https://www.cloudflare.com/ips/, as of 2023-09-28)"
        ],
    );
}

#[test]
fn another_host_is_the_cause_of_what_it_says() {
    let end = |at: &str| {
        format!(
            r#""end": {}, {NOTHING_ELSE}"#,
            failed("challenge-not-found", at)
        )
    };
    check(
        "9.9.9.9",
        &end("http://a.test at 9.9.9.9:80: 404"),
        expect![[r#"
            dns-points-elsewhere fatal: a.test leads to 9.9.9.9; this host has 1.1.1.1, 2a01:4f8::1
            there: e"#]],
    );
    check(
        "2620:fe::9 1.1.1.1",
        &end("http://a.test at [2620:fe::9]:80: 404"),
        expect![[r#"
            ipv6-points-elsewhere fatal: a.test leads to 2620:fe::9; this host has 1.1.1.1, 2a01:4f8::1
            there: e"#]],
    );
    check(
        "1.1.1.1",
        &end("http://a.test at 1.1.1.1:80: 404"),
        expect!["challenge-not-found fatal: http://a.test at 1.1.1.1:80: 404"],
    );
    check(
        "104.16.0.1",
        &end("http://a.test at 104.16.0.1:80: 404"),
        expect![[r#"
            challenge-not-found fatal: http://a.test at 104.16.0.1:80: 404
            proxied-by-cdn info: 104.16.0.1 is one of its addresses (https://www.cloudflare.com/ips/, as of 2023-09-28)"#]],
    );
}

#[test]
fn a_rule_against_bots_is_told_from_one_against_all() {
    let end = failed("challenge-forbidden", "403");
    let compared = |browser: u16| {
        format!(
            r#""end": {end}, "instead": [], "compared": [{{"address": "1.1.1.1:80", "ca": {{"status": 403}}, "browser": {{"status": {browser}}}}}],
               "rules": ["/etc/nginx/a.conf:7: if ($http_user_agent ~ compatible)"]"#
        )
    };
    check(
        "1.1.1.1",
        &compared(404),
        expect![[r#"
            challenge-blocked-by-rule fatal: 1.1.1.1:80: the CA hears 403, and a browser 404
            /etc/nginx/a.conf:7: if ($http_user_agent ~ compatible)"#]],
    );
    check(
        "1.1.1.1",
        &compared(403),
        expect![[r#"
            challenge-forbidden fatal: 403
            /etc/nginx/a.conf:7: if ($http_user_agent ~ compatible)"#]],
    );
}

#[test]
fn a_line_that_will_be_put_in_makes_it_a_risk() {
    let end = failed("challenge-forbidden", "at 1.1.1.1:80: 403").replace("failed", "after-line");
    check(
        "1.1.1.1",
        &format!(r#""end": {end}, {NOTHING_ELSE}"#),
        expect!["challenge-forbidden warning: at 1.1.1.1:80: 403"],
    );
    let end = failed("challenge-not-found", "at 9.9.9.9:80: 404").replace("failed", "after-line");
    check(
        "9.9.9.9",
        &format!(r#""end": {end}, {NOTHING_ELSE}"#),
        expect![[r#"
            dns-points-elsewhere fatal: a.test leads to 9.9.9.9; this host has 1.1.1.1, 2a01:4f8::1
            there: e"#]],
    );
}

#[test]
fn another_block_that_answers_is_the_cause() {
    let end = failed("challenge-not-found", "at 1.1.1.1:80: 404").replace("failed", "after-line");
    let instead = r#""instead": ["/etc/nginx/b.conf:1 answers"], "compared": [], "rules": []"#;
    check(
        "1.1.1.1",
        &format!(r#""end": {end}, {instead}"#),
        expect![[r#"
            name-not-served fatal: /etc/nginx/b.conf:1 answers
            there: e
            challenge-not-found fatal: at 1.1.1.1:80: 404"#]],
    );
}
