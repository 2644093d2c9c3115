//! Requests that are not in order.

use expect_test::{Expect, expect};
use rcgen::KeyPair;
use serde_json::{Value, json};
use testca::{Options, TestCa};

use crate::client::{AccountKey, Client, signing_request};
use crate::site::practice;

const JOSE: &str = "application/jose+json";

#[tokio::test]
async fn a_nonce_is_good_once() {
    let ca = TestCa::start(Options::default()).await.unwrap();
    let mut client = Client::registered(&ca).await;
    let url = client.account.clone().unwrap();
    let nonce = client.nonce().await;
    let body = client.key.jws(&client.header(&nonce, &url), "");
    assert_eq!(
        client
            .send("POST", &url, JOSE, body.clone())
            .await
            .unwrap()
            .status,
        200
    );
    let replayed = client.send("POST", &url, JOSE, body).await.unwrap();
    assert!(
        replayed
            .problem()
            .starts_with("400 badNonce: JWS has an invalid anti-replay nonce: "),
        "{}",
        replayed.problem()
    );
    assert!(
        replayed.header("replay-nonce").is_some(),
        "RFC 8555 section 6.5 asks for a fresh one"
    );
    assert_eq!(
        client.post(&url, None).await.status,
        200,
        "the fresh one is good"
    );
}

/// Spoils the header, the payload or the body of a request for the account.
async fn check(spoil: impl FnOnce(&mut Value, &mut String), expected: &Expect) {
    let ca = TestCa::start(Options::default()).await.unwrap();
    let mut client = Client::registered(&ca).await;
    let url = client.account.clone().unwrap();
    let nonce = client.nonce().await;
    let mut header = client.header(&nonce, &url);
    let mut key = String::new();
    spoil(&mut header, &mut key);
    let body = match key.as_str() {
        "other key" => AccountKey::es256().jws(&header, ""),
        "no body" => String::new(),
        "huge" => "x".repeat(100_000),
        _ => client.key.jws(&header, ""),
    };
    let seen = match client.send("POST", &url, JOSE, body).await {
        Ok(answer) => answer
            .problem()
            .replace(&url, "URL")
            .replace(&nonce, "NONCE"),
        Err(_) => "closed".to_owned(),
    };
    expected.assert_eq(&seen);
}

