//! Is the host well whatever the CA does?

use std::fs;
use std::time::Duration;

use testca::{
    ChainFault, Endpoint, Fault, IssuanceFault, RateLimit, Refusal, RetryAfter, ValidationFault,
    WireFault,
};
use testkit::nginx::Site;
use testkit::openssl;
use testkit::program::wait_until;

use crate::answer::{ask, clpctl, renew};
use crate::disk::{self, NOTHING, assert_served, linked_version};
use crate::hosts::host_with;
use crate::practice::Practice;

#[test]
fn a_rate_limit_is_waited_for_and_not_run_into_again() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    let limited = Refusal::RateLimited {
        limit: RateLimit::CertificatesPerDomain,
        retry_after: RetryAfter::Seconds(7200),
    };
    practice
        .ca
        .add_fault(Fault::new(limited).at(Endpoint::NewOrder));
    let files = disk::lineage(&host, "a.test");
    let answer = ask(&host, &["site:renew-certificates"]).expect_code(3);
    assert_eq!(answer.outcome("a.test"), "postponed", "{:#}", answer.json);
    let _ = answer.finding("a.test", "rate-limited");
    let moment = |answer: &crate::answer::Answer| -> jiff::Timestamp {
        let retry_at = answer.site("a.test")["retry_at"].as_str();
        let retry_at = retry_at.unwrap_or_else(|| panic!("{:#}", answer.json));
        let retry_at: jiff::Timestamp = retry_at.parse().unwrap();
        // What is remembered is remembered to the microsecond.
        retry_at.round(jiff::Unit::Second).unwrap()
    };
    let started: jiff::Timestamp = answer.json["started_at"].as_str().unwrap().parse().unwrap();
    let wait = moment(&answer).duration_since(started).as_secs();
    assert!((7190..7320).contains(&wait), "{wait} s");
    // Neither the clock's next hour nor force asks again; the moment itself does.
    for words in [
        &["site:renew-certificates", "--clock-offset=+1h"][..],
        &["site:renew-certificates", "--force"],
    ] {
        let again = ask(&host, words).expect_code(3);
        assert_eq!(again.outcome("a.test"), "postponed", "{:#}", again.json);
        assert_eq!(moment(&again), moment(&answer));
    }
    assert_eq!(practice.asked(Endpoint::NewOrder), 1);
    assert_eq!(
        disk::differences(&files, &disk::lineage(&host, "a.test")),
        NOTHING
    );
    practice.ca.set_faults(Vec::new());
    let later = ask(&host, &["site:renew-certificates", "--clock-offset=+3h"]).expect_code(0);
    assert_eq!(later.outcome("a.test"), "renewed");
}

#[test]
fn an_outage_with_a_date_is_waited_out() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    let outage = Refusal::Unavailable {
        retry_after: Some(RetryAfter::DateIn(2)),
    };
    practice
        .ca
        .add_fault(Fault::new(outage).at(Endpoint::NewOrder).times(1));
    assert_eq!(renew(&host).outcome("a.test"), "renewed");
    assert_eq!(practice.asked(Endpoint::NewOrder), 2);
    assert_eq!(practice.ca.issued(), 1);
    assert_served(&host, "a.test");
}

#[test]
fn connections_that_break_once_anywhere_cost_no_second_certificate() {
    let asked = [
        Endpoint::Directory,
        Endpoint::NewNonce,
        Endpoint::NewAccount,
        Endpoint::NewOrder,
        Endpoint::Authorization,
        Endpoint::Challenge,
        Endpoint::Order,
        Endpoint::Finalize,
        Endpoint::Certificate,
    ];
    for broken in [
        WireFault::DropRequest,
        WireFault::LoseReply,
        WireFault::CutReply { after: 3 },
    ] {
        let mut host = host_with([(Site::files("a.test"), 10)]);
        let practice = Practice::start(&mut host, |_| {});
        for endpoint in asked {
            practice
                .ca
                .add_fault(Fault::new(broken.clone()).at(endpoint).times(1));
        }
        let answer = ask(&host, &["site:renew-certificates"]);
        assert_eq!(answer.code, Some(0), "{broken:?}: {:#}", answer.json);
        assert_eq!(answer.outcome("a.test"), "renewed");
        assert_eq!(practice.ca.issued(), 1, "{broken:?}");
        assert_served(&host, "a.test");
    }
}

