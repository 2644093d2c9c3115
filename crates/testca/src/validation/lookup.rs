//! What does DNS say about a name?
//!
//! Questions go over UDP to the one server in the options. Failures have Boulder's words.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::ca::Ca;
use crate::options::Resolve;
use crate::problems::{Problem, ProblemKind};

/// Why a question has no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LookupError {
    #[error(
        "DNS problem: NXDOMAIN looking up {kind} for {name} - check that a DNS record exists for this domain"
    )]
    NoSuchName { kind: RecordType, name: String },
    #[error(
        "DNS problem: SERVFAIL looking up {kind} for {name} - the domain's nameservers may be malfunctioning"
    )]
    ServerFailed { kind: RecordType, name: String },
    /// The problem is one of Boulder's short phrases.
    #[error("DNS problem: {problem} looking up {kind} for {name}")]
    Other {
        problem: String,
        kind: RecordType,
        name: String,
    },
}

/// Returns the addresses of a host, IPv6 first, at least one.
pub(super) async fn addresses(ca: &Ca, host: &str) -> Result<Vec<IpAddr>, Problem> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let mut addresses = match &ca.options.resolve {
        Resolve::Fixed { names, otherwise } => names.get(host).unwrap_or(otherwise).clone(),
        Resolve::Dns(server) => both_kinds(*server, host, ca.options.validation_timeout).await?,
    };
    addresses.sort_by_key(IpAddr::is_ipv4);
    if addresses.is_empty() {
        return Err(dns(format!(
            "no valid A records found for {host}; no valid AAAA records found for {host}"
        )));
    }
    Ok(addresses)
}

/// Returns the records of one kind.
pub(super) async fn records(
    server: SocketAddr,
    name: &str,
    kind: RecordType,
    patience: Duration,
) -> Result<Vec<RData>, LookupError> {
    let other = |problem: &str| LookupError::Other {
        problem: problem.to_owned(),
        kind,
        name: name.to_owned(),
    };
    let fqdn = Name::from_str(&format!("{name}.")).map_err(|error| other(&error.to_string()))?;
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(fqdn, kind));
    let answer = timeout(patience, exchange(server, &question))
        .await
        .map_err(|_| other("query timed out"))?
        .map_err(|_| other("networking error"))?;
    match answer.metadata.response_code {
        ResponseCode::NoError if answer.metadata.truncation => Err(other("response was truncated")),
        ResponseCode::NoError => Ok(answer
            .answers
            .into_iter()
            .map(|record| record.data)
            .collect()),
        ResponseCode::NXDomain => Err(LookupError::NoSuchName {
            kind,
            name: name.to_owned(),
        }),
        ResponseCode::ServFail => Err(LookupError::ServerFailed {
            kind,
            name: name.to_owned(),
        }),
        ResponseCode::Refused => Err(other("REFUSED")),
        code => Err(other(code.to_str())),
    }
}

/// Asks for both kinds at once. One that fails is forgiven where the other has an answer.
async fn both_kinds(
    server: SocketAddr,
    host: &str,
    patience: Duration,
) -> Result<Vec<IpAddr>, Problem> {
    let (v4, v6) = tokio::join!(
        records(server, host, RecordType::A, patience),
        records(server, host, RecordType::AAAA, patience)
    );
    let addresses = |records: Vec<RData>| records.into_iter().filter_map(|data| data.ip_addr());
    match (v4, v6) {
        (Ok(v4), Ok(v6)) => Ok(addresses(v4).chain(addresses(v6)).collect()),
        (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.is_empty() => {
            Ok(addresses(found).collect())
        }
        (Ok(_), Err(failure)) | (Err(failure), Ok(_)) => Err(dns(failure.to_string())),
        (Err(first), Err(second)) => Err(dns(format!("{first}; {second}"))),
    }
}

async fn exchange(server: SocketAddr, question: &Message) -> io::Result<Message> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    // A connected socket hears that server alone.
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
