//! Suggested windows, and orders that replace a certificate (RFC 9773).

use expect_test::expect;
use jiff::Timestamp;
use serde_json::json;
use testca::{Clock, Fault, Handle, Options, RenewalInfoFault, RenewalWindow, SuggestError};

use crate::client::{Answer, Client};
use crate::site::practice;

const NOW: &str = "2026-06-01T12:00:00Z";

fn fixed() -> Options {
    Options {
        clock: Clock::new(|| NOW.parse().unwrap()),
        ..Options::default()
    }
}

async fn info(client: &mut Client, id: &str) -> Answer {
    let url = format!("{}/{id}", client.url("renewalInfo"));
    client.get(&url).await
}

fn window(start: &str, end: &str) -> RenewalWindow {
    let at = |moment: &str| -> Timestamp { moment.parse().unwrap() };
    RenewalWindow {
        start: at(start),
        end: at(end),
    }
}

#[tokio::test]
async fn a_window_is_suggested() {
    let (ca, _site, mut client) = practice(fixed()).await;
    client.certificate(&["a.test"]).await;
    let id = ca.certificate_id("a.test").unwrap();
    let answer = info(&mut client, &id).await;
    assert_eq!(answer.header("retry-after"), Some("21600"));
    expect![[
        r#"{"suggestedWindow":{"end":"2026-08-01T08:36:00Z","start":"2026-07-30T13:24:00Z"}}"#
    ]]
    .assert_eq(&answer.json().to_string());
    for nobody in ["", "x", "AAAA.AAAA", &id[1..]] {
        assert_eq!(info(&mut client, nobody).await.status, 404, "{nobody}");
    }
}

#[tokio::test]
async fn a_window_is_moved() {
    let (ca, _site, mut client) = practice(fixed()).await;
    client.certificate(&["a.test"]).await;
    let id = ca.certificate_id("a.test").unwrap();
    let past = window("2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z");
    ca.suggest_renewal("A.test", past, Some("https://a.test/why"))
        .unwrap();
    expect![[r#"{"explanationURL":"https://a.test/why","suggestedWindow":{"end":"2026-05-02T00:00:00Z","start":"2026-05-01T00:00:00Z"}}"#]]
        .assert_eq(&info(&mut client, &id).await.json().to_string());
    ca.suggest_renewal(&id, window(NOW, "2026-07-01T00:00:00Z"), None)
        .unwrap();
    assert_eq!(
        info(&mut client, &id).await.json()["suggestedWindow"]["end"],
        "2026-07-01T00:00:00Z"
    );
    assert_eq!(
        ca.suggest_renewal("b.test", past, None),
        Err(SuggestError::NoCertificate("b.test".to_owned()))
    );
}

#[tokio::test]
async fn windows_go_wrong_on_demand() {
    let (ca, _site, mut client) = practice(fixed()).await;
    client.certificate(&["a.test"]).await;
    let id = ca.certificate_id("a.test").unwrap();
    ca.set_faults(
        [
            RenewalInfoFault::EndsBeforeStart,
            RenewalInfoFault::NoWindow,
            RenewalInfoFault::NoRetryAfter,
        ]
        .map(|fault| Fault::new(fault).of_name("a.test").times(1))
        .into(),
    );
    let reversed = info(&mut client, &id).await.json();
    assert!(
        reversed["suggestedWindow"]["start"].as_str() > reversed["suggestedWindow"]["end"].as_str(),
        "{reversed}"
    );
    assert_eq!(info(&mut client, &id).await.json(), json!({}));
    assert_eq!(info(&mut client, &id).await.header("retry-after"), None);
    assert!(ca.faults().is_empty());
}

#[tokio::test]
async fn a_revoked_certificate_is_due_at_once() {
    let (ca, _site, mut client) = practice(fixed()).await;
    let chain = client.certificate(&["a.test"]).await.chain();
    let url = client.url("revokeCert");
    let der = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, &chain[0]);
    client
        .post(&url, Some(&json!({ "certificate": der })))
        .await;
    let id = ca.certificate_id("a.test").unwrap();
    expect![[
        r#"{"suggestedWindow":{"end":"2026-06-01T11:30:00Z","start":"2026-06-01T11:00:00Z"}}"#
    ]]
    .assert_eq(&info(&mut client, &id).await.json().to_string());
}

async fn replaces(client: &mut Client, names: &[&str], id: &str) -> String {
    let answer = client.order_with(names, json!({ "replaces": id })).await;
    if answer.status == 201 {
        assert_eq!(answer.json()["replaces"], id, "it is echoed");
        return "201".to_owned();
    }
    let serial = answer.problem();
    // Serials differ from run to run.
    match (serial.find("serial \""), serial.rfind('"')) {
        (Some(start), Some(end)) if end > start + 8 => {
            format!("{}SERIAL{}", &serial[..start + 8], &serial[end..])
        }
        _ => serial,
    }
}

fn cert_id(ca: &Handle) -> String {
    ca.certificate_id("a.test").unwrap()
}

#[tokio::test]
async fn an_order_replaces_a_certificate_or_is_told_why_not() {
    let (ca, _site, mut client) = practice(fixed()).await;
    client.certificate(&["a.test", "b.test"]).await;
    let id = cert_id(&ca);
    let (authority, _) = id.split_once('.').unwrap();
    let mut stranger = Client::registered(&ca).await;
    let seen = [
        replaces(&mut client, &["a.test"], "nonsense").await,
        replaces(&mut client, &["a.test"], "AAAA.AAAA").await,
        replaces(&mut client, &["a.test"], &format!("{authority}.AAAA")).await,
        replaces(&mut stranger, &["a.test"], &id).await,
        replaces(&mut client, &["c.test"], &id).await,
        replaces(&mut client, &["a.test", "c.test"], &id).await,
        replaces(&mut client, &["a.test"], &id).await,
    ];
    expect![[r#"
        400 malformed: Could not validate ARI 'replaces' field :: path was not base64url-encoded or contained a dot too many
        404 malformed: Could not validate ARI 'replaces' field :: path contained an Authority Key Identifier that did not match a known issuer
        404 malformed: Could not validate ARI 'replaces' field :: request included `replaces` field, but no current certificate with serial "SERIAL" exists
        403 unauthorized: Could not validate ARI 'replaces' field :: requester account did not request the certificate being replaced by this order
        400 malformed: Could not validate ARI 'replaces' field :: identifiers in this order do not match any identifiers in the certificate being replaced
        201
        409 alreadyReplaced: Could not validate ARI 'replaces' field :: cannot indicate an order replaces certificate with serial "SERIAL", which already has a replacement order"#]]
    .assert_eq(&seen.join("\n"));
}

#[tokio::test]
async fn a_failed_replacement_does_not_block_the_next() {
    let (ca, site, mut client) = practice(fixed()).await;
    client.certificate(&["a.test"]).await;
    let id = cert_id(&ca);
    site.set("a.test", 500, None, "");
    let order = client
        .order_with(&["a.test"], json!({ "replaces": id }))
        .await
        .json();
    let authorization = order["authorizations"][0].as_str().unwrap().to_owned();
    assert_eq!(client.authorize(&authorization).await["status"], "invalid");
    assert_eq!(replaces(&mut client, &["a.test"], &id).await, "201");
}
