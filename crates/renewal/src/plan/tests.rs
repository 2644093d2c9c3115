//! Plans over a handful of sites, each written as one line.

use std::sync::Arc;

use expect_test::{Expect, expect};
use jiff::Timestamp;

use crate::certificate::{Certificate, CertificateId, Fingerprint};
use crate::choice::{Choice, How};
use crate::finding::{Finding, FindingName, Severity};
use crate::name::Name;
use crate::names::Names;
use crate::panel::OnPanel;
use crate::plan::{Action, Remembered, Wish, plan};
use crate::policy::{Ca, Policy};
use crate::retry::{Attempts, Blame};
use crate::site::{Current, Site, Undeployed};
use crate::suggestion::{Answer, Suggestion};
use crate::window::Window;

/// A case is one line: `domain | start end, self start end or - | notes`, where notes are any of `unmanaged`,
/// `listed`, `failed UNTIL`, `undeployed START END`, `window START END`, `imported DAY`,
/// `rolled back DAY`, `unread`, `broken`.
#[track_caller]
fn check(cases: &[&str], wish: &str, expect: Expect) {
    let now = moment("2026-02-20");
    let sites: Vec<(Site, Remembered)> = cases.iter().map(|case| site(case, now)).collect();
    let named: Vec<&str> = wish.split(' ').filter(|word| word.contains('.')).collect();
    let wish = Wish {
        only: (!named.is_empty()).then(|| {
            named
                .iter()
                .map(|name| Name::parse(name).unwrap())
                .collect()
        }),
        force: wish.contains("force"),
        first: wish.contains("first"),
    };
    let plan = plan(
        sites.iter().map(|(site, known)| (site, Some(known))),
        &wish,
        now,
    );
    let mut answer = String::new();
    for item in &plan.items {
        let action = match &item.action {
            Action::Leave => format!("leave until {}", item.due.at),
            Action::Skip(why) => format!("skip: {why}"),
            Action::Postpone(until) => format!("postpone until {until}"),
            Action::Deploy(version) => format!("deploy {version}"),
            Action::Order { replaces: None, .. } => "order".to_owned(),
            Action::Order {
                replaces: Some(id), ..
            } => format!("order, replacing {}", id.0),
        };
        answer += &format!("{}: {action} ({})\n", item.site.domain(), item.due.reason);
    }
    let wake = plan.wake_at.map_or("never".to_owned(), |at| at.to_string());
    expect.assert_eq(&format!("{answer}look again: {wake}\n"));
}

fn site(case: &str, now: Timestamp) -> (Site, Remembered) {
    let fields: Vec<&str> = case.split('|').map(str::trim).collect();
    let [domain, current, notes] = fields[..] else {
        panic!("three fields: {case}")
    };
    let domain = Name::parse(domain).unwrap();
    let certificate = |days: &str| Certificate {
        names: vec![domain.clone()],
        valid: window(days),
        issuer: issuer(notes).into(),
        serial: "01".into(),
        sha256: Fingerprint([1; 32]),
        id: Some(CertificateId("key.serial".into())),
        self_signed: false,
    };
    let current = (current != "-").then(|| {
        let days = current.trim_start_matches("self ");
        Current {
            certificate: Arc::new(Certificate {
                self_signed: current.starts_with("self"),
                ..certificate(days)
            }),
            path: "/live/x/fullchain.pem".into(),
            version: Some(1),
            key_fits: true,
        }
    });
    let unread = Finding::new(FindingName::FileNotUsable, "It cannot be read.");
    let broken = unread.clone().severity(Severity::Error);
    let site = Site {
        findings: note(notes, "unread")
            .map(|_| unread)
            .into_iter()
            .chain(note(notes, "broken").map(|_| broken))
            .collect(),
        current,
        undeployed: note(notes, "undeployed").map(|days| Undeployed {
            certificate: certificate(days).into(),
            path: "/live/x/fullchain.pem".into(),
            version: 2,
        }),
        choice: note(notes, "imported")
            .map(|day| chosen(How::Imported, day))
            .or_else(|| note(notes, "rolled back").map(|day| chosen(How::RolledBack, day))),
        policy: Policy {
            managed: note(notes, "unmanaged").is_none(),
            listed: note(notes, "listed").is_some(),
            ca: match note(notes, "ask staging") {
                Some(_) => Ca("https://acme-staging-v02.api.letsencrypt.org/directory".into()),
                None => Policy::default().ca,
            },
            ..Policy::default()
        },
        ..Site::new(Names::from(domain.clone()))
    };
    (site, remembered(notes, now))
}

