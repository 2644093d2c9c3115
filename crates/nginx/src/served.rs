//! Which certificate does an address serve for a name, right now?
//!
//! Found out by a TLS handshake, as a visitor's. A reload is asynchronous, so after one the look is repeated until the
//! new certificate is there. While nginx reads its configuration the waiting sites take turns, one handshake at a time;
//! once one of them has seen its new certificate, all look at once. So ten thousand sites cost hardly more
//! handshakes than ten thousand, and nginx is not kept from its work.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use renewal::certificate::Fingerprint;
use renewal::name::Name;
use renewal::report::Served;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsConnector;

/// An address to look at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Target {
    /// The address.
    pub(crate) address: SocketAddr,
    /// Whether the listener expects a PROXY header first.
    pub(crate) proxy_protocol: bool,
}

/// Looks at served certificates; one for all sites, for they share its bounds.
pub(crate) struct Looker {
    connector: TlsConnector,
    at_once: Semaphore,
    /// Whether a new certificate has been seen since the last reload.
    taken_up: watch::Sender<bool>,
    turn: Mutex<()>,
}

impl Looker {
    /// Starts with no reload under way.
    pub(crate) fn new() -> Self {
        Self {
            connector: TlsConnector::from(Arc::new(client_config())),
            at_once: Semaphore::new(AT_ONCE),
            taken_up: watch::Sender::new(true),
            turn: Mutex::new(()),
        }
    }

    /// Takes in that nginx was told to reload.
    pub(crate) fn reload_began(&self) {
        self.taken_up.send_replace(false);
    }

    /// Looks at all `targets` for `name`, until `expected` is served everywhere or `patience` is over.
    pub(crate) async fn look(
        &self,
        name: &Name,
        targets: &[Target],
        expected: Option<Fingerprint>,
        patience: Duration,
    ) -> Vec<Served> {
        let deadline = Instant::now() + patience;
        let looks = targets.iter().map(|target| async move {
            let seen = match expected {
                Some(expected) => self.wait_for(name, *target, expected, deadline).await,
                None => self.see(name, *target).await,
            };
            let ok = match (&seen, expected) {
                (Ok(seen), Some(expected)) => *seen == expected,
                (Ok(_), None) => true,
                (Err(_), _) => false,
            };
            Served {
                address: target.address,
                sha256: seen.as_ref().ok().copied(),
                ok,
                error: seen.err(),
                answered_by: None,
            }
        });
        join_all(looks).await
    }

    async fn wait_for(
        &self,
        name: &Name,
        target: Target,
        expected: Fingerprint,
        deadline: Instant,
    ) -> Result<Fingerprint, String> {
        let mut pause = Duration::ZERO;
        loop {
            self.wait_for_turn(pause, deadline).await;
            let last = Instant::now() >= deadline;
            let seen = self.see(name, target).await;
            if seen == Ok(expected) {
                self.taken_up
                    .send_if_modified(|taken_up| !std::mem::replace(taken_up, true));
                return seen;
            }
            if last {
                return seen;
            }
            pause = (pause * 2).clamp(PAUSE_SHORTEST, PAUSE_LONGEST);
        }
    }

    /// Returns when it is time for the next handshake, at the latest at the deadline.
    async fn wait_for_turn(&self, pause: Duration, deadline: Instant) {
        let mut taken_up = self.taken_up.subscribe();
        if *taken_up.borrow_and_update() {
            sleep_until((Instant::now() + pause).min(deadline)).await;
            return;
        }
        let my_turn = async {
            let _turn = self.turn.lock().await;
            sleep(TURN).await;
        };
        tokio::select! {
            () = my_turn => {}
            _ = taken_up.wait_for(|taken_up| *taken_up) => {}
            () = sleep_until(deadline) => {}
        }
    }

    async fn see(&self, name: &Name, target: Target) -> Result<Fingerprint, String> {
        let _permit = self.at_once.acquire().await;
        match timeout(HANDSHAKE, self.handshake(name, target)).await {
            Ok(Ok(seen)) => Ok(seen),
            Ok(Err(cause)) => Err(describe(&cause)),
            Err(_) => Err(format!("no handshake within {} s", HANDSHAKE.as_secs())),
        }
    }

    async fn handshake(&self, name: &Name, target: Target) -> std::io::Result<Fingerprint> {
        let mut stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        if target.proxy_protocol {
            stream.write_all(PROXY_HEADER).await?;
        }
        let mut tls = self
            .connector
            .connect(server_name(name, target), stream)
            .await?;
        let seen = tls
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first())
            .ok_or_else(|| std::io::Error::other("it showed no certificate"))
            .map(|leaf| x509::chain::fingerprint(leaf));
        // Said, so that nginx does not log a broken connection. Whether it arrives does not matter.
        let _ = tls.shutdown().await;
        seen
    }
}

