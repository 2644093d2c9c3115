//! Does a broken nginx keep serving what it served, and is everything made good once it is mended?

use std::fs;
use std::net::TcpListener;

use serde_json::{Value, json};
use testkit::nginx::Site;
use testkit::openssl;

use crate::answer::{Answer, ask, renew};
use crate::disk::{self, assert_served, linked_version};
use crate::hosts::host_with;

#[test]
fn a_configuration_that_was_broken_before_is_named_with_its_line_and_nothing_is_lost() {
    let mut host = host_with([
        (Site::cloudpanel("a.test"), 10),
        (Site::files("b.test"), 80),
    ]);
    let pebble = host.with_pebble(|settings| settings);
    let broken = host.nginx.vhost("b.test");
    let text = fs::read_to_string(&broken).unwrap();
    fs::write(&broken, format!("{text}\nno_such_directive on;\n")).unwrap();
    let line = text.lines().count() + 2;
    let links = disk::tree(&host.live("a.test"), &[]);
    let old = openssl::sha256(&host.live("a.test").join("cert.pem"));
    let answer = ask(&host, &["site:renew-certificates"]).expect_code(1);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "failed");
    let finding = answer.finding("a.test", "nginx-config-invalid").to_string();
    assert!(
        finding.contains(&format!("b.test.conf:{line}")),
        "{finding}"
    );
    assert_eq!((answer.reloads(), host.nginx.reloads()), (0, 0));
    assert_eq!(linked_version(&host, "a.test"), 1);
    assert_eq!(
        disk::tree(&host.live("a.test"), &[])
            .keys()
            .collect::<Vec<_>>(),
        links.keys().collect::<Vec<_>>()
    );
    for address in host.nginx.https_addresses() {
        assert_eq!(openssl::served(address, "a.test").as_ref(), Some(&old));
    }
    let kept = disk::entry(&host.archive("a.test").join("cert2.pem"));
    assert_eq!(pebble.requests().new_order, 1);
    // Broken still: nothing more is ordered.
    let _ = ask(&host, &["site:renew-certificates"]).expect_code(1);
    assert_eq!(pebble.requests().new_order, 1);
    fs::write(&broken, &text).unwrap();
    let mended = renew(&host);
    pebble.assert_well();
    assert_eq!(mended.outcome("a.test"), "renewed", "{:#}", mended.json);
    assert_eq!(disk::entry(&host.archive("a.test").join("cert2.pem")), kept);
    assert_eq!(linked_version(&host, "a.test"), 2);
    assert_served(&host, "a.test");
    assert_eq!(pebble.requests().new_order, 1);
    assert_eq!(host.nginx.reloads(), 1);
}

#[test]
fn a_reload_command_that_fails_is_told_and_made_good_by_the_next_run() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let pebble = host.with_pebble(|settings| settings);
    host.set("nginx", "reload", "\"/bin/false\"");
    let answer = ask(&host, &["site:renew-certificates"]).expect_code(1);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "failed");
    let _ = answer.finding("a.test", "nginx-reload-failed");
    assert_eq!(host.nginx.reloads(), 0);
    host.set("nginx", "reload", "\"signal\"");
    let _ = renew(&host);
    pebble.assert_well();
    assert_served(&host, "a.test");
    assert_eq!(pebble.requests().new_order, 1);
    assert_eq!(host.nginx.reloads(), 1);
}

#[test]
fn a_reload_that_nginx_did_not_hear_is_seen() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let pebble = host.with_pebble(|settings| settings);
    host.set("nginx", "reload", "\"/bin/true\"");
    let old = openssl::sha256(&host.live("a.test").join("cert.pem"));
    let answer = ask(&host, &["site:renew-certificates"]).expect_code(1);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "failed");
    let finding = answer
        .finding("a.test", "certificate-not-served")
        .to_string();
    assert!(finding.contains(&old), "{finding}");
    let served = answer.site("a.test")["served"].as_array().unwrap().clone();
    assert!(
        !served.is_empty() && served.iter().all(|served| served["ok"] == false),
        "{served:?}"
    );
    host.set("nginx", "reload", "\"signal\"");
    let _ = renew(&host);
    pebble.assert_well();
    assert_served(&host, "a.test");
    assert_eq!(pebble.requests().new_order, 1);
}

/// The one finding about the host itself.
#[track_caller]
fn about_host(answer: &Answer) -> &Value {
    let findings = answer.json["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{:#}", answer.json);
    &findings[0]
}

#[test]
fn an_nginx_that_does_not_run_is_told_once_and_costs_no_order() {
    let mut host = host_with([
        (Site::files("a.test"), 10),
        (Site::files("b.test"), 10),
        (Site::files("c.test"), 80),
    ]);
    let pebble = host.with_pebble(|settings| settings);
    host.nginx.stop();
    let answer = ask(&host, &["site:renew-certificates"]).expect_code(1);
    let finding = about_host(&answer);
    assert_eq!(finding["name"], "nginx-not-running");
    assert!(
        finding["fix"]
            .as_str()
            .unwrap()
            .contains("systemctl start nginx"),
        "{finding:#}"
    );
    for domain in ["a.test", "b.test"] {
        let site = answer.site(domain);
        assert_eq!(site["outcome"], "postponed", "{site:#}");
        assert_eq!(
            site["findings"],
            json!([]),
            "said of the host, and not again"
        );
        assert!(
            site["reason"]
                .as_str()
                .unwrap()
                .contains("nginx-not-running"),
            "{site:#}"
        );
    }
    // Nor is it overlooked where nothing is due.
    let answer = ask(&host, &["site:renew-certificates", "--domain=c.test"]).expect_code(1);
    assert_eq!(about_host(&answer)["name"], "nginx-not-running");
    assert_eq!(answer.outcome("c.test"), "not-due");
    assert_eq!(pebble.requests().of_orders(), 0);
    assert_eq!(pebble.requests().new_account, 0);
    host.nginx.launch();
    let _ = renew(&host);
    pebble.assert_well();
    assert_served(&host, "a.test");
    assert_eq!(pebble.requests().new_order, 2);
}