fn chosen(how: How, day: &str) -> Choice {
    Choice {
        how,
        leaf: Fingerprint([1; 32]),
        at: moment(day),
        newest: 2,
    }
}

fn issuer(notes: &str) -> &'static str {
    note(notes, "from staging").map_or("Practice CA", |_| "(STAGING) Wannabe Watercress R11")
}

fn note<'a>(notes: &'a str, word: &str) -> Option<&'a str> {
    let mut notes = notes.split(", ");
    notes
        .find_map(|note| note.strip_prefix(word))
        .map(str::trim)
}

fn remembered(notes: &str, now: Timestamp) -> Remembered {
    let id = CertificateId("key.serial".into());
    let answer = |days| Answer {
        window: window(days),
        explanation: None,
        retry_after: None,
    };
    let told = |until| {
        let told = Some(moment(until));
        Attempts::failed(None, Blame::Ca, true, told, "the CA is busy".into(), now)
    };
    let failed = |until| Attempts {
        told: false,
        ..told(until)
    };
    Remembered {
        suggestion: note(notes, "window")
            .map(|days| Suggestion::answered(None, &id, answer(days), now)),
        attempts: note(notes, "failed")
            .map(failed)
            .or_else(|| note(notes, "told").map(told)),
        line_at: None,
    }
}

fn moment(day: &str) -> Timestamp {
    format!("{day}T00:00:00Z").parse().unwrap()
}

fn window(days: &str) -> Window {
    let (start, end) = days.split_once(' ').unwrap();
    Window::new(moment(start), moment(end)).unwrap()
}

