//! What stands behind a reverse proxy in a test?

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::port::Port;

/// An application that answers every request with the same text, until it is dropped.
#[derive(Debug)]
pub struct Upstream {
    port: Port,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    /// Starts an application that says `text`.
    ///
    /// # Panics
    ///
    /// When the port it claimed cannot be listened on.
    #[must_use]
    pub fn start(text: &str) -> Self {
        let port = Port::free();
        let listener = TcpListener::bind(port.v4()).expect("a claimed port can be listened on");
        let ended = Arc::new(AtomicBool::new(false));
        let (text, over) = (text.to_owned(), Arc::clone(&ended));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                // A client that goes away in the middle is no concern of the application.
                let _ = stream.and_then(|stream| answer(&stream, &text));
            }
        });
        Self {
            port,
            ended,
            thread: Some(thread),
        }
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.v4()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // The thread waits for a connection; this is one.
        let woken = TcpStream::connect(self.address()).is_ok();
        if let (true, Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: &TcpStream, text: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream).lines();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    write!(
        stream,
        "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    )
}

/// How long a client may take to send its request.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch;

    #[test]
    fn every_path_is_answered_until_it_is_dropped() {
        let upstream = Upstream::start("hello");
        let address = upstream.address();
        assert_eq!(
            fetch::http(address, "a.test", "/any").unwrap().body,
            "hello"
        );
        drop(upstream);
        assert!(fetch::http(address, "a.test", "/any").is_err());
    }
}
