//! Passes while no nginx runs.

use expect_test::expect;
use renewal::finding::FindingName;
use renewal::policy::Http01Mode;

use super::{all, check, named};
use crate::fakes::{FakeWorld, lock};

#[tokio::test(start_paused = true)]
async fn a_dead_nginx_is_said_once_and_costs_no_order() {
    let world = FakeWorld::new(&["a.test/10", "b.test/10", "c.test/80"]);
    world
        .host
        .change(|state| state.dead = Some(FindingName::NginxNotRunning));
    check(&world, &all(), expect![[r#"
        a.test: postponed (no nginx runs with the configuration that was read, so the CA was not asked; see nginx-not-running), serves 1, retry at 2026-02-01T00:00:00Z
        b.test: postponed (no nginx runs with the configuration that was read, so the CA was not asked; see nginx-not-running), serves 1, retry at 2026-02-01T00:00:00Z
        c.test: not-due (not due before 2026-03-22T15:06:18Z, when a third of its life is left), serves 1
        host: nginx-not-running: there is no nginx
        0 orders, 0 tests, 0 reloads
    "#]]).await;
    check(&world, &named("c.test"), expect![[r#"
        c.test: not-due (not due before 2026-03-22T15:06:18Z, when a third of its life is left), serves 1
        host: nginx-not-running: there is no nginx
        0 orders, 0 tests, 0 reloads
    "#]]).await;
    world.host.change(|state| state.dead = None);
    check(&world, &all(), expect![[r#"
        a.test: renewed (a third of its life is left), serves 2
        b.test: renewed (a third of its life is left), serves 2
        c.test: not-due (not due before 2026-03-22T15:06:18Z, when a third of its life is left), serves 1
        2 orders, 1 tests, 1 reloads
    "#]]).await;
}

#[tokio::test(start_paused = true)]
async fn without_nginx_only_a_listener_of_ours_answers_and_what_it_obtains_waits_in_place() {
    let world = FakeWorld::new(&["a.test/10", "b.test/10"]);
    world.host.change(|state| {
        state.dead = Some(FindingName::NginxNotRunning);
        state.off_port_80.insert("a.test".to_owned());
    });
    check(&world, &all(), expect![[r#"
        a.test: postponed (its new certificate is in place, and nginx serves it once it is started; see nginx-not-running), serves 1, retry at 2026-02-01T00:00:00Z
        b.test: postponed (no nginx runs with the configuration that was read, so the CA was not asked; see nginx-not-running), serves 1, retry at 2026-02-01T00:00:00Z
        host: nginx-not-running: there is no nginx
        1 orders, 1 tests, 0 reloads
    "#]]).await;
    assert_eq!(
        lock(&world.host.state).lineages["a.test"].linked,
        Some(2),
        "nginx reads it when it starts"
    );
    // Still dead: what is in place stays there.
    check(&world, &all(), expect![[r#"
        a.test: not-due (not due before 2026-04-01T08:20:21Z, when a third of its life is left), serves 1
        b.test: postponed (no nginx runs with the configuration that was read, so the CA was not asked; see nginx-not-running), serves 1, retry at 2026-02-01T00:00:00Z
        host: nginx-not-running: there is no nginx
        1 orders, 2 tests, 0 reloads
    "#]]).await;
    assert_eq!(lock(&world.host.state).lineages["a.test"].linked, Some(2));
    world.host.change(|state| state.dead = None);
    check(&world, &named("a.test"), expect![[r#"
        a.test: not-due (not due before 2026-04-01T08:20:21Z, when a third of its life is left), serves 2
        1 orders, 3 tests, 1 reloads
    "#]]).await;
}

#[tokio::test(start_paused = true)]
async fn set_to_standalone_a_site_is_answered_on_the_port_of_a_dead_nginx() {
    let world = FakeWorld::new(&["a.test/10"]);
    world.host.change(|state| {
        state.dead = Some(FindingName::NginxNotRunning);
        state.http01 = Http01Mode::Standalone;
    });
    check(&world, &all(), expect![[r#"
        a.test: postponed (its new certificate is in place, and nginx serves it once it is started; see nginx-not-running), serves 1, retry at 2026-02-01T00:00:00Z
        host: nginx-not-running: there is no nginx
        1 orders, 1 tests, 0 reloads
    "#]]).await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_nginx_costs_no_order_whoever_would_answer() {
    let world = FakeWorld::new(&["a.test/10"]);
    world.host.change(|state| {
        state.dead = Some(FindingName::NginxNotInstalled);
        state.http01 = Http01Mode::Standalone;
    });
    check(&world, &all(), expect![[r#"
        a.test: postponed (nginx is not installed, or not where the configuration says, so the CA was not asked; see nginx-not-installed), serves 1, retry at 2026-02-01T00:00:00Z
        host: nginx-not-installed: there is no nginx
        0 orders, 0 tests, 0 reloads
    "#]]).await;
}
