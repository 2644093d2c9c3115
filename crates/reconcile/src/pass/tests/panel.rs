//! Does the panel's record follow what is served, and do the files follow a better record?

use renewal::certificate::{Certificate, Fingerprint};
use renewal::window::Window;

use super::*;

/// A world whose panel records what its sites serve.
fn panelled(sites: &[&str]) -> Arc<FakeWorld> {
    let world = FakeWorld::new(sites);
    for (domain, lineage) in &lock(&world.host.state).lineages {
        if let Some(first) = lineage.versions.get(&1) {
            world.panel.has(domain, first.clone());
        }
    }
    world
}

fn writes(world: &FakeWorld) -> u32 {
    lock(&world.panel.state).writes
}

#[tokio::test(start_paused = true)]
async fn what_is_served_is_recorded_once() {
    let world = panelled(&["a.test/10", "b.test/80"]);
    let before = world.panel.records("b.test");
    let first = pass(&world, &all()).await;
    expect![[r#"
        a.test: renewed (a third of its life is left), serves 2
        b.test: not-due (not due before 2026-03-22T22:25:24Z, when a third of its life is left), serves 1
        1 orders, 1 tests, 1 reloads
    "#]]
    .assert_eq(&shown(&world, &first));
    assert_eq!(world.panel.records("a.test").unwrap(), "01");
    assert_eq!(world.panel.records("b.test"), before);
    assert_eq!(writes(&world), 1);
    let _ = pass(&world, &all()).await;
    assert_eq!(writes(&world), 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_could_not_be_written_is_written_by_the_next_run_without_an_order() {
    let world = panelled(&["a.test/10"]);
    lock(&world.panel.state).held = true;
    let first = pass(&world, &all()).await;
    expect![[r#"
        a.test: renewed (a third of its life is left), serves 2
            panel-not-written: somebody else holds it
        1 orders, 1 tests, 1 reloads
    "#]]
    .assert_eq(&shown(&world, &first));
    let still = pass(&world, &all()).await;
    expect![[r#"
        a.test: not-due (not due before 2026-04-01T08:20:21Z, when a third of its life is left), serves 2
            panel-drift: CloudPanel's record of the site's certificate is behind what is served.
        host: panel-not-written: somebody else holds it
        1 orders, 1 tests, 1 reloads
    "#]]
    .assert_eq(&shown(&world, &still));
    lock(&world.panel.state).held = false;
    let then = pass(&world, &all()).await;
    expect![[r#"
        a.test: not-due (not due before 2026-04-01T08:20:21Z, when a third of its life is left), serves 2
        1 orders, 1 tests, 1 reloads
    "#]]
    .assert_eq(&shown(&world, &then));
    assert_eq!(world.panel.records("a.test").unwrap(), "01");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_seen_to_be_served_is_not_recorded() {
    let world = panelled(&["a.test/10"]);
    let old = world.panel.records("a.test");
    world.host.change(|state| state.deaf = true);
    let _ = pass(&world, &all()).await;
    let _ = pass(&world, &all()).await;
    assert_eq!(world.panel.records("a.test"), old);
    world.host.change(|state| state.deaf = false);
    let _ = pass(&world, &all()).await;
    assert_eq!(world.panel.records("a.test").unwrap(), "01");
    assert_eq!(lock(&world.authority.placed).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_panel_renewed_by_itself_is_deployed_without_an_order() {
    let world = panelled(&["a.test/10"]);
    let now = world.clock.now();
    let later = |days: i64| {
        now.checked_add(SignedDuration::from_hours(days * 24))
            .unwrap()
    };
    world.panel.has(
        "a.test",
        Certificate {
            valid: Window::new(now, later(90)).unwrap(),
            serial: "07".to_owned(),
            sha256: Fingerprint([7; 32]),
            ..lock(&world.host.state).lineages["a.test"].versions[&1].clone()
        },
    );
    lock(&world.panel.state)
        .chains
        .insert("a.test".to_owned(), format!("a.test|{now}|7"));
    let first = pass(&world, &all()).await;
    expect![[r#"
        a.test: renewed (a certificate obtained earlier is not deployed yet), serves 2
        0 orders, 1 tests, 1 reloads
    "#]]
    .assert_eq(&shown(&world, &first));
    assert_eq!(writes(&world), 0);
}

fn subjects(world: &FakeWorld) -> Vec<String> {
    let state = lock(&world.panel.state);
    state
        .notices
        .iter()
        .map(|notice| notice.subject.clone())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_failure_and_its_recovery_are_told_once_each() {
    let world = panelled(&["a.test/10"]);
    let unreachable = |is: bool| {
        world.host.change(|state| {
            if is {
                state.unreachable.insert("a.test".to_owned());
            } else {
                state.unreachable.clear();
            }
        });
    };
    unreachable(true);
    for _ in 0..3 {
        let _ = pass(&world, &all()).await;
        assert_eq!(
            subjects(&world),
            ["clpctl: the certificate of a.test could not be renewed"]
        );
        tokio::time::sleep(Duration::from_hours(24)).await;
    }
    // Whoever deletes it has read it.
    lock(&world.panel.state).notices.clear();
    let _ = pass(&world, &all()).await;
    assert_eq!(subjects(&world), [""; 0]);
    unreachable(false);
    let _ = pass(&world, &all()).await;
    assert_eq!(
        subjects(&world),
        ["clpctl: the certificate of a.test is renewed again"]
    );
    unreachable(true);
    let _ = pass(&world, &forced()).await;
    assert_eq!(
        subjects(&world),
        ["clpctl: the certificate of a.test could not be renewed"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_told_is_told_by_the_next_run() {
    let world = panelled(&["a.test/10"]);
    world
        .host
        .change(|state| state.unreachable.insert("a.test".to_owned()));
    lock(&world.panel.state).held = true;
    let first = pass(&world, &all()).await;
    assert_eq!(first.report.findings.len(), 1);
    assert_eq!(subjects(&world), [""; 0]);
    lock(&world.panel.state).held = false;
    let _ = pass(&world, &all()).await;
    assert_eq!(subjects(&world).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_works_at_the_first_try_is_not_told() {
    let world = panelled(&["a.test/10"]);
    let _ = pass(&world, &all()).await;
    assert_eq!(subjects(&world), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn where_no_panel_is_nobody_is_told_and_nothing_says_so() {
    let world = FakeWorld::new(&["a.test/10"]);
    world
        .host
        .change(|state| state.unreachable.insert("a.test".to_owned()));
    let _ = pass(&world, &all()).await;
    let history = world.memory.history(None, 10).unwrap();
    let happened: Vec<&str> = history.iter().map(|entry| &*entry.what).collect();
    assert_eq!(happened, ["failed"]);
    assert_eq!(subjects(&world), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_run_of_the_panels_that_begins_amid_ours_is_waited_for_before_the_next_order() {
    let world = panelled(&["a.test/10", "b.test/10"]);
    {
        let mut state = lock(&world.panel.state);
        state.at_work = Some("process 7, lets-encrypt:renew:certificates".to_owned());
        // Not yet when the run begins.
        state.at_work_after = 1;
    }
    let first = pass(&world, &all()).await;
    expect![[r#"
        a.test: postponed (CloudPanel is obtaining certificates itself (process 7, lets-encrypt:renew:certificates), and is waited for; see another-run-holds-the-lock), serves 1, retry at 2026-02-01T00:02:00Z
        b.test: postponed (CloudPanel is obtaining certificates itself (process 7, lets-encrypt:renew:certificates), and is waited for; see another-run-holds-the-lock), serves 1, retry at 2026-02-01T00:02:00Z
        0 orders, 0 tests, 0 reloads
    "#]]
    .assert_eq(&shown(&world, &first));
    lock(&world.panel.state).at_work = None;
    let then = pass(&world, &all()).await;
    expect![[r#"
        a.test: renewed (a third of its life is left), serves 2
        b.test: renewed (a third of its life is left), serves 2
        2 orders, 1 tests, 1 reloads
    "#]]
    .assert_eq(&shown(&world, &then));
}
