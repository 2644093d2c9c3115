//! What the validator follows, and in which words it fails.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use expect_test::{Expect, expect};
use serde_json::Value;
use testca::dns::{Caa, DnsServer, Zone};
use testca::{Options, Resolve, TestCa};
use testkit::port::Port;
use tokio::net::TcpListener;

use crate::client::{Client, challenge};
use crate::site::{Site, practice};

/// A CA, a site on its HTTP port and another on its HTTPS port.
struct World {
    client: Client,
    http: Site,
    https: Site,
    _ca: testca::Handle,
}

async fn world(resolve: Resolve) -> World {
    let (http, https) = (Site::start().await, Site::start_https().await);
    let ca = TestCa::start(Options {
        http_port: http.address.port(),
        https_port: https.address.port(),
        validation_timeout: Duration::from_secs(5),
        resolve,
        ..Options::default()
    })
    .await
    .unwrap();
    let client = Client::registered(&ca).await;
    http.answer_for(&client);
    https.answer_for(&client);
    World {
        client,
        http,
        https,
        _ca: ca,
    }
}

fn everyone_at(addresses: &[IpAddr]) -> Resolve {
    Resolve::Fixed {
        names: HashMap::new(),
        otherwise: addresses.to_vec(),
    }
}

fn on_loopback() -> Resolve {
    everyone_at(&[Ipv4Addr::LOCALHOST.into()])
}

