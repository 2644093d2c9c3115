//! Does the real pebble start, in both versions, and are its troubles told apart?

use std::net::{Ipv4Addr, UdpSocket};

use rustix::process::{Pid, Signal, kill_process};

use super::*;

fn start(settings: impl FnOnce(Settings) -> Settings) -> Pebble {
    let (http, tls) = (Port::free(), Port::free());
    settings(Pebble::settings(http.number(), tls.number())).start()
}

fn directory(pebble: &Pebble) -> String {
    let root = fs::read_to_string(pebble.ca_bundle()).unwrap();
    fetch::https(pebble.api.v4(), &root, "/dir", ANSWER)
        .unwrap()
        .body
}

#[test]
fn the_distributions_version_has_a_directory() {
    let pebble = start(|settings| settings);
    assert!(directory(&pebble).contains("newOrder"));
    assert_eq!(
        (pebble.requests().directory, pebble.requests().total()),
        (1, 1)
    );
    assert!(
        fs::read_to_string(pebble.root())
            .unwrap()
            .contains("BEGIN CERTIFICATE")
    );
    assert_eq!(pebble.status_of("00"), None);
}

#[test]
fn the_newer_version_has_renewal_information_and_profiles() {
    let pebble = start(|settings| {
        settings
            .newer()
            .profile("shortlived", Duration::from_secs(6 * DAY))
    });
    let directory = directory(&pebble);
    assert!(
        directory.contains("renewalInfo") && directory.contains("shortlived"),
        "{directory}"
    );
}

#[test]
fn a_hung_ca_is_told_from_a_dead_one() {
    let pebble = start(|settings| settings);
    pebble.health().unwrap();
    let process = Pid::from_raw(i32::try_from(pebble.pid()).unwrap()).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    let hung = pebble
        .health_within(Duration::from_millis(300))
        .unwrap_err()
        .to_string();
    assert!(hung.starts_with("the CA hung"), "{hung}");
    kill_process(process, Signal::CONT).unwrap();
    pebble.health().unwrap();
    pebble.kill();
    let gone = pebble.health().unwrap_err().to_string();
    assert!(gone.starts_with("the CA is gone"), "{gone}");
}

#[test]
fn dns_answers_what_it_is_told() {
    let pebble = start(|settings| settings);
    let dns = pebble.dns();
    assert_eq!(
        answer(dns, "a.test", A).as_deref(),
        Some(&[127, 0, 0, 1][..])
    );
    assert_eq!(answer(dns, "a.test", AAAA), None);
    dns.set_a("a.test", &[Ipv4Addr::new(127, 0, 0, 9)]);
    dns.set_aaaa("a.test", &[std::net::Ipv6Addr::LOCALHOST]);
    assert_eq!(
        answer(dns, "a.test", A).as_deref(),
        Some(&[127, 0, 0, 9][..])
    );
    assert_eq!(answer(dns, "a.test", AAAA).map(|data| data.len()), Some(16));
    dns.clear_a("a.test");
    dns.clear_aaaa("a.test");
    assert_eq!(
        answer(dns, "a.test", A).as_deref(),
        Some(&[127, 0, 0, 1][..])
    );
    assert_eq!(answer(dns, "a.test", AAAA), None);
    dns.set_caa("a.test", "other.test");
    assert!(answer(dns, "a.test", CAA).is_some_and(|data| data.ends_with(b"issueother.test")));
    dns.clear_caa("a.test");
    assert_eq!(answer(dns, "a.test", CAA), None);
    dns.fail("a.test");
    assert_eq!(code(&ask(dns, "a.test", A)), SERVFAIL);
    dns.mend("a.test");
    assert_eq!(code(&ask(dns, "a.test", A)), 0);
}

#[test]
fn requests_are_counted_by_kind() {
    let log = "\
Pebble 2026/01/01 00:00:00 HEAD /nonce-plz -> calling handler()
Pebble 2026/01/01 00:00:00 POST /order-plz -> calling handler()
Pebble 2026/01/01 00:00:00 There are now 1 orders in the db
Pebble 2026/01/01 00:00:00 POST /authZ/abc -> calling handler()
Pebble 2026/01/01 00:00:00 GET /draft-ietf-acme-ari-03/renewalInfo/abc -> calling handler()
Pebble 2026/01/01 00:00:00 GET /cert-status-by-serial/00 -> calling handler()
";
    let counted = Requests::in_log(log);
    let wanted = Requests {
        new_nonce: 1,
        new_order: 1,
        authorization: 1,
        renewal_info: 1,
        ..Requests::default()
    };
    assert_eq!(counted, wanted);
    assert_eq!((counted.total(), counted.of_orders()), (4, 2));
}

/// Asks for a record, and returns the data of the first answer. A dozen lines of RFC 1035, section 4, so that
/// the server is asked by someone else than the programs it serves.
fn answer(dns: &Dns, name: &str, kind: u16) -> Option<Vec<u8>> {
    let reply = ask(dns, name, kind);
    let answers = u16::from_be_bytes([reply[6], reply[7]]);
    // Header, the question as it was sent, then name, type, class, life and length of the answer.
    let question = 12 + name.len() + 2 + 4;
    let name_ends = question
        + if reply.get(question)? & 0xc0 == 0xc0 {
            2
        } else {
            name.len() + 2
        };
    let length = usize::from(u16::from_be_bytes([
        *reply.get(name_ends + 8)?,
        *reply.get(name_ends + 9)?,
    ]));
    let data = name_ends + 10;
    (answers > 0).then(|| reply[data..data + length].to_vec())
}

fn ask(dns: &Dns, name: &str, kind: u16) -> Vec<u8> {
    let mut query = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend_from_slice(label.as_bytes());
    }
    let [high, low] = kind.to_be_bytes();
    query.extend_from_slice(&[0, high, low, 0, 1]);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    socket.send_to(&query, dns.address()).unwrap();
    let mut reply = vec![0; 1500];
    let length = socket.recv(&mut reply).unwrap();
    reply.truncate(length);
    reply
}

fn code(reply: &[u8]) -> u8 {
    reply[3] & 0x0f
}

const A: u16 = 1;
const AAAA: u16 = 28;
const CAA: u16 = 257;
const SERVFAIL: u8 = 2;
