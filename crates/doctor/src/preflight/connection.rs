//! How is one request made, within its time, whatever the other side does?

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::Patience;
use super::observation::{BODY_BYTES_READ, Cause, Stage};
use super::target::Target;

/// Makes requests. Make one and keep it: it holds the TLS settings.
pub(super) struct Connector {
    tls: TlsConnector,
    patience: Patience,
}

/// An answer, as much of it as the CA reads.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) location: Option<Vec<u8>>,
    pub(super) body: Vec<u8>,
}

/// A request without an answer.
pub(super) struct Failure(pub(super) Stage, pub(super) Cause);

impl Connector {
    pub(super) fn new(patience: Patience) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let schemes = provider
            .signature_verification_algorithms
            .supported_schemes();
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites for TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(NotVerified(schemes)))
            .with_no_client_auth();
        Self {
            tls: TlsConnector::from(Arc::new(config)),
            patience,
        }
    }

    /// Fetches `target` from `address` as somebody who is called so; over at `deadline` whatever happens.
    pub(super) async fn get_as(
        &self,
        agent: &'static str,
        target: &Target,
        address: SocketAddr,
        deadline: Instant,
    ) -> Result<Reply, Failure> {
        let stream = self.connect(address, deadline).await?;
        if target.tls {
            let stream = self.agree(target, stream, deadline).await?;
            self.exchange((agent, target), stream, deadline).await
        } else {
            self.exchange((agent, target), stream, deadline).await
        }
    }

    async fn connect(&self, address: SocketAddr, deadline: Instant) -> Result<TcpStream, Failure> {
        let at = Stage::Connect;
        within(
            self.patience.connect,
            deadline,
            at,
            TcpStream::connect(address),
        )
        .await?
        .map_err(|error| Failure(at, of_io(&error)))
    }

    async fn agree(
        &self,
        target: &Target,
        stream: TcpStream,
        deadline: Instant,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failure> {
        let at = Stage::Tls;
        // An address is never sent as a server name (RFC 6066 section 3); rustls knows.
        let name = ServerName::try_from(target.host.to_string())
            .map_err(|error| Failure(at, Cause::Other(error.to_string())))?;
        within(
            self.patience.tls,
            deadline,
            at,
            self.tls.connect(name, stream),
        )
        .await?
        .map_err(|error| Failure(at, of_io(&error)))
    }

    async fn exchange(
        &self,
        request: (&'static str, &Target),
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        deadline: Instant,
    ) -> Result<Reply, Failure> {
        let at = Stage::Answer;
        within(self.patience.answer, deadline, at, ask(request, stream))
            .await?
            .map_err(|error| Failure(at, of_hyper(&error)))
    }
}

async fn ask(
    (agent, target): (&'static str, &Target),
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Reply, hyper::Error> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .title_case_headers(true)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await?;
    let reply = async {
        let request = Request::get(target.path.as_str())
            .header(header::HOST, target.authority())
            .header(header::USER_AGENT, agent)
            .header(header::ACCEPT, "*/*")
            .header(header::CONNECTION, "close")
            .body(Empty::new())
            .expect("target.rs lets only printable ASCII into a path, and name.rs into a host");
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let location = response.headers().get(header::LOCATION);
        let location = location.map(|value| value.as_bytes().to_vec());
        let mut reply = Reply {
            status,
            location,
            body: Vec::new(),
        };
        if !is_redirect(status) {
            reply.body = first_bytes(response.into_body()).await?;
        }
        Ok(reply)
    };
    tokio::pin!(reply, connection);
    // The connection has to be driven along; when it ends first, the reply learns why.
    let mut is_open = true;
    loop {
        tokio::select! {
            biased;
            reply = &mut reply => return reply,
            _ = &mut connection, if is_open => is_open = false,
        }
    }
}

/// Reads as much as the CA does; a body may have no end.
async fn first_bytes(mut body: hyper::body::Incoming) -> Result<Vec<u8>, hyper::Error> {
    let mut bytes = Vec::with_capacity(BODY_BYTES_READ);
    while bytes.len() < BODY_BYTES_READ {
        let Some(frame) = body.frame().await else {
            break;
        };
        if let Ok(data) = frame?.into_data() {
            let wanted = data.len().min(BODY_BYTES_READ - bytes.len());
            bytes.extend_from_slice(&data[..wanted]);
        }
    }
    Ok(bytes)
}

/// Says whether the status makes a client look at the `Location`.
pub(super) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

async fn within<T>(
    patience: Duration,
    deadline: Instant,
    stage: Stage,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    let start = Instant::now();
    let end = deadline.min(start + patience);
    timeout_at(end, work).await.map_err(|_| {
        let tenths = end
            .saturating_duration_since(start)
            .as_millis()
            .div_ceil(100);
        let waited = Duration::from_millis(100) * u32::try_from(tenths).unwrap_or(u32::MAX);
        Failure(stage, Cause::Timeout(waited))
    })
}

fn of_io(error: &io::Error) -> Cause {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => Cause::Refused,
        Kind::NetworkUnreachable | Kind::HostUnreachable | Kind::AddrNotAvailable => {
            Cause::Unreachable(error.to_string())
        }
        Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::BrokenPipe
        | Kind::UnexpectedEof => Cause::Closed,
        Kind::TimedOut => Cause::Unreachable(error.to_string()),
        _ => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(rustls::Error::InvalidMessage(_)) => {
                Cause::Nonsense("what answers does not speak TLS".to_owned())
            }
            Some(rustls::Error::AlertReceived(alert)) => {
                Cause::Nonsense(format!("the server refuses TLS: {alert:?}"))
            }
            Some(error) => Cause::Nonsense(error.to_string()),
            None => Cause::Other(error.to_string()),
        },
    }
}

fn of_hyper(error: &hyper::Error) -> Cause {
    let source = std::error::Error::source(error);
    if let Some(error) = source.and_then(|source| source.downcast_ref::<io::Error>()) {
        return of_io(error);
    }
    if error.is_parse() || error.is_parse_too_large() {
        return Cause::Nonsense(format!("what answers does not speak HTTP/1: {error}"));
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return Cause::Closed;
    }
    Cause::Other(error.to_string())
}

/// Accepts every certificate: after a redirect the CA does not look at it, and we send nothing secret.
#[derive(Debug)]
struct NotVerified(Vec<SignatureScheme>);

impl ServerCertVerifier for NotVerified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

/// Let's Encrypt's own, for rules that look at it.
pub(super) const CA_AGENT: &str =
    "Mozilla/5.0 (compatible; Let's Encrypt validation server; +https://www.letsencrypt.org)";

/// A head that is longer is no answer to a challenge.
const HEAD_BYTES_MAX: usize = 64 * 1024;
