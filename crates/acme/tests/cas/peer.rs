//! Does another client get the same from the same CA?
//!
//! instant-acme shares no code with ours, and neither do pebble and testca with either. An order that one of them gets
//! through and another does not is a mistake, in a client or in a CA; which of them made it shows who is alone.

use std::collections::BTreeSet;
use std::fs::File;
use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;

use crate::desk::{Desk, authorities_from, names, request};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{
    Account, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType, Error, HttpClient,
    Identifier, NewAccount, NewOrder, OrderStatus, RetryPolicy,
};
use renewal::ports::{Authority as _, OrderDesk as _};
use renewal::secret::Secret;
use rustls::{ClientConfig, RootCertStore};
use testca::{Options, TestCa};
use testkit::openssl;
use testkit::pebble::Pebble;
use x509::chain::Chain;

/// A CA, and the desk at which it knocks.
struct Place<'a> {
    directory: String,
    /// Whom to trust for the CA's own HTTPS.
    bundle: Vec<u8>,
    desk: &'a Desk,
}

/// A certificate with its key, in PEM.
struct Got {
    chain: String,
    key: Secret,
}

/// What must not depend on who asked.
#[derive(Debug, Eq, PartialEq)]
struct Facts {
    names: BTreeSet<String>,
    key_type: Option<String>,
    lives_for: jiff::SignedDuration,
    certificates: usize,
    fault: Option<String>,
    key_fits: bool,
}

#[tokio::test]
async fn against_testca() {
    let desk = Desk::open();
    let options = Options {
        http_port: desk.port,
        ..Options::default()
    };
    let ca = TestCa::start(options).await.expect("the CA starts");
    compare(&Place {
        directory: ca.directory_url(),
        bundle: ca.ca_bundle_pem().as_bytes().to_vec(),
        desk: &desk,
    })
    .await;
    assert_eq!(ca.issued(), 2);
}

#[tokio::test]
async fn against_pebble() {
    let desk = Desk::open();
    let pebble = Pebble::settings(desk.port, desk.port).start();
    compare(&Place {
        directory: pebble.directory(),
        bundle: std::fs::read(pebble.ca_bundle()).expect("the bundle is there"),
        desk: &desk,
    })
    .await;
    pebble.assert_well();
}

/// Has each client order a certificate for the same two names, and compares what they get.
async fn compare(place: &Place<'_>) {
    let ours = facts(&ours(place).await);
    let theirs = facts(&theirs(place).await);
    assert_eq!(ours, theirs);
    assert_eq!(ours.names, NAMES.map(str::to_owned).into());
    assert_eq!(ours.key_type.as_deref(), Some("prime256v1"));
    assert_eq!((ours.fault, ours.key_fits), (None, true));
}

async fn ours(place: &Place<'_>) -> Got {
    let accounts = tempfile::tempdir().expect("a folder can be made");
    let authorities = authorities_from(accounts.path(), &place.bundle);
    let request = request(&place.directory, &NAMES.join(" "));
    let issued = authorities.order(&request, place.desk).await;
    Got {
        chain: issued.expect("our client succeeds").chains.remove(0),
        key: request.key,
    }
}

async fn theirs(place: &Place<'_>) -> Got {
    let new = NewAccount {
        contact: &[],
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let http = Box::new(Connection::new(&place.bundle));
    let (account, _) = Account::builder_with_http(http)
        .create(&new, place.directory.clone(), None)
        .await
        .expect("it gets an account");
    let identifiers = NAMES.map(|name| Identifier::Dns(name.to_owned()));
    let order = account.new_order(&NewOrder::new(&identifiers)).await;
    let mut order = order.expect("it places an order");
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.expect("it gets an authorization");
        // pebble reuses some that it gave before, to other orders of the same account.
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let challenge = authorization.challenge(ChallengeType::Http01);
        let mut challenge = challenge.expect("HTTP-01 is offered");
        let answer = challenge.key_authorization();
        let (token, _) = answer
            .as_str()
            .split_once('.')
            .expect("RFC 8555 section 8.1");
        let name = &names(NAMES[0]);
        let presented = place.desk.present(name.domain(), token, answer.as_str());
        presented.await.expect("the desk is well");
        challenge.set_ready().await.expect("the CA is told to look");
    }
    let retries = RetryPolicy::default();
    let status = order.poll_ready(&retries).await;
    assert_eq!(status.expect("the CA answers"), OrderStatus::Ready);
    let key = order.finalize().await.expect("the request is taken");
    let chain = order.poll_certificate(&retries).await;
    Got {
        chain: chain.expect("the certificate is issued"),
        key: Secret::new(key),
    }
}

fn facts(got: &Got) -> Facts {
    let chain = Chain::read(got.chain.as_bytes()).expect("it is a chain");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("chain.pem");
    let mut open = File::create(&file).expect("a file can be made");
    let written = open.write_all(got.chain.as_bytes());
    written.expect("it can be written");
    let text = openssl::x509(&file, &["-text"]);
    let curve = text.split_once("ASN1 OID: ").map(|(_, rest)| rest);
    let valid = chain.leaf.valid;
    Facts {
        names: chain.leaf.names.iter().map(ToString::to_string).collect(),
        key_type: curve.and_then(|rest| rest.lines().next().map(str::to_owned)),
        lives_for: valid.end().duration_since(valid.start()),
        certificates: chain.ders().len(),
        fault: chain.fault(),
        key_fits: x509::key::fits(&got.key, chain.leaf_der()).expect("both can be read"),
    }
}

/// The peer's way to the CA.
struct Connection(Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl Connection {
    fn new(bundle: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        for root in acme::roots(bundle).expect("it holds a root") {
            roots.add(root).expect("it is a root");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .build();
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }
}

impl HttpClient for Connection {
    fn request(
        &self,
        request: http::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let answer = self.0.request(request);
        Box::pin(async move {
            let answer = answer
                .await
                .map_err(|error| Error::Other(Box::new(error)))?;
            Ok(BytesResponse::from(answer))
        })
    }
}

const NAMES: [&str; 2] = ["a.test", "www.a.test"];
