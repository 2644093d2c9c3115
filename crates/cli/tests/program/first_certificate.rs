//! Does a site get its first certificate, and does its vhost get nothing but the lines it needs?

use std::fs;
use std::net::TcpListener;

use testca::{Fault, NameFault};
use testkit::host::Host;
use testkit::nginx::Site;
use testkit::openssl;

use crate::answer::ask;
use crate::disk::{self, added_lines, assert_served, linked_version};
use crate::practice::Practice;

/// The words that obtain the first certificate of a.test.
const INSTALL: [&str; 2] = ["lets-encrypt:install:certificate", "--domainName=a.test"];

#[test]
fn a_site_without_tls_gets_its_lines_and_no_others() {
    let mut host = Host::start([Site::plain("a.test"), Site::files("b.test")]);
    let pebble = host.with_pebble(|settings| settings);
    let before = fs::read_to_string(host.nginx.vhost("a.test")).unwrap();
    let other = disk::entry(&host.nginx.vhost("b.test"));
    let answer = ask(&host, &INSTALL).expect_code(0);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "issued", "{:#}", answer.json);
    let after = fs::read_to_string(host.nginx.vhost("a.test")).unwrap();
    let live = host.live("a.test");
    let mut expected: Vec<String> = host
        .nginx
        .https_addresses()
        .iter()
        .map(|address| format!("listen {address} ssl;"))
        .collect();
    expected.push(format!(
        "ssl_certificate {};",
        live.join("fullchain.pem").display()
    ));
    expected.push(format!(
        "ssl_certificate_key {};",
        live.join("privkey.pem").display()
    ));
    let mut added = added_lines(&before, &after);
    added.sort();
    expected.sort();
    assert_eq!(added, expected, "{after}");
    assert_eq!(linked_version(&host, "a.test"), 1);
    assert_served(&host, "a.test");
    assert_eq!(
        openssl::verify(&pebble.root(), &live.join("fullchain.pem")),
        Ok(())
    );
    assert_eq!(disk::entry(&host.nginx.vhost("b.test")), other);
    assert_eq!((answer.reloads(), host.nginx.reloads()), (1, 1));
}

#[test]
fn more_names_end_up_in_the_certificate() {
    let mut host = Host::start([Site::plain("a.test").also("www.a.test").also("blog.a.test")]);
    let pebble = host.with_pebble(|settings| settings);
    let words = [
        INSTALL[0],
        INSTALL[1],
        "--subjectAlternativeName=www.a.test",
    ];
    let answer = ask(&host, &words).expect_code(0);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "issued");
    let certificate = host.live("a.test").join("cert.pem");
    let covered =
        ["a.test", "www.a.test", "blog.a.test"].map(|name| openssl::covers(&certificate, name));
    assert_eq!(covered, [true, true, false]);
    assert_served(&host, "a.test");
}

#[test]
fn a_placeholder_is_left_alone_and_the_vhost_pointed_elsewhere() {
    let mut host = Host::start([
        Site::cloudpanel("a.test").placeholder(),
        Site::cloudpanel("b.test").placeholder(),
    ]);
    let pebble = host.with_pebble(|settings| settings);
    let vhosts = ["a.test", "b.test"].map(|domain| host.nginx.vhost(domain));
    let before = vhosts
        .clone()
        .map(|vhost| fs::read_to_string(vhost).unwrap());
    let foreign = disk::tree(&host.nginx.certificates(), &[]);
    let answer = ask(&host, &INSTALL).expect_code(0);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "issued", "{:#}", answer.json);
    assert_eq!(disk::tree(&host.nginx.certificates(), &[]), foreign);
    let own = host.nginx.certificates().join("ssl-cert-snakeoil");
    let live = host.live("a.test");
    let (crt, key) = (
        format!("{}.crt", own.display()),
        format!("{}.key", own.display()),
    );
    let pointed = before[0]
        .replace(&crt, live.join("fullchain.pem").to_str().unwrap())
        .replace(&key, live.join("privkey.pem").to_str().unwrap());
    assert_eq!(fs::read_to_string(&vhosts[0]).unwrap(), pointed);
    assert_eq!(fs::read_to_string(&vhosts[1]).unwrap(), before[1]);
    assert_served(&host, "a.test");
    assert_eq!(host.nginx.reloads(), 1);
}

