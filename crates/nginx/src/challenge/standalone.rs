//! How are challenges answered when nothing listens on the port?
//!
//! By a listener of our own, on IPv4 and IPv6, that answers open challenges and nothing else. It starts with the first
//! challenge and ends with the last.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use renewal::finding::{Finding, FindingName};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

mod holder;

/// The listener and the answers it gives.
pub(super) struct Standalone {
    port: u16,
    answers: Arc<Mutex<HashMap<String, String>>>,
    listening: Mutex<Vec<AbortHandle>>,
}

impl Standalone {
    /// Starts without listening.
    pub(super) fn new(port: u16) -> Self {
        Self {
            port,
            answers: Arc::default(),
            listening: Mutex::default(),
        }
    }

    /// Answers `token`, and starts to listen if nothing was to be answered before.
    pub(super) fn present(&self, token: &str, answer: &str) -> Result<(), Finding> {
        let mut listening = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if listening.is_empty() {
            *listening = self.listen()?;
        }
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(token.to_owned(), answer.to_owned());
        Ok(())
    }

    /// Answers `token` no more, and ends listening if nothing else is to be answered.
    pub(super) fn withdraw(&self, token: &str) {
        let mut listening = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.remove(token);
        if answers.is_empty() {
            for listener in listening.drain(..) {
                listener.abort();
            }
        }
    }

    fn listen(&self) -> Result<Vec<AbortHandle>, Finding> {
        let ipv4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.port));
        let ipv6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, self.port));
        let mut listeners = Vec::new();
        for address in [ipv4, ipv6] {
            match bind(address) {
                Ok(listener) => listeners.push(listener),
                // A host without IPv6 is not asked over IPv6.
                Err(cause) if address.is_ipv6() && lacks_ipv6(&cause) => {}
                Err(cause) => return Err(refused(address, &cause)),
            }
        }
        let serve = |listener| {
            let answers = Arc::clone(&self.answers);
            tokio::spawn(serve(listener, answers)).abort_handle()
        };
        Ok(listeners.into_iter().map(serve).collect())
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        let listening = self
            .listening
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        for listener in listening.drain(..) {
            listener.abort();
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv6() {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        // Else it would take IPv4 too, and the two would be in each other's way.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn lacks_ipv6(cause: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(cause),
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
    )
}

fn refused(address: SocketAddr, cause: &io::Error) -> Finding {
    if cause.kind() != io::ErrorKind::AddrInUse {
        let finding = Finding::new(
            FindingName::Port80Refused,
            "clpctl cannot listen where the CA asks for challenges.",
        );
        return finding
            .detail(format!("{address}: {cause}"))
            .fix("Run clpctl as root.");
    }
    let holder = holder::of(address.port());
    let by = holder
        .as_deref()
        .unwrap_or("a process that cannot be seen from here");
    Finding::new(
        FindingName::Port80Taken,
        "Another program listens where the CA asks for challenges.",
    )
    .detail(format!("{address} is taken by {by}"))
    .fix("Stop that program, or have nginx answer for the site on this port.")
}

async fn serve(listener: TcpListener, answers: Arc<Mutex<HashMap<String, String>>>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, mostly; it passes.
            sleep(AFTER_FAILED_ACCEPT).await;
            continue;
        };
        let answers = Arc::clone(&answers);
        tokio::spawn(async move {
            let _ = timeout(CONNECTION, answer(stream, &answers)).await;
            drop(permit);
        });
    }
}

async fn answer(mut stream: TcpStream, answers: &Mutex<HashMap<String, String>>) -> io::Result<()> {
    let mut request = Vec::with_capacity(1024);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let length = stream.read_buf(&mut request).await?;
        if length == 0 || request.len() > REQUEST_BYTES_MAX {
            break;
        }
    }
    let found = token(&request).and_then(|token| {
        let answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(token).cloned()
    });
    let (status, body) = match &found {
        Some(answer) => ("200 OK", answer.as_str()),
        None => ("404 Not Found", "no such challenge\n"),
    };
    let reply = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await
}

/// Returns the token of a request for a challenge.
fn token(request: &[u8]) -> Option<&str> {
    let line = request.split(|byte| *byte == b'\r').next()?;
    let target = std::str::from_utf8(line).ok()?.strip_prefix("GET ")?;
    let path = target.split(' ').next()?;
    path.strip_prefix("/.well-known/acme-challenge/")
}

/// Connections that wait to be taken. The CA comes from several places at once, for many names.
const BACKLOG: i32 = 1024;

/// Connections at one moment; whoever holds one open holds it for [`CONNECTION`] at most.
const CONNECTIONS_MAX: usize = 512;

/// A CA sends its request at once.
const CONNECTION: Duration = Duration::from_secs(10);

const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(50);

/// A CA's request has a few hundred bytes.
const REQUEST_BYTES_MAX: usize = 8 << 10;

#[cfg(test)]
mod tests;
