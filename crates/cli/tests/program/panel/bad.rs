//! Is what is wrong with one site, or with the panel, a finding, and do the others go on?

use testkit::program::Program;

use super::*;

/// A host with two sites of the panel's and one of nobody's, all due.
fn due() -> (PanelHost, Practice) {
    let mut panel = PanelHost::prepare();
    let older = Authority::new("Older");
    for domain in ["a.test", "b.test"] {
        let pair = older.issue(&[domain], Days::left(5));
        panel.add_with(&PanelSite::new(domain, Shape::Php), 2, &pair);
    }
    let plain = older.issue(&["plain.test"], Days::left(5));
    panel
        .host
        .add_with_lineage(testkit::nginx::Site::cloudpanel("plain.test"), &plain);
    panel.host.nginx.launch();
    let practice = Practice::start(&mut panel.host, |_| {});
    (panel, practice)
}

/// Each of them has a server block that answers in TLS.
#[track_caller]
fn assert_served(panel: &PanelHost, domains: &[&str]) {
    let address = panel.host.nginx.https_addresses()[0];
    for domain in domains {
        assert!(openssl::served(address, domain).is_some(), "{domain}");
    }
}

const RENEW: &[&str] = &["site:renew-certificates"];

#[track_caller]
fn host_finding<'a>(answer: &'a Answer, name: &str) -> &'a Value {
    let findings = answer.json["findings"].as_array().into_iter().flatten();
    let mut named = findings.filter(|finding| finding["name"] == name);
    named
        .next()
        .unwrap_or_else(|| panic!("no {name}: {:#}", answer.json))
}

#[test]
fn while_the_database_is_held_its_sites_wait_and_the_others_go_on() {
    let (panel, practice) = due();
    let holder = panel.database.hold();
    let answer = ask(&panel, RENEW);
    drop(holder);
    let finding = host_finding(&answer, "panel-unreadable");
    assert_eq!(finding["severity"], "warning", "{finding:#}");
    for domain in ["a.test", "b.test"] {
        assert_eq!(answer.outcome(domain), "skipped");
    }
    assert_eq!(answer.outcome("plain.test"), "renewed");
    assert_eq!(practice.orders(), 1);
    let _ = ask(&panel, RENEW).expect_code(0);
    assert_whole(&panel, "a.test", "a.test");
}

#[test]
fn a_damaged_database_is_left_as_it_is_and_the_others_go_on() {
    let (panel, _practice) = due();
    let mut damaged = fs::read(panel.database.path()).unwrap();
    damaged[100..4096].fill(b'x');
    fs::write(panel.database.path(), &damaged).unwrap();
    let answer = ask(&panel, RENEW).expect_code(1);
    let _ = host_finding(&answer, "panel-unreadable");
    assert_eq!(answer.outcome("a.test"), "skipped");
    assert_eq!(answer.outcome("plain.test"), "renewed");
    assert_eq!(fs::read(panel.database.path()).unwrap(), damaged);
}

#[test]
fn a_form_that_is_not_known_makes_it_a_plain_host() {
    let (panel, _practice) = due();
    let _ = panel
        .database
        .run("ALTER TABLE site RENAME COLUMN user TO owner;");
    let list = ask(&panel, &["site:list"]).expect_code(0);
    let finding = host_finding(&list, "panel-schema-unknown");
    assert_eq!(finding["severity"], "warning");
    assert_eq!(list.site("a.test")["source"], "nginx");
}

#[test]
fn where_the_database_may_not_be_written_the_certificate_is_served_and_recorded_later() {
    let (panel, practice) = due();
    let answer = renew_read_only(&panel, panel.database.path().parent().unwrap()).expect_code(1);
    for domain in ["a.test", "b.test"] {
        assert_eq!(answer.outcome(domain), "renewed");
        let _ = answer.finding(domain, "panel-not-written");
    }
    assert_eq!(panel.database.due(), ["a.test", "b.test"]);
    let _ = ask(&panel, RENEW).expect_code(0);
    for domain in ["a.test", "b.test"] {
        assert_whole(&panel, domain, domain);
    }
    assert_eq!(practice.orders(), 3);
}

/// Renews where this folder is on a file system that may only be read.
fn renew_read_only(panel: &PanelHost, folder: &std::path::Path) -> Answer {
    let line = format!(
        "mount --bind {0} {0} && mount -o remount,bind,ro {0} && exec {1} --config={2} --json site:renew-certificates",
        folder.display(),
        env!("CARGO_BIN_EXE_clpctl"),
        panel.host.config().display()
    );
    let output = Program::new("unshare")
        .args(["--mount", "sh", "-c", &line])
        .limit(std::time::Duration::from_secs(120))
        .run();
    Answer::read(&output)
}