#[test]
fn what_keeps_a_dead_nginx_from_starting_is_told_with_it() {
    let mut host = host_with([(Site::files("a.test"), 80)]);
    host.nginx.stop();
    let vhost = host.nginx.vhost("a.test");
    let text = fs::read_to_string(&vhost).unwrap();
    fs::write(&vhost, format!("{text}\nno_such_directive on;\n")).unwrap();
    let answer = ask(&host, &["site:renew-certificates"]).expect_code(1);
    let finding = about_host(&answer);
    assert_eq!(finding["name"], "nginx-not-running");
    let detail = finding["detail"].as_str().unwrap();
    assert!(
        detail.contains("nginx -t says: unknown directive"),
        "{detail}"
    );
    let fix = finding["fix"].as_str().unwrap();
    assert!(fix.starts_with("Mend the line"), "{fix}");
}

#[test]
fn a_missing_nginx_costs_no_order() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let pebble = host.with_pebble(|settings| settings);
    host.set("nginx", "binary", "\"/nowhere/nginx\"");
    let answer = ask(&host, &["site:renew-certificates"]).expect_code(1);
    assert_eq!(about_host(&answer)["name"], "nginx-not-installed");
    assert_eq!(answer.outcome("a.test"), "postponed");
    assert_eq!(pebble.requests().of_orders(), 0);
}

#[test]
fn set_to_standalone_a_site_is_renewed_while_nginx_is_stopped_and_served_when_it_is_started() {
    let mut host = host_with([(Site::files("a.test"), 10), (Site::files("b.test"), 10)]);
    let pebble = host.with_pebble(|settings| settings);
    host.append("[[site]]\ndomain = \"a.test\"\nmode = \"standalone\"");
    host.nginx.stop();
    let answer = ask(&host, &["site:renew-certificates"]).expect_code(1);
    pebble.assert_well();
    assert_eq!(about_host(&answer)["name"], "nginx-not-running");
    let site = answer.site("a.test");
    assert_eq!(site["outcome"], "postponed", "not served yet: {site:#}");
    assert!(
        site["reason"].as_str().unwrap().contains("is in place"),
        "{site:#}"
    );
    assert_eq!(linked_version(&host, "a.test"), 2);
    assert_eq!(linked_version(&host, "b.test"), 1);
    assert_eq!(pebble.requests().new_order, 1);
    // Another run while it is dead leaves it there.
    let _ = ask(&host, &["site:renew-certificates", "--domain=a.test"]).expect_code(1);
    assert_eq!(linked_version(&host, "a.test"), 2);
    host.nginx.launch();
    assert_served(&host, "a.test");
    host.set("renewal", "manage", "\"listed\"");
    let answer = renew(&host);
    assert_eq!(answer.outcome("a.test"), "not-due", "{:#}", answer.json);
    assert_eq!(pebble.requests().new_order, 1);
}

#[test]
fn why_nginx_did_not_take_up_a_reload_is_quoted_from_its_error_log() {
    let mut host = host_with([(Site::files("a.test"), 10)]);
    let pebble = host.with_pebble(|settings| settings);
    // Another program has the port: `nginx -t` does not mind, and a reload does.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let vhost = host.nginx.vhost("a.test");
    let text = fs::read_to_string(&vhost).unwrap();
    fs::write(
        &vhost,
        format!("{text}\nserver {{ listen {taken}; server_name c.test; }}\n"),
    )
    .unwrap();
    let answer = ask(&host, &["site:renew-certificates"]).expect_code(1);
    pebble.assert_well();
    let finding = answer.finding("a.test", "certificate-not-served");
    let detail = finding["detail"].as_str().unwrap();
    let said = format!("[emerg] bind() to {taken} failed (98: Address already in use)");
    assert!(detail.contains(&said), "{detail}");
}

#[test]
fn another_server_block_that_answers_is_named() {
    // For nginx a block that listens on the very address goes before one that listens on all.
    let mut host = host_with([(Site::files("a.test"), 10), (Site::files("b.test"), 80)]);
    let pebble = host.with_pebble(|settings| settings);
    let vhost = host.nginx.vhost("a.test");
    let text = fs::read_to_string(&vhost).unwrap();
    let https = host.nginx.https_port();
    let general = text.replace(
        &format!("listen 127.0.0.1:{https}"),
        &format!("listen 0.0.0.0:{https}"),
    );
    assert_ne!(general, text);
    fs::write(&vhost, general).unwrap();
    // Stopped, for an nginx that runs cannot bind the general address beside its own narrower one.
    host.nginx.stop();
    host.nginx.launch();
    let other = openssl::sha256(&host.live("b.test").join("cert.pem"));
    let answer = ask(&host, &["site:renew-certificates"]).expect_code(1);
    pebble.assert_well();
    let finding = answer
        .finding("a.test", "certificate-not-served")
        .to_string();
    for part in ["b.test.conf:1", other.as_str()] {
        assert!(finding.contains(part), "{part} is not in {finding}");
    }
    // Mended, the certificate that is in place already is served without another order.
    fs::write(&vhost, &text).unwrap();
    host.nginx.stop();
    host.nginx.launch();
    let _ = renew(&host);
    pebble.assert_well();
    assert_served(&host, "a.test");
    assert_eq!(pebble.requests().new_order, 1);
}
