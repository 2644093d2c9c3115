//! Which answers does DNS give in practice?
//!
//! A tiny DNS server on loopback, over UDP and TCP on the same port. It knows a few names,
//! has a default for the others, and can be told at run time to fail for some.
//!
//! ```no_run
//! # async fn example() -> Result<(), testca::dns::DnsError> {
//! use testca::dns::{DnsServer, Zone};
//!
//! let dns = DnsServer::start(Zone::default()).await?;
//! dns.change(|zone| zone.set("shop.test", &["127.0.0.1".parse().unwrap()]).nxdomain("gone.test"));
//! # Ok(())
//! # }
//! ```

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::random::lock;

mod zone;

pub use zone::{Caa, Zone};

/// A running DNS server. It stops when this is dropped.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

/// Why the DNS server did not start.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The address can be reached from other machines.
    #[error(
        "the practice DNS server listens on loopback only (127.0.0.0/8 or ::1), not on {address}"
    )]
    NotLoopback {
        /// The refused address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("the practice DNS server cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
}

#[derive(Debug)]
struct Shared {
    zone: Mutex<Zone>,
    questions: AtomicU64,
}

impl DnsServer {
    /// Starts a DNS server on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// There must be a port that is free for UDP and for TCP.
    pub async fn start(zone: Zone) -> Result<DnsServer, DnsError> {
        DnsServer::start_on((Ipv4Addr::LOCALHOST, 0).into(), zone).await
    }

    /// Starts a DNS server on this address; port 0 picks a free one.
    ///
    /// # Errors
    ///
    /// An address that is not on loopback is refused.
    pub async fn start_on(listen: SocketAddr, zone: Zone) -> Result<DnsServer, DnsError> {
        if !listen.ip().is_loopback() {
            return Err(DnsError::NotLoopback { address: listen });
        }
        let (udp, tcp) = bind(listen).await.map_err(|source| DnsError::Listen {
            address: listen,
            source,
        })?;
        let address = udp.local_addr().map_err(|source| DnsError::Listen {
            address: listen,
            source,
        })?;
        let shared = Arc::new(Shared {
            zone: Mutex::new(zone),
            questions: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, Arc::clone(&shared)));
        tasks.spawn(serve_tcp(tcp, Arc::clone(&shared)));
        Ok(DnsServer {
            address,
            shared,
            tasks,
        })
    }

    /// Returns the address, for UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how many questions were answered.
    pub fn questions(&self) -> u64 {
        self.shared.questions.load(Ordering::Relaxed)
    }

    /// Changes what is answered from now on.
    pub fn change(&self, change: impl FnOnce(&mut Zone) -> &mut Zone) {
        change(&mut lock(&self.shared.zone));
    }

    /// Stops the server and waits for it.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

impl Shared {
    /// Returns the answer; nothing for what is no question.
    fn answer(&self, question: &[u8], over_udp: bool) -> Option<Vec<u8>> {
        let answer = lock(&self.zone).answer(question, over_udp)?;
        self.questions.fetch_add(1, Ordering::Relaxed);
        Some(answer)
    }
}

/// Binds the same port for both. Where port 0 was asked for, one that is free for UDP may be taken for TCP.
async fn bind(listen: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = 0;
    loop {
        let udp = UdpSocket::bind(listen).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if listen.port() != 0 || tries == MOST_TRIES => return Err(error),
            Err(_) => tries += 1,
        }
    }
}

async fn serve_udp(socket: UdpSocket, shared: Arc<Shared>) {
    let mut buffer = [0; LARGEST_QUESTION];
    loop {
        // A reply that could not be delivered shows up here as an error; the next question is another one's.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        if let Some(answer) = shared.answer(&buffer[..length], true) {
            let _ = socket.send_to(&answer, client).await;
        }
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    clients.spawn(timeout(CLIENT_LIMIT, serve_client(stream, Arc::clone(&shared))));
                }
                // Too many open files, most likely: others must close first.
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = clients.join_next() => {}
        }
    }
}

/// Answers each question on a connection; each has its length before it (RFC 1035 section 4.2.2).
async fn serve_client(mut stream: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut question = vec![0; length.into()];
        stream.read_exact(&mut question).await?;
        let Some(answer) = shared.answer(&question, false) else {
            return Ok(());
        };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        stream
            .write_all(&[&length.to_be_bytes(), answer.as_slice()].concat())
            .await?;
    }
}

/// In bytes; questions are far smaller.
const LARGEST_QUESTION: usize = 4096;

const MOST_TRIES: u32 = 50;

/// How long a TCP client may stay.
const CLIENT_LIMIT: Duration = Duration::from_secs(30);

/// Before another connection is accepted after one could not be.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
