//! How does the ideal client answer challenges at once?
//!
//! Every token is answered with itself and the account's thumbprint, so nothing has to be put in place before.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use super::order::OrderError;

/// That the listener runs; it ends with the process.
pub(super) struct Answers(());

/// Answers HTTP-01 challenges on the address (RFC 8555 section 8.3).
pub(super) fn listen(address: SocketAddr, thumbprint: &str) -> Result<Answers, OrderError> {
    let listener = TcpListener::bind(address).map_err(OrderError::Io)?;
    for _ in 0..LISTENERS {
        let (listener, thumbprint) = (
            listener.try_clone().map_err(OrderError::Io)?,
            thumbprint.to_owned(),
        );
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A CA that hangs up early asks again, or refuses the order, which is noticed there.
                let _ = answer(stream, &thumbprint);
            }
        });
    }
    Ok(Answers(()))
}

fn answer(stream: TcpStream, thumbprint: &str) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request)?;
    let mut line = String::new();
    while stream.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let token = path.rsplit('/').next().unwrap_or_default();
    let body = format!("{token}.{thumbprint}");
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream
        .get_mut()
        .write_all(format!("{head}{body}").as_bytes())
}

/// pebble looks three times for each challenge, and there are a few in flight.
const LISTENERS: usize = 4;
