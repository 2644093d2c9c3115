//! Is the CA answered, whatever the vhost says, and is nothing left behind?

use std::fs;
use std::net::{Ipv6Addr, TcpStream};
use std::time::Duration;

use testca::Endpoint;
use testkit::nginx::Site;
use testkit::program::wait_until;
use testkit::upstream::Upstream;

use crate::answer::{ask, renew};
use crate::disk::{self, NOTHING, added_lines, assert_served};
use crate::hosts::host_with;
use crate::practice::Practice;

#[test]
fn https_that_is_forced_is_no_hindrance() {
    let mut host = host_with([(Site::cloudpanel("a.test").also("www.a.test"), 10)]);
    let pebble = host.with_pebble(|settings| settings);
    let vhost = disk::entry(&host.nginx.vhost("a.test"));
    let root = disk::tree(&host.nginx.document_root("a.test"), &[]);
    let answer = renew(&host);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "renewed");
    assert_eq!(disk::entry(&host.nginx.vhost("a.test")), vhost);
    assert_eq!(disk::tree(&host.nginx.document_root("a.test"), &[]), root);
    assert_eq!(host.nginx.reloads(), 1);
}

#[test]
fn vhosts_that_stop_the_challenge_get_one_line_and_nothing_else() {
    let application = Upstream::start("an application");
    let mut host = host_with([
        (Site::files("denied.test").extra("deny all;"), 10),
        (
            Site::files("password.test")
                .extra("auth_basic \"staff\";\nauth_basic_user_file /dev/null;"),
            10,
        ),
        (
            Site::files("moved.test").extra("return 301 https://elsewhere.invalid$request_uri;"),
            10,
        ),
        (Site::reverse_proxy("proxy.test", application.address()), 10),
        (Site::files("internal.test").extra(INTERNAL), 10),
        (Site::cloudpanel("usual.test"), 10),
    ]);
    let pebble = host.with_pebble(|settings| settings);
    host.set("acme", "jobs", "4");
    let before = STOPPED.map(|domain| fs::read_to_string(host.nginx.vhost(domain)).unwrap());
    let usual = disk::entry(&host.nginx.vhost("usual.test"));
    let roots = STOPPED.map(|domain| disk::tree(&host.nginx.document_root(domain), &[]));
    let answer = ask(&host, &["site:renew-certificates"]);
    pebble.assert_well();
    let answer = answer.expect_code(0);
    for (domain, before) in STOPPED.iter().zip(before) {
        assert_eq!(answer.outcome(domain), "renewed", "{:#}", answer.json);
        assert_served(&host, domain);
        let after = fs::read_to_string(host.nginx.vhost(domain)).unwrap();
        let added = added_lines(&before, &after);
        assert_eq!(added.len(), 1, "{domain}: {added:?}");
        assert!(
            added[0].ends_with("# clpctl http-01"),
            "{domain}: {added:?}"
        );
    }
    assert_eq!(answer.outcome("usual.test"), "renewed");
    assert_eq!(disk::entry(&host.nginx.vhost("usual.test")), usual);
    assert_eq!(
        STOPPED.map(|domain| disk::tree(&host.nginx.document_root(domain), &[])),
        roots
    );
    // Once for all the lines, once for all the certificates.
    assert_eq!(host.nginx.reloads(), 2, "{:#}", answer.json);
    // The lines stay, and the next renewal needs nothing more.
    let lines = disk::tree(&host.nginx.folder().join("sites-enabled"), &[]);
    let words = [
        "site:renew-certificates",
        "--force",
        "--domain=denied.test",
        "--domain=proxy.test",
    ];
    let _ = ask(&host, &words).expect_code(0);
    pebble.assert_well();
    assert_eq!(
        disk::tree(&host.nginx.folder().join("sites-enabled"), &[]),
        lines
    );
    assert_eq!(host.nginx.reloads(), 3);
}

#[test]
fn a_vhost_that_may_not_be_edited_is_a_finding_and_no_order() {
    let mut host = host_with([(Site::files("a.test").extra("deny all;"), 10)]);
    let pebble = host.with_pebble(|settings| settings);
    host.set("nginx", "edit", "false");
    let vhost = disk::entry(&host.nginx.vhost("a.test"));
    let (files, root) = (
        disk::lineage(&host, "a.test"),
        disk::tree(&host.nginx.document_root("a.test"), &[]),
    );
    let answer = ask(&host, &["site:renew-certificates"]).expect_code(1);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "failed");
    let finding = answer.finding("a.test", "challenge-forbidden");
    assert_eq!(finding["severity"], "fatal");
    let findings = answer.site("a.test")["findings"].to_string();
    assert!(findings.contains("nginx.edit"), "{findings}");
    assert_eq!(pebble.requests().of_orders(), 0);
    assert_eq!(host.nginx.reloads(), 0);
    assert_eq!(disk::entry(&host.nginx.vhost("a.test")), vhost);
    assert_eq!(
        disk::differences(&files, &disk::lineage(&host, "a.test")),
        NOTHING
    );
    assert_eq!(disk::tree(&host.nginx.document_root("a.test"), &[]), root);
}