/// Validates a.test, and returns what the challenge shows.
async fn attempt(client: &mut Client) -> (String, Value) {
    let order = client.order(&["a.test"]).await.json();
    let url = order["authorizations"][0].as_str().unwrap().to_owned();
    let token = challenge(&client.post(&url, None).await.json(), "http-01")["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let shown = challenge(&client.authorize(&url).await, "http-01").clone();
    let kind = shown["error"]["type"]
        .as_str()
        .unwrap_or("valid")
        .trim_start_matches("urn:ietf:params:acme:error:");
    let detail = shown["error"]["detail"].as_str().unwrap_or("");
    let seen = format!("{kind}: {detail}")
        .replace(&token, "TOKEN")
        .replace(&client.key.thumbprint(), "THUMBPRINT");
    (seen, shown["validationRecord"].clone())
}

async fn check_redirect(status: u16, location: &str, expected: &Expect) {
    let mut world = world(on_loopback()).await;
    world.http.set("a.test", status, Some(location), "");
    expected.assert_eq(&attempt(&mut world.client).await.0);
}

#[tokio::test]
async fn redirects_to_the_two_ports_are_followed() {
    let mut world = world(on_loopback()).await;
    for status in [301, 302, 307, 308] {
        world.http.set(
            "a.test",
            status,
            Some("https://b.test/.well-known/acme-challenge/x"),
            "",
        );
        world
            .https
            .set("b.test", 301, Some("http://c.test:80/there?x=1"), "");
        world.http.set("c.test", 200, None, "");
        let (seen, records) = attempt(&mut world.client).await;
        // The last page has nothing in it, which shows that it was reached.
        assert!(seen.ends_with("(got \"\")"), "{seen}");
        let urls: Vec<&str> = records
            .as_array()
            .unwrap()
            .iter()
            .map(|record| record["url"].as_str().unwrap())
            .collect();
        assert_eq!(
            urls[1..],
            [
                "https://b.test/.well-known/acme-challenge/x",
                "http://c.test/there?x=1"
            ]
        );
    }
}

#[tokio::test]
async fn a_redirect_to_https_leads_to_the_answer() {
    let mut world = world(on_loopback()).await;
    let order = world.client.order(&["a.test"]).await.json();
    let url = order["authorizations"][0].as_str().unwrap().to_owned();
    let token = challenge(&world.client.post(&url, None).await.json(), "http-01")["token"]
        .as_str()
        .unwrap()
        .to_owned();
    world.http.set(
        "a.test",
        301,
        Some(&format!(
            "https://b.test/.well-known/acme-challenge/{token}"
        )),
        "",
    );
    assert_eq!(world.client.authorize(&url).await["status"], "valid");
    assert_eq!(world.https.asked().len(), 1);
}

#[tokio::test]
async fn bad_redirects_are_told() {
    check_redirect(303, "https://b.test/", &expect!["connection: 127.0.0.1: Fetching https://b.test/: received disallowed redirect status code"]).await;
    check_redirect(301, "https://b.test:8443/", &expect!["connection: 127.0.0.1: Fetching https://b.test:8443/: Invalid port in redirect target. Only ports 80 and 443 are supported, not 8443"]).await;
    check_redirect(301, "gopher://b.test/", &expect![[r#"connection: 127.0.0.1: Fetching gopher://b.test/: Invalid protocol scheme in redirect target. Only "http" and "https" protocol schemes are supported, not "gopher""#]]).await;
    check_redirect(301, "https://a.test.well-known/x", &expect![[r#"connection: 127.0.0.1: Fetching https://a.test.well-known/x: Invalid host in redirect target "a.test.well-known". Check webserver config for missing '/' in redirect target."#]]).await;
    check_redirect(
        302,
        "https:///x",
        &expect![
            "connection: 127.0.0.1: Fetching https:///x: Invalid empty host in redirect target"
        ],
    )
    .await;
    check_redirect(
        301,
        "http://a.test/again",
        &expect!["connection: 127.0.0.1: Fetching http://a.test/again: Redirect loop detected"],
    )
    .await;
}

#[tokio::test]
async fn ten_redirects_are_followed_and_no_more() {
    let mut world = world(on_loopback()).await;
    // The first answer is the host's, every other one the path's.
    world.http.set("a.test", 302, Some("http://b.test/1"), "");
    for number in 1..10 {
        world.http.set(
            &format!("/{number}"),
            302,
            Some(&format!("/{}", number + 1)),
            "",
        );
    }
    world.http.set("/10", 200, None, "here");
    let (seen, records) = attempt(&mut world.client).await;
    assert!(seen.ends_with("(got \"here\")"), "{seen}");
    assert_eq!(records.as_array().unwrap().len(), 11);
    world.http.set("/10", 302, Some("/11"), "");
    expect!["connection: 127.0.0.1: Fetching /11: Too many redirects"]
        .assert_eq(&attempt(&mut world.client).await.0);
}

async fn check_page(status: u16, body: &str, expected: &Expect) {
    let (_ca, site, mut client) = practice(Options::default()).await;
    site.set("a.test", status, None, body);
    expected.assert_eq(&attempt(&mut client).await.0);
}

#[tokio::test]
async fn wrong_answers_are_told() {
    check_page(404, "x", &expect!["unauthorized: 127.0.0.1: Invalid response from http://a.test/.well-known/acme-challenge/TOKEN: 404"]).await;
    check_page(301, "no location", &expect!["unauthorized: 127.0.0.1: Invalid response from http://a.test/.well-known/acme-challenge/TOKEN: 301"]).await;
    check_page(200, "hello", &expect![[r#"unauthorized: The key authorization file from the server did not match this challenge. Expected "TOKEN.THUMBPRINT" (got "hello")"#]]).await;
    check_page(200, &"long ".repeat(100), &expect![[r#"unauthorized: 127.0.0.1: Invalid response from http://a.test/.well-known/acme-challenge/TOKEN: "long long long long long long long long long long long long long long long long long long long long long long long long long lon""#]]).await;
}

#[tokio::test]
async fn ipv6_comes_first_and_is_believed() {
    let port = Port::free();
    let right = Site::serve_on(TcpListener::bind(port.v4()).await.unwrap(), false);
    let ca = TestCa::start(Options {
        http_port: port.number(),
        resolve: everyone_at(&[port.v4().ip(), port.v6().ip()]),
        ..Options::default()
    })
    .await
    .unwrap();
    let mut client = Client::registered(&ca).await;
    right.answer_for(&client);
    // Nothing listens on IPv6: then, and only then, IPv4 is tried.
    let (seen, records) = attempt(&mut client).await;
    assert_eq!(seen, "valid: ");
    assert_eq!(
        (&records[0]["addressUsed"], &records[1]["addressUsed"]),
        (&"::1".into(), &"127.0.0.1".into())
    );

    let wrong = Site::serve_on(TcpListener::bind(port.v6()).await.unwrap(), false);
    wrong.set("a.test", 404, None, "");
    expect!["unauthorized: ::1: Invalid response from http://a.test/.well-known/acme-challenge/TOKEN: 404"]
        .assert_eq(&attempt(&mut client).await.0);
}

#[tokio::test]
async fn dead_addresses_are_told() {
    let port = Port::free();
    let ca = TestCa::start(Options {
        http_port: port.number(),
        ..Options::default()
    })
    .await
    .unwrap();
    let mut client = Client::registered(&ca).await;
    expect!["connection: 127.0.0.1: Fetching http://a.test/.well-known/acme-challenge/TOKEN: Connection refused"]
        .assert_eq(&attempt(&mut client).await.0);
}

#[tokio::test]
async fn silent_servers_are_told() {
    // The kernel accepts for it, and nobody ever reads.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ca = TestCa::start(Options {
        http_port: silent.local_addr().unwrap().port(),
        validation_timeout: Duration::from_millis(200),
        ..Options::default()
    })
    .await
    .unwrap();
    let mut client = Client::registered(&ca).await;
    expect!["connection: 127.0.0.1: Fetching http://a.test/.well-known/acme-challenge/TOKEN: Timeout during read (your server may be slow or overloaded)"]
        .assert_eq(&attempt(&mut client).await.0);
}

#[tokio::test]
async fn plain_http_on_the_https_port_is_told() {
    let (http, plain) = (Site::start().await, Site::start().await);
    let ca = TestCa::start(Options {
        http_port: http.address.port(),
        https_port: plain.address.port(),
        ..Options::default()
    })
    .await
    .unwrap();
    let mut client = Client::registered(&ca).await;
    http.set("a.test", 301, Some("https://a.test/x"), "");
    expect!["malformed: 127.0.0.1: Fetching https://a.test/x: Server only speaks HTTP, not TLS"]
        .assert_eq(&attempt(&mut client).await.0);
}

async fn check_dns(change: impl FnOnce(&mut Zone) -> &mut Zone, expected: &Expect) {
    let dns = DnsServer::start(Zone::default()).await.unwrap();
    dns.change(change);
    let mut world = world(Resolve::Dns(dns.address())).await;
    let (seen, records) = attempt(&mut world.client).await;
    expected.assert_eq(&seen);
    assert!(
        seen.starts_with("valid") || records.is_null(),
        "nothing was fetched: {records}"
    );
}

#[tokio::test]
async fn dns_failures_are_told() {
    check_dns(|zone| zone.nxdomain("a.test"), &expect!["dns: DNS problem: NXDOMAIN looking up A for a.test - check that a DNS record exists for this domain; DNS problem: NXDOMAIN looking up AAAA for a.test - check that a DNS record exists for this domain"]).await;
    check_dns(|zone| zone.servfail("a.test"), &expect!["dns: DNS problem: SERVFAIL looking up A for a.test - the domain's nameservers may be malfunctioning; DNS problem: SERVFAIL looking up AAAA for a.test - the domain's nameservers may be malfunctioning"]).await;
    check_dns(
        |zone| zone.set("a.test", &[]),
        &expect![
            "dns: no valid A records found for a.test; no valid AAAA records found for a.test"
        ],
    )
    .await;
    check_dns(|zone| zone.nxdomain("b.test"), &expect!["valid: "]).await;
}

async fn check_caa(change: impl FnOnce(&mut Zone) -> &mut Zone, expected: &Expect) {
    let dns = DnsServer::start(Zone::default()).await.unwrap();
    dns.change(change);
    let mut world = world(Resolve::Dns(dns.address())).await;
    expected.assert_eq(&attempt(&mut world.client).await.0);
}

#[tokio::test]
async fn caa_records_are_heeded() {
    let mine = [Caa::issue("practice.test")];
    let other = [Caa::issue("other.test")];
    check_caa(|zone| zone.set_caa("a.test", &mine), &expect!["valid: "]).await;
    check_caa(
        |zone| zone.set_caa("a.test", &other),
        &expect!["caa: CAA record for a.test prevents issuance"],
    )
    .await;
    check_caa(
        |zone| zone.set_caa("test", &other),
        &expect!["caa: CAA record for a.test prevents issuance"],
    )
    .await;
    check_caa(
        |zone| zone.set_caa("test", &other).set_caa("a.test", &mine),
        &expect!["valid: "],
    )
    .await;
    check_caa(|zone| zone.servfail("test"), &expect!["dns: While processing CAA for a.test: DNS problem: SERVFAIL looking up CAA for test - the domain's nameservers may be malfunctioning"]).await;
    check_caa(|zone| zone.nxdomain("test"), &expect!["valid: "]).await;
}

#[tokio::test]
async fn a_silent_dns_server_is_told() {
    let dns = DnsServer::start(Zone::default()).await.unwrap();
    dns.change(|zone| zone.silent("a.test"));
    let (_ca, _site, mut client) = practice(Options {
        resolve: Resolve::Dns(dns.address()),
        validation_timeout: Duration::from_millis(100),
        ..Options::default()
    })
    .await;
    expect!["dns: DNS problem: query timed out looking up A for a.test; DNS problem: query timed out looking up AAAA for a.test"]
        .assert_eq(&attempt(&mut client).await.0);
}
