//! How do requests get in, and replies out?

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::ca::Ca;
use crate::dispatch::{self, Dropped};
use crate::reply::{Reply, ReplyBody};

/// Serves until told to stop; then closes every connection.
pub(crate) async fn serve(
    ca: Arc<Ca>,
    listener: TcpListener,
    acceptor: TlsAcceptor,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(Arc::clone(&ca), stream, acceptor.clone()));
                }
                // Too many open files, most likely: others must close first.
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    connections.shutdown().await;
}

async fn connection(ca: Arc<Ca>, stream: TcpStream, acceptor: TlsAcceptor) {
    // Replies are small and awaited: gathering them would only cost time.
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await else {
        return;
    };
    let service = service_fn(|request| answer(Arc::clone(&ca), request));
    // What goes wrong here is the client's to see, or was meant to.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(KEEP_ALIVE_LIMIT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(ca: Arc<Ca>, request: Request<Incoming>) -> Result<Response<ReplyBody>, Dropped> {
    dispatch::answer(&ca, request)
        .await
        .map(Reply::into_response)
}

/// How long a client may take to begin.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// How long a connection is kept for the next request.
const KEEP_ALIVE_LIMIT: Duration = Duration::from_secs(60);

/// Before another connection is accepted after one could not be.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
