//! Does a dead alias sink the certificate of its site?

use jiff::{SignedDuration, Timestamp};
use testca::{Endpoint, Fault, RenewalWindow, ReplacesFault};

use super::*;

/// A site with two aliases, whose certificate of an older CA is due.
fn aliased() -> (PanelHost, Practice) {
    let mut panel = PanelHost::prepare();
    let site = PanelSite {
        redirected: Some("shop.test"),
        aliases: &["old.test"],
        ..PanelSite::new("www.shop.test", Shape::Php)
    };
    let old = Authority::new("Older").issue(&site.names(), Days::left(10));
    panel.add_with(&site, 2, &old);
    panel.host.nginx.launch();
    let practice = Practice::start(&mut panel.host, |_| {});
    (panel, practice)
}

fn certificate(panel: &PanelHost) -> std::path::PathBuf {
    panel.host.nginx.certificates().join("www.shop.test.crt")
}

#[test]
fn a_dead_alias_is_left_out_loudly_and_is_not_asked_for_again() {
    let (panel, practice) = aliased();
    practice.dns.change(|zone| zone.nxdomain("old.test"));
    let answer = ask(&panel, &["site:renew-certificates"]).expect_code(1);
    assert_eq!(answer.outcome("www.shop.test"), "renewed");
    let finding = answer.finding("www.shop.test", "name-left-out");
    assert_eq!(finding["severity"], "error");
    let detail = finding["detail"].as_str().unwrap();
    assert!(detail.starts_with("dns-no-such-name"), "{finding:#}");
    for (name, covered) in [
        ("www.shop.test", true),
        ("shop.test", true),
        ("old.test", false),
    ] {
        assert_eq!(
            openssl::covers(&certificate(&panel), name),
            covered,
            "{name}"
        );
    }
    assert_whole(&panel, "www.shop.test", "www.shop.test");
    assert_eq!(
        (practice.orders(), practice.asked(Endpoint::Challenge)),
        (1, 2)
    );
    let again = ask(&panel, &["site:renew-certificates"]).expect_code(0);
    assert_eq!(again.outcome("www.shop.test"), "not-due");
    assert_eq!(practice.orders(), 1);
}

#[test]
fn with_the_policy_fail_nothing_is_ordered_and_the_name_is_said() {
    let (mut panel, practice) = aliased();
    panel.host.set("renewal", "dead_names", "\"fail\"");
    practice.dns.change(|zone| zone.nxdomain("old.test"));
    let answer = ask(&panel, &["site:renew-certificates"]).expect_code(1);
    assert_eq!(answer.outcome("www.shop.test"), "failed");
    let _ = answer.finding("www.shop.test", "dns-no-such-name");
    assert_eq!(practice.orders(), 0);
}

#[test]
fn the_pair_of_apex_and_www_is_one_only_where_both_lead_here() {
    let mut panel = PanelHost::prepare();
    let site = PanelSite {
        redirected: Some("shop.test"),
        ..PanelSite::new("www.shop.test", Shape::Php)
    };
    panel.add(&site);
    panel.host.nginx.launch();
    let practice = Practice::start(&mut panel.host, |_| {});
    practice.dns.change(|zone| zone.nxdomain("shop.test"));
    let first = ["site:renew-certificates", "--domain=www.shop.test"];
    let answer = ask(&panel, &first).expect_code(1);
    assert_eq!(answer.outcome("www.shop.test"), "issued");
    let _ = answer.finding("www.shop.test", "name-left-out");
    assert!(openssl::covers(&certificate(&panel), "www.shop.test"));
    assert!(!openssl::covers(&certificate(&panel), "shop.test"));
    assert_whole(&panel, "www.shop.test", "www.shop.test");
}

#[test]
fn when_the_domain_itself_is_dead_the_site_fails_and_its_aliases_with_it() {
    let (panel, practice) = aliased();
    practice.dns.change(|zone| zone.nxdomain("www.shop.test"));
    let answer = ask(&panel, &["site:renew-certificates"]).expect_code(1);
    assert_eq!(answer.outcome("www.shop.test"), "failed");
    assert_eq!(practice.orders(), 0);
}

#[test]
fn the_policy_is_each_sites_own() {
    for (of_all, own, domain) in [
        ("drop", "fail", "strict.test"),
        ("fail", "drop", "loose.test"),
    ] {
        let mut panel = PanelHost::prepare();
        let older = Authority::new("Older");
        for domain in ["strict.test", "loose.test"] {
            let alias = format!("old.{domain}");
            let site = PanelSite {
                aliases: &[&alias],
                ..PanelSite::new(domain, Shape::Php)
            };
            let old = older.issue(&site.names(), Days::left(10));
            panel.add_with(&site, 2, &old);
        }
        panel
            .host
            .set("renewal", "dead_names", &format!("{of_all:?}"));
        let lines = format!("[[site]]\ndomain = \"{domain}\"\ndead_names = \"{own}\"\n");
        panel.host.append(&lines);
        panel.host.nginx.launch();
        let practice = Practice::start(&mut panel.host, |_| {});
        practice.dns.change(|zone| zone.nxdomain("old.strict.test"));
        practice.dns.change(|zone| zone.nxdomain("old.loose.test"));
        let answer = ask(&panel, &["site:renew-certificates"]).expect_code(1);
        assert_eq!(answer.outcome("strict.test"), "failed", "{own} of {domain}");
        let _ = answer.finding("strict.test", "dns-no-such-name");
        assert_eq!(answer.outcome("loose.test"), "renewed", "{own} of {domain}");
        let _ = answer.finding("loose.test", "name-left-out");
        assert_eq!(practice.orders(), 1);
        assert_whole(&panel, "loose.test", "loose.test");
    }
}

#[test]
fn an_alias_that_dies_waits_for_the_cas_window_and_the_order_says_what_it_replaces() {
    let mut panel = PanelHost::prepare();
    let site = PanelSite {
        aliases: &["old.test"],
        ..PanelSite::new("www.shop.test", Shape::Php)
    };
    panel.add(&site);
    panel.host.nginx.launch();
    let practice = Practice::start(&mut panel.host, |_| {});
    let first = ["site:renew-certificates", "--domain=www.shop.test"];
    let _ = ask(&panel, &first).expect_code(0);
    assert!(openssl::covers(&certificate(&panel), "old.test"));
    practice.dns.change(|zone| zone.nxdomain("old.test"));
    let early = ask(&panel, &["site:renew-certificates"]).expect_code(0);
    assert_eq!(early.outcome("www.shop.test"), "not-due");
    assert_eq!(practice.orders(), 1, "a dead alias makes nothing due");

    let day = SignedDuration::from_hours(24);
    let now = Timestamp::now();
    let open = RenewalWindow {
        start: now - day * 300,
        end: now + day + SignedDuration::from_hours(1),
    };
    let suggested = practice.ca.suggest_renewal("www.shop.test", open, None);
    suggested.unwrap();
    // Only an order that says what it replaces can meet this.
    practice
        .ca
        .add_fault(Fault::new(ReplacesFault::Forget).times(1));
    let words = ["site:renew-certificates", "--clock-offset=+1d"];
    let answer = ask(&panel, &words).expect_code(1);
    assert_eq!(answer.outcome("www.shop.test"), "renewed");
    let _ = answer.finding("www.shop.test", "name-left-out");
    assert_eq!(
        practice.ca.faults(),
        [],
        "the order was not exempt from limits"
    );
    assert!(!openssl::covers(&certificate(&panel), "old.test"));
    assert_whole(&panel, "www.shop.test", "www.shop.test");
}