#[test]
fn a_named_site_with_a_self_signed_certificate_gets_its_first_one_by_renewing() {
    let mut host = Host::start([Site::cloudpanel("a.test"), Site::cloudpanel("b.test")]);
    let pebble = host.with_pebble(|settings| settings);
    let unasked = ask(&host, &["site:renew-certificates"]).expect_code(0);
    assert_eq!(unasked.outcome("a.test"), "skipped", "{:#}", unasked.json);
    assert_eq!(pebble.requests().new_order, 0);
    let answer = ask(&host, &["site:renew-certificates", "--domain=a.test"]).expect_code(0);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "issued");
    assert_served(&host, "a.test");
    assert!(!host.live("b.test").exists());
}

#[test]
fn an_edit_that_nginx_refuses_is_undone() {
    // Harmless as long as there is no certificate; refused as soon as there is one.
    let site = Site::plain("a.test").extra("ssl_verify_client on;");
    let mut host = Host::start([site, Site::files("b.test")]);
    let pebble = host.with_pebble(|settings| settings);
    let bytes = fs::read(host.nginx.vhost("a.test")).unwrap();
    let answer = ask(&host, &INSTALL).expect_code(1);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "failed");
    let finding = answer.finding("a.test", "nginx-config-invalid").to_string();
    assert!(finding.contains("ssl_client_certificate"), "{finding}");
    assert_eq!(fs::read(host.nginx.vhost("a.test")).unwrap(), bytes);
    assert!(host.nginx.test().ok());
    assert_eq!((answer.reloads(), host.nginx.reloads()), (0, 0));
    assert!(
        host.archive("a.test").join("cert1.pem").exists(),
        "the certificate is kept"
    );
    // Mended, the kept one is served without another order.
    let vhost = String::from_utf8(bytes).unwrap();
    fs::write(
        host.nginx.vhost("a.test"),
        vhost.replace("    ssl_verify_client on;\n", ""),
    )
    .unwrap();
    let again = ask(&host, &INSTALL).expect_code(0);
    pebble.assert_well();
    assert_eq!(again.outcome("a.test"), "issued", "{:#}", again.json);
    assert_served(&host, "a.test");
    assert_eq!(pebble.requests().new_order, 1);
}

#[test]
fn a_port_that_another_program_holds_is_told() {
    let mut host = Host::start([Site::plain("a.test")]);
    let pebble = host.with_pebble(|settings| settings);
    let addresses = host.nginx.https_addresses();
    let holders: Vec<_> = addresses
        .iter()
        .map(|address| TcpListener::bind(address).unwrap())
        .collect();
    let answer = ask(&host, &INSTALL).expect_code(1);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "failed");
    // Nobody looks at the certificate behind a port that does not speak TLS.
    let site = answer.site("a.test").to_string();
    assert!(
        site.contains("certificate-not-served") || site.contains("nginx-reload-failed"),
        "{site}"
    );
    drop(holders);
    let again = ask(&host, &INSTALL).expect_code(0);
    pebble.assert_well();
    assert_served(&host, "a.test");
    assert_eq!(pebble.requests().new_order, 1, "{:#}", again.json);
}

#[test]
fn an_order_that_fails_leaves_the_vhost_as_it_was() {
    for site in [
        Site::plain("a.test"),
        Site::cloudpanel("a.test").placeholder(),
    ] {
        let mut host = Host::start([site]);
        let practice = Practice::start(&mut host, |_| {});
        practice
            .ca
            .add_fault(Fault::new(NameFault::Forbid).of_name("a.test"));
        let before = fs::read_to_string(host.nginx.vhost("a.test")).unwrap();
        let answer = ask(&host, &INSTALL).expect_code(1);
        let _ = answer.finding("a.test", "name-not-allowed");
        assert_eq!(
            fs::read_to_string(host.nginx.vhost("a.test")).unwrap(),
            before
        );
        assert!(!host.live("a.test").exists());
        assert!(host.nginx.test().ok());
    }
}

