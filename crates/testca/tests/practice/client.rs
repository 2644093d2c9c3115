//! A small ACME client: everything by hand, nothing forgiven, nothing retried.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use testca::Handle;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A client with a key, and later with an account.
pub(crate) struct Client {
    address: SocketAddr,
    tls: TlsConnector,
    sender: Option<http1::SendRequest<Full<Bytes>>>,
    pub(crate) directory: Value,
    pub(crate) key: Arc<AccountKey>,
    pub(crate) account: Option<String>,
    nonce: Option<String>,
}

pub(crate) enum AccountKey {
    Es256(EcdsaKeyPair),
    Es384(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

/// A whole reply.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// Returns a client without an account that has read the directory.
    pub(crate) async fn new(ca: &Handle) -> Client {
        let mut client = Client {
            address: ca.address(),
            tls: connector(ca.ca_bundle_pem()),
            sender: None,
            directory: Value::Null,
            key: Arc::new(AccountKey::es256()),
            account: None,
            nonce: None,
        };
        client.directory = client.get(&ca.directory_url()).await.json();
        client
    }

    /// Returns a client with an account.
    pub(crate) async fn registered(ca: &Handle) -> Client {
        let mut client = Client::new(ca).await;
        let answer = client.register().await;
        assert_eq!(answer.status, 201, "{answer:?}");
        client
    }

    pub(crate) async fn register(&mut self) -> Answer {
        self.account = None;
        let url = self.url("newAccount");
        let answer = self
            .post(&url, Some(&json!({ "termsOfServiceAgreed": true })))
            .await;
        self.account = answer.header("location").map(str::to_owned);
        answer
    }

    pub(crate) async fn order(&mut self, names: &[&str]) -> Answer {
        self.order_with(names, json!({})).await
    }

    pub(crate) async fn order_with(&mut self, names: &[&str], extra: Value) -> Answer {
        let identifiers: Vec<Value> = names
            .iter()
            .map(|name| json!({ "type": "dns", "value": name }))
            .collect();
        let mut payload = extra;
        payload["identifiers"] = json!(identifiers);
        let url = self.url("newOrder");
        self.post(&url, Some(&payload)).await
    }

    /// Starts the HTTP-01 challenge of one authorization, and waits for its end.
    pub(crate) async fn authorize(&mut self, url: &str) -> Value {
        let authorization = self.post(url, None).await.json();
        if authorization["status"] == "valid" {
            return authorization;
        }
        let challenge = challenge(&authorization, "http-01");
        let answer = self
            .post(challenge["url"].as_str().unwrap(), Some(&json!({})))
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.poll(url, &["pending", "processing"]).await
    }

    /// Looks until the status is another than these.
    pub(crate) async fn poll(&mut self, url: &str, unfinished: &[&str]) -> Value {
        for _ in 0..2000 {
            let seen = self.post(url, None).await.json();
            if !unfinished.contains(&seen["status"].as_str().unwrap()) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{url} is not finished after ten seconds");
    }

    /// Makes an order and fulfils its authorizations.
    pub(crate) async fn ready(&mut self, names: &[&str], extra: Value) -> (String, Value) {
        let answer = self.order_with(names, extra).await;
        assert_eq!(answer.status, 201, "{}", answer.problem());
        let url = answer.header("location").unwrap().to_owned();
        for authorization in answer.json()["authorizations"].as_array().unwrap() {
            let authorization = self.authorize(authorization.as_str().unwrap()).await;
            assert_eq!(authorization["status"], "valid", "{authorization}");
        }
        let order = self.post(&url, None).await.json();
        assert_eq!(order["status"], "ready", "{order}");
        (url, order)
    }

    pub(crate) async fn finalize(&mut self, order: &Value, names: &[&str]) -> Answer {
        let csr = signing_request(names, &KeyPair::generate().unwrap());
        self.post(
            order["finalize"].as_str().unwrap(),
            Some(&json!({ "csr": csr })),
        )
        .await
    }

    /// Goes the whole way, and returns the certificate's URL and its chain.
    pub(crate) async fn certificate_with(
        &mut self,
        names: &[&str],
        extra: Value,
    ) -> (String, Answer) {
        let (_, order) = self.ready(names, extra).await;
        let answer = self.finalize(&order, names).await;
        assert_eq!(answer.status, 200, "{}", answer.problem());
        let url = answer.json()["certificate"].as_str().unwrap().to_owned();
        let chain = self.post(&url, None).await;
        (url, chain)
    }

    pub(crate) async fn certificate(&mut self, names: &[&str]) -> Answer {
        self.certificate_with(names, json!({})).await.1
    }

    pub(crate) fn url(&self, key: &str) -> String {
        self.directory[key]
            .as_str()
            .unwrap_or_else(|| panic!("no {key} in {}", self.directory))
            .to_owned()
    }

    /// Sends a signed request; without a payload it is POST-as-GET.
    pub(crate) async fn post(&mut self, url: &str, payload: Option<&Value>) -> Answer {
        self.try_post(url, payload).await.unwrap()
    }

    pub(crate) async fn try_post(
        &mut self,
        url: &str,
        payload: Option<&Value>,
    ) -> Result<Answer, String> {
        let nonce = self.nonce().await;
        let header = self.header(&nonce, url);
        let body = self
            .key
            .jws(&header, &payload.map(Value::to_string).unwrap_or_default());
        self.send("POST", url, "application/jose+json", body).await
    }

    /// Returns the header of a request, so that a test can spoil it.
    pub(crate) fn header(&self, nonce: &str, url: &str) -> Value {
        let mut header = json!({ "alg": self.key.algorithm(), "nonce": nonce, "url": url });
        match &self.account {
            Some(account) => header["kid"] = json!(account),
            None => header["jwk"] = self.key.jwk(),
        }
        header
    }

    pub(crate) async fn nonce(&mut self) -> String {
        if let Some(nonce) = self.nonce.take() {
            return nonce;
        }
        let url = self.url("newNonce");
        let answer = self.send("HEAD", &url, "", String::new()).await.unwrap();
        assert_eq!(answer.status, 200);
        self.nonce.take().expect("new-nonce gives a nonce")
    }

    pub(crate) async fn get(&mut self, url: &str) -> Answer {
        self.send("GET", url, "", String::new()).await.unwrap()
    }

    pub(crate) async fn send(
        &mut self,
        method: &str,
        url: &str,
        kind: &str,
        body: String,
    ) -> Result<Answer, String> {
        let path = url.splitn(4, '/').nth(3).unwrap();
        let request = Request::builder()
            .method(method)
            .uri(format!("/{path}"))
            .header("host", self.address.to_string())
            .header("content-type", kind)
            .body(Full::from(body))
            .unwrap();
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            Some(_) | None => self.connect().await,
        };
        // The last reply's end may not have reached the connection's task yet.
        sender.ready().await.map_err(|error| error.to_string())?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        let (parts, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes()
            .to_vec();
        if let Some(nonce) = parts.headers.get("replay-nonce") {
            self.nonce = Some(nonce.to_str().unwrap().to_owned());
        }
        self.sender = Some(sender);
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        })
    }

