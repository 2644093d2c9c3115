//! How do bytes get to a CA and back?
//!
//! One pool of TLS connections for all CAs. Every exchange has a deadline and every reply a largest size;
//! redirects are not followed, for RFC 8555 knows none, and a signed request must not be carried elsewhere.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::bounds::{CONNECT, LOOKUP, REPLY_BYTES_MAX, WORK};

/// A pool of connections.
pub(crate) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    user_agent: HeaderValue,
}

/// What is sent.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) uri: &'a Uri,
    pub(crate) body: Option<String>,
    pub(crate) accept: &'static str,
    pub(crate) patience: Patience,
}

/// How long a reply may take.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// The CA only has to look something up.
    Lookup,
    /// The CA has to do something: some take their time.
    Work,
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Http {
    /// Prepares the pool; `roots` are trusted besides the public CAs.
    pub(crate) fn new(
        user_agent: &str,
        roots: &[CertificateDer<'static>],
    ) -> Result<Self, SetupError> {
        let mut store = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        for (index, root) in roots.iter().enumerate() {
            store.add(root.clone()).map_err(|cause| SetupError::Root {
                position: index + 1,
                cause,
            })?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(SetupError::Tls)?
            .with_root_certificates(store)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        // Without it each POST over HTTP/2 waits 41 ms for a delayed acknowledgement.
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(connector);
        let user_agent = HeaderValue::from_str(user_agent).map_err(|_| SetupError::UserAgent)?;
        Ok(Self { client, user_agent })
    }

    /// Sends one request and waits for the whole reply.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Reply, HttpFailure> {
        let deadline = match call.patience {
            Patience::Lookup => LOOKUP,
            Patience::Work => WORK,
        };
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.uri.clone())
            .header(USER_AGENT, self.user_agent.clone())
            .header(ACCEPT, HeaderValue::from_static(call.accept));
        if call.body.is_some() {
            request = request.header(
                CONTENT_TYPE,
                HeaderValue::from_static("application/jose+json"),
            );
        }
        let body = Full::new(call.body.map_or_else(Bytes::new, Bytes::from));
        let request = request
            .body(body)
            .map_err(|error| HttpFailure::Broken(error.to_string()))?;
        match tokio::time::timeout(deadline, self.exchange(request)).await {
            Ok(reply) => reply,
            Err(_) => Err(HttpFailure::Silent(deadline)),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Reply, HttpFailure> {
        let reply = self
            .client
            .request(request)
            .await
            .map_err(|error| classify(&error))?;
        let (head, body) = reply.into_parts();
        let body = Limited::new(body, REPLY_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| {
                if error.is::<LengthLimitError>() {
                    HttpFailure::TooLong
                } else {
                    HttpFailure::Broken(format!("the reply broke off: {error}"))
                }
            })?;
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            body: body.to_bytes(),
        })
    }
}

/// No reply, or none that can be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum HttpFailure {
    #[error("no connection: {0}")]
    NoConnection(String),
    #[error("its certificate is not trusted: {0}")]
    NotTrusted(String),
    #[error("the connection was lost: {0}")]
    Broken(String),
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the answer is longer than {REPLY_BYTES_MAX} bytes")]
    TooLong,
}

/// The connections to CAs cannot be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// One of the extra roots is no CA certificate.
    #[error("certificate {position} of the extra root certificates cannot be used: {cause}")]
    Root {
        /// Which, counted from 1.
        position: usize,
        /// Why.
        cause: rustls::Error,
    },
    /// The extra roots are no PEM, or none.
    #[error("there is no certificate in PEM form in it")]
    NoRoots,
    /// TLS itself.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
    /// A user agent with a line break.
    #[error("the user agent is no header value")]
    UserAgent,
}

/// Reads extra root certificates, the content of `acme.ca_bundle`.
///
/// # Errors
///
/// When there is none in it, or one cannot be read.
pub fn roots(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match roots {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        _ => Err(SetupError::NoRoots),
    }
}

fn classify(error: &hyper_util::client::legacy::Error) -> HttpFailure {
    let mut deepest: &(dyn Error + 'static) = error;
    while let Some(cause) = cause_of(deepest) {
        deepest = cause;
    }
    if let Some(rustls::Error::InvalidCertificate(verdict)) = deepest.downcast_ref() {
        return HttpFailure::NotTrusted(verdict.to_string());
    }
    if error.is_connect() {
        HttpFailure::NoConnection(deepest.to_string())
    } else {
        HttpFailure::Broken(deepest.to_string())
    }
}

/// Returns the cause; `std::io::Error` hides the one that it wraps.
fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let wrapped = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    wrapped
        .map(|wrapped| wrapped as &(dyn Error + 'static))
        .or_else(|| error.source())
}

/// Shorter than the 60 s after which most servers close an idle connection, so that we close it first.
const IDLE: Duration = Duration::from_secs(50);

/// As many orders as anybody has in flight, twice.
const IDLE_CONNECTIONS_MAX: usize = 256;
