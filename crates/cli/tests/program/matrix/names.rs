//! Which records keep the CA from this host?

use super::fault::Asked::{Either, Issues, Refuses};
use super::fault::Make::{Done, Records};
use super::fault::{Asked, Fault, Make};
use super::world::World;

const fn fault(
    name: &'static str,
    what: &'static str,
    make: Make,
    (verdict, finding): (&'static str, &'static str),
    fix: &'static str,
    asked: Asked,
) -> Fault {
    Fault {
        name,
        what,
        make,
        verdict,
        finding,
        fix,
        asked,
    }
}

const fn fails(finding: &'static str) -> (&'static str, &'static str) {
    ("will-fail", finding)
}

pub(crate) fn faults() -> Vec<Fault> {
    FAULTS.to_vec()
}

const FAULTS: &[Fault] = &[
    fault(
        "nxdomain",
        "the name does not exist",
        Records(&[]),
        fails("dns-no-such-name"),
        "make an A record",
        Refuses,
    ),
    fault(
        "noaddress",
        "the name has no address",
        Records(&["TXT \"x\""]),
        fails("dns-no-address"),
        "make an A record",
        Refuses,
    ),
    fault(
        "moved",
        "the name leads to another host",
        Records(&["A 93.184.216.99"]),
        fails("dns-points-elsewhere"),
        "correct the A record",
        Refuses,
    ),
    fault(
        "half",
        "one of two addresses is another host's",
        Records(&["A 93.184.215.7", "A 93.184.216.99"]),
        fails("dns-points-elsewhere"),
        "remove the second A record",
        Either,
    ),
    fault(
        "silent",
        "the name leads to where nobody answers",
        Records(&["A 93.184.217.1"]),
        fails("dns-points-elsewhere"),
        "correct the A record",
        Refuses,
    ),
    fault(
        "stale6",
        "the AAAA record is another host's, which answers",
        Records(&["A 93.184.215.7", "AAAA 2a01:4f8:bb::99"]),
        fails("ipv6-points-elsewhere"),
        "correct the AAAA record",
        Refuses,
    ),
    fault(
        "private",
        "the name has a private address",
        Records(&["A 10.9.8.7"]),
        fails("dns-private-address"),
        "name the public address",
        Refuses,
    ),
    fault(
        "loopback",
        "the name leads to 127.0.0.1",
        Records(&["A 127.0.0.1"]),
        fails("dns-private-address"),
        "name the public address",
        Refuses,
    ),
    fault(
        "dangling",
        "a CNAME to a name that does not exist",
        Records(&["CNAME nothing.example.net."]),
        fails("dns-no-such-name"),
        "correct the CNAME record",
        Refuses,
    ),
    fault(
        "loop",
        "a CNAME to itself",
        Records(&["CNAME loop.example.net."]),
        fails("dns-server-failure"),
        "correct the CNAME record",
        Refuses,
    ),
    fault(
        "lame",
        "a delegation to servers that do not know the zone",
        Done(lame, undo),
        fails("dns-server-failure"),
        "correct the NS records",
        Refuses,
    ),
    fault(
        "onelame",
        "one of two name servers does not know the zone",
        Done(one_lame, undo),
        ("at-risk", "dns-server-failure"),
        "correct the NS records",
        Issues,
    ),
    fault(
        "onedeaf",
        "one of two name servers does not answer",
        Done(one_deaf, undo),
        ("at-risk", "dns-timeout"),
        "start the name server",
        Issues,
    ),
    fault(
        "differs",
        "two name servers say different things",
        Done(differ, undo),
        ("at-risk", "dns-points-elsewhere"),
        "let the secondary fetch the zone",
        Issues,
    ),
    fault(
        "unsigned",
        "a DS record, and the zone is not signed",
        Done(unsigned, undo),
        fails("dnssec-bogus"),
        "remove the DS record",
        Refuses,
    ),
    fault(
        "wrongds",
        "the DS record is for an older key",
        Done(wrong_ds, undo),
        fails("dnssec-bogus"),
        "replace the DS record",
        Refuses,
    ),
    fault(
        "deaf",
        "a delegation to servers that do not answer",
        Done(deaf, undo),
        fails("dns-timeout"),
        "start the name servers",
        Refuses,
    ),
];

/// The third server knows nothing of the zone.
fn lame(world: &mut World, domain: &str) {
    world.lab.dns(|zones| {
        zones.set(domain, &["NS ns3.example.net."]);
    });
}

/// What the first two servers know of a zone that is in order.
const ZONE: [&str; 4] = [
    "@ NS ns1.example.net.",
    "@ NS ns3.example.net.",
    "@ A 93.184.215.7",
    "@ AAAA 2a01:4f8:aa::7",
];

fn one_lame(world: &mut World, domain: &str) {
    world.lab.dns(|zones| {
        zones.set(domain, &["NS ns1.example.net.", "NS ns3.example.net."]);
        zones.zone(domain, Some(&ZONE), None);
    });
}

fn one_deaf(world: &mut World, domain: &str) {
    world.lab.dns(|zones| {
        zones.set(domain, &["NS ns1.example.net.", "NS silent.example.net."]);
        zones.set("silent.example.net", &["A 93.184.217.1"]);
        let zone = [
            "@ NS ns1.example.net.",
            "@ NS silent.example.net.",
            ZONE[2],
            ZONE[3],
        ];
        zones.zone(domain, Some(&zone), None);
    });
}

/// The third server has an older copy, with another address of this host.
fn differ(world: &mut World, domain: &str) {
    world.lab.dns(|zones| {
        zones.set(domain, &["NS ns1.example.net.", "NS ns3.example.net."]);
        let older = [
            "@ NS ns1.example.net.",
            "@ NS ns3.example.net.",
            "@ A 93.184.215.8",
        ];
        zones.zone(domain, Some(&ZONE), Some(&older));
    });
}

/// The digest of a key that nobody has.
const DS: &str = "4711 13 2 4B9F0D7A3C1E5A6B8D2C7F90E1A3B5C7D9F1E2A4B6C8DAECF0123456789ABCDE";

fn unsigned(world: &mut World, domain: &str) {
    world.lab.dns(|zones| {
        zones.set(domain, &["NS ns1.example.net.", &format!("DS {DS}")]);
        zones.zone(domain, Some(&ZONE), None).anchor(domain, DS);
    });
}

fn wrong_ds(world: &mut World, domain: &str) {
    world.lab.dns(|zones| {
        zones.set(domain, &["NS ns1.example.net.", &format!("DS {DS}")]);
        zones
            .zone(domain, Some(&ZONE), None)
            .anchor(domain, DS)
            .sign(domain);
    });
}

fn deaf(world: &mut World, domain: &str) {
    world.lab.dns(|zones| {
        zones.set(domain, &["NS silent.example.net."]);
        zones.set("silent.example.net", &["A 93.184.217.1"]);
    });
}

/// All records are made anew when everything is mended.
fn undo(world: &mut World, domain: &str) {
    world.lab.dns(|zones| {
        zones.forget(domain);
    });
}
