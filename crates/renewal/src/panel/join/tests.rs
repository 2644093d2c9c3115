//! Are sites and entries joined, and is what does not fit said?

use std::sync::Arc;

use expect_test::{Expect, expect};
use jiff::Timestamp;

use crate::finding::{Finding, FindingName};
use crate::panel::fixture::{NOW, entry, row, site};
use crate::panel::{Inventory, OnPanel, PanelSite, Record, join};
use crate::plan::{Action, Wish, plan};
use crate::ports::Look;
use crate::site::Site;

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn plain(domain: &str, file: &str) -> Site {
    Site {
        panel: OnPanel::No,
        ..site(domain, file)
    }
}

/// Shows the sites, what the plan says, and all findings.
#[track_caller]
fn check(sites: Vec<Site>, inventory: Inventory, expect: Expect) {
    let mut look = Look {
        sites,
        ..Look::default()
    };
    join(&mut look, inventory, now());
    let mut shown = String::new();
    for site in &look.sites {
        let plan = plan([(site, None)], &Wish::default(), now());
        let action = match &plan.items[0].action {
            Action::Skip(why) => why.to_string(),
            other => format!("{other:?}"),
        };
        shown += &format!("{} {:?}: {action}\n", site.domain(), site.source);
        shown.extend(site.findings.iter().map(said));
    }
    shown.extend(look.findings.iter().map(said));
    expect.assert_eq(&shown);
}

fn said(finding: &Finding) -> String {
    let Finding {
        name,
        severity,
        explanation,
        detail,
        ..
    } = finding;
    let line = format!("  {name} {severity:?}: {explanation} {detail}");
    format!("{}\n", line.trim_end())
}

fn record(sites: Vec<PanelSite>) -> Inventory {
    Inventory::Known(Record {
        sites,
        ..Record::default()
    })
}

fn with(domain: &str, text: &str) -> PanelSite {
    PanelSite {
        row: row(text),
        ..entry(domain)
    }
}

#[test]
fn sites_are_found_by_the_files_they_serve_and_the_others_go_on() {
    check(
        vec![
            plain("a.test", "1 until 05-01"),
            plain("other.test", "1 until 05-01"),
        ],
        record(vec![with("a.test", "2: 1 until 05-01"), entry("gone.test")]),
        expect![[r#"
            a.test Cloudpanel: Leave
            other.test Nginx: Leave
              vhost-missing Error: CloudPanel knows the site gone.test, and nginx has no server block for it. expected in /etc/nginx/sites-enabled/gone.test.conf
        "#]],
    );
}

#[test]
fn a_site_whose_vhost_names_other_files_is_still_the_panels() {
    let mut moved = plain("a.test", "1 until 05-01");
    let server = Arc::make_mut(&mut moved.servers[0]);
    server.pair.as_mut().unwrap().certificate = "/etc/letsencrypt/live/a.test/fullchain.pem".into();
    check(
        vec![moved],
        record(vec![with("a.test", "2: 1 until 05-01")]),
        expect![[r#"
            a.test Cloudpanel: Leave
              panel-drift Warning: The site's vhost names other files than those that CloudPanel writes its certificate to. /etc/letsencrypt/live/a.test/fullchain.pem in /etc/nginx/sites-enabled/a.test.conf:3, not /etc/nginx/ssl-certificates/a.test.crt
        "#]],
    );
}

#[test]
fn an_imported_certificate_is_watched_and_warned_about_in_good_time() {
    for (end, expect) in [
        (
            "05-01",
            expect![[r#"
            a.test Cloudpanel: its certificate was imported into CloudPanel, so it is only watched; a [[site]] of its own lets clpctl renew it
        "#]],
        ),
        (
            "03-02",
            expect![[r#"
            a.test Cloudpanel: its certificate was imported into CloudPanel, so it is only watched; a [[site]] of its own lets clpctl renew it
              certificate-ends-soon Warning: The site's certificate was imported, so nobody renews it. It ends on 2026-03-02T00:00:00Z.
        "#]],
        ),
        (
            "02-05",
            expect![[r#"
            a.test Cloudpanel: its certificate was imported into CloudPanel, so it is only watched; a [[site]] of its own lets clpctl renew it
              certificate-ends-soon Error: The site's certificate was imported, so nobody renews it. It ends on 2026-02-05T00:00:00Z.
        "#]],
        ),
        (
            "01-20",
            expect![[r#"
            a.test Cloudpanel: its certificate was imported into CloudPanel, so it is only watched; a [[site]] of its own lets clpctl renew it
              certificate-expired Error: The site's certificate was imported, so nobody renews it. It ends on 2026-01-20T00:00:00Z.
        "#]],
        ),
    ] {
        let file = format!("1 until {end}");
        let imported = with("a.test", &format!("3: 1 until {end}"));
        check(vec![plain("a.test", &file)], record(vec![imported]), expect);
    }
}

#[test]
fn one_that_the_configuration_lists_is_renewed_all_the_same() {
    let mut listed = plain("a.test", "1 until 02-05");
    listed.policy.listed = true;
    check(
        vec![listed],
        record(vec![with("a.test", "3: 1 until 02-05")]),
        expect![[r#"
            a.test Cloudpanel: Order { replaces: None, urgent: false }
        "#]],
    );
}

#[test]
fn while_the_record_cannot_be_read_its_sites_are_left_alone_and_others_are_not() {
    let mut other = plain("other.test", "1 until 02-05");
    let server = Arc::make_mut(&mut other.servers[0]);
    server.pair.as_mut().unwrap().certificate = "/etc/ssl/other.crt".into();
    check(
        vec![plain("a.test", "1 until 02-05"), other],
        Inventory::Unreadable {
            finding: Finding::new(FindingName::PanelUnreadable, "It is locked."),
            folder: "/etc/nginx/ssl-certificates".into(),
        },
        expect![[r#"
            a.test Cloudpanel: CloudPanel's database cannot be read, so what it says of the site is not known
            other.test Nginx: Order { replaces: None, urgent: false }
              panel-unreadable Error: It is locked.
        "#]],
    );
}

#[test]
fn a_form_that_is_not_known_makes_it_a_plain_host_and_that_is_said() {
    check(
        vec![plain("a.test", "1 until 02-05")],
        Inventory::Unknown(Finding::new(FindingName::PanelSchemaUnknown, "It is new.")),
        expect![[r#"
            a.test Nginx: Order { replaces: None, urgent: false }
              panel-schema-unknown Warning: It is new.
        "#]],
    );
}

#[test]
fn what_differs_is_said() {
    check(
        vec![
            plain("a.test", "2 until 05-01 ours"),
            plain("b.test", "1 until 05-01"),
            plain("c.test", "1 until 03-01"),
        ],
        record(vec![
            with("a.test", "2: 1 until 03-01"),
            with("b.test", "2: broken"),
            with("c.test", "2: 2 until 05-01"),
        ]),
        expect![[r#"
            a.test Cloudpanel: Leave
              panel-drift Warning: CloudPanel's record of the site's certificate is behind what is served. the file holds serial 02 until 2026-05-01T00:00:00Z, the record serial 01 until 2026-03-01T00:00:00Z
            b.test Cloudpanel: Leave
              panel-drift Warning: CloudPanel's record and the site's files are not of one certificate. the record's certificate cannot be read: there is no certificate in it
            c.test Cloudpanel: Leave
              panel-drift Warning: CloudPanel's record has a better certificate for the site than its files. the file holds serial 01 until 2026-03-01T00:00:00Z, the record serial 02 until 2026-05-01T00:00:00Z
        "#]],
    );
}
