//! What earlier runs left open, one case after the other.

use std::sync::Arc;

use jiff::SignedDuration;
use renewal::certificate::Fingerprint;
use renewal::deployment::{Deployment, LinkSwitch, Phase, Switch};
use renewal::name::Name;
use renewal::ports::{Clock as _, Memory as _};

use crate::fakes::{FakeWorld, certificate, lock};
use crate::pass::{Request, run};
use crate::world::Stop;

/// Has a site serve version 1, and some later versions in its archive.
fn world(versions: &[u32], linked: u32) -> Arc<FakeWorld> {
    let world = FakeWorld::new(&["a.test/80"]);
    let now = world.clock.now();
    world.host.change(|state| {
        let lineage = state.lineages.get_mut("a.test").unwrap();
        for version in versions {
            let began = SignedDuration::from_hours(i64::from(*version));
            let names = vec![Name::parse("a.test").unwrap()];
            let number = u8::try_from(*version).unwrap();
            let cert = certificate(names, now.checked_add(began).unwrap(), number);
            lineage.versions.insert(*version, cert);
        }
        lineage.linked = Some(linked);
    });
    world
}

/// Leaves a deployment open.
fn open(world: &FakeWorld, from: u32, to: u32, phase: Phase) {
    let serves = lock(&world.host.state).lineages["a.test"].versions[&to].sha256;
    leave(world, "a.test", (from, to), serves, phase);
}

fn leave(
    world: &FakeWorld,
    domain: &str,
    (from, to): (u32, u32),
    serves: Fingerprint,
    phase: Phase,
) {
    let deployment = Deployment {
        switches: vec![Switch {
            domain: Name::parse(domain).unwrap(),
            links: Some(LinkSwitch {
                lineage: domain.to_owned(),
                from: Some(from),
                to,
                serves,
            }),
            pair: None,
            edits: Vec::new(),
        }],
        phase,
        begun_at: world.clock.now(),
    };
    world.memory.begin(&deployment).unwrap();
}

/// Makes a pass; returns which version is linked, which is served, how often nginx was reloaded, and how many
/// deployments are still open.
async fn recovered(world: &Arc<FakeWorld>) -> (Option<u32>, u32, u32, usize) {
    // An hour later every version is valid.
    tokio::time::sleep(std::time::Duration::from_hours(12)).await;
    let (_sender, stop) = Stop::channel();
    run(world, &Request::default(), &stop).await.unwrap();
    let state = lock(&world.host.state);
    let (linked, reloads) = (state.lineages["a.test"].linked, state.reloads);
    drop(state);
    let open = world.memory.open_deployments().unwrap().len();
    (linked, world.host.serves("a.test"), reloads, open)
}

#[tokio::test(start_paused = true)]
async fn two_deployments_of_one_site_cost_one_reload_and_the_older_is_never_served() {
    let world = world(&[2, 3], 3);
    open(&world, 1, 2, Phase::Reloaded);
    open(&world, 2, 3, Phase::Reloaded);
    assert_eq!(recovered(&world).await, (Some(3), 3, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_another_client_linked_since_is_not_switched_back() {
    let world = world(&[2, 3], 3);
    world.host.change(|state| {
        let lineage = state.lineages.get_mut("a.test").unwrap();
        lineage.served = Some(lineage.versions[&3].sha256);
    });
    open(&world, 1, 2, Phase::Reloaded);
    assert_eq!(recovered(&world).await, (Some(3), 3, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_was_tested_is_tested_again_before_the_reload() {
    let world = world(&[2], 2);
    open(&world, 1, 2, Phase::Tested);
    // Somebody broke it while no run was there to see.
    world.host.change(|state| state.broken = true);
    let (_, serves, reloads, _) = recovered(&world).await;
    assert_eq!((serves, reloads), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_nginx_may_have_loaded_stays_linked_while_somebody_elses_fault_stands() {
    let world = world(&[2], 2);
    open(&world, 1, 2, Phase::Tested);
    world.host.change(|state| state.broken = true);
    assert_eq!(recovered(&world).await, (Some(2), 1, 0, 1));
    world.host.change(|state| state.broken = false);
    assert_eq!(recovered(&world).await, (Some(2), 2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_nginx_refuses_is_undone() {
    let world = world(&[2], 2);
    open(&world, 1, 2, Phase::Switched);
    world
        .host
        .change(|state| _ = state.poisoned.insert("a.test".into()));
    let (_, serves, reloads, open) = recovered(&world).await;
    assert_eq!((serves, reloads, open), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_nginx_refuses_of_one_site_does_not_hold_up_another() {
    let world = FakeWorld::new(&["a.test/80", "b.test/80"]);
    let now = world.clock.now();
    for domain in ["a.test", "b.test"] {
        let cert = certificate(vec![Name::parse(domain).unwrap()], now, 7);
        leave(&world, domain, (1, 2), cert.sha256, Phase::Switched);
        world.host.change(|state| {
            let lineage = state.lineages.get_mut(domain).unwrap();
            lineage.versions.insert(2, cert);
            lineage.linked = Some(2);
        });
    }
    // It is the second one that nginx does not like.
    world
        .host
        .change(|state| _ = state.poisoned.insert("b.test".into()));
    assert_eq!(recovered(&world).await, (Some(2), 2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lineage_that_was_made_anew_is_not_waited_for() {
    let world = world(&[2], 2);
    leave(
        &world,
        "a.test",
        (1, 2),
        Fingerprint([99; 32]),
        Phase::Reloaded,
    );
    world.host.change(|state| {
        let lineage = state.lineages.get_mut("a.test").unwrap();
        lineage.served = Some(lineage.versions[&2].sha256);
    });
    assert_eq!(recovered(&world).await, (Some(2), 2, 0, 0));
}
