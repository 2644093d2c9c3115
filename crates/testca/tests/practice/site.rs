//! A web server for the CA to validate against.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use testca::{Handle, Options, TestCa};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::client::Client;

/// A web server that answers every challenge of one account, unless it is told otherwise.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) body: String,
}

#[derive(Default)]
struct Shared {
    thumbprint: Mutex<String>,
    /// By host, or by path.
    pages: Mutex<HashMap<String, Page>>,
    /// What was asked: host and path.
    log: Mutex<Vec<(String, String)>>,
}

impl Site {
    pub(crate) async fn start() -> Site {
        Site::start_on(Ipv4Addr::LOCALHOST.into(), false).await
    }

    pub(crate) async fn start_https() -> Site {
        Site::start_on(Ipv4Addr::LOCALHOST.into(), true).await
    }

    async fn start_on(address: IpAddr, https: bool) -> Site {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        Site::serve_on(listener, https)
    }

    pub(crate) fn serve_on(listener: TcpListener, https: bool) -> Site {
        let shared = Arc::new(Shared::default());
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&shared), https.then(acceptor)));
        Site {
            address,
            shared,
            _tasks: tasks,
        }
    }

    pub(crate) fn answer_for(&self, client: &Client) {
        *self.shared.thumbprint.lock().unwrap() = client.key.thumbprint();
    }

    /// Answers this for a host, or for a path.
    pub(crate) fn set(&self, host_or_path: &str, status: u16, location: Option<&str>, body: &str) {
        let page = Page {
            status,
            location: location.map(str::to_owned),
            body: body.to_owned(),
        };
        self.shared
            .pages
            .lock()
            .unwrap()
            .insert(host_or_path.to_owned(), page);
    }

    pub(crate) fn asked(&self) -> Vec<(String, String)> {
        self.shared.log.lock().unwrap().clone()
    }
}

/// A CA that validates against a site which answers for a registered client.
pub(crate) async fn practice(options: Options) -> (Handle, Site, Client) {
    let site = Site::start().await;
    let ca = TestCa::start(Options {
        http_port: site.address.port(),
        ..options
    })
    .await
    .unwrap();
    let client = Client::registered(&ca).await;
    site.answer_for(&client);
    (ca, site, client)
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, acceptor: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
        connections.spawn(async move {
            match acceptor {
                None => talk(stream, shared).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        talk(stream, shared).await;
                    }
                }
            }
        });
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let service = service_fn(|request| {
        let reply = reply(&shared, &request);
        async { Ok::<_, Infallible>(reply) }
    });
    // A client that goes away early is the test's business.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn reply(shared: &Shared, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request
        .uri()
        .path_and_query()
        .map_or("", |path| path.as_str())
        .to_owned();
    let host = request
        .headers()
        .get("host")
        .map_or("", |host| host.to_str().unwrap())
        .to_owned();
    shared
        .log
        .lock()
        .unwrap()
        .push((host.clone(), path.clone()));
    let pages = shared.pages.lock().unwrap();
    let page = pages.get(&host).or_else(|| pages.get(&path)).cloned();
    let page = page.unwrap_or_else(|| match path.strip_prefix("/.well-known/acme-challenge/") {
        Some(token) => Page {
            status: 200,
            location: None,
            body: format!("{token}.{}\n", shared.thumbprint.lock().unwrap()),
        },
        None => Page {
            status: 404,
            location: None,
            body: "nothing here".to_owned(),
        },
    });
    let mut response = Response::builder().status(page.status);
    if let Some(location) = &page.location {
        response = response.header("location", location);
    }
    response.body(Full::from(page.body)).unwrap()
}

fn acceptor() -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(vec!["whatever.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