/// Says why there was no handshake, in words that do not need the RFC beside them.
fn describe(cause: &std::io::Error) -> String {
    let inner = cause
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidMessage(_)) => {
            "what answers there does not speak TLS".to_owned()
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            format!("it refuses the handshake ({alert:?})")
        }
        Some(_) | None => cause.to_string(),
    }
}

/// Returns what to ask for. An address is not sent as a name (RFC 6066 section 3).
fn server_name(name: &Name, target: Target) -> ServerName<'static> {
    let text = match name.as_str().strip_prefix("*.") {
        Some(parent) => format!("{ANY_LABEL}.{parent}"),
        None => name.as_str().to_owned(),
    };
    ServerName::try_from(text).unwrap_or_else(|_| target.address.ip().into())
}

fn client_config() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has cipher suites for TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    // A resumed session would show the certificate of the first one.
    config.resumption = Resumption::disabled();
    config
}

/// Takes every certificate: the question is which one is served, not whether to trust it. Nothing is sent over it.
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

/// Handshakes at one moment, over all sites.
const AT_ONCE: usize = 32;

/// A handshake over loopback takes milliseconds, unless all workers are at something else.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long a turn lasts, while nobody has seen what is new: fifty handshakes a second.
const TURN: Duration = Duration::from_millis(20);

/// Between two looks of one site, when the others see what is new and it does not.
const PAUSE_SHORTEST: Duration = Duration::from_millis(20);
const PAUSE_LONGEST: Duration = Duration::from_millis(500);

/// The PROXY protocol, version 1, for a connection that nobody forwarded (section 2.1 of its specification).
const PROXY_HEADER: &[u8] = b"PROXY UNKNOWN\r\n";

/// Stands for the star when a wildcard is looked at.
const ANY_LABEL: &str = "clpctl";

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    async fn look_at(address: SocketAddr, patience: Duration) -> Served {
        let name = Name::parse("a.test").unwrap();
        let target = Target {
            address,
            proxy_protocol: false,
        };
        let expected = Some(Fingerprint([1; 32]));
        let mut seen = Looker::new()
            .look(&name, &[target], expected, patience)
            .await;
        assert_eq!(seen.len(), 1);
        seen.remove(0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_says_nothing_is_not_waited_for_long() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let begin = Instant::now();
        let served = look_at(silent.local_addr().unwrap(), Duration::from_secs(1)).await;
        assert_eq!(served.error.unwrap(), "no handshake within 5 s");
        assert!(begin.elapsed() < Duration::from_secs(15));
    }

    #[tokio::test]
    async fn what_speaks_no_tls_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plain = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut hello = [0; 16];
                let _ = stream.read(&mut hello).await;
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            }
        });
        let served = look_at(address, Duration::ZERO).await;
        assert!(!served.ok && served.sha256.is_none());
        assert_eq!(
            served.error.unwrap(),
            "what answers there does not speak TLS"
        );
        plain.abort();
        let free = testkit::port::Port::free();
        let served = look_at(free.v4(), Duration::ZERO).await;
        assert!(served.error.unwrap().contains("refused"));
    }

    #[tokio::test(start_paused = true)]
    async fn while_nothing_new_is_seen_the_sites_take_turns() {
        let looker = Arc::new(Looker::new());
        looker.reload_began();
        let deadline = Instant::now() + Duration::from_secs(2);
        let waiting: Vec<_> = (0..10)
            .map(|_| {
                let looker = Arc::clone(&looker);
                tokio::spawn(async move {
                    looker.wait_for_turn(Duration::ZERO, deadline).await;
                    Instant::now()
                })
            })
            .collect();
        let mut moments = Vec::new();
        for wait in waiting {
            moments.push(wait.await.unwrap());
        }
        moments.sort();
        let apart = moments.windows(2).all(|pair| pair[1] - pair[0] >= TURN);
        assert!(apart, "{moments:?}");

        let begin = Instant::now();
        let held = looker.turn.lock().await;
        let waiting = looker.wait_for_turn(Duration::ZERO, deadline);
        let seen = async {
            sleep(Duration::from_millis(1)).await;
            looker.taken_up.send_replace(true);
        };
        tokio::join!(waiting, seen);
        assert!(begin.elapsed() < TURN, "one has seen it, so all may look");
        drop(held);
    }
}
