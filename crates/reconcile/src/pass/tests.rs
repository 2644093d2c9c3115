//! Passes over a world of fakes. Time is tokio's, paused: a minute takes no time.

use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use jiff::SignedDuration;
use renewal::name::Name;
use renewal::plan::Wish;
use renewal::policy::Policy;
use renewal::ports::{Clock as _, Host as _, LeaseHeld, Memory as _, Note, OpenOrder};
use renewal::secret::Secret;
use renewal::window::Window;

use crate::fakes::{Behaviour, FakeWorld, lock};
use crate::pass::{Pass, Request, RunError, run};
use crate::world::{Ending, Stop};

mod limits;
mod panel;
mod without_nginx;

async fn pass(world: &Arc<FakeWorld>, request: &Request) -> Pass {
    let (_sender, stop) = Stop::channel();
    run(world, request, &stop).await.unwrap()
}

fn all() -> Request {
    Request::default()
}

fn forced() -> Request {
    Request {
        wish: Wish {
            force: true,
            ..Wish::default()
        },
        ..Request::default()
    }
}

fn named(names: &str) -> Request {
    let only = names
        .split(' ')
        .map(|name| Name::parse(name).unwrap())
        .collect();
    Request {
        wish: Wish {
            only: Some(only),
            ..Wish::default()
        },
        ..Request::default()
    }
}

/// Shows a pass in short: a line per site, then what the world counted.
fn shown(world: &FakeWorld, pass: &Pass) -> String {
    let mut text = String::new();
    for site in &pass.report.sites {
        let domain = site.domain();
        text += &format!(
            "{domain}: {} ({}), serves {}",
            site.outcome.as_str(),
            site.reason,
            world.host.serves(domain.as_str())
        );
        if let Some(retry_at) = site.retry_at {
            text += &format!(", retry at {retry_at}");
        }
        text += "\n";
        for finding in &site.findings {
            text += &format!("    {}: {}\n", finding.name, finding.explanation);
        }
    }
    for finding in &pass.report.findings {
        text += &format!("host: {}: {}\n", finding.name, finding.explanation);
    }
    let state = lock(&world.host.state);
    let placed = lock(&world.authority.placed).len();
    text += &format!(
        "{placed} orders, {} tests, {} reloads\n",
        state.tests, state.reloads
    );
    assert!(
        state.presented.is_empty(),
        "challenge answers left behind: {:?}",
        state.presented
    );
    let open = world.memory.open_deployments().unwrap().len();
    let waits = state.deaf || (state.dead.is_some() && placed > 0);
    assert_eq!(open, usize::from(waits), "the journal is closed");
    text
}

async fn check(world: &Arc<FakeWorld>, request: &Request, expect: Expect) -> Pass {
    let pass = pass(world, request).await;
    expect.assert_eq(&shown(world, &pass));
    pass
}

