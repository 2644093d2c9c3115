//! How is the practice CA started, watched, disturbed and stopped?

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::accounts::Accounts;
use crate::authorizations::Authorizations;
use crate::ca::Ca;
use crate::certificates::Certificates;
use crate::connections;
use crate::endpoint::{Requests, Routes};
use crate::faults::{Fault, Faults};
use crate::issuing::{Hierarchy, ServerIdentity};
use crate::nonces::Nonces;
use crate::options::Options;
use crate::orders::Orders;
use crate::random::{Dice, lock};
use crate::renewal_info::{self, RenewalWindow, Suggestion};

/// An ACME server for practice.
#[derive(Debug)]
pub struct TestCa;

/// A running practice CA. It stops when this is dropped.
pub struct Handle {
    ca: Arc<Ca>,
    address: SocketAddr,
    ca_bundle: String,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

/// Why the practice CA did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address can be reached from other machines.
    #[error("the practice CA listens on loopback only (127.0.0.0/8 or ::1), not on {address}")]
    NotLoopback {
        /// The refused address.
        address: SocketAddr,
    },
    /// There is no profile to issue by.
    #[error("the practice CA needs at least one profile")]
    NoProfile,
    /// The address cannot be listened on.
    #[error("the practice CA cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("the practice CA cannot make its own certificates: {0}")]
    Certificates(#[from] rcgen::Error),
    /// TLS could not be set up.
    #[error("the practice CA cannot set up HTTPS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why no window was suggested.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuggestError {
    /// The CA has issued nothing of that name or id.
    #[error("the practice CA has issued no certificate for the name or with the id {0:?}")]
    NoCertificate(String),
}

impl TestCa {
    /// Starts a practice CA on the present tokio runtime.
    ///
    /// # Errors
    ///
    /// An address that is not on loopback is refused, whatever else is asked for.
    pub async fn start(options: Options) -> Result<Handle, StartError> {
        let asked = options.listen;
        if !asked.ip().is_loopback() {
            return Err(StartError::NotLoopback { address: asked });
        }
        if options.profiles.is_empty() {
            return Err(StartError::NoProfile);
        }
        let listen_error = |source| StartError::Listen {
            address: asked,
            source,
        };
        let listener = TcpListener::bind(asked).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let now = options.clock.now();
        let called = options.called.as_deref();
        let identity = ServerIdentity::new(address.ip(), called, now)?;
        let acceptor = acceptor(&identity)?;
        let (stop, stopped) = watch::channel(false);
        let port = options.advertised_port.unwrap_or(address.port());
        let known_as = SocketAddr::new(address.ip(), port);
        let base = called.map_or_else(
            || format!("https://{known_as}"),
            |name| format!("https://{name}"),
        );
        let ca = Arc::new(Ca {
            routes: Routes::new(base),
            requests: Requests::default(),
            faults: Faults::new(options.faults.clone(), options.seed),
            dice: Dice::new(options.seed),
            nonces: Nonces::default(),
            accounts: Accounts::default(),
            orders: Orders::default(),
            authorizations: Authorizations::default(),
            certificates: Certificates::default(),
            hierarchy: Hierarchy::new(1 + options.alternate_chains, now)?,
            options,
            stopped: stopped.clone(),
        });
        let task = tokio::spawn(connections::serve(
            Arc::clone(&ca),
            listener,
            acceptor,
            stopped,
        ));
        Ok(Handle {
            ca,
            address,
            ca_bundle: identity.root,
            stop,
            task: Some(task),
        })
    }
}

impl Handle {
    /// Returns the URL that a client is given.
    pub fn directory_url(&self) -> String {
        self.ca.routes.directory()
    }

    /// Returns the address the CA listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the root of the HTTPS server's certificate, for the client's `ca_bundle`.
    pub fn ca_bundle_pem(&self) -> &str {
        &self.ca_bundle
    }

    /// Returns the roots of the issued certificates, the default chain's first.
    pub fn roots_pem(&self) -> String {
        self.ca.hierarchy.roots.concat()
    }

    /// Returns how many requests each endpoint has had.
    pub fn requests(&self) -> &Requests {
        &self.ca.requests
    }

    /// Returns how many certificates were issued.
    pub fn issued(&self) -> usize {
        self.ca.certificates.count()
    }

    /// Returns the id of the last certificate for a name, as renewal information uses it (RFC 9773 section 4.1).
    pub fn certificate_id(&self, name: &str) -> Option<String> {
        let certificate = self.ca.certificates.latest(&name.to_lowercase())?;
        Some(renewal_info::id_of(&self.ca, &certificate))
    }

    /// Says whether the last certificate for a name was revoked.
    pub fn is_revoked(&self, name: &str) -> bool {
        let certificate = self.ca.certificates.latest(&name.to_lowercase());
        certificate.is_some_and(|certificate| lock(&certificate.fate).revoked)
    }

    /// Arms these faults, and only these.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.ca.faults.set(faults);
    }

    /// Arms one more fault.
    pub fn add_fault(&self, fault: Fault) {
        self.ca.faults.add(fault);
    }

    /// Returns the faults that may still hit.
    pub fn faults(&self) -> Vec<Fault> {
        self.ca.faults.armed()
    }

    /// Moves the suggested window of the last certificate for a name, or of the one with this id.
    ///
    /// A window in the past makes the renewal due at once. The explanation is a URL for people.
    ///
    /// # Errors
    ///
    /// There must be such a certificate.
    pub fn suggest_renewal(
        &self,
        name_or_id: &str,
        window: RenewalWindow,
        explanation: Option<&str>,
    ) -> Result<(), SuggestError> {
        let certificate = self
            .ca
            .certificates
            .latest(&name_or_id.to_lowercase())
            .or_else(|| renewal_info::find(&self.ca, name_or_id).ok())
            .ok_or_else(|| SuggestError::NoCertificate(name_or_id.to_owned()))?;
        lock(&certificate.fate).suggestion = Some(Suggestion {
            window,
            explanation: explanation.map(str::to_owned),
        });
        Ok(())
    }

    /// Lets the next certificate for a name be old already: only `left` of its life remains.
    ///
    /// Its beginning lies in the past by as much as its profile's lifetime asks for.
    pub fn age_next(&self, name: &str, left: Duration) {
        self.ca.certificates.age_next(name, left);
    }

    /// Stops the CA and waits until its connections are closed.
    pub async fn stop(mut self) {
        // Nobody listens only where the task has ended already.
        let _ = self.stop.send(true);
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

fn acceptor(identity: &ServerIdentity) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.clone()));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(identity.certificate.clone())],
            key,
        )?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
