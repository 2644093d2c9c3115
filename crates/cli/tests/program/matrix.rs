//! Does the doctor name the cause of every fault that we can make, and does a CA agree?
//!
//! The faults are data ([`Fault`]): how each is made, what must be found first, what the told fix is, what pebble says
//! when it is asked all the same. Each site of a [`World`] has one; the world is a network of its own, in which names
//! lead to the host's real ports by way of real DNS servers, and the CA knocks from outside. For every fault: what is
//! found first is what it is; neither the doctor nor a renewal costs a failed validation; after the fix the renewal
//! succeeds.

mod fault;
mod files;
mod host;
mod names;
mod odd;
mod pairs;
mod table;
mod vhosts;
mod world;

use std::thread;
use std::time::Instant;

use self::fault::{Fault, first_of};
use self::host::{HostFault, Renewal};
use self::odd::Odd;
use self::pairs::Pair;
use self::world::World;
use crate::disk;
use testkit::nginx::Site;

/// All of it side by side, as most of the time goes into waiting for what does not answer. How long each part took is
/// shown with `--nocapture`.
#[test]
fn every_fault_is_named_and_can_be_mended() {
    let groups: [(&str, fn()); 11] = [
        ("vhosts", vhosts_that_stop_the_challenge),
        ("names", names_that_lead_astray),
        ("host", a_host_cut_off),
        ("resolver", a_resolver_that_is_silent),
        ("outbound", a_ca_that_is_out_of_reach),
        ("nginx", an_nginx_that_cannot_answer),
        ("firewall", a_firewall_that_stops_the_ca),
        ("files", files_that_cannot_be_used),
        ("pairs", two_faults_that_hide_each_other),
        ("odd", odd_configurations_are_healthy),
        ("stream", modules_and_a_stream_before_https_are_healthy),
    ];
    let failed: Vec<&str> = thread::scope(|scope| {
        let running = groups.map(|(name, run)| {
            let group = scope.spawn(move || {
                let start = Instant::now();
                run();
                tell(name, start);
            });
            (name, group)
        });
        let ended = running.map(|(name, group)| group.join().err().map(|_| name));
        ended.into_iter().flatten().collect()
    });
    assert!(failed.is_empty(), "what is above is wrong in: {failed:?}");
}

#[expect(clippy::print_stderr, reason = "a person asked how long it takes")]
fn tell(what: &str, start: Instant) {
    eprintln!("{what}: {:.1} s", start.elapsed().as_secs_f64());
}