#[test]
fn where_the_panels_certificates_may_not_be_written_they_stay_and_what_was_obtained_is_kept() {
    let (panel, practice) = due();
    let folder = panel.host.nginx.certificates();
    let files = crate::disk::tree(&folder, &[]);
    let record = panel.database.active("a.test", "c.certificate");
    let answer = renew_read_only(&panel, &folder).expect_code(1);
    for domain in ["a.test", "b.test"] {
        assert_eq!(answer.outcome(domain), "failed");
        let said = answer.site(domain)["findings"].to_string();
        assert!(said.contains("Read-only file system"), "{said}");
    }
    assert_eq!(answer.outcome("plain.test"), "renewed", "{:#}", answer.json);
    assert_eq!(crate::disk::tree(&folder, &[]), files);
    assert_eq!(panel.database.active("a.test", "c.certificate"), record);
    let orders = practice.orders();
    let _ = ask(&panel, RENEW).expect_code(0);
    for domain in ["a.test", "b.test"] {
        assert_whole(&panel, domain, domain);
    }
    assert_eq!(practice.orders(), orders, "nothing is ordered twice");
}

#[test]
fn a_vhost_that_nginx_takes_and_that_makes_no_sense_harms_its_own_site_alone() {
    let (mut panel, _practice) = due();
    let older = Authority::new("Older");
    for domain in ["folder.test", "names.test", "files.test"] {
        let pair = older.issue(&[domain], Days::left(5));
        panel.add_with(&PanelSite::new(domain, Shape::Php), 2, &pair);
    }
    let edit = |domain: &str, from: &str, to: &str| {
        let vhost = panel.host.nginx.vhost(domain);
        let text = fs::read_to_string(&vhost).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&vhost, text.replace(from, to)).unwrap();
    };
    let home = panel.home().display().to_string();
    edit("folder.test", &home, "/nowhere/at/all");
    edit("names.test", "server_name names.test", "server_name \"\"");
    edit("files.test", "/files.test.", "/a.test.");
    panel.host.nginx.reload();
    assert_served(&panel, &["folder.test"]);
    let answer = ask(&panel, RENEW);
    for domain in ["a.test", "b.test", "plain.test"] {
        assert_eq!(answer.outcome(domain), "renewed", "{:#}", answer.json);
    }
    assert_eq!(answer.outcome("folder.test"), "failed");
    let _ = answer.finding("folder.test", "webroot-missing");
    let said = answer.json.to_string();
    assert!(said.contains("names.test"), "{:#}", answer.json);
    assert_whole(&panel, "a.test", "a.test");
}

#[test]
fn what_is_wrong_with_one_site_is_said_of_it_and_nothing_is_lost() {
    let (mut panel, practice) = due();
    let older = Authority::new("Older");
    for domain in ["nonsense.test", "gone.test", "literal.test"] {
        let pair = older.issue(&[domain], Days::left(5));
        panel.add_with(&PanelSite::new(domain, Shape::Php), 2, &pair);
    }
    fs::write(
        panel.host.nginx.vhost("nonsense.test"),
        "server { listen }}} 80\n",
    )
    .unwrap();
    panel.remove_user("user4");
    let _ = panel.database.run(
        r"UPDATE certificate SET certificate = replace(certificate, char(10), '\n') WHERE id = 5;
          UPDATE site SET certificate_id = 1 WHERE domain_name = 'b.test';",
    );
    let list = ask(&panel, &["site:list"]).expect_code(0);
    let missing = host_finding(&list, "vhost-missing");
    assert!(
        missing["explanation"]
            .as_str()
            .unwrap()
            .contains("nonsense.test")
    );
    for (domain, said) in [
        ("gone.test", "user4"),
        ("literal.test", "two characters"),
        ("b.test", "serial"),
    ] {
        let findings = panel_findings(&panel, domain);
        assert!(findings.contains(said), "{domain}: {findings}");
    }
    // nginx would refuse the nonsense, so nothing is ordered until it is mended.
    let refused = ask(&panel, RENEW).expect_code(1);
    assert_eq!(refused.outcome("a.test"), "failed");
    assert_eq!(practice.orders(), 0);
    fs::remove_file(panel.host.nginx.vhost("nonsense.test")).unwrap();
    panel.host.nginx.reload();
    assert_served(&panel, &["gone.test", "literal.test"]);
    let answer = ask(&panel, RENEW);
    for domain in ["a.test", "b.test", "gone.test", "literal.test"] {
        assert_eq!(answer.outcome(domain), "renewed", "{:#}", answer.json);
        assert_whole(&panel, domain, domain);
    }
    let rows = "SELECT count(DISTINCT certificate_id) FROM site WHERE domain_name IN ('a.test', 'b.test');";
    assert_eq!(panel.database.run(rows), "2");
}

#[test]
fn an_imported_certificate_is_watched_and_warned_about() {
    let (mut panel, practice) = due();
    let bought = Authority::new("Bought").issue(&["shop.test"], Days::left(20));
    panel.add_with(&PanelSite::new("shop.test", Shape::Php), 3, &bought);
    panel.host.nginx.reload();
    let answer = ask(&panel, RENEW).expect_code(0);
    assert_eq!(answer.outcome("shop.test"), "skipped");
    let finding = answer.finding("shop.test", "certificate-ends-soon");
    assert_eq!(finding["severity"], "warning");
    let forced = ask(
        &panel,
        &["site:renew-certificates", "--force", "--domain=shop.test"],
    );
    assert_eq!(forced.outcome("shop.test"), "skipped");
    assert_eq!(practice.orders(), 3);
    assert_eq!(
        ask(&panel, &["site:list"]).site("shop.test")["managed"],
        false
    );
}
