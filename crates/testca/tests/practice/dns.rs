//! The DNS server, over the wire.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use testca::dns::{DnsServer, Zone};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

fn question(name: &str) -> Message {
    let mut question = Message::query();
    question.add_query(Query::query(Name::from_str(name).unwrap(), RecordType::A));
    question
}

fn told(answer: &[u8], question: &Message) -> String {
    let answer = Message::from_vec(answer).unwrap();
    assert_eq!(answer.metadata.id, question.metadata.id);
    let addresses: Vec<IpAddr> = answer
        .answers
        .iter()
        .filter_map(|record| record.data.ip_addr())
        .collect();
    format!("{} {addresses:?}", answer.metadata.response_code)
}

async fn over_udp(server: SocketAddr, name: &str) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let question = question(name);
    socket
        .send_to(&question.to_vec().unwrap(), server)
        .await
        .unwrap();
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).await.unwrap();
    told(&buffer[..length], &question)
}

async fn over_tcp(server: SocketAddr, names: &[&str]) -> Vec<String> {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let mut seen = Vec::new();
    for name in names {
        let question = question(name);
        let bytes = question.to_vec().unwrap();
        stream
            .write_u16(u16::try_from(bytes.len()).unwrap())
            .await
            .unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut answer).await.unwrap();
        seen.push(told(&answer, &question));
    }
    seen
}

#[tokio::test]
async fn udp_and_tcp_give_the_same_answers() {
    let dns = DnsServer::start(Zone::default()).await.unwrap();
    dns.change(|zone| zone.nxdomain("gone.test").servfail("broken.test"));
    let names = ["a.test.", "gone.test.", "broken.test."];
    let tcp = over_tcp(dns.address(), &names).await;
    assert_eq!(
        tcp,
        [
            "No Error [127.0.0.1]",
            "Non-Existent Domain []",
            "Server Failure []"
        ]
    );
    for (name, expected) in names.into_iter().zip(tcp) {
        assert_eq!(over_udp(dns.address(), name).await, expected);
    }
    assert_eq!(dns.questions(), 6);
}

#[tokio::test]
async fn answers_change_at_run_time() {
    let dns = DnsServer::start(Zone::default()).await.unwrap();
    dns.change(|zone| zone.set("a.test", &["127.0.0.9".parse().unwrap()]));
    assert_eq!(
        over_udp(dns.address(), "a.test.").await,
        "No Error [127.0.0.9]"
    );
    dns.change(|zone| zone.nxdomain("a.test"));
    assert_eq!(
        over_udp(dns.address(), "a.test.").await,
        "Non-Existent Domain []"
    );
    dns.change(|zone| {
        zone.forget("a.test")
            .set_otherwise(&["127.0.0.3".parse().unwrap()])
    });
    assert_eq!(
        over_udp(dns.address(), "a.test.").await,
        "No Error [127.0.0.3]"
    );
}

#[tokio::test]
async fn nonsense_does_not_disturb_it() {
    let dns = DnsServer::start(Zone::default()).await.unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for nonsense in [&[][..], &[0; 5], &[0xff; 600]] {
        socket.send_to(nonsense, dns.address()).await.unwrap();
    }
    assert_eq!(
        over_udp(dns.address(), "a.test.").await,
        "No Error [127.0.0.1]"
    );
}