#[tokio::test]
async fn what_is_wrong_with_a_signature_is_told() {
    check(|header, _| header["url"] = json!("https://elsewhere/"), &expect![[r#"400 malformed: JWS header parameter 'url' incorrect. Expected "URL" got "https://elsewhere/""#]]).await;
    check(
        |header, _| header["url"] = Value::Null,
        &expect!["400 malformed: JWS header parameter 'url' required"],
    )
    .await;
    check(
        |header, _| header["nonce"] = json!("AAAA"),
        &expect![[r#"400 badNonce: JWS has an invalid anti-replay nonce: "AAAA""#]],
    )
    .await;
    check(
        |header, _| header["nonce"] = Value::Null,
        &expect!["400 badNonce: JWS has no anti-replay nonce"],
    )
    .await;
    check(|header, _| header["alg"] = json!("none"), &expect![[r#"400 badSignatureAlgorithm: JWS signature header contains unsupported algorithm "none""#]]).await;
    check(|header, _| header["alg"] = json!("ES384"), &expect![[r#"400 malformed: JWS header's algorithm "ES384" does not fit the key, which needs "ES256""#]]).await;
    check(
        |header, _| header["kid"] = json!("https://127.0.0.1/nobody"),
        &expect![[r#"400 accountDoesNotExist: Account "https://127.0.0.1/nobody" not found"#]],
    )
    .await;
    check(
        |header, _| header["kid"] = Value::Null,
        &expect!["400 malformed: JWS header has neither jwk nor kid"],
    )
    .await;
    check(
        |header, _| header["jwk"] = AccountKey::es256().jwk(),
        &expect!["400 malformed: jwk and kid header fields are mutually exclusive"],
    )
    .await;
    check(
        |_, key| key.push_str("other key"),
        &expect!["400 malformed: JWS verification error"],
    )
    .await;
    check(
        |_, key| key.push_str("no body"),
        &expect![
            "400 malformed: Parse error reading JWS: EOF while parsing a value at line 1 column 0"
        ],
    )
    .await;
    check(|_, key| key.push_str("huge"), &expect!["closed"]).await;
}

#[tokio::test]
async fn an_embedded_key_is_for_new_accounts_only() {
    let ca = TestCa::start(Options::default()).await.unwrap();
    let mut client = Client::registered(&ca).await;
    client.account = None;
    assert_eq!(
        client.order(&["a.test"]).await.problem(),
        "400 malformed: No Key ID in JWS header"
    );
}

#[tokio::test]
async fn methods_content_types_and_paths_are_checked() {
    let ca = TestCa::start(Options::default()).await.unwrap();
    let mut client = Client::registered(&ca).await;
    let (order, account) = (client.url("newOrder"), client.account.clone().unwrap());
    assert_eq!(
        client.get(&order).await.problem(),
        "405 malformed: Method not allowed"
    );
    assert_eq!(
        client.get(&account).await.problem(),
        "405 malformed: Method not allowed"
    );
    let json = client
        .send("POST", &order, "application/json", "{}".to_owned())
        .await
        .unwrap();
    assert!(
        json.problem()
            .starts_with("415 malformed: Invalid Content-Type header on POST"),
        "{}",
        json.problem()
    );
    let base = ca.directory_url().replace("/directory", "");
    for path in ["/", "/acme/new-order", "/directory/"] {
        assert_eq!(
            client.get(&format!("{base}{path}")).await.problem(),
            "404 malformed: Page not found",
            "{path}"
        );
    }
}

#[tokio::test]
async fn orders_are_checked() {
    let ca = TestCa::start(Options::default()).await.unwrap();
    let mut client = Client::registered(&ca).await;
    expect!["400 malformed: NewOrder request did not specify any identifiers"]
        .assert_eq(&client.order(&[]).await.problem());
    expect![[r#"400 malformed: Cannot issue for "localhost": Domain name needs at least one dot"#]]
        .assert_eq(&client.order(&["localhost"]).await.problem());
    let two = client.order(&["a.test", "_x.test", "localhost"]).await;
    expect![[r#"400 rejectedIdentifier: Cannot issue for "_x.test": Domain name contains an invalid character (and 1 more problems. Refer to sub-problems for more information.)"#]]
        .assert_eq(&two.problem());
    assert_eq!(
        two.json()["subproblems"][1]["identifier"]["value"],
        "localhost"
    );
    expect!["400 malformed: NotBefore and NotAfter are not supported"].assert_eq(
        &client
            .order_with(&["a.test"], json!({ "notAfter": "2027-01-01T00:00:00Z" }))
            .await
            .problem(),
    );
    let many: Vec<String> = (0..101).map(|number| format!("{number}.test")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    expect!["400 malformed: Order cannot contain more than 100 identifiers"]
        .assert_eq(&client.order(&many).await.problem());
    let url = client.url("newOrder");
    let by_address = json!({ "identifiers": [{ "type": "ip", "value": "192.0.2.1" }] });
    expect![[r#"400 unsupportedIdentifier: NewOrder request included unsupported identifier: type "ip", value "192.0.2.1""#]]
        .assert_eq(&client.post(&url, Some(&by_address)).await.problem());
}

#[tokio::test]
async fn finalizations_are_checked() {
    let (_ca, _site, mut client) = practice(Options::default()).await;
    let order = client.order(&["a.test"]).await.json();
    expect![[
        r#"403 orderNotReady: Order's status ("pending") is not acceptable for finalization"#
    ]]
    .assert_eq(&client.finalize(&order, &["a.test"]).await.problem());
    let (_, order) = client.ready(&["a.test"], json!({})).await;
    expect!["403 unauthorized: CSR does not specify same identifiers as Order"]
        .assert_eq(&client.finalize(&order, &["b.test"]).await.problem());
    let url = order["finalize"].as_str().unwrap().to_owned();
    let nonsense = client
        .post(&url, Some(&json!({ "csr": "AAAA" })))
        .await
        .problem();
    assert!(
        nonsense.starts_with("400 malformed: Error parsing certificate request: "),
        "{nonsense}"
    );
    // What was refused can be tried again, with a better request.
    let csr = signing_request(&["a.test"], &KeyPair::generate().unwrap());
    assert_eq!(
        client.post(&url, Some(&json!({ "csr": csr }))).await.json()["status"],
        "valid"
    );
    expect![[r#"403 orderNotReady: Order's status ("valid") is not acceptable for finalization"#]]
        .assert_eq(&client.finalize(&order, &["a.test"]).await.problem());
}

#[tokio::test]
async fn what_belongs_to_another_account_is_not_shown() {
    let (ca, _site, mut owner) = practice(Options::default()).await;
    let (order_url, order) = owner.ready(&["a.test"], json!({})).await;
    let done = owner.finalize(&order, &["a.test"]).await.json();
    let mut stranger = Client::registered(&ca).await;
    let mut seen = Vec::new();
    let urls = [
        Some(order_url.as_str()),
        order["authorizations"][0].as_str(),
        done["certificate"].as_str(),
        owner.account.as_deref(),
    ];
    for url in urls {
        seen.push(stranger.post(url.unwrap(), None).await.problem());
    }
    expect![[r#"
        404 malformed: No order found for account ID
        403 unauthorized: Account ID doesn't match ID for authorization
        403 unauthorized: Account in use did not issue specified certificate
        403 unauthorized: Request signing key did not match account key"#]]
    .assert_eq(&seen.join("\n"));
}