#[test]
fn names_that_cannot_be_public_are_left_out() {
    let site = Site::files("a.test")
        .also("www1.a.test")
        .also("localhost")
        .also("intranet")
        .also("_")
        .also("*.b.test")
        .also("~^shop[0-9]+\\.a\\.test$")
        .also("www.a.test");
    let mut host = Host::start([site]);
    let pebble = host.with_pebble(|settings| settings);
    let answer = ask(&host, &INSTALL).expect_code(0);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "issued");
    let text = openssl::x509(
        &host.live("a.test").join("cert.pem"),
        &["-ext", "subjectAltName"],
    );
    let mut names: Vec<_> = text
        .split([',', '\n'])
        .filter_map(|part| part.trim().strip_prefix("DNS:"))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["a.test", "www.a.test"], "{text}");
}

#[test]
fn a_certificate_inherited_from_http_is_left_to_the_others() {
    let mut host = Host::start([
        Site::cloudpanel("a.test").placeholder(),
        Site::files("b.test").placeholder(),
    ]);
    let pebble = host.with_pebble(|settings| settings);
    // The two lines move from the vhosts to where both inherit them.
    let pair = host.nginx.certificates().join("ssl-cert-snakeoil");
    let lines = format!(
        "    ssl_certificate_key {0}.key;\n    ssl_certificate {0}.crt;\n",
        pair.display()
    );
    for domain in ["a.test", "b.test"] {
        let text = fs::read_to_string(host.nginx.vhost(domain)).unwrap();
        assert!(text.contains(&lines), "{text}");
        fs::write(host.nginx.vhost(domain), text.replace(&lines, "")).unwrap();
    }
    let main = fs::read_to_string(host.nginx.config()).unwrap();
    let main = main.replace(
        "    default_type text/plain;\n",
        &format!("    default_type text/plain;\n{lines}"),
    );
    fs::write(host.nginx.config(), &main).unwrap();
    assert!(host.nginx.test().ok());
    host.nginx.reload();
    let address = host.nginx.https_addresses()[0];
    let placeholder = openssl::sha256(&host.nginx.certificates().join("ssl-cert-snakeoil.crt"));
    let before = fs::read_to_string(host.nginx.vhost("a.test")).unwrap();
    let answer = ask(&host, &INSTALL).expect_code(0);
    pebble.assert_well();
    assert_eq!(answer.outcome("a.test"), "issued", "{:#}", answer.json);
    assert_served(&host, "a.test");
    assert_eq!(openssl::served(address, "b.test"), Some(placeholder));
    assert_eq!(fs::read_to_string(host.nginx.config()).unwrap(), main);
    let added = added_lines(
        &before,
        &fs::read_to_string(host.nginx.vhost("a.test")).unwrap(),
    );
    assert_eq!(added.len(), 2, "{added:?}");
    assert!(
        added.iter().all(|line| line.starts_with("ssl_certificate")),
        "{added:?}"
    );
}

#[test]
fn a_site_that_nginx_refuses_holds_up_no_other() {
    let refused = Site::plain("a.test").extra("ssl_verify_client on;");
    let mut host = Host::start([
        refused,
        Site::plain("b.test"),
        Site::cloudpanel("c.test"),
        Site::plain("d.test"),
    ]);
    let pebble = host.with_pebble(|settings| settings);
    let before = fs::read(host.nginx.vhost("a.test")).unwrap();
    let named = ["a", "b", "c", "d"].map(|site| format!("--domain={site}.test"));
    let mut words = vec!["site:renew-certificates"];
    words.extend(named.iter().map(String::as_str));
    let answer = ask(&host, &words).expect_code(1);
    pebble.assert_well();
    let _ = answer.finding("a.test", "nginx-config-invalid");
    assert_eq!(fs::read(host.nginx.vhost("a.test")).unwrap(), before);
    for domain in ["b.test", "c.test", "d.test"] {
        assert_eq!(answer.outcome(domain), "issued", "{:#}", answer.json);
        assert_served(&host, domain);
    }
    assert_eq!((answer.reloads(), host.nginx.reloads()), (1, 1));
}
