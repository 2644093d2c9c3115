//! How is one question put to one server, and nobody else asked?
//!
//! Over UDP or TCP, with the bits that a resolver sets for itself: whether others shall be asked (RD), whether
//! signatures shall be checked (CD), whether they shall be shown (DO).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// One question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: RecordType,
    /// Whether the server is a resolver, which is to ask others and to leave signatures unchecked.
    pub(crate) unchecked: bool,
}

/// By what it is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Over {
    Udp,
    Tcp,
}

/// Puts the question; the answer, or why there is none.
pub(crate) async fn ask(
    server: SocketAddr,
    question: Question<'_>,
    over: Over,
) -> Result<Message, String> {
    let sent = message(question)?;
    let id = sent.metadata.id;
    let bytes = sent.to_vec().map_err(|error| error.to_string())?;
    let received = async {
        match over {
            Over::Udp => by_udp(server, &bytes, id).await,
            Over::Tcp => by_tcp(server, &bytes).await,
        }
    };
    let received = timeout(PATIENCE, received).await;
    let received = received.map_err(|_| "no answer in time".to_owned())?;
    let received = received.map_err(|error| error.to_string())?;
    let answer = Message::from_vec(&received).map_err(|error| format!("nonsense: {error}"))?;
    if answer.metadata.id == id {
        Ok(answer)
    } else {
        Err("an answer to another question".to_owned())
    }
}

/// Says whether an answer is one, even that there is nothing.
pub(crate) fn is_answer(answer: &Message) -> bool {
    matches!(
        answer.metadata.response_code,
        ResponseCode::NoError | ResponseCode::NXDomain
    )
}

fn message(question: Question<'_>) -> Result<Message, String> {
    let name = Name::from_ascii(format!("{}.", question.name.trim_end_matches('.')));
    let name = name.map_err(|error| error.to_string())?;
    let mut message = Message::query();
    message.metadata.recursion_desired = question.unchecked;
    message.metadata.checking_disabled = question.unchecked;
    message.add_query(Query::query(name, question.kind));
    let mut edns = Edns::new();
    edns.set_dnssec_ok(true).set_max_payload(UDP_BYTES);
    message.set_edns(edns);
    Ok(message)
}

async fn by_udp(server: SocketAddr, question: &[u8], id: u16) -> std::io::Result<Vec<u8>> {
    let any: IpAddr = match server.ip() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let mut answer = vec![0; usize::from(u16::MAX)];
    loop {
        socket.send(question).await?;
        // A datagram may get lost, and somebody may send another one.
        let heard = timeout(PATIENCE / 2, socket.recv(&mut answer)).await;
        match heard {
            Ok(length) => {
                let length = length?;
                if answer[..length].starts_with(&id.to_be_bytes()) {
                    answer.truncate(length);
                    return Ok(answer);
                }
            }
            Err(_) => continue,
        }
    }
}

async fn by_tcp(server: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(std::io::Error::other)?;
    // In one piece, for some servers read no further than the first (RFC 7766 section 8).
    let whole = [&length.to_be_bytes(), question].concat();
    stream.write_all(&whole).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// What fits into one packet nearly everywhere (DNS flag day 2020).
const UDP_BYTES: u16 = 1232;

/// A server that is not dead answers in a tenth of that.
const PATIENCE: Duration = Duration::from_secs(2);
