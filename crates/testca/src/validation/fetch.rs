//! What does the web server answer to one request?
//!
//! One connection, one request, the first bytes of the body. Certificates are not
//! validated: the name is just being proved.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, InvalidMessage, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::redirects::Target;

/// The beginning of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) status: u16,
    location: Option<String>,
    /// At most [`BODY_LIMIT`] bytes.
    pub(super) body: Vec<u8>,
}

/// Why there is no answer, in Boulder's words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FetchError {
    #[error("Timeout during connect (likely firewall problem)")]
    ConnectTimeout,
    #[error("Connection refused")]
    Refused,
    #[error("Network unreachable")]
    Unreachable,
    #[error("Connection reset by peer")]
    Reset,
    #[error("Timeout during read (your server may be slow or overloaded)")]
    ReadTimeout,
    #[error("Server only speaks HTTP, not TLS")]
    PlainHttp,
    #[error("remote error: tls: {0}")]
    TlsAlert(&'static str),
    #[error(
        "validation attempt was redirected to an HTTPS server that doesn't support TLSv1.2 or better"
    )]
    OldTls,
    #[error("Error reading HTTP response body: {0}")]
    Body(String),
    #[error("Error getting validation data")]
    Other,
}

/// Makes one request.
pub(super) async fn get(
    target: &Target,
    address: SocketAddr,
    patience: Duration,
) -> Result<Fetched, FetchError> {
    let stream = timeout(patience, TcpStream::connect(address))
        .await
        .map_err(|_| FetchError::ConnectTimeout)?
        .map_err(|error| connect_error(&error))?;
    let exchange = async {
        // It only costs time where it fails.
        let _ = stream.set_nodelay(true);
        if !target.https {
            return exchange(target, stream).await;
        }
        let name = ServerName::try_from(target.host.clone()).map_err(|_| FetchError::Other)?;
        let stream = TLS
            .connect(name, stream)
            .await
            .map_err(|error| connection_error(&error))?;
        exchange(target, stream).await
    };
    timeout(patience, exchange)
        .await
        .map_err(|_| FetchError::ReadTimeout)?
}

impl Fetched {
    /// Returns where to look instead; nothing where this is the answer.
    pub(super) fn redirect(&self) -> Option<&str> {
        // 300 and 304 carry no target that anyone follows.
        matches!(self.status, 301 | 302 | 303 | 307 | 308)
            .then_some(self.location.as_deref())
            .flatten()
    }
}

impl FetchError {
    /// Says whether nothing was reached: only then is another address tried.
    pub(super) fn is_before_connection(&self) -> bool {
        match self {
            FetchError::ConnectTimeout | FetchError::Refused | FetchError::Unreachable => true,
            FetchError::Reset
            | FetchError::ReadTimeout
            | FetchError::PlainHttp
            | FetchError::TlsAlert(_)
            | FetchError::OldTls
            | FetchError::Body(_)
            | FetchError::Other => false,
        }
    }
}

async fn exchange(
    target: &Target,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Fetched, FetchError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| connection_error(&error))?;
    // It ends by itself once the sender and the reply are gone.
    tokio::spawn(connection);
    let request = Request::get(target.path.as_str())
        .header("host", target.authority())
        .header("user-agent", USER_AGENT)
        .header("accept", "*/*")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Other)?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| connection_error(&error))?;
    read(response).await
}

async fn read(response: Response<hyper::body::Incoming>) -> Result<Fetched, FetchError> {
    let location = response
        .headers()
        .get("location")
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let mut fetched = Fetched {
        status: response.status().as_u16(),
        location,
        body: Vec::new(),
    };
    if fetched.status != 200 {
        return Ok(fetched);
    }
    let mut body = response.into_body();
    while fetched.body.len() < BODY_LIMIT
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(|error| FetchError::Body(error.to_string()))?;
        if let Some(data) = frame.data_ref() {
            let room = BODY_LIMIT - fetched.body.len();
            fetched
                .body
                .extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(fetched)
}

fn connect_error(error: &io::Error) -> FetchError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => FetchError::Refused,
        io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::HostUnreachable
        // A host without IPv6 has no address to go there from.
        | io::ErrorKind::AddrNotAvailable => {
            FetchError::Unreachable
        }
        io::ErrorKind::TimedOut => FetchError::ConnectTimeout,
        // The remaining kinds are the standard library's.
        _ => FetchError::Other,
    }
}

/// Looks for the cause that has words of its own.
fn connection_error(error: &(dyn Error + 'static)) -> FetchError {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return tls_error(tls);
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            if io.kind() == io::ErrorKind::ConnectionReset {
                return FetchError::Reset;
            }
            // An error inside an io::Error is no source of it, but its content.
            if let Some(tls) = io
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            {
                return tls_error(tls);
            }
        }
        cause = error.source();
    }
    FetchError::Other
}

fn tls_error(error: &rustls::Error) -> FetchError {
    match error {
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => FetchError::PlainHttp,
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(_) => FetchError::OldTls,
        rustls::Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            FetchError::TlsAlert("unrecognized name")
        }
        rustls::Error::AlertReceived(AlertDescription::InternalError) => {
            FetchError::TlsAlert("internal error")
        }
        rustls::Error::AlertReceived(_) => FetchError::TlsAlert("handshake failure"),
        // The remaining ones are rustls's.
        _ => FetchError::Other,
    }
}

/// The way to servers whose certificates do not matter.
static TLS: LazyLock<TlsConnector> = LazyLock::new(|| {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider's own cipher suites fit the default versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
});

/// Accepts every certificate, as challenges ask for (Let's Encrypt, docs/challenge-types).
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// As much of a body as Boulder reads: no key authorization is that long.
pub(super) const BODY_LIMIT: usize = 128;

const USER_AGENT: &str =
    "Mozilla/5.0 (compatible; Let's Encrypt validation server; +https://www.letsencrypt.org)";