    async fn connect(&self) -> http1::SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::IpAddress(self.address.ip().into());
        let stream = self.tls.connect(name, stream).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn links(&self, relation: &str) -> Vec<String> {
        let suffix = format!(">;rel=\"{relation}\"");
        let links = self
            .headers
            .get_all("link")
            .iter()
            .map(|value| value.to_str().unwrap());
        links
            .filter_map(|link| Some(link.strip_prefix('<')?.strip_suffix(&suffix)?.to_owned()))
            .collect()
    }

    /// Returns status, type and detail of a refusal.
    pub(crate) fn problem(&self) -> String {
        let problem = self.json();
        let kind = problem["type"]
            .as_str()
            .unwrap_or("no type")
            .trim_start_matches("urn:ietf:params:acme:error:");
        format!(
            "{} {kind}: {}",
            self.status,
            problem["detail"].as_str().unwrap_or("no detail")
        )
    }

    /// Returns the certificates of a chain.
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/pem-certificate-chain")
        );
        CertificateDer::pem_slice_iter(&self.body)
            .map(Result::unwrap)
            .collect()
    }
}

impl AccountKey {
    pub(crate) fn es256() -> AccountKey {
        AccountKey::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn from_pkcs8(der: &PrivatePkcs8KeyDer<'_>) -> AccountKey {
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der())
                .unwrap();
        AccountKey::Es256(key)
    }

    pub(crate) fn es384() -> AccountKey {
        AccountKey::Es384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn rs256() -> AccountKey {
        AccountKey::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(crate) fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let point = |curve: &str, key: &EcdsaKeyPair| {
            let (x, y) =
                key.public_key().as_ref()[1..].split_at(key.public_key().as_ref().len() / 2);
            json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
        };
        match self {
            AccountKey::Es256(key) => point("P-256", key),
            AccountKey::Es384(key) => point("P-384", key),
            AccountKey::Rs256(key) => {
                let public = key.public_key();
                json!({
                    "kty": "RSA",
                    "n": encode(public.modulus().big_endian_without_leading_zero()),
                    "e": encode(public.exponent().big_endian_without_leading_zero()),
                })
            }
        }
    }

    pub(crate) fn thumbprint(&self) -> String {
        // serde_json sorts the keys, as RFC 7638 asks for.
        let canonical = self.jwk().to_string();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes());
        URL_SAFE_NO_PAD.encode(digest)
    }

    pub(crate) fn jws(&self, header: &Value, payload: &str) -> String {
        let protected = URL_SAFE_NO_PAD.encode(header.to_string());
        let payload = URL_SAFE_NO_PAD.encode(payload);
        let signature = self.sign(format!("{protected}.{payload}").as_bytes());
        json!({ "protected": protected, "payload": payload, "signature": URL_SAFE_NO_PAD.encode(signature) }).to_string()
    }

    fn algorithm(&self) -> &'static str {
        match self {
            AccountKey::Es256(_) => "ES256",
            AccountKey::Es384(_) => "ES384",
            AccountKey::Rs256(_) => "RS256",
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            AccountKey::Es256(key) | AccountKey::Es384(key) => {
                key.sign(&random, message).unwrap().as_ref().to_vec()
            }
            AccountKey::Rs256(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }
}

/// Returns the challenge of this kind.
pub(crate) fn challenge<'a>(authorization: &'a Value, kind: &str) -> &'a Value {
    let challenges = authorization["challenges"].as_array().unwrap();
    challenges
        .iter()
        .find(|challenge| challenge["type"] == kind)
        .unwrap_or_else(|| panic!("no {kind}: {authorization}"))
}

pub(crate) fn signing_request(names: &[&str], key: &KeyPair) -> String {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    URL_SAFE_NO_PAD.encode(params.serialize_request(key).unwrap().der())
}

fn connector(bundle: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}
