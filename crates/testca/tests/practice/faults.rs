//! Each fault, as a client sees it.

use std::time::{Duration, Instant};

use expect_test::expect;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use testca::{
    ChainFault, Endpoint, Fault, FinalizationFault, Handle, IssuanceFault, NameFault, NonceFault,
    Options, Problem, ProblemKind, RateLimit, Refusal, ReplacesFault, ReplacesRefusal, ReplyHeader,
    RetryAfter, ValidationFault, WireFault,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::client::{Answer, Client, challenge};
use crate::site::{Site, practice};

async fn world() -> (Handle, Site, Client) {
    practice(Options::default()).await
}

/// Arms a fault that hits once, and orders.
async fn order_under(fault: impl Into<testca::Effect>) -> Answer {
    let (ca, _site, mut client) = world().await;
    ca.set_faults(vec![Fault::new(fault).at(Endpoint::NewOrder).times(1)]);
    let answer = client.order(&["www.a.test"]).await;
    assert!(ca.faults().is_empty(), "it has hit");
    assert_eq!(
        client.order(&["www.a.test"]).await.status,
        201,
        "and hits no more"
    );
    answer
}

#[tokio::test]
async fn good_nonces_are_refused() {
    let answer = order_under(NonceFault::Refuse).await;
    assert!(
        answer
            .problem()
            .starts_with("400 badNonce: JWS has an invalid anti-replay nonce: "),
        "{}",
        answer.problem()
    );
    assert!(answer.header("replay-nonce").is_some());
}

#[tokio::test]
async fn rate_limits_are_told_with_their_moment() {
    let limits = [
        RateLimit::RegistrationsPerAddress,
        RateLimit::RegistrationsPerRange,
        RateLimit::OrdersPerAccount,
        RateLimit::FailedAuthorizations,
        RateLimit::CertificatesPerDomain,
        RateLimit::CertificatesPerExactSet,
    ];
    let mut seen = Vec::new();
    for limit in limits {
        let answer = order_under(Refusal::RateLimited {
            limit,
            retry_after: RetryAfter::Seconds(3600),
        })
        .await;
        assert_eq!(answer.header("retry-after"), Some("3600"));
        assert_eq!(
            answer.links("help"),
            ["https://letsencrypt.org/docs/rate-limits"]
        );
        let problem = answer.problem();
        let (before, moment) = problem.split_once("retry after ").unwrap();
        seen.push(format!("{before}…{}", moment.split_once(" UTC").unwrap().1));
    }
    expect![[r##"
        429 rateLimited: too many new registrations (10) from this IP address in the last 3h0m0s, …: see https://letsencrypt.org/docs/rate-limits/#new-registrations-per-ip-address
        429 rateLimited: too many new registrations (500) from this /48 subnet of IPv6 addresses in the last 3h0m0s, …: see https://letsencrypt.org/docs/rate-limits/#new-registrations-per-ipv6-range
        429 rateLimited: too many new orders (300) from this account in the last 3h0m0s, …: see https://letsencrypt.org/docs/rate-limits/#new-orders-per-account
        429 rateLimited: too many failed authorizations (5) for "www.a.test" in the last 1h0m0s, …: see https://letsencrypt.org/docs/rate-limits/#authorization-failures-per-identifier-per-account
        429 rateLimited: too many certificates (50) already issued for "a.test" in the last 168h0m0s, …: see https://letsencrypt.org/docs/rate-limits/#new-certificates-per-registered-domain
        429 rateLimited: too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s, …: see https://letsencrypt.org/docs/rate-limits/#new-certificates-per-exact-set-of-identifiers"##]]
    .assert_eq(&seen.join("\n"));
}

#[tokio::test]
async fn other_refusals() {
    let paused = order_under(Refusal::Paused).await;
    let problem = paused.problem();
    assert!(problem.starts_with("429 rateLimited: Your account is temporarily prevented from requesting certificates for www.a.test and possibly others. Please visit: https://"), "{problem}");
    assert_eq!(paused.header("retry-after"), None);

    let unavailable = order_under(Refusal::Unavailable {
        retry_after: Some(RetryAfter::DateIn(120)),
    })
    .await;
    assert_eq!(
        (unavailable.status, unavailable.header("content-type")),
        (503, Some("text/html"))
    );
    assert!(
        unavailable.header("retry-after").unwrap().ends_with(" GMT"),
        "{unavailable:?}"
    );

    let busy = order_under(Refusal::Busy {
        status: 503,
        retry_after: Some(RetryAfter::Seconds(7)),
    })
    .await;
    assert_eq!(
        (busy.problem().as_str(), busy.header("retry-after")),
        ("503 serverInternal: Service busy; retry later.", Some("7"))
    );
    let busy = order_under(Refusal::Busy {
        status: 429,
        retry_after: None,
    })
    .await;
    assert_eq!(
        (busy.problem().as_str(), busy.header("retry-after")),
        ("429 rateLimited: Service busy; retry later.", None)
    );

    let broken = order_under(Refusal::InternalError).await;
    assert_eq!(
        (broken.problem().as_str(), broken.header("retry-after")),
        ("500 serverInternal: Error creating new order", Some("60"))
    );

    let own = Problem::new(ProblemKind::UserActionRequired, "read this first").with_status(418);
    assert_eq!(
        order_under(Refusal::Problem(own)).await.problem(),
        "418 userActionRequired: read this first"
    );
}

#[tokio::test]
async fn replies_come_late_or_spoilt() {
    let start = Instant::now();
    assert_eq!(
        order_under(WireFault::Slow(Duration::from_millis(300)))
            .await
            .status,
        201
    );
    assert!(start.elapsed() >= Duration::from_millis(300));

    let broken = order_under(WireFault::BrokenJson).await;
    assert!(
        serde_json::from_slice::<Value>(&broken.body).is_err(),
        "{broken:?}"
    );
    let page = order_under(WireFault::Html).await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (201, Some("text/html"))
    );
    assert!(page.body.starts_with(b"<!doctype html>"));
    assert_eq!(
        order_under(WireFault::Without(ReplyHeader::Location))
            .await
            .header("location"),
        None
    );
    assert_eq!(
        order_under(WireFault::Without(ReplyHeader::ReplayNonce))
            .await
            .header("replay-nonce"),
        None
    );
}

#[tokio::test]
async fn connections_are_dropped() {
    for fault in [
        WireFault::DropRequest,
        WireFault::LoseReply,
        WireFault::CutReply { after: 10 },
    ] {
        let (ca, _site, mut client) = world().await;
        let (url, order) = client.ready(&["a.test"], json!({})).await;
        ca.set_faults(vec![
            Fault::new(fault.clone()).at(Endpoint::Finalize).times(1),
        ]);
        let csr = crate::client::signing_request(&["a.test"], &rcgen::KeyPair::generate().unwrap());
        let lost = client
            .try_post(
                order["finalize"].as_str().unwrap(),
                Some(&json!({ "csr": csr })),
            )
            .await;
        assert!(lost.is_err(), "{fault:?}: {lost:?}");
        let after = client.post(&url, None).await.json();
        let expected = if fault == WireFault::DropRequest {
            "ready"
        } else {
            "valid"
        };
        assert_eq!(after["status"], expected, "{fault:?}");
    }
}

#[tokio::test]
async fn replaces_is_refused_or_forgotten() {
    let (ca, _site, mut client) = world().await;
    client.certificate(&["a.test"]).await;
    let replaces = json!({ "replaces": ca.certificate_id("a.test").unwrap() });
    let rows = [
        (ReplacesRefusal::UnknownIssuer, "404 malformed"),
        (ReplacesRefusal::UnknownSerial, "404 malformed"),
        (ReplacesRefusal::AlreadyReplaced, "409 alreadyReplaced"),
        (ReplacesRefusal::ForeignAccount, "403 unauthorized"),
        (ReplacesRefusal::NoCommonName, "400 malformed"),
    ];
    for (refusal, expected) in rows {
        ca.set_faults(vec![Fault::new(ReplacesFault::Refuse(refusal)).times(1)]);
        assert_eq!(
            client.order(&["a.test"]).await.status,
            201,
            "an order without it is not meant"
        );
        let problem = client
            .order_with(&["a.test"], replaces.clone())
            .await
            .problem();
        assert!(
            problem.starts_with(&format!(
                "{expected}: Could not validate ARI 'replaces' field :: "
            )),
            "{problem}"
        );
    }
    ca.set_faults(vec![Fault::new(ReplacesFault::Forget)]);
    let order = client.order_with(&["a.test"], replaces).await;
    assert_eq!(
        (order.status, &order.json()["replaces"]),
        (201, &Value::Null)
    );
}

#[tokio::test]
async fn a_name_is_forbidden() {
    let (ca, _site, mut client) = world().await;
    ca.set_faults(vec![Fault::new(NameFault::Forbid).of_name("bank.test")]);
    assert_eq!(client.order(&["a.test"]).await.status, 201);
    expect![[r#"400 rejectedIdentifier: Cannot issue for "bank.test": The ACME server refuses to issue a certificate for this domain name, because it is forbidden by policy"#]]
        .assert_eq(&client.order(&["a.test", "bank.test"]).await.problem());
}

#[tokio::test]
async fn an_order_stays_in_processing() {
    let (ca, _site, mut client) = world().await;
    let (url, order) = client.ready(&["a.test"], json!({})).await;
    ca.set_faults(vec![
        Fault::new(FinalizationFault::Processing { polls: 2 }).times(1),
    ]);
    let answer = client.finalize(&order, &["a.test"]).await;
    assert_eq!(
        (&answer.json()["status"], answer.header("retry-after")),
        (&json!("processing"), Some("3"))
    );
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(client.post(&url, None).await.json()["status"].clone());
    }
    assert_eq!(seen, ["processing", "processing", "valid"]);
}

#[tokio::test]
async fn an_order_fails_after_its_finalization() {
    let (ca, _site, mut client) = world().await;
    let (url, order) = client.ready(&["a.test"], json!({})).await;
    ca.set_faults(vec![Fault::new(FinalizationFault::CaaForbids).times(1)]);
    let refused = client.finalize(&order, &["a.test"]).await;
    expect![[r#"403 caa: Rechecking CAA for "a.test" and 0 more identifiers failed. Refer to sub-problems for more information"#]].assert_eq(&refused.problem());
    assert_eq!(
        refused.json()["subproblems"][0]["detail"],
        "CAA record for a.test prevents issuance"
    );
    ca.set_faults(vec![Fault::new(FinalizationFault::Fails).times(1)]);
    assert_eq!(
        client.finalize(&order, &["a.test"]).await.json()["status"],
        "processing"
    );
    let failed = client.poll(&url, &["processing"]).await;
    assert_eq!(
        (&failed["status"], &failed["error"]["detail"]),
        (&json!("invalid"), &json!("Error finalizing order"))
    );
}

#[tokio::test]
async fn validations_fail_or_take_long() {
    let (ca, _site, mut client) = world().await;
    let mut seen = Vec::new();
    for fault in [ValidationFault::CaaForbids, ValidationFault::FailsElsewhere] {
        ca.set_faults(vec![Fault::new(fault).of_name("a.test").times(1)]);
        let order = client.order(&["a.test"]).await.json();
        let failed = client
            .authorize(order["authorizations"][0].as_str().unwrap())
            .await;
        let error = &challenge(&failed, "http-01")["error"];
        let detail = error["detail"].as_str().unwrap().to_owned();
        let token = challenge(&failed, "http-01")["token"].as_str().unwrap();
        seen.push(format!(
            "{} {}",
            error["status"],
            detail.replace(token, "TOKEN")
        ));
    }
    expect![[r#"
        403 CAA record for a.test prevents issuance
        400 During secondary validation: 127.0.0.1: Fetching http://a.test/.well-known/acme-challenge/TOKEN: Timeout during connect (likely firewall problem)"#]]
    .assert_eq(&seen.join("\n"));

    ca.set_faults(vec![Fault::new(ValidationFault::Slow(
        Duration::from_millis(200),
    ))]);
    let start = Instant::now();
    client.ready(&["a.test"], json!({})).await;
    assert!(start.elapsed() >= Duration::from_millis(200));
}

/// Issues a certificate for two names under a fault, and describes the leaf.
async fn leaf_under(fault: IssuanceFault) -> (Vec<String>, bool, Vec<u8>) {
    let (ca, _site, mut client) = world().await;
    ca.set_faults(vec![Fault::new(fault).times(1)]);
    let chain = client.certificate(&["a.test", "b.test"]).await.chain();
    let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
    let names = leaf
        .subject_alternative_name()
        .unwrap()
        .unwrap()
        .value
        .general_names
        .iter()
        .map(ToString::to_string)
        .collect();
    (
        names,
        leaf.validity().is_valid(),
        leaf.public_key().raw.to_vec(),
    )
}

#[tokio::test]
async fn certificates_are_wrong() {
    let both = ["DNSName(a.test)", "DNSName(b.test)"];
    assert_eq!(
        leaf_under(IssuanceFault::WrongNames).await.0,
        ["DNSName(nobody-asked-for-this.test)"]
    );
    assert_eq!(
        leaf_under(IssuanceFault::MissingName).await.0,
        ["DNSName(a.test)"]
    );
    for fault in [IssuanceFault::Expired, IssuanceFault::NotYetValid] {
        let (names, valid, _) = leaf_under(fault.clone()).await;
        assert_eq!(
            (names.as_slice(), valid),
            (both.map(str::to_owned).as_slice(), false),
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn a_certificate_is_for_another_key() {
    let (ca, _site, mut client) = world().await;
    let key = rcgen::KeyPair::generate().unwrap();
    let mut same = Vec::new();
    for faults in [vec![Fault::new(IssuanceFault::WrongKey)], Vec::new()] {
        ca.set_faults(faults);
        let (_, order) = client.ready(&["a.test"], json!({})).await;
        let csr = crate::client::signing_request(&["a.test"], &key);
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
        let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
        same.push(leaf.public_key().subject_public_key.data.as_ref() == key.public_key_raw());
    }
    assert_eq!(same, [false, true]);
}

fn common_names(chain: &[CertificateDer<'static>]) -> Vec<String> {
    let name = |der: &CertificateDer<'static>| {
        let (_, certificate) = X509Certificate::from_der(der).unwrap();
        certificate
            .subject()
            .iter_common_name()
            .next()
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    };
    chain.iter().map(name).collect()
}

#[tokio::test]
async fn chains_are_wrong() {
    let (ca, _site, mut client) = world().await;
    let (url, whole) = client.certificate_with(&["a.test"], json!({})).await;
    let whole = common_names(&whole.chain());
    assert_eq!(whole, ["a.test", "Practice Intermediate P1"]);
    let rows: [(ChainFault, &[&str]); 4] = [
        (ChainFault::LeafOnly, &["a.test"]),
        (
            ChainFault::Reversed,
            &["Practice Intermediate P1", "a.test"],
        ),
        (
            ChainFault::WithRoot,
            &["a.test", "Practice Intermediate P1", "Practice Root R1"],
        ),
        (
            ChainFault::ForeignIntermediate,
            &["a.test", "Practice Intermediate P2"],
        ),
    ];
    for (fault, expected) in rows {
        ca.set_faults(vec![Fault::new(fault).of_name("a.test").times(1)]);
        assert_eq!(
            common_names(&client.post(&url, None).await.chain()),
            expected
        );
    }
    ca.set_faults(vec![Fault::new(ChainFault::Truncated).times(1)]);
    let cut = client.post(&url, None).await;
    let text = String::from_utf8(cut.body).unwrap();
    assert_eq!(
        (text.matches("BEGIN").count(), text.matches("END").count()),
        (2, 1)
    );
    assert_eq!(
        common_names(&client.post(&url, None).await.chain()),
        whole,
        "nothing of it stays"
    );
}

#[tokio::test]
async fn one_sites_fault_is_not_anothers() {
    let (ca, _site, mut client) = world().await;
    ca.set_faults(vec![
        Fault::new(Refusal::Busy {
            status: 503,
            retry_after: None,
        })
        .at(Endpoint::NewOrder)
        .of_name("a.test"),
    ]);
    assert_eq!(client.order(&["a.test"]).await.status, 503);
    assert_eq!(client.order(&["b.test"]).await.status, 201);
    assert_eq!(client.order(&["A.test", "b.test"]).await.status, 503);
}
