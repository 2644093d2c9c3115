//! Accounts: made, found, changed, closed; and revocation, which also asks who is who.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use expect_test::expect;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use testca::{Options, TestCa};

use crate::client::{AccountKey, Client, signing_request};
use crate::site::practice;

#[tokio::test]
async fn an_account_is_made_once_per_key() {
    let ca = TestCa::start(Options::default()).await.unwrap();
    for key in [
        AccountKey::es256(),
        AccountKey::es384(),
        AccountKey::rs256(),
    ] {
        let mut client = Client::new(&ca).await;
        client.key = Arc::new(key);
        let url = client.url("newAccount");
        let none = client
            .post(&url, Some(&json!({ "onlyReturnExisting": true })))
            .await;
        assert_eq!(
            none.problem(),
            "400 accountDoesNotExist: No account exists with the provided key"
        );
        let unwilling = client.post(&url, Some(&json!({}))).await;
        assert_eq!(
            unwilling.problem(),
            "400 malformed: must agree to terms of service"
        );
        let made = client.register().await;
        assert_eq!(made.status, 201);
        client.account = None;
        let found = client
            .post(&url, Some(&json!({ "onlyReturnExisting": true })))
            .await;
        assert_eq!(
            (found.status, found.header("location")),
            (200, made.header("location"))
        );
    }
}

#[tokio::test]
async fn an_account_is_changed_and_closed() {
    let ca = TestCa::start(Options::default()).await.unwrap();
    let mut client = Client::registered(&ca).await;
    let url = client.account.clone().unwrap();
    let changed = client
        .post(&url, Some(&json!({ "contact": ["mailto:a@a.test"] })))
        .await
        .json();
    assert_eq!(changed["contact"], json!(["mailto:a@a.test"]));
    let refused = client
        .post(&url, Some(&json!({ "contact": ["tel:1"] })))
        .await;
    expect!["400 unsupportedContact: only contact scheme 'mailto:' is supported, not \"tel:1\""]
        .assert_eq(&refused.problem());
    let closed = client
        .post(&url, Some(&json!({ "status": "deactivated" })))
        .await
        .json();
    assert_eq!(closed["status"], "deactivated");
    let refused = "403 unauthorized: Account is not valid, has status \"deactivated\"";
    assert_eq!(client.order(&["a.test"]).await.problem(), refused);
    assert_eq!(client.register().await.problem(), refused);
}

/// Asks for another key, with the inner header and payload spoilt.
async fn change_key(
    client: &mut Client,
    new: &AccountKey,
    spoil: impl FnOnce(&mut Value, &mut Value),
) -> crate::client::Answer {
    let url = client.url("keyChange");
    let mut header = json!({ "alg": "ES256", "jwk": new.jwk(), "url": url });
    let mut payload = json!({ "account": client.account, "oldKey": client.key.jwk() });
    spoil(&mut header, &mut payload);
    let inner: Value = serde_json::from_str(&new.jws(&header, &payload.to_string())).unwrap();
    client.post(&url, Some(&inner)).await
}

#[tokio::test]
async fn an_account_gets_another_key() {
    let ca = TestCa::start(Options::default()).await.unwrap();
    let mut client = Client::registered(&ca).await;
    let new = AccountKey::es256();
    let mut refused = Vec::new();
    refused.push(
        change_key(&mut client, &new, |header, _| {
            header["nonce"] = json!("AAAA");
        })
        .await
        .problem(),
    );
    refused.push(
        change_key(&mut client, &new, |_, payload| {
            payload["account"] = json!("https://x/");
        })
        .await
        .problem(),
    );
    refused.push(
        change_key(&mut client, &new, |_, payload| {
            payload["oldKey"] = AccountKey::es256().jwk();
        })
        .await
        .problem(),
    );
    refused.push(
        change_key(&mut client, &new, |header, _| {
            header["jwk"] = AccountKey::es256().jwk();
        })
        .await
        .problem(),
    );
    expect![[r#"
        400 malformed: inner JWS of a key change must have no nonce
        400 malformed: inner JWS of a key change names another account
        400 malformed: "oldKey" is not the account's present key
        400 malformed: JWS verification error"#]]
    .assert_eq(&refused.join("\n"));

    let taken = Client::registered(&ca).await;
    let conflict = change_key(&mut client, &taken.key, |_, _| {}).await;
    assert_eq!(
        conflict.problem(),
        "409 conflict: New key is already in use for a different account"
    );
    assert_eq!(conflict.header("location"), taken.account.as_deref());

    assert_eq!(change_key(&mut client, &new, |_, _| {}).await.status, 200);
    assert_eq!(
        client.order(&["a.test"]).await.problem(),
        "400 malformed: JWS verification error",
        "the old key is out"
    );
    client.key = Arc::new(new);
    assert_eq!(client.order(&["a.test"]).await.status, 201);
}

fn revocation(der: &[u8]) -> Value {
    json!({ "certificate": URL_SAFE_NO_PAD.encode(der), "reason": 4 })
}

#[tokio::test]
async fn the_account_revokes_its_certificate() {
    let (ca, _site, mut client) = practice(Options::default()).await;
    let chain = client.certificate(&["a.test"]).await.chain();
    let url = client.url("revokeCert");
    let mut stranger = Client::registered(&ca).await;
    let refused = stranger.post(&url, Some(&revocation(&chain[0]))).await;
    expect!["403 unauthorized: Certificate was not issued by the requesting account, which does not control all of its names either"]
        .assert_eq(&refused.problem());
    let odd = json!({ "certificate": URL_SAFE_NO_PAD.encode(&chain[0]), "reason": 99 });
    expect!["400 badRevocationReason: unsupported revocation reason code provided: Some(99)"]
        .assert_eq(&client.post(&url, Some(&odd)).await.problem());
    expect!["404 malformed: Certificate from unrecognized issuer"].assert_eq(
        &client
            .post(&url, Some(&revocation(&chain[1])))
            .await
            .problem(),
    );
    assert!(!ca.is_revoked("a.test"));
    assert_eq!(
        client.post(&url, Some(&revocation(&chain[0]))).await.status,
        200
    );
    assert!(ca.is_revoked("a.test"));
    expect!["400 alreadyRevoked: Certificate already revoked"].assert_eq(
        &client
            .post(&url, Some(&revocation(&chain[0])))
            .await
            .problem(),
    );
}

#[tokio::test]
async fn a_certificate_revokes_itself_by_its_key() {
    let (ca, _site, mut client) = practice(Options::default()).await;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let (_, order) = client.ready(&["a.test"], json!({})).await;
    let csr = signing_request(&["a.test"], &key);
    let done = client
        .post(
            order["finalize"].as_str().unwrap(),
            Some(&json!({ "csr": csr })),
        )
        .await
        .json();
    let chain = client
        .post(done["certificate"].as_str().unwrap(), None)
        .await
        .chain();

    let mut holder = Client::new(&ca).await;
    let url = holder.url("revokeCert");
    let refused = holder.post(&url, Some(&revocation(&chain[0]))).await;
    assert!(
        refused.problem().starts_with("403 unauthorized"),
        "another key: {}",
        refused.problem()
    );
    holder.key = Arc::new(AccountKey::from_pkcs8(&PrivatePkcs8KeyDer::from(
        key.serialize_der(),
    )));
    assert_eq!(
        holder.post(&url, Some(&revocation(&chain[0]))).await.status,
        200
    );
    assert!(ca.is_revoked("a.test"));
}