#[test]
fn a_certificate_that_cannot_be_read_now_is_not_replaced_unless_forced() {
    let cases = [
        "a.test | - | unread",
        "b.test | 2025-12-01 2026-03-01 | unread, undeployed 2026-02-01 2026-05-01",
        "c.test | - | broken",
    ];
    check(
        &cases,
        "a.test b.test c.test",
        expect![[r#"
        a.test: skip: its certificate or key cannot be read now, so nothing is known of it and nothing is ordered; --force orders (there is no certificate)
        b.test: skip: its certificate or key cannot be read now, so nothing is known of it and nothing is ordered; --force orders (a third of its life is left)
        c.test: order (there is no certificate)
        look again: 2026-02-20T00:00:00Z
    "#]],
    );
    check(
        &cases,
        "force a.test b.test c.test",
        expect![[r#"
        a.test: order (there is no certificate)
        b.test: deploy 2 (a certificate obtained earlier is not deployed yet)
        c.test: order (there is no certificate)
        look again: 2026-02-20T00:00:00Z
    "#]],
    );
}

#[test]
fn what_is_due_is_ordered_and_the_rest_is_left() {
    check(
        &[
            "a.test | 2025-12-01 2026-03-01 | ",
            "b.test | 2026-02-01 2026-05-02 | ",
            "c.test | 2025-10-01 2025-12-30 | ",
        ],
        "",
        expect![[r#"
            a.test: order (a third of its life is left)
            b.test: leave until 2026-04-01T22:25:24Z (a third of its life is left)
            c.test: order (it expired on 2025-12-30T00:00:00Z)
            look again: 2026-02-20T00:00:00Z
        "#]],
    );
}

#[test]
fn a_first_certificate_is_made_only_where_it_was_asked_for() {
    let cases = [
        "a.test | - | ",
        "b.test | self 2026-02-01 2036-02-01 | ",
        "c.test | - | listed",
    ];
    check(
        &cases,
        "",
        expect![[r#"
        a.test: skip: it has no certificate of a CA; name it with --domain, or run lets-encrypt:install:certificate (there is no certificate)
        b.test: skip: it has no certificate of a CA; name it with --domain, or run lets-encrypt:install:certificate (the certificate is self-signed)
        c.test: order (there is no certificate)
        look again: 2026-02-20T00:00:00Z
    "#]],
    );
    check(
        &cases,
        "a.test b.test",
        expect![[r#"
        a.test: order (there is no certificate)
        b.test: order (the certificate is self-signed)
        look again: 2026-02-20T00:00:00Z
    "#]],
    );
    check(
        &cases,
        "first",
        expect![[r#"
        a.test: order (there is no certificate)
        b.test: order (the certificate is self-signed)
        c.test: order (there is no certificate)
        look again: 2026-02-20T00:00:00Z
    "#]],
    );
}

#[test]
fn force_overrides_due_and_our_own_patience_but_neither_the_ca_nor_management() {
    let cases = [
        "a.test | 2026-02-01 2026-05-02 | ",
        "b.test | 2025-12-01 2026-03-01 | failed 2026-02-21",
        "c.test | 2025-12-01 2026-03-01 | unmanaged",
        "d.test | 2025-12-01 2026-03-01 | told 2026-02-22",
    ];
    check(
        &cases,
        "",
        expect![[r#"
        a.test: leave until 2026-04-01T08:20:21Z (a third of its life is left)
        b.test: postpone until 2026-02-21T00:00:00Z (a third of its life is left)
        c.test: skip: it is not managed: renewal.manage = "listed", and the site is not listed (a third of its life is left)
        d.test: postpone until 2026-02-22T00:00:00Z (a third of its life is left)
        look again: 2026-02-21T00:00:00Z
    "#]],
    );
    check(
        &cases,
        "force",
        expect![[r#"
        a.test: order (it was asked for (--force))
        b.test: order (a third of its life is left)
        c.test: skip: it is not managed: renewal.manage = "listed", and the site is not listed (a third of its life is left)
        d.test: postpone until 2026-02-22T00:00:00Z (a third of its life is left)
        look again: 2026-02-20T00:00:00Z
    "#]],
    );
}

#[test]
fn what_was_obtained_earlier_is_deployed_without_a_new_order() {
    check(
        &["a.test | 2025-12-01 2026-03-01 | undeployed 2026-02-01 2026-05-02"],
        "",
        expect![[r#"
        a.test: deploy 2 (a certificate obtained earlier is not deployed yet)
        look again: 2026-02-20T00:00:00Z
    "#]],
    );
    check(
        &["a.test | 2025-12-01 2026-03-01 | undeployed 2025-11-01 2026-01-30"],
        "",
        expect![[r#"
        a.test: order (a third of its life is left)
        look again: 2026-02-20T00:00:00Z
    "#]],
    );
}

#[test]
fn the_replaced_certificate_is_named_inside_the_window_only() {
    check(
        &["a.test | 2025-12-01 2026-03-01 | window 2026-02-20 2026-02-21"],
        "force",
        expect![[r#"
        a.test: order, replacing key.serial (it was asked for (--force))
        look again: 2026-02-20T00:00:00Z
    "#]],
    );
    check(
        &["a.test | 2025-12-01 2026-03-01 | window 2026-02-10 2026-02-11"],
        "",
        expect![[r#"
        a.test: order (the CA's window for renewing ended on 2026-02-11T00:00:00Z)
        look again: 2026-02-20T00:00:00Z
    "#]],
    );
    check(
        &["a.test | 2026-02-01 2026-05-02 | window 2026-03-31 2026-04-02"],
        "",
        expect![[r#"
        a.test: leave until 2026-03-31T12:18:54Z (the CA suggests renewing between 2026-03-31T00:00:00Z and 2026-04-02T00:00:00Z)
        look again: 2026-02-20T06:00:00Z
    "#]],
    );
}

#[test]
fn a_staging_certificate_counts_as_none_and_never_replaces_a_real_one() {
    let cases = [
        "a.test | 2026-02-01 2026-05-02 | from staging",
        "b.test | 2026-02-01 2026-05-02 | from staging, ask staging",
        "c.test | 2025-12-01 2026-03-01 | ask staging",
        "d.test | 2025-11-01 2026-01-30 | ask staging",
    ];
    check(
        &cases,
        "a.test b.test c.test d.test",
        expect![[r#"
        a.test: order (the certificate is from the CA's staging directory, which no browser trusts)
        b.test: leave until 2026-04-01T22:25:24Z (a third of its life is left)
        c.test: skip: it has a certificate that browsers trust, which one of the staging CA must not replace (a third of its life is left)
        d.test: order (it expired on 2026-01-30T00:00:00Z)
        look again: 2026-02-20T00:00:00Z
    "#]],
    );
}

#[test]
fn a_clock_that_is_behind_orders_nothing() {
    check(
        &["a.test | 2026-03-01 2026-05-30 | "],
        "",
        expect![[r#"
        a.test: skip: its certificate is not valid yet: this host's clock is wrong (a third of its life is left)
        look again: never
    "#]],
    );
}

#[test]
fn one_that_was_ordered_without_a_dead_name_is_deployed_after_a_crash() {
    use crate::panel::fixture::{NOW, site};
    use crate::policy::DeadNames;
    let deploys = |policy, alias: &str| {
        let mut site = site("a.test", "1 until 02-20");
        site.panel = OnPanel::No;
        site.policy.dead_names = policy;
        let names = ["a.test", alias].map(|name| Name::parse(name).unwrap());
        site.wanted = Names::new(names).unwrap();
        let old = site.current.clone().unwrap().certificate;
        let start = "2026-01-30T00:00:00Z".parse().unwrap();
        let end = "2026-04-30T00:00:00Z".parse().unwrap();
        let narrow = Certificate {
            names: vec![Name::parse("a.test").unwrap()],
            valid: Window::new(start, end).unwrap(),
            ..Certificate::clone(&old)
        };
        site.undeployed = Some(Undeployed {
            certificate: narrow.into(),
            path: "/live/x/fullchain.pem".into(),
            version: 2,
        });
        let plan = plan([(&site, None)], &Wish::default(), NOW.parse().unwrap());
        plan.items[0].action == Action::Deploy(2)
    };
    // The certificate before covers `*.test`, so that is where the wish for the alias comes from.
    assert!(deploys(DeadNames::Drop, "old.test"));
    assert!(!deploys(DeadNames::Fail, "old.test"));
    // A name that was added since is no dead one.
    assert!(!deploys(DeadNames::Drop, "new.example"));
}

#[test]
fn an_imported_certificate_is_watched_until_somebody_asks_for_another() {
    let cases = [
        "a.test | 2025-12-01 2026-03-01 | imported 2025-12-02",
        "b.test | 2025-03-01 2026-04-01 | imported 2025-12-02",
        "c.test | 2025-03-01 2026-01-01 | imported 2025-12-02",
    ];
    check(
        &cases,
        "",
        expect![[r#"
            a.test: skip: its certificate was imported, so it is watched; site:renew-certificates --force or lets-encrypt:install:certificate with its name obtains one of the CA (a third of its life is left)
            b.test: skip: its certificate was imported, so it is watched; site:renew-certificates --force or lets-encrypt:install:certificate with its name obtains one of the CA (a third of its life is left)
            c.test: skip: its certificate was imported, so it is watched; site:renew-certificates --force or lets-encrypt:install:certificate with its name obtains one of the CA (it expired on 2026-01-01T00:00:00Z)
            look again: 2026-02-22T00:00:00Z
        "#]],
    );
    check(
        &cases,
        "force",
        expect![[r#"
            a.test: skip: its certificate was imported, so it is watched; site:renew-certificates --force or lets-encrypt:install:certificate with its name obtains one of the CA (a third of its life is left)
            b.test: skip: its certificate was imported, so it is watched; site:renew-certificates --force or lets-encrypt:install:certificate with its name obtains one of the CA (a third of its life is left)
            c.test: skip: its certificate was imported, so it is watched; site:renew-certificates --force or lets-encrypt:install:certificate with its name obtains one of the CA (it expired on 2026-01-01T00:00:00Z)
            look again: 2026-02-22T00:00:00Z
        "#]],
    );
    check(
        &cases,
        "force a.test b.test c.test",
        expect![[r#"
        a.test: order (a third of its life is left)
        b.test: order (a third of its life is left)
        c.test: order (it expired on 2026-01-01T00:00:00Z)
        look again: 2026-02-20T00:00:00Z
    "#]],
    );
    check(
        &cases,
        "first b.test",
        expect![[r#"
        b.test: order (a third of its life is left)
        look again: 2026-02-20T00:00:00Z
    "#]],
    );
    check(
        &cases,
        "b.test",
        expect![[r#"
        b.test: skip: its certificate was imported, so it is watched; site:renew-certificates --force or lets-encrypt:install:certificate with its name obtains one of the CA (a third of its life is left)
        look again: 2026-03-02T00:00:00Z
    "#]],
    );
}

#[test]
fn what_was_rolled_back_to_is_neither_rolled_forward_nor_renewed_at_once() {
    let cases = [
        "a.test | 2025-12-01 2026-03-01 | rolled back 2026-02-19, undeployed 2026-02-18 2026-05-18",
        "b.test | 2026-02-01 2026-05-02 | rolled back 2026-02-19, undeployed 2026-02-18 2026-05-18",
        "c.test | 2025-12-01 2026-03-01 | rolled back 2026-02-10",
    ];
    check(
        &cases,
        "",
        expect![[r#"
        a.test: leave until 2026-02-24T00:00:00Z (it was rolled back to, and half of the time that was left then is over)
        b.test: leave until 2026-04-01T22:25:24Z (a third of its life is left)
        c.test: order (it was rolled back to, and half of the time that was left then is over)
        look again: 2026-02-20T00:00:00Z
    "#]],
    );
    check(
        &cases,
        "force",
        expect![[r#"
        a.test: order (it was asked for (--force))
        b.test: order (it was asked for (--force))
        c.test: order (it was rolled back to, and half of the time that was left then is over)
        look again: 2026-02-20T00:00:00Z
    "#]],
    );
}