#[tokio::test(start_paused = true)]
async fn what_is_due_is_renewed_with_one_reload_and_then_nothing_is_done() {
    let world = FakeWorld::new(&["a.test/10", "b.test/80", "c.test/3", "d.test/self"]);
    check(&world, &all(), expect![[r#"
        a.test: renewed (a third of its life is left), serves 2
        b.test: not-due (not due before 2026-03-22T22:25:24Z, when a third of its life is left), serves 1
        c.test: renewed (a third of its life is left), serves 2
        d.test: skipped (it has no certificate of a CA; name it with --domain, or run lets-encrypt:install:certificate), serves 1
        2 orders, 1 tests, 1 reloads
    "#]]).await;
    check(&world, &all(), expect![[r#"
        a.test: not-due (not due before 2026-04-01T08:20:21Z, when a third of its life is left), serves 2
        b.test: not-due (not due before 2026-03-22T22:25:24Z, when a third of its life is left), serves 1
        c.test: not-due (not due before 2026-04-01T15:06:18Z, when a third of its life is left), serves 2
        d.test: skipped (it has no certificate of a CA; name it with --domain, or run lets-encrypt:install:certificate), serves 1
        2 orders, 1 tests, 1 reloads
    "#]]).await;
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_asks_the_ca_for_nothing() {
    let world = FakeWorld::new(&["a.test/10", "b.test/80"]);
    check(
        &world,
        &Request {
            dry_run: true,
            ..all()
        },
        expect![[r#"
            a.test: would-renew (a third of its life is left), serves 1
            b.test: not-due (not due before 2026-03-22T22:25:24Z, when a third of its life is left), serves 1
            0 orders, 0 tests, 0 reloads
        "#]],
    )
    .await;
    assert_eq!(*lock(&world.authority.polls), 0);
}

#[tokio::test(start_paused = true)]
async fn a_named_site_gets_its_first_certificate() {
    let world = FakeWorld::new(&["a.test", "b.test/self", "c.test/80"]);
    check(
        &world,
        &named("a.test b.test"),
        expect![[r#"
        a.test: issued (there is no certificate), serves 1
        b.test: issued (the certificate is self-signed), serves 2
        2 orders, 1 tests, 1 reloads
    "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_site_fails_and_the_others_do_not_notice() {
    let world = FakeWorld::new(&["a.test/10", "b.test/10", "c.test/10"]);
    world.authority.will("b.test", Behaviour::Refuse);
    world
        .host
        .change(|state| _ = state.unreachable.insert("c.test".into()));
    check(
        &world,
        &all(),
        expect![[r#"
        a.test: renewed (a third of its life is left), serves 2
        b.test: failed (a third of its life is left), serves 1, retry at 2026-02-02T00:00:00Z
            challenge-not-found: the CA got 404
        c.test: failed (a third of its life is left), serves 1, retry at 2026-02-01T00:00:20Z
            challenge-not-found: c.test answers 404
        2 orders, 3 tests, 3 reloads
    "#]],
    )
    .await;
    tokio::time::sleep(Duration::from_mins(60)).await;
    check(
        &world,
        &all(),
        expect![[r#"
            a.test: not-due (not due before 2026-04-01T08:20:21Z, when a third of its life is left), serves 2
            b.test: postponed (a third of its life is left), serves 1, retry at 2026-02-02T00:00:00Z
            c.test: failed (a third of its life is left), serves 1, retry at 2026-02-01T01:00:20Z
                challenge-not-found: c.test answers 404
            2 orders, 3 tests, 3 reloads
        "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_site_does_not_hold_up_the_others() {
    let world = FakeWorld::new(&["a.test/10", "b.test/10"]);
    world
        .authority
        .will("b.test", Behaviour::Slow(Duration::from_mins(20)));
    let task = tokio::spawn({
        let world = Arc::clone(&world);
        async move { pass(&world, &all()).await }
    });
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(
        (world.host.serves("a.test"), world.host.serves("b.test")),
        (2, 1)
    );
    let pass = task.await.unwrap();
    assert_eq!(pass.report.reloads, 2);
    assert_eq!(
        (world.host.serves("a.test"), world.host.serves("b.test")),
        (2, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn the_site_that_nginx_refuses_is_found_among_many() {
    let sites: Vec<String> = (0..16)
        .map(|number| format!("s{number:02}.test/10"))
        .collect();
    let world = FakeWorld::new(&sites.iter().map(String::as_str).collect::<Vec<_>>());
    world
        .host
        .change(|state| _ = state.poisoned.insert("s05.test".into()));
    let pass = pass(&world, &all()).await;
    assert_eq!(pass.report.reloads, 1);
    for site in &pass.report.sites {
        let served = world.host.serves(site.domain().as_str());
        let expected = if site.domain().as_str() == "s05.test" {
            ("failed", 1)
        } else {
            ("renewed", 2)
        };
        assert_eq!(
            (site.outcome.as_str(), served),
            expected,
            "{}",
            site.domain()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_configuration_is_not_reloaded_and_what_was_obtained_is_deployed_later() {
    let world = FakeWorld::new(&["a.test/10", "b.test/10"]);
    world.host.change(|state| state.broken = true);
    check(&world, &all(), expect![[r#"
        a.test: failed (a third of its life is left), serves 1, retry at 2026-02-01T00:00:00Z
            nginx-config-invalid: nginx refuses its configuration; it did so before clpctl changed anything. What was obtained is kept, and the next run deploys it without a new order
        b.test: failed (a third of its life is left), serves 1, retry at 2026-02-01T00:00:00Z
            nginx-config-invalid: nginx refuses its configuration; it did so before clpctl changed anything. What was obtained is kept, and the next run deploys it without a new order
        2 orders, 2 tests, 0 reloads
    "#]]).await;
    world.host.change(|state| state.broken = false);
    check(
        &world,
        &all(),
        expect![[r#"
        a.test: renewed (a certificate obtained earlier is not deployed yet), serves 2
        b.test: renewed (a certificate obtained earlier is not deployed yet), serves 2
        2 orders, 3 tests, 1 reloads
    "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_nobody_heard_is_reported_and_repeated() {
    let world = FakeWorld::new(&["a.test/10"]);
    world.host.change(|state| state.deaf = true);
    check(&world, &all(), expect![[r#"
        a.test: failed (a third of its life is left), serves 1, retry at 2026-02-01T00:00:20Z
            certificate-not-served: the new certificate of a.test is in place, and nginx does not serve it
        1 orders, 1 tests, 1 reloads
    "#]]).await;
    world.host.change(|state| state.deaf = false);
    check(
        &world,
        &all(),
        expect![[r#"
            a.test: not-due (not due before 2026-04-01T08:20:21Z, when a third of its life is left), serves 2
            1 orders, 2 tests, 2 reloads
        "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_line_is_inserted_where_nothing_else_works_and_taken_out_where_it_does_not_help() {
    let world = FakeWorld::new(&["a.test/10", "b.test/10", "c.test/10"]);
    world.host.change(|state| {
        state
            .without_folder
            .extend(["a.test".to_owned(), "b.test".to_owned()]);
        state.unreachable.insert("b.test".to_owned());
    });
    check(
        &world,
        &all(),
        expect![[r#"
        a.test: renewed (a third of its life is left), serves 2
        b.test: failed (a third of its life is left), serves 1, retry at 2026-02-01T00:00:20Z
            challenge-not-found: b.test answers 404
        c.test: renewed (a third of its life is left), serves 2
        2 orders, 3 tests, 3 reloads
    "#]],
    )
    .await;
    assert_eq!(
        lock(&world.host.state).lines.iter().collect::<Vec<_>>(),
        ["a.test"]
    );
}

#[tokio::test(start_paused = true)]
async fn names_that_caa_records_forbid_are_neither_ordered_nor_given_a_line() {
    let world = FakeWorld::new(&["a.test/10", "b.test/10"]);
    world.host.change(|state| {
        state.without_folder.insert("b.test".to_owned());
        state
            .forbidden
            .extend(["a.test".to_owned(), "b.test".to_owned()]);
    });
    check(
        &world,
        &all(),
        expect![[r#"
        a.test: failed (a third of its life is left), serves 1, retry at 2026-02-01T00:00:00Z
            caa-forbids: not for a.test
        b.test: failed (a third of its life is left), serves 1, retry at 2026-02-01T00:00:00Z
            caa-forbids: not for b.test
        0 orders, 0 tests, 0 reloads
    "#]],
    )
    .await;
    assert!(lock(&world.host.state).lines.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_busy_ca_is_asked_again_when_it_said_and_not_before() {
    let world = FakeWorld::new(&["a.test/10"]);
    world
        .authority
        .will("a.test", Behaviour::Busy(SignedDuration::from_mins(90)));
    check(
        &world,
        &all(),
        expect![[r#"
        a.test: postponed (a third of its life is left), serves 1, retry at 2026-02-01T01:30:00Z
            ca-busy: the CA is busy
        1 orders, 0 tests, 0 reloads
    "#]],
    )
    .await;
    tokio::time::sleep(Duration::from_mins(89)).await;
    check(
        &world,
        &all(),
        expect![[r#"
        a.test: postponed (a third of its life is left), serves 1, retry at 2026-02-01T01:30:00Z
        1 orders, 0 tests, 0 reloads
    "#]],
    )
    .await;
    tokio::time::sleep(Duration::from_mins(2)).await;
    check(
        &world,
        &all(),
        expect![[r#"
        a.test: renewed (a third of its life is left), serves 2
        2 orders, 1 tests, 1 reloads
    "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_leads_to_no_second_order() {
    let world = FakeWorld::new(&["a.test/10"]);
    world.authority.will("a.test", Behaviour::Break);
    check(
        &world,
        &all(),
        expect![[r#"
        a.test: failed (a third of its life is left), serves 1, retry at 2026-02-01T00:01:00Z
            ca-unreachable: the connection broke
        1 orders, 0 tests, 0 reloads
    "#]],
    )
    .await;
    check(
        &world,
        &forced(),
        expect![[r#"
        a.test: renewed (a third of its life is left), serves 2
        1 orders, 1 tests, 1 reloads
    "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_certificate_for_other_names_is_not_deployed() {
    let world = FakeWorld::new(&["a.test/10"]);
    world.authority.will("a.test", Behaviour::IssueForOther);
    check(
        &world,
        &all(),
        expect![[r#"
        a.test: failed (a third of its life is left), serves 1, retry at 2026-02-01T00:01:00Z
            certificate-rejected: the certificate does not cover a.test
        1 orders, 0 tests, 0 reloads
    "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_window_is_asked_for_once_and_the_replaced_certificate_is_named_inside_it() {
    let world = FakeWorld::new(&["a.test/80"]);
    let now = world.clock.now();
    let hours = |n| now.checked_add(SignedDuration::from_hours(n)).unwrap();
    lock(&world.authority.windows)
        .insert("key.c8".into(), Window::new(hours(0), hours(2)).unwrap());
    check(&world, &all(), expect![[r#"
        a.test: not-due (not due before 2026-02-01T00:25:32Z, a moment in the window that the CA suggests), serves 1
        0 orders, 0 tests, 0 reloads
    "#]]).await;
    check(&world, &all(), expect![[r#"
        a.test: not-due (not due before 2026-02-01T00:25:32Z, a moment in the window that the CA suggests), serves 1
        0 orders, 0 tests, 0 reloads
    "#]]).await;
    tokio::time::sleep(Duration::from_hours(2) - Duration::from_secs(1)).await;
    check(&world, &all(), expect![[r#"
        a.test: renewed (the CA suggests renewing between 2026-02-01T00:00:00Z and 2026-02-01T02:00:00Z), serves 2
        1 orders, 1 tests, 1 reloads
    "#]]).await;
    assert_eq!(*lock(&world.authority.replaced), ["key.c8"]);
}

#[tokio::test(start_paused = true)]
async fn another_run_is_waited_for_when_asked() {
    let world = FakeWorld::new(&["a.test/10"]);
    *lock(&world.lease.refusals) = 3;
    let (_sender, stop) = Stop::channel();
    let refused = run(&world, &all(), &stop).await;
    assert!(matches!(refused, Err(RunError::Lease(LeaseHeld::By(_)))));
    check(
        &world,
        &Request {
            wait: true,
            ..all()
        },
        expect![[r#"
        a.test: renewed (a third of its life is left), serves 2
        1 orders, 1 tests, 1 reloads
    "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_no_site_is_refused_before_anything_happens() {
    let world = FakeWorld::new(&["a.test/10"]);
    let (_sender, stop) = Stop::channel();
    let refused = run(&world, &named("b.test"), &stop).await;
    assert_eq!(
        refused.err().unwrap().to_string(),
        "no site here is called b.test"
    );
}

#[tokio::test(start_paused = true)]
async fn an_end_wished_for_in_mid_order_deploys_what_was_obtained_and_leaves_nothing_behind() {
    let world = FakeWorld::new(&["a.test/10", "b.test/10"]);
    world
        .authority
        .will("b.test", Behaviour::Slow(Duration::from_hours(1)));
    let (sender, stop) = Stop::channel();
    let task = tokio::spawn({
        let world = Arc::clone(&world);
        async move { run(&world, &all(), &stop).await.unwrap() }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    sender.send(Ending::Soon).unwrap();
    let pass = task.await.unwrap();
    expect![[r#"
        a.test: renewed (a third of its life is left), serves 2
        b.test: postponed (the run was asked to end; the next one goes on with it), serves 1, retry at 2026-02-01T00:00:25Z
        2 orders, 1 tests, 1 reloads
    "#]]
    .assert_eq(&shown(&world, &pass));
}

#[tokio::test(start_paused = true)]
async fn what_nginx_complained_of_is_quoted_when_a_reload_was_not_taken_up() {
    let world = FakeWorld::new(&["a.test/10"]);
    world.host.change(|state| {
        state.deaf = true;
        state.complaints = vec!["[emerg] bind() failed".to_owned()];
    });
    let first = pass(&world, &all()).await;
    let detail = &first.report.sites[0].findings[0].detail;
    assert!(
        detail.ends_with("; nginx's error log says since the reload: [emerg] bind() failed"),
        "{detail}"
    );
    // The next run repeats the reload, and quotes it too.
    let second = pass(&world, &all()).await;
    let detail = &second.report.findings[0].detail;
    assert!(detail.ends_with("[emerg] bind() failed"), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn what_is_broken_off_while_it_is_checked_leaves_no_answer_behind() {
    let world = FakeWorld::new(&["a.test/10", "b.test/10"]);
    world
        .host
        .change(|state| state.slow_probes = Duration::from_mins(1));
    let (sender, stop) = Stop::channel();
    let task = tokio::spawn({
        let world = Arc::clone(&world);
        async move { run(&world, &all(), &stop).await.unwrap() }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(lock(&world.host.state).presented.len(), 2);
    sender.send(Ending::Now).unwrap();
    let pass = task.await.unwrap();
    // Answers that are left behind are looked for there.
    expect![[r#"
        a.test: postponed (the run was asked to end; the next one goes on with it), serves 1, retry at 2026-02-01T00:00:01Z
        b.test: postponed (the run was asked to end; the next one goes on with it), serves 1, retry at 2026-02-01T00:00:01Z
        0 orders, 0 tests, 0 reloads
    "#]].assert_eq(&shown(&world, &pass));
}

#[tokio::test(start_paused = true)]
async fn an_order_that_led_to_what_is_served_is_not_taken_for_a_renewal() {
    let world = FakeWorld::new(&["a.test/10"]);
    let name = Name::parse("a.test").unwrap();
    // A run died after it had deployed this order's certificate, and before it could close the order.
    let order = OpenOrder {
        ca: Policy::default().ca,
        url: "https://ca.test/order/1".into(),
        names: name.clone().into(),
        placed_at: world.clock.now(),
    };
    world
        .memory
        .note(&[Note::Order(&name, Some(&order))])
        .unwrap();
    world
        .host
        .keep_key(&name, &Secret::new("key".into()))
        .await
        .unwrap();
    let began = world
        .clock
        .now()
        .checked_sub(SignedDuration::from_hours(80 * 24))
        .unwrap();
    world
        .authority
        .will("a.test", Behaviour::Send(format!("a.test|{began}|200")));
    check(
        &world,
        &all(),
        expect![[r#"
        a.test: renewed (a third of its life is left), serves 2
        1 orders, 1 tests, 1 reloads
    "#]],
    )
    .await;
}
