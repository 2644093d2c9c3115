//! Passes while something must wait: a rate limit, a pause, our own patience.

use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use jiff::SignedDuration;
use renewal::ledger::Ledger;
use renewal::name::Name;
use renewal::policy::Policy;
use renewal::ports::{Clock as _, Memory as _, Note};

use super::{all, check, forced, named, pass};
use crate::fakes::{Behaviour, FakeWorld};

#[tokio::test(start_paused = true)]
async fn after_four_failures_within_an_hour_force_does_not_help() {
    let world = FakeWorld::new(&["a.test/10"]);
    for _ in 0..4 {
        world.authority.will("a.test", Behaviour::Refuse);
        pass(&world, &forced()).await;
    }
    check(
        &world,
        &forced(),
        expect![[r#"
            a.test: postponed (a third of its life is left), serves 1, retry at 2026-02-01T00:15:00Z
                rate-limited: a validation failed lately, so the CA is not asked again yet
            4 orders, 0 tests, 0 reloads
        "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_the_ca_says_of_the_account_keeps_the_other_sites_from_asking() {
    let mut world = FakeWorld::new(&["a.test", "b.test", "c.test"]);
    Arc::get_mut(&mut world).unwrap().settings.jobs = 1;
    world
        .authority
        .will("a.test", Behaviour::Limited(SignedDuration::from_mins(90)));
    check(
        &world,
        &named("a.test b.test"),
        expect![[r#"
        a.test: postponed (there is no certificate), serves 0, retry at 2026-02-01T01:30:00Z
            rate-limited: our account has placed too many orders
        b.test: postponed (there is no certificate), serves 0, retry at 2026-02-01T01:30:00Z
            rate-limited: the CA would refuse this order, so it is not placed
        1 orders, 0 tests, 0 reloads
    "#]],
    )
    .await;
    // A later run knows it too, and force does not help.
    let mut wish = named("c.test");
    wish.wish.force = true;
    check(
        &world,
        &wish,
        expect![[r#"
        c.test: postponed (there is no certificate), serves 0, retry at 2026-02-01T01:30:00Z
            rate-limited: the CA would refuse this order, so it is not placed
        1 orders, 0 tests, 0 reloads
    "#]],
    )
    .await;
    tokio::time::sleep(Duration::from_mins(91)).await;
    check(
        &world,
        &named("a.test b.test c.test"),
        expect![[r#"
        a.test: issued (there is no certificate), serves 1
        b.test: issued (there is no certificate), serves 1
        c.test: postponed (there is no certificate), serves 0, retry at 2026-02-01T01:31:12Z
            rate-limited: the CA would refuse this order, so it is not placed
        3 orders, 1 tests, 1 reloads
    "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_not_waited_out_but_told_and_asked_about_when_a_person_says_so() {
    let world = FakeWorld::new(&["a.test/10"]);
    world.authority.will("a.test", Behaviour::Pause);
    check(
        &world,
        &all(),
        expect![[r#"
        a.test: failed (a third of its life is left), serves 1, retry at 2026-02-08T00:00:00Z
            account-paused: it is paused
        1 orders, 0 tests, 0 reloads
    "#]],
    )
    .await;
    tokio::time::sleep(Duration::from_hours(6 * 24)).await;
    check(
        &world,
        &all(),
        expect![[r#"
        a.test: postponed (a third of its life is left), serves 1, retry at 2026-02-08T00:00:00Z
        1 orders, 0 tests, 0 reloads
    "#]],
    )
    .await;
    check(
        &world,
        &forced(),
        expect![[r#"
        a.test: renewed (a third of its life is left), serves 2
        2 orders, 1 tests, 1 reloads
    "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_the_ledger_refuses_is_no_failure_and_leaves_the_cause_on_record() {
    let world = FakeWorld::new(&["a.test/10"]);
    for _ in 0..4 {
        world.authority.will("a.test", Behaviour::Refuse);
        pass(&world, &forced()).await;
    }
    let attempts = || {
        let remembered = world.memory.remembered().unwrap();
        remembered[&Name::parse("a.test").unwrap()].attempts.clone()
    };
    let before = attempts();
    pass(&world, &forced()).await;
    assert_eq!(attempts(), before);
    assert_eq!(before.unwrap().failures, 4);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_ahead_keeps_nobody_from_ordering() {
    let world = FakeWorld::new(&["a.test/10"]);
    let name = Name::parse("a.test").unwrap();
    let ahead = world
        .clock
        .now()
        .checked_add(SignedDuration::from_hours(24 * 365))
        .unwrap();
    let mut ledger = Ledger::default();
    let spent: Vec<_> = (0..4)
        .flat_map(|_| ledger.failed(&Policy::default().ca, &name, ahead))
        .collect();
    world.memory.note(&[Note::Spent(&spent)]).unwrap();
    pass(&world, &forced()).await;
    tokio::time::sleep(Duration::from_hours(24)).await;
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

#[tokio::test(start_paused = true)]
async fn the_name_at_fault_keeps_waiting_in_whichever_site_it_is() {
    let world = FakeWorld::new(&["a.test/10"]);
    world.authority.will("a.test", Behaviour::Refuse);
    pass(&world, &all()).await;
    // What is remembered was about other names, so the site is due again; its name is not.
    let remembered = world.memory.remembered().unwrap();
    let name = Name::parse("a.test").unwrap();
    let attempts = remembered[&name].attempts.clone().unwrap();
    let other = attempts.about(&Name::parse("www.a.test").unwrap().into());
    world
        .memory
        .note(&[Note::Attempts(&name, Some(&other))])
        .unwrap();
    check(
        &world,
        &all(),
        expect![[r#"
        a.test: postponed (a third of its life is left), serves 1, retry at 2026-02-02T00:00:00Z
            rate-limited: a validation failed lately, so the CA is not asked again yet
        1 orders, 0 tests, 0 reloads
    "#]],
    )
    .await;
    tokio::time::sleep(Duration::from_hours(24)).await;
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