/// Makes all these faults on one host, each on a site of its own.
#[track_caller]
fn each_on_a_site_of_its_own(faults: &[Fault]) {
    let mut world = World::with(faults);
    let mut wrong = Vec::new();
    let start = Instant::now();
    let examined = world.ask(&["site:doctor"]);
    tell("all faults of a group", start);
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

/// Makes these faults of the host one after the other.
#[track_caller]
fn one_after_the_other(faults: &[HostFault]) {
    let mut world = World::with_one_site("a.example.net");
    let (mut wrong, mut failed) = (Vec::new(), 0);
    for fault in faults {
        (fault.make)(&mut world);
        let orders = world.pebble.requests().of_orders();
        let start = Instant::now();
        let examined = world.ask(&["site:doctor"]);
        tell(fault.name, start);
        let all = [&examined.json["host"], &examined.json["sites"][0]["checks"]];
        let all: Vec<serde_json::Value> = all
            .iter()
            .filter_map(|checks| checks.as_array())
            .flatten()
            .cloned()
            .collect();
        let all = serde_json::Value::Array(all);
        let first = first_of(&all).map_or("none", |finding| finding["name"].as_str().unwrap());
        if first != fault.finding || examined.json["verdict"] != fault.verdict {
            wrong.push(format!(
                "{}: {} {} expected, not {} {first}: {all:#}",
                fault.name, fault.verdict, fault.finding, examined.json["verdict"]
            ));
        }
        if fault.renewal != Renewal::NotTried {
            let renewed = world.ask(&["site:renew-certificates", "--force"]);
            let outcome = renewed.json["sites"][0]["outcome"]
                .as_str()
                .unwrap_or("none");
            if matches!(outcome, "renewed" | "issued") != (fault.renewal == Renewal::Succeeds) {
                wrong.push(format!(
                    "{}: {outcome} with the fault: {:#}",
                    fault.name, renewed.json
                ));
            }
        }
        if fault.renewal == Renewal::Stopped && world.pebble.requests().of_orders() != orders {
            wrong.push(format!("{}: the CA was asked", fault.name));
        }
        let now = world.pebble.failed_validations();
        if now != failed {
            wrong.push(format!("{}: a validation failed", fault.name));
            failed = now;
        }
        (fault.mend)(&mut world);
        let renewed = world.ask(&["site:renew-certificates", "--force"]);
        let outcome = renewed.json["sites"][0]["outcome"]
            .as_str()
            .unwrap_or("none");
        if outcome != "renewed" {
            wrong.push(format!(
                "{}: {outcome} after the fix: {:#}",
                fault.name, renewed.json
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Has each of these renewed, with nothing fatal said of any.
#[track_caller]
fn all_are_healthy(mut world: World, configurations: &[Odd]) {
    world.host.unset("nginx", "edit");
    let domain = |odd: &Odd| format!("{}.example.net", odd.name);
    for odd in configurations {
        world.add_vhost(odd.vhost, &domain(odd));
    }
    world.host.nginx.launch();
    world.lab.dns(|zones| {
        for odd in configurations {
            zones.set(&domain(odd), odd.records);
        }
    });
    let mut wrong = Vec::new();
    let examined = world.ask(&["site:doctor"]);
    for odd in configurations {
        let site = examined.site(&domain(odd));
        if site["verdict"] == "will-fail" {
            wrong.push(format!("{}: {site:#}", odd.name));
        }
    }
    assert_eq!(world.pebble.requests().of_orders(), 0);
    let renewed = world.ask(&["site:renew-certificates"]);
    for odd in configurations {
        if renewed.outcome(&domain(odd)) != "renewed" {
            wrong.push(format!("{}: {:#}", odd.name, renewed.site(&domain(odd))));
        }
    }
    assert_eq!(world.pebble.failed_validations(), 0, "{wrong:#?}");
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn odd_configurations_are_healthy() {
    let mut world = World::new();
    world.host.nginx.add(Site::refusal().catches_all());
    all_are_healthy(world, &odd::configurations());
}

fn modules_and_a_stream_before_https_are_healthy() {
    let world = World::new();
    let main = world.host.nginx.config();
    let text = std::fs::read_to_string(&main).unwrap();
    disk::put(&main, format!("{}{text}{}", odd::MODULES, odd::STREAM));
    all_are_healthy(world, &odd::behind_stream());
}

fn two_faults_that_hide_each_other() {
    let pairs = pairs::pairs();
    let domain = |pair: &Pair| format!("{}.example.net", pair.name);
    let faults: Vec<Fault> = pairs.iter().map(Pair::of_the_vhost).collect();
    let mut world = World::with(&faults);
    world.lab.dns(|zones| {
        for pair in &pairs {
            zones.set(&domain(pair), pair.records);
        }
    });
    let mut wrong = Vec::new();
    let mut expect = |world: &World, which: usize| {
        let examined = world.ask(&["site:doctor"]);
        for pair in &pairs {
            let site = examined.site(&domain(pair));
            let first = first_of(&site["checks"]).map(|finding| finding["name"].clone());
            if first.is_none_or(|name| name != pair.findings[which]) {
                wrong.push(format!(
                    "{}: {} expected: {site:#}",
                    pair.name, pair.findings[which]
                ));
            }
        }
    };
    expect(&world, 0);
    world.lab.dns(|zones| {
        for pair in &pairs {
            zones.set(&domain(pair), &world::healthy());
        }
    });
    expect(&world, 1);
    world.mend(&faults);
    let renewed = world.ask(&["site:renew-certificates", "--force"]);
    for pair in &pairs {
        if renewed.outcome(&domain(pair)) != "renewed" {
            wrong.push(format!("{}: {:#}", pair.name, renewed.site(&domain(pair))));
        }
    }
    assert_eq!(world.pebble.failed_validations(), 0);
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn an_nginx_that_cannot_answer() {
    one_after_the_other(&host::of_nginx());
}

fn a_firewall_that_stops_the_ca() {
    one_after_the_other(&host::of_firewall());
}

fn a_host_cut_off() {
    one_after_the_other(&host::of_host());
}

fn a_resolver_that_is_silent() {
    one_after_the_other(&host::of_resolver());
}

fn a_ca_that_is_out_of_reach() {
    one_after_the_other(&host::of_outbound());
}

fn vhosts_that_stop_the_challenge() {
    each_on_a_site_of_its_own(&vhosts::faults());
}

fn names_that_lead_astray() {
    each_on_a_site_of_its_own(&names::faults());
}

fn files_that_cannot_be_used() {
    each_on_a_site_of_its_own(&files::faults());
}
