//! What does a server really serve for a name?
//!
//! The last word on "everything is served": a handshake with the site's name, judged by the CA's root. It is made
//! after the clock has stopped.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// Counts the names for which the address serves a certificate that leads to the root.
pub(crate) fn count<'a>(
    root: &Path,
    address: SocketAddr,
    names: impl IntoIterator<Item = &'a str>,
) -> io::Result<usize> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(root).map_err(io::Error::other)?;
    roots.add(certificate).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    let served = names
        .into_iter()
        .filter(|name| handshake(&config, address, name).is_ok());
    Ok(served.count())
}

fn handshake(config: &Arc<ClientConfig>, address: SocketAddr, name: &str) -> io::Result<()> {
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let mut connection =
        ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(())
}

/// How long one handshake may take.
const LIMIT: Duration = Duration::from_secs(10);
