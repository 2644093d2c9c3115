//! Which addresses does a name have?
//!
//! IPv6 comes first, as Let's Encrypt tries it first.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::ca::Ca;
use crate::options::Resolve;
use crate::problems::{Problem, ProblemKind};

/// Returns the addresses of a host, at least one.
pub(super) async fn addresses(ca: &Ca, host: &str) -> Result<Vec<IpAddr>, Problem> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let mut addresses = match &ca.options.resolve {
        Resolve::Fixed { names, otherwise } => names.get(host).unwrap_or(otherwise).clone(),
        Resolve::Dns(server) => ask(*server, host, ca.options.validation_timeout).await?,
    };
    addresses.sort_by_key(IpAddr::is_ipv4);
    if addresses.is_empty() {
        return Err(dns(format!(
            "no valid A records found for {host}; no valid AAAA records found for {host}"
        )));
    }
    Ok(addresses)
}

/// Asks for both kinds at once. One that fails is forgiven where the other has an answer.
async fn ask(server: SocketAddr, host: &str, patience: Duration) -> Result<Vec<IpAddr>, Problem> {
    let (v4, v6) = tokio::join!(
        ask_for(server, host, RecordType::A, patience),
        ask_for(server, host, RecordType::AAAA, patience)
    );
    match (v4, v6) {
        (Ok(mut addresses), Ok(others)) => {
            addresses.extend(others);
            Ok(addresses)
        }
        (Ok(addresses), Err(_)) | (Err(_), Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
        (Ok(_), Err(failure)) | (Err(failure), Ok(_)) => Err(dns(failure)),
        (Err(first), Err(second)) => Err(dns(format!("{first}; {second}"))),
    }
}

async fn ask_for(
    server: SocketAddr,
    host: &str,
    kind: RecordType,
    patience: Duration,
) -> Result<Vec<IpAddr>, String> {
    let what = format!("looking up {kind} for {host}");
    let name = Name::from_str(&format!("{host}."))
        .map_err(|error| format!("DNS problem: {error} {what}"))?;
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name, kind));
    let answer = match timeout(patience, exchange(server, &question)).await {
        Err(_) => return Err(format!("DNS problem: query timed out {what}")),
        Ok(Err(_)) => return Err(format!("DNS problem: networking error {what}")),
        Ok(Ok(answer)) => answer,
    };
    match answer.metadata.response_code {
        ResponseCode::NoError if answer.metadata.truncation => {
            Err(format!("DNS problem: response was truncated {what}"))
        }
        ResponseCode::NoError => Ok(answer
            .answers
            .iter()
            .filter_map(|record| record.data.ip_addr())
            .collect()),
        ResponseCode::NXDomain => Err(format!(
            "DNS problem: NXDOMAIN {what} - check that a DNS record exists for this domain"
        )),
        ResponseCode::ServFail => Err(format!(
            "DNS problem: SERVFAIL {what} - the domain's nameservers may be malfunctioning"
        )),
        ResponseCode::Refused => Err(format!("DNS problem: REFUSED {what}")),
        other => Err(format!("DNS problem: {other} {what}")),
    }
}

async fn exchange(server: SocketAddr, question: &Message) -> io::Result<Message> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket
        .send(&question.to_vec().map_err(io::Error::other)?)
        .await?;
    let mut buffer = [0; LARGEST_ANSWER];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // Anything else is no answer to this question, and waited past.
        if let Ok(answer) = Message::from_vec(&buffer[..length])
            && answer.metadata.id == question.metadata.id
        {
            return Ok(answer);
        }
    }
}

fn dns(detail: String) -> Problem {
    Problem::new(ProblemKind::Dns, detail)
}

/// In bytes; more than a server may send over UDP to one who did not ask for more.
const LARGEST_ANSWER: usize = 4096;