#[test]
fn certificates_that_must_not_be_served_are_not() {
    let broken: [(&str, testca::Effect); 8] = [
        ("key.test", IssuanceFault::WrongKey.into()),
        ("names.test", IssuanceFault::WrongNames.into()),
        ("fewer.test", IssuanceFault::MissingName.into()),
        ("ended.test", IssuanceFault::Expired.into()),
        ("early.test", IssuanceFault::NotYetValid.into()),
        ("leaf.test", ChainFault::LeafOnly.into()),
        ("foreign.test", ChainFault::ForeignIntermediate.into()),
        ("cut.test", ChainFault::Truncated.into()),
    ];
    let sites = broken.iter().map(|(domain, _)| {
        let alias = format!("www.{domain}");
        (Site::files(domain).also(&alias), 10)
    });
    let mut host = host_with(sites.chain([(Site::files("good.test"), 10)]));
    let practice = Practice::start(&mut host, |_| {});
    for (domain, effect) in broken.clone() {
        practice.ca.add_fault(Fault::new(effect).of_name(domain));
    }
    let before = broken
        .clone()
        .map(|(domain, _)| disk::tree(&host.live(domain), &[]));
    let answer = ask(&host, &["site:renew-certificates"]).expect_code(1);
    assert_eq!(answer.outcome("good.test"), "renewed", "{:#}", answer.json);
    assert_served(&host, "good.test");
    for ((domain, effect), before) in broken.iter().zip(before) {
        assert_eq!(
            answer.outcome(domain),
            "failed",
            "{effect:?}: {:#}",
            answer.json
        );
        let findings = answer.site(domain)["findings"].to_string();
        assert!(
            ["certificate-rejected", "chain-incomplete", "clock-wrong"]
                .iter()
                .any(|name| findings.contains(name)),
            "{effect:?}: {findings}"
        );
        assert_eq!(
            disk::differences(&before, &disk::tree(&host.live(domain), &[])),
            NOTHING
        );
        assert_eq!(linked_version(&host, domain), 1);
        // The first version's file is what the older CA issued.
        assert_served(&host, domain);
    }
    assert_eq!(host.nginx.reloads(), 1);
    // Another order for the same would give the same: it is not made at once.
    let orders = practice.asked(Endpoint::NewOrder);
    let _ = ask(&host, &["site:renew-certificates"]);
    assert_eq!(practice.asked(Endpoint::NewOrder), orders);
}

#[test]
fn a_directory_that_is_a_page_for_people_is_told() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    practice
        .ca
        .add_fault(Fault::new(WireFault::Html).at(Endpoint::Directory));
    let files = disk::lineage(&host, "a.test");
    let answer = ask(&host, &["site:renew-certificates"]);
    assert_eq!(answer.outcome("a.test"), "failed", "{:#}", answer.json);
    let said = answer.site("a.test")["findings"].to_string();
    assert!(said.contains(&practice.ca.directory_url()), "{said}");
    assert!(
        said.contains("JSON") || said.contains("directory"),
        "{said}"
    );
    assert!(matches!(answer.code, Some(1 | 3)), "{:?}", answer.code);
    assert_eq!(
        disk::differences(&files, &disk::lineage(&host, "a.test")),
        NOTHING
    );
    assert_eq!(host.nginx.reloads(), 0);
}

