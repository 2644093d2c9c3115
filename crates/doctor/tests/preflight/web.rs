//! A web server that answers each request from a function, well or badly.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

/// What the server does with a request.
pub(crate) enum Answer {
    /// Sends this and closes.
    Bytes(Vec<u8>),
    /// Sends this, then nothing, and keeps the connection.
    Hang(Vec<u8>),
    /// Sends this, then a byte now and then.
    Drip(Vec<u8>),
    /// Sends this, then more without end.
    Endless(Vec<u8>),
    /// Waits, then sends this.
    Late(Duration, Vec<u8>),
}

/// A request, and where it arrived.
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) local: SocketAddr,
    pub(crate) tls: bool,
}

impl Request {
    /// Returns the path.
    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// Returns the host without its port.
    pub(crate) fn host(&self) -> &str {
        let host = self
            .head
            .lines()
            .find_map(|line| line.strip_prefix("Host: "));
        let host = host.unwrap_or_default();
        host.rsplit_once(':').map_or(host, |(host, _)| host)
    }
}

pub(crate) struct Web {
    task: AbortHandle,
}

type Respond = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

impl Web {
    /// Serves in the background until dropped; with `tls`, after a handshake.
    pub(crate) fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, respond: Respond) -> Self {
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let local = stream.local_addr().unwrap();
                let (tls, respond) = (tls.clone(), respond.clone());
                tokio::spawn(async move {
                    match tls {
                        None => talk(stream, local, false, respond).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                talk(stream, local, true, respond).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            task: task.abort_handle(),
        }
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    local: SocketAddr,
    tls: bool,
    respond: Respond,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            // As nginx answers one who speaks TLS to a plain port.
            Ok(TLS_HANDSHAKE) if head.is_empty() => {
                let _ = send(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                // To close with something unread would reset the connection before the client has read.
                let _ = stream.read_to_end(&mut Vec::new()).await;
                return;
            }
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let request = Request { head, local, tls };
    // The client may be gone: that is its right.
    let _ = match respond(&request) {
        Answer::Bytes(bytes) => send(&mut stream, &bytes).await,
        Answer::Hang(bytes) => {
            let _ = send(&mut stream, &bytes).await;
            std::future::pending().await
        }
        Answer::Drip(bytes) => {
            let _ = send(&mut stream, &bytes).await;
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if send(&mut stream, b"x").await.is_err() {
                    return;
                }
            }
        }
        Answer::Endless(bytes) => {
            let _ = send(&mut stream, &bytes).await;
            while send(&mut stream, &[b'x'; 4096]).await.is_ok() {}
            Ok(())
        }
        Answer::Late(wait, bytes) => {
            tokio::time::sleep(wait).await;
            send(&mut stream, &bytes).await
        }
    };
    let _ = stream.shutdown().await;
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// The first byte of a TLS handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 22;
