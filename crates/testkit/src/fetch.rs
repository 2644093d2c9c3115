//! How does a test fetch one page, over HTTP or from a CA it trusts over HTTPS?
//!
//! A dozen lines of HTTP/1.1 with a deadline on every read: enough for fixtures, and no code that the program
//! uses.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// One reply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// The status, such as 200.
    pub status: u16,
    /// The header lines, as they came.
    pub headers: Vec<String>,
    /// The body, as text.
    pub body: String,
}

impl Reply {
    /// Returns the value of a header; names are compared without regard to case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Fetches a page over HTTP from the address, asking for the host.
///
/// # Errors
///
/// Whatever stopped the connection, with the operating system's own words.
pub fn http(address: SocketAddr, host: &str, path: &str) -> io::Result<Reply> {
    exchange(connect(address, LIMIT)?, host, "GET", path, "")
}

/// Sends a body over HTTP to the address.
///
/// # Errors
///
/// Whatever stopped the connection, with the operating system's own words.
pub fn post(address: SocketAddr, path: &str, body: &str) -> io::Result<Reply> {
    exchange(
        connect(address, LIMIT)?,
        &address.to_string(),
        "POST",
        path,
        body,
    )
}

/// Fetches a page over HTTPS from the address, whose certificate must lead to the root (PEM).
///
/// # Errors
///
/// Whatever stopped the connection; `WouldBlock` or `TimedOut` when a reply did not come within the limit.
///
/// # Panics
///
/// When the root is no PEM certificate.
pub fn https(address: SocketAddr, root: &str, path: &str, limit: Duration) -> io::Result<Reply> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(root.as_bytes()).expect("the root is PEM"))
        .expect("the root is a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows the default versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::IpAddress(address.ip().into());
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let stream = StreamOwned::new(connection, connect(address, limit)?);
    exchange(stream, &address.to_string(), "GET", path, "")
}

fn connect(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    Ok(stream)
}

fn exchange(
    mut stream: impl Read + Write,
    host: &str,
    method: &str,
    path: &str,
    body: &str,
) -> io::Result<Reply> {
    let length = body.len();
    // HTTP/1.0, so that the end of the connection is the end of the body, without chunks.
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: testkit\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    stream.flush()?;
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        // Servers that close without TLS's own goodbye have sent everything all the same.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
        _ => {}
    }
    parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| io::Error::other("the reply is no HTTP"))
}

fn parse(text: &str) -> Option<Reply> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    Some(Reply {
        status,
        headers: lines.map(str::to_owned).collect(),
        body: body.to_owned(),
    })
}

/// How long a server of ours may take to answer; generous, for busy machines.
const LIMIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_taken_apart() {
        let reply = parse("HTTP/1.1 301 Moved\r\nLocation: https://a.test/\r\n\r\nbody").unwrap();
        assert_eq!((reply.status, reply.body.as_str()), (301, "body"));
        assert_eq!(reply.header("location"), Some("https://a.test/"));
    }

    #[test]
    fn what_is_no_http_is_an_error() {
        assert_eq!(parse(""), None);
        assert_eq!(parse("SSH-2.0-OpenSSH\r\n\r\n"), None);
    }
}
