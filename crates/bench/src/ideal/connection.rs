//! How does the ideal client talk to the CA: one connection that is kept, one request at a time?
//!
//! Blocking HTTP/1.1 over TLS, as little of it as a CA on the same machine needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::order::OrderError;

/// The CA's root, ready for any number of connections.
pub(super) struct Trust(Arc<ClientConfig>);

/// One reply.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) nonce: Option<String>,
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
}

/// A connection to the CA.
pub(super) struct Connection {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    authority: String,
}

impl Trust {
    /// Reads the root, as PEM.
    pub(super) fn new(root: &[u8]) -> Result<Self, OrderError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(root) {
            let certificate = certificate.map_err(|_| OrderError::Bundle)?;
            roots.add(certificate).map_err(|_| OrderError::Bundle)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| OrderError::Bundle)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

impl Connection {
    /// Connects to the host of the URL, which must be an address.
    pub(super) fn open(trust: &Trust, url: &str) -> Result<Self, OrderError> {
        let (authority, _) = split(url)?;
        let address: SocketAddr = authority
            .parse()
            .map_err(|_| OrderError::Url(url.to_owned()))?;
        let stream = TcpStream::connect(address).map_err(OrderError::Io)?;
        // Without it, each request would wait for the acknowledgement of the one before.
        stream.set_nodelay(true).map_err(OrderError::Io)?;
        stream
            .set_read_timeout(Some(ANSWER))
            .map_err(OrderError::Io)?;
        let name = ServerName::IpAddress(address.ip().into());
        let connection =
            ClientConnection::new(Arc::clone(&trust.0), name).map_err(|_| OrderError::Bundle)?;
        Ok(Self {
            stream: BufReader::new(StreamOwned::new(connection, stream)),
            authority: authority.to_owned(),
        })
    }

    /// Reads a page.
    pub(super) fn get(&mut self, url: &str) -> Result<Reply, OrderError> {
        self.exchange("GET", url, "")
    }

    /// Sends a signed body.
    pub(super) fn post(&mut self, url: &str, body: &str) -> Result<Reply, OrderError> {
        self.exchange("POST", url, body)
    }

    fn exchange(&mut self, method: &str, url: &str, body: &str) -> Result<Reply, OrderError> {
        let (_, path) = split(url)?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: ideal\r\n\
             Content-Type: application/jose+json\r\nContent-Length: {}\r\n\r\n{body}",
            self.authority,
            body.len()
        );
        self.stream
            .get_mut()
            .write_all(request.as_bytes())
            .map_err(OrderError::Io)?;
        self.reply().map_err(OrderError::Io)
    }

    fn reply(&mut self) -> std::io::Result<Reply> {
        let nonsense = || std::io::Error::other("the reply is no HTTP");
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse().ok())
            .ok_or_else(nonsense)?;
        let mut reply = Reply {
            status,
            ..Reply::default()
        };
        let mut length = None;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "replay-nonce" => reply.nonce = Some(value.to_owned()),
                "location" => reply.location = Some(value.to_owned()),
                "content-length" => length = value.parse().ok(),
                _ => {}
            }
        }
        match length {
            Some(length) => self.take(length, &mut reply.body)?,
            // 204 has no body; everything else without a length comes in chunks.
            None if status == 204 => {}
            None => self.chunks(&mut reply.body)?,
        }
        Ok(reply)
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> std::io::Result<()> {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
            self.take(length, body)?;
            // Each chunk, and the last one of no length, ends its line.
            self.stream.read_line(&mut line)?;
            if length == 0 {
                return Ok(());
            }
        }
    }

    fn take(&mut self, length: usize, body: &mut Vec<u8>) -> std::io::Result<()> {
        let start = body.len();
        body.resize(start + length, 0);
        self.stream.read_exact(&mut body[start..])
    }
}

/// Takes `https://HOST:PORT/PATH` apart.
fn split(url: &str) -> Result<(&str, &str), OrderError> {
    let rest = url.strip_prefix("https://");
    let slash = rest.and_then(|rest| rest.find('/'));
    match (rest, slash) {
        (Some(rest), Some(slash)) => Ok(rest.split_at(slash)),
        _ => Err(OrderError::Url(url.to_owned())),
    }
}

/// How long the CA may take to answer: longer, and it hangs.
const ANSWER: Duration = Duration::from_secs(20);
