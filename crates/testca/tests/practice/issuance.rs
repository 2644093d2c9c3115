//! From an account to a certificate.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384};
use serde_json::{Value, json};
use testca::dns::{DnsServer, Zone};
use testca::{Endpoint, Options, Resolve};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::client::{Client, challenge, signing_request};
use crate::site::practice;

/// Returns names, issuer and days of life of a leaf.
fn described(der: &[u8]) -> String {
    let (_, leaf) = X509Certificate::from_der(der).unwrap();
    let names = leaf
        .subject_alternative_name()
        .unwrap()
        .unwrap()
        .value
        .general_names
        .clone();
    let hours =
        (leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp()) / 3600;
    format!("{names:?} {} {hours} h", leaf.subject())
}

#[tokio::test]
async fn a_certificate_is_issued() {
    let (ca, site, mut client) = practice(Options::default()).await;
    let answer = client.certificate(&["b.test", "A.test"]).await;
    let chain = answer.chain();
    assert_eq!(chain.len(), 2, "leaf and intermediate, no root");
    expect![[r#"[DNSName("a.test"), DNSName("b.test")] CN=a.test 2160 h"#]]
        .assert_eq(&described(&chain[0]));

    let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
    let (_, intermediate) = X509Certificate::from_der(&chain[1]).unwrap();
    leaf.verify_signature(Some(intermediate.public_key()))
        .unwrap();
    let roots = ca.roots_pem();
    let root = x509_parser::pem::parse_x509_pem(roots.as_bytes())
        .unwrap()
        .1;
    intermediate
        .verify_signature(Some(root.parse_x509().unwrap().public_key()))
        .unwrap();
    assert!(
        leaf.extended_key_usage()
            .unwrap()
            .unwrap()
            .value
            .server_auth
    );

    let asked = site.asked();
    assert_eq!(asked.len(), 2, "each name once: {asked:?}");
    assert!(
        asked.iter().all(|(host, path)| host.ends_with(".test")
            && path.starts_with("/.well-known/acme-challenge/"))
    );
    assert_eq!(ca.issued(), 1);
    let requests = ca.requests();
    assert_eq!(
        [
            Endpoint::Directory,
            Endpoint::NewNonce,
            Endpoint::NewAccount,
            Endpoint::NewOrder,
            Endpoint::Challenge,
            Endpoint::Finalize,
            Endpoint::Certificate
        ]
        .map(|endpoint| requests.of(endpoint)),
        [1, 1, 1, 1, 2, 1, 1]
    );
    assert_eq!(
        requests.total(),
        Endpoint::ALL
            .into_iter()
            .map(|endpoint| requests.of(endpoint))
            .sum::<u64>()
    );
}

#[tokio::test]
async fn other_chains_are_offered_and_lead_to_other_roots() {
    let (_ca, _site, mut client) = practice(Options {
        alternate_chains: 2,
        ..Options::default()
    })
    .await;
    let (url, answer) = client.certificate_with(&["a.test"], json!({})).await;
    let alternates = answer.links("alternate");
    assert_eq!(alternates, [format!("{url}/1"), format!("{url}/2")]);
    let issuer = |answer: &crate::client::Answer| {
        X509Certificate::from_der(&answer.chain()[1])
            .unwrap()
            .1
            .issuer()
            .iter_common_name()
            .next()
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(issuer(&answer), "Practice Root R1");
    let other = client.post(&alternates[1], None).await;
    assert_eq!(issuer(&other), "Practice Root R3");
    assert_eq!(other.chain()[0], answer.chain()[0], "the leaf is the same");
    assert_eq!(
        client.post(&format!("{url}/3"), None).await.problem(),
        "404 malformed: Certificate not found"
    );
}

#[tokio::test]
async fn profiles_decide_the_lifetime() {
    let (_ca, _site, mut client) = practice(Options::default()).await;
    let offered: Vec<&String> = client.directory["meta"]["profiles"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(offered, ["classic", "shortlived", "tlsserver"]);
    let mut seen = Vec::new();
    for profile in ["classic", "tlsserver", "shortlived"] {
        let chain = client
            .certificate_with(&["a.test"], json!({ "profile": profile }))
            .await
            .1
            .chain();
        seen.push(described(&chain[0]));
    }
    expect![[r#"
        [DNSName("a.test")] CN=a.test 2160 h
        [DNSName("a.test")]  1080 h
        [DNSName("a.test")]  160 h"#]]
    .assert_eq(&seen.join("\n"));
    let refused = client
        .order_with(&["a.test"], json!({ "profile": "classical" }))
        .await;
    expect![[r#"400 invalidProfile: profile name "classical" not recognized"#]]
        .assert_eq(&refused.problem());
}

#[tokio::test]
async fn lifetimes_are_what_was_asked_for() {
    let (ca, _site, mut client) =
        practice(Options::default().with_lifetime(Duration::from_secs(2 * 3600))).await;
    let chain = client.certificate(&["a.test"]).await.chain();
    expect![[r#"[DNSName("a.test")] CN=a.test 2 h"#]].assert_eq(&described(&chain[0]));

    let two_days = Duration::from_secs(2 * 24 * 3600);
    ca.age_next("A.test", Duration::from_secs(600));
    let aged = client.certificate(&["a.test"]).await.chain();
    let next = client.certificate(&["a.test"]).await.chain();
    let seconds_left = |der: &[u8]| {
        X509Certificate::from_der(der)
            .unwrap()
            .1
            .validity()
            .time_to_expiration()
            .unwrap()
            .whole_seconds()
    };
    assert!(
        (500..=600).contains(&seconds_left(&aged[0])),
        "{}",
        seconds_left(&aged[0])
    );
    assert!(seconds_left(&next[0]) > 6000, "only the next one is old");
    assert!(seconds_left(&next[0]) < i64::try_from(two_days.as_secs()).unwrap());
}

#[tokio::test]
async fn keys_of_every_kind_are_certified() {
    let (_ca, _site, mut client) = practice(Options::default()).await;
    let keys = [
        KeyPair::generate().unwrap(),
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
        KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap(),
    ];
    for key in keys {
        let (_, order) = client.ready(&["a.test"], json!({})).await;
        let csr = signing_request(&["a.test"], &key);
        let done = client
            .post(
                order["finalize"].as_str().unwrap(),
                Some(&json!({ "csr": csr })),
            )
            .await
            .json();
        assert_eq!(done["status"], "valid", "{done}");
        let chain = client
            .post(done["certificate"].as_str().unwrap(), None)
            .await
            .chain();
        let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
        assert_eq!(
            leaf.public_key().subject_public_key.data.as_ref(),
            key.public_key_raw()
        );
    }
}

#[tokio::test]
async fn names_are_resolved_by_the_dns_server() {
    let dns = DnsServer::start(Zone::new(&[])).await.unwrap();
    dns.change(|zone| zone.set("a.test", &[Ipv4Addr::LOCALHOST.into()]));
    let (_ca, _site, mut client) = practice(Options {
        resolve: Resolve::Dns(dns.address()),
        ..Options::default()
    })
    .await;
    assert_eq!(client.certificate(&["a.test"]).await.chain().len(), 2);
    assert!(dns.questions() >= 2, "A and AAAA");
    dns.stop().await;
}

#[tokio::test]
async fn pending_orders_and_valid_authorizations_are_reused_on_request() {
    let (_ca, _site, mut client) = practice(Options::awkward(1)).await;
    // The awkward CA refuses a good nonce now and then, which this client does not forgive.
    _ca.set_faults(Vec::new());
    let first = client.order(&["a.test", "b.test"]).await;
    let again = client.order(&["b.test", "a.test"]).await;
    assert_eq!(first.header("location"), again.header("location"));
    let other = client
        .order_with(&["a.test", "b.test"], json!({ "profile": "shortlived" }))
        .await;
    assert_ne!(first.header("location"), other.header("location"));

    client.certificate(&["a.test", "b.test"]).await;
    let renewed = client.order(&["a.test", "b.test"]).await.json();
    assert_eq!(
        renewed["status"], "ready",
        "both names are valid already: {renewed}"
    );
}

#[tokio::test]
async fn every_order_is_new_by_default() {
    let (_ca, _site, mut client) = practice(Options::default()).await;
    let first = client.order(&["a.test"]).await;
    let again = client.order(&["a.test"]).await;
    assert_ne!(first.header("location"), again.header("location"));
    client.certificate(&["a.test"]).await;
    assert_eq!(client.order(&["a.test"]).await.json()["status"], "pending");
}

#[tokio::test]
async fn a_failed_challenge_ends_authorization_and_order() {
    let (_ca, site, mut client) = practice(Options::default()).await;
    site.set("b.test", 404, None, "");
    let answer = client.order(&["a.test", "b.test"]).await;
    let order_url = answer.header("location").unwrap().to_owned();
    let mut seen = HashMap::new();
    for url in answer.json()["authorizations"].as_array().unwrap() {
        let authorization = client.authorize(url.as_str().unwrap()).await;
        let name = authorization["identifier"]["value"]
            .as_str()
            .unwrap()
            .to_owned();
        seen.insert(name, authorization);
    }
    assert_eq!(seen["a.test"]["status"], "valid");
    let failed = &seen["b.test"];
    let challenge = challenge(failed, "http-01");
    assert_eq!(
        (&failed["status"], &challenge["status"]),
        (&json!("invalid"), &json!("invalid"))
    );
    assert_eq!(
        challenge["error"]["type"],
        "urn:ietf:params:acme:error:unauthorized"
    );
    let record: Value = challenge["validationRecord"][0].clone();
    assert_eq!(
        (&record["hostname"], &record["addressUsed"]),
        (&json!("b.test"), &json!("127.0.0.1"))
    );
    assert_eq!(
        client.post(&order_url, None).await.json()["status"],
        "invalid"
    );
}

#[tokio::test]
async fn wildcards_cannot_be_shown_by_http() {
    let (_ca, _site, mut client) = practice(Options::default()).await;
    let order = client.order(&["*.a.test"]).await.json();
    let url = order["authorizations"][0].as_str().unwrap().to_owned();
    let authorization = client.post(&url, None).await.json();
    assert_eq!(
        (
            &authorization["identifier"]["value"],
            &authorization["wildcard"]
        ),
        (&json!("a.test"), &json!(true))
    );
    assert_eq!(authorization["challenges"].as_array().unwrap().len(), 1);
    let dns = challenge(&authorization, "dns-01")["url"]
        .as_str()
        .unwrap()
        .to_owned();
    client.post(&dns, Some(&json!({}))).await;
    let failed = client.poll(&url, &["pending"]).await;
    assert_eq!(
        challenge(&failed, "dns-01")["error"]["detail"],
        "No TXT record found at _acme-challenge.a.test"
    );
}

#[tokio::test]
async fn sixty_four_orders_at_once() {
    let (ca, _site, client) = practice(Options::default()).await;
    let account = client.account.clone();
    let key = client.key;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..64 {
        let mut client = Client::new(&ca).await;
        client.account.clone_from(&account);
        client.key = Arc::clone(&key);
        tasks.spawn(async move {
            let name = format!("site-{number}.test");
            client.certificate(&[&name]).await.chain().len()
        });
    }
    while let Some(length) = tasks.join_next().await {
        assert_eq!(length.unwrap(), 2);
    }
    assert_eq!(ca.issued(), 64);
}