#[test]
fn a_ca_that_cannot_be_reached_is_tried_later() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    host.set("acme", "directory", "\"https://127.0.0.1:9/directory\"");
    let files = disk::lineage(&host, "a.test");
    let answer = ask(&host, &["site:renew-certificates"]).expect_code(3);
    let finding = answer.finding("a.test", "ca-unreachable").to_string();
    assert!(finding.contains("127.0.0.1:9"), "{finding}");
    assert_eq!(
        disk::differences(&files, &disk::lineage(&host, "a.test")),
        NOTHING
    );
    assert_eq!(practice.ca.requests().total(), 0);
}

#[test]
fn a_ca_whose_certificate_is_not_trusted_gets_nothing() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    let stranger = testkit::certificate::Authority::new("Stranger");
    let bundle = host.folder().join("stranger.pem");
    fs::write(&bundle, stranger.root()).unwrap();
    host.set_ca(&practice.ca.directory_url(), &bundle);
    let answer = ask(&host, &["site:renew-certificates"]).expect_code(1);
    let _ = answer.finding("a.test", "ca-not-trusted");
    assert_eq!(practice.ca.requests().total(), 0);
}

#[test]
fn a_validation_that_hangs_holds_up_no_other_site() {
    let mut host = host_with([(Site::files("slow.test"), 10), (Site::files("b.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    let hangs = ValidationFault::Slow(Duration::from_secs(3600));
    practice
        .ca
        .add_fault(Fault::new(hangs).of_name("slow.test"));
    let address = host.nginx.https_addresses()[0];
    let old = openssl::served(address, "b.test").unwrap();
    let mut running = clpctl(&host).spawn(&["site:renew-certificates", "--json"]);
    let renewed = || openssl::served(address, "b.test").is_some_and(|served| served != old);
    let served = wait_until(Duration::from_secs(90), renewed);
    assert!(served, "{}\n{}", running.stdout(), running.stderr());
    assert_served(&host, "b.test");
    assert_eq!(
        running.stdout(),
        "",
        "it is still at work on the other site"
    );
    running.signal(rustix::process::Signal::TERM);
    let ended = running.wait(Duration::from_secs(60));
    assert!(ended.is_some(), "{}", running.stderr());
    let left = disk::tree(&host.nginx.document_root("slow.test"), &[]);
    assert_eq!(
        left.len(),
        1,
        "the answer to the challenge was left behind: {left:?}"
    );
    assert_eq!(linked_version(&host, "slow.test"), 1);
}

#[test]
fn a_limit_of_the_account_keeps_the_other_sites_from_asking() {
    let mut host = host_with([
        (Site::files("a.test"), 10),
        (Site::files("b.test"), 10),
        (Site::files("c.test"), 10),
    ]);
    let practice = Practice::start(&mut host, |_| {});
    host.set("acme", "jobs", "1");
    let limited = Refusal::RateLimited {
        limit: RateLimit::OrdersPerAccount,
        retry_after: RetryAfter::Seconds(7200),
    };
    practice
        .ca
        .add_fault(Fault::new(limited).at(Endpoint::NewOrder));
    let domains = ["a.test", "b.test", "c.test"];
    let answer = ask(&host, &["site:renew-certificates"]).expect_code(3);
    for domain in domains {
        assert_eq!(answer.outcome(domain), "postponed", "{:#}", answer.json);
        let _ = answer.finding(domain, "rate-limited");
    }
    assert_eq!(
        practice.asked(Endpoint::NewOrder),
        1,
        "one was told for all"
    );
    // Nor does the next run ask, for it is remembered.
    let again = ask(&host, &["site:renew-certificates", "--force"]).expect_code(3);
    assert!(
        domains
            .iter()
            .all(|domain| again.outcome(domain) == "postponed")
    );
    assert_eq!(practice.asked(Endpoint::NewOrder), 1);
    practice.ca.set_faults(Vec::new());
    let later = ask(&host, &["site:renew-certificates", "--clock-offset=+3h"]).expect_code(0);
    for domain in domains {
        assert_eq!(later.outcome(domain), "renewed", "{:#}", later.json);
    }
}
