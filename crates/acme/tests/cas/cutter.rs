//! How is a connection cut after so many bytes?
//!
//! A proxy between a client and the CA that passes bytes on, both ways, and counts them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Which connections are cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cuts {
    /// All that are open when so many bytes have passed; none afterwards.
    Once(u64),
    /// Each one, after so many bytes of its own.
    Each(u64),
}

/// A running proxy; it ends when it is dropped.
pub(crate) struct Cutter {
    listener: Option<TcpListener>,
    pub(crate) port: u16,
    passed: Arc<AtomicU64>,
    task: Option<AbortHandle>,
}

impl Cutter {
    /// Takes a port.
    pub(crate) async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let port = listener.local_addr().expect("it listens").port();
        Self {
            listener: Some(listener),
            port,
            passed: Arc::default(),
            task: None,
        }
    }

    /// Begins to pass bytes on.
    pub(crate) fn start(&mut self, ca: SocketAddr, cuts: Cuts) {
        let listener = self.listener.take().expect("it is started once");
        let (passed, cut) = (Arc::clone(&self.passed), Arc::new(Notify::new()));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (all, cut) = (Arc::clone(&passed), Arc::clone(&cut));
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(ca).await else {
                        return;
                    };
                    let meter = Meter::new(cuts, all);
                    pass_both(client, server, &meter, &cut).await;
                });
            }
        });
        self.task = Some(task.abort_handle());
    }

    /// Returns how many bytes have passed.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

struct Meter {
    cuts: Cuts,
    all: Arc<AtomicU64>,
    own: AtomicU64,
}

impl Meter {
    fn new(cuts: Cuts, all: Arc<AtomicU64>) -> Self {
        Self {
            cuts,
            all,
            own: AtomicU64::new(0),
        }
    }

    /// Takes bytes in; returns how many of them may pass before the cut, if there is one among them.
    fn count(&self, bytes: u64) -> Option<u64> {
        let all = self.all.fetch_add(bytes, Ordering::Relaxed);
        let own = self.own.fetch_add(bytes, Ordering::Relaxed);
        match self.cuts {
            Cuts::Once(at) => (all <= at && at < all + bytes).then(|| at - all),
            Cuts::Each(at) => (at < own + bytes).then(|| at.saturating_sub(own)),
        }
    }
}

async fn pass_both(client: TcpStream, server: TcpStream, meter: &Meter, cut: &Notify) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    // Whichever ends first ends both: the sockets are closed when their halves are dropped.
    tokio::select! {
        () = pass(from_client, to_server, meter, cut) => {}
        () = pass(from_server, to_client, meter, cut) => {}
        () = cut.notified() => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, meter: &Meter, cut: &Notify) {
    let mut buffer = [0; 4096];
    while let Ok(size @ 1..) = from.read(&mut buffer).await {
        let last = meter.count(size as u64);
        let size = last.map_or(size, |last| usize::try_from(last).unwrap_or(size));
        if to.write_all(&buffer[..size]).await.is_err() {
            return;
        }
        if last.is_some() {
            let _ = to.flush().await;
            if matches!(meter.cuts, Cuts::Once(_)) {
                cut.notify_waiters();
            }
            return;
        }
    }
}
