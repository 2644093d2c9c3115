//! Does the doctor name the cause of every fault that we can make, and does a CA agree?
//!
//! The faults are data ([`Fault`]): how each is made, what must be found first, what the told fix is, what pebble says
//! when it is asked all the same. Each site of a [`World`] has one; the world is a network of its own, in which names
//! lead to the host's real ports by way of real DNS servers, and the CA knocks from outside. For every fault: what is
//! found first is what it is; neither the doctor nor a renewal costs a failed validation; after the fix the renewal
//! succeeds.

mod fault;
mod files;
mod names;
mod vhosts;
mod world;

use self::fault::Fault;
use self::world::World;

/// Makes all these faults on one host, each on a site of its own.
#[track_caller]
fn each_on_a_site_of_its_own(faults: &[Fault]) {
    let mut world = World::with(faults);
    let mut wrong = Vec::new();
    let examined = world.ask(&["site:doctor"]);
    for fault in faults {
        wrong.extend(fault.misjudged(&examined));
    }
    let spent = world.pebble.requests().of_orders();
    assert_eq!(
        (spent, world.pebble.failed_validations()),
        (0, 0),
        "the doctor costs nothing"
    );
    wrong.extend(world.opinions(faults));

    let renewed = world.ask(&["site:renew-certificates"]);
    for fault in faults {
        let outcome = renewed.outcome(&fault.domain());
        if (outcome == "renewed") != fault.renews() {
            wrong.push(format!("{}: {outcome} with the fault", fault.name));
        }
    }
    let failed = world.pebble.failed_validations();
    assert_eq!(failed, 0, "the preflight stops what would fail: {wrong:#?}");

    world.mend(faults);
    let renewed = world.ask(&["site:renew-certificates", "--force"]);
    for fault in faults {
        let outcome = renewed.outcome(&fault.domain());
        if outcome != "renewed" {
            let site = renewed.site(&fault.domain());
            wrong.push(format!("{}: {outcome} after the fix: {site:#}", fault.name));
        }
    }
    let examined = world.ask(&["site:doctor"]);
    for fault in faults {
        let verdict = &examined.site(&fault.domain())["verdict"];
        if verdict != "ready" {
            let site = examined.site(&fault.domain());
            wrong.push(format!("{}: {verdict} after the fix: {site:#}", fault.name));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn vhosts_that_stop_the_challenge() {
    each_on_a_site_of_its_own(&vhosts::faults());
}

#[test]
fn names_that_lead_astray() {
    each_on_a_site_of_its_own(&names::faults());
}

#[test]
fn files_that_cannot_be_used() {
    each_on_a_site_of_its_own(&files::faults());
}