#[test]
fn the_line_is_taken_out_again_where_it_does_not_help() {
    // Redirected by a server that stands before, for every name: nothing in this vhost can be reached.
    let mut host = host_with([(Site::files("a.test").extra("deny all;"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    practice
        .dns
        .change(|zone| zone.set("a.test", &["127.0.0.9".parse().unwrap()]));
    let before = fs::read_to_string(host.nginx.vhost("a.test")).unwrap();
    let answer = ask(&host, &["site:renew-certificates"]).expect_code(1);
    assert_eq!(answer.outcome("a.test"), "failed");
    assert_eq!(
        fs::read_to_string(host.nginx.vhost("a.test")).unwrap(),
        before
    );
    assert_eq!(practice.asked(Endpoint::NewOrder), 0, "{:#}", answer.json);
}

#[test]
fn the_program_answers_by_itself_where_nobody_listens() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let vhost = host.nginx.vhost("a.test");
    let text = fs::read_to_string(&vhost).unwrap();
    let encrypted: String = text
        .split_inclusive('\n')
        .filter(|line| !line.contains("listen") || line.contains("ssl"))
        .collect();
    fs::write(&vhost, &encrypted).unwrap();
    host.nginx.reload();
    let free = || {
        host.nginx
            .http_addresses()
            .iter()
            .all(|address| TcpStream::connect(address).is_err())
    };
    assert!(
        wait_until(Duration::from_secs(30), free),
        "nginx still listens:\n{encrypted}"
    );
    let pebble = host.with_pebble(|settings| settings);
    let answer = renew(&host);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "renewed", "{:#}", answer.json);
    assert_eq!(fs::read_to_string(&vhost).unwrap(), encrypted);
    assert_served(&host, "a.test");
    assert_eq!(host.nginx.access_log(), "", "nginx was asked");
}

#[test]
fn files_and_folders_of_others_stay_and_ours_go() {
    let mut host = host_with([(Site::files("a.test"), 10), (Site::files("b.test"), 10)]);
    let pebble = host.with_pebble(|settings| settings);
    let folder = host
        .nginx
        .document_root("a.test")
        .join(".well-known/acme-challenge");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("foreign"), "of another client").unwrap();
    let foreign = disk::entry(&folder.join("foreign"));
    let answer = renew(&host);
    pebble.assert_well();
    for domain in ["a.test", "b.test"] {
        assert_eq!(answer.outcome(domain), "renewed");
    }
    assert_eq!(disk::entry(&folder.join("foreign")), foreign);
    assert_eq!(disk::tree(&folder, &[]).len(), 1);
    let left: Vec<_> = disk::tree(&host.nginx.document_root("b.test"), &[])
        .into_keys()
        .collect();
    assert_eq!(
        left,
        [host.nginx.document_root("b.test").join("index.html")]
    );
    // The files were really asked for.
    assert!(
        host.nginx
            .access_log()
            .contains("/.well-known/acme-challenge/")
    );
}

#[test]
fn a_name_whose_dns_fails_is_not_ordered_and_others_are() {
    let mut host = host_with([
        (Site::files("a.test"), 10),
        (Site::files("b.test").also("www.b.test"), 10),
    ]);
    let pebble = host.with_pebble(|settings| settings);
    pebble.dns().fail("www.b.test");
    let answer = ask(&host, &["site:renew-certificates"]).expect_code(1);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "renewed");
    assert_eq!(answer.outcome("b.test"), "failed");
    let finding = answer.finding("b.test", "dns-server-failure").to_string();
    assert!(finding.contains("www.b.test"), "{finding}");
    assert_eq!(pebble.requests().new_order, 1);
    assert_eq!(host.nginx.reloads(), 1);
}

#[test]
fn a_name_that_is_gone_is_not_ordered() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let practice = Practice::start(&mut host, |_| {});
    practice.dns.change(|zone| zone.nxdomain("a.test"));
    let answer = ask(&host, &["site:renew-certificates"]).expect_code(1);
    let finding = answer.finding("a.test", "dns-no-such-name");
    for part in ["explanation", "fix"] {
        assert_ne!(finding[part], "", "{finding:#}");
    }
    assert_eq!(practice.asked(Endpoint::NewOrder), 0);
    // Once it is back, the next run renews.
    practice
        .dns
        .change(|zone| zone.set("a.test", &["127.0.0.1".parse().unwrap()]));
    assert_eq!(renew(&host).outcome("a.test"), "renewed");
}

#[test]
fn an_ipv6_address_on_which_another_site_answers_is_no_order() {
    let mut host = host_with([(Site::files("a.test"), 10), (Site::files("b.test"), 80)]);
    let http = host.nginx.http_addresses();
    let v6 = http
        .iter()
        .find(|address| address.is_ipv6())
        .expect("the machine has IPv6 on loopback");
    let vhost = host.nginx.vhost("a.test");
    let text = fs::read_to_string(&vhost).unwrap();
    fs::write(&vhost, text.replace(&format!("    listen {v6};\n"), "")).unwrap();
    host.nginx.stop();
    host.nginx.launch();
    let pebble = host.with_pebble(|settings| settings);
    host.set("nginx", "edit", "false");
    pebble.dns().set_aaaa("a.test", &[Ipv6Addr::LOCALHOST]);
    let answer = ask(&host, &["site:renew-certificates"]).expect_code(1);
    pebble.assert_well();
    // CAs try IPv6 first, and do not come back to IPv4 once somebody answers.
    let finding = answer.finding("a.test", "challenge-not-found").to_string();
    assert!(finding.contains("[::1]"), "{finding}");
    assert_eq!(pebble.requests().new_order, 0);
}

const STOPPED: [&str; 5] = [
    "denied.test",
    "password.test",
    "moved.test",
    "proxy.test",
    "internal.test",
];

const INTERNAL: &str = "location ^~ /.well-known/acme-challenge/ {\n    internal;\n}";
