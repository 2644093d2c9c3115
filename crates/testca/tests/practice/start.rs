//! Where the CA listens, and how it ends.

use std::net::{IpAddr, SocketAddr};

use expect_test::{Expect, expect};
use testca::dns::{DnsServer, Zone};
use testca::{Options, TestCa};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::site::practice;

async fn check_refused(address: &str, expected: &Expect) {
    let listen: SocketAddr = address.parse().unwrap();
    let refused = TestCa::start(Options {
        listen,
        ..Options::default()
    })
    .await
    .unwrap_err();
    expected.assert_eq(&refused.to_string());
    let refused = DnsServer::start_on(listen, Zone::default())
        .await
        .unwrap_err();
    assert!(
        refused.to_string().ends_with(&format!("not on {address}")),
        "{refused}"
    );
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    check_refused(
        "0.0.0.0:0",
        &expect!["the practice CA listens on loopback only (127.0.0.0/8 or ::1), not on 0.0.0.0:0"],
    )
    .await;
    check_refused(
        "[::]:0",
        &expect!["the practice CA listens on loopback only (127.0.0.0/8 or ::1), not on [::]:0"],
    )
    .await;
    check_refused(
        "192.0.2.1:443",
        &expect![
            "the practice CA listens on loopback only (127.0.0.0/8 or ::1), not on 192.0.2.1:443"
        ],
    )
    .await;
    check_refused("[::ffff:0.0.0.0]:0", &expect!["the practice CA listens on loopback only (127.0.0.0/8 or ::1), not on [::ffff:0.0.0.0]:0"]).await;
}

#[tokio::test]
async fn every_loopback_address_is_listened_on() {
    for address in ["127.0.0.1", "127.8.9.10", "::1"] {
        let address: IpAddr = address.parse().unwrap();
        let options = Options {
            listen: (address, 0).into(),
            ..Options::default()
        };
        let ca = TestCa::start(options).await.unwrap();
        assert_eq!(ca.address().ip(), address);
        Client::registered(&ca).await;
    }
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let first = TestCa::start(Options::default()).await.unwrap();
    let options = Options {
        listen: first.address(),
        ..Options::default()
    };
    let error = TestCa::start(options).await.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!(
            "the practice CA cannot listen on {}: ",
            first.address()
        )),
        "{error}"
    );
}

#[tokio::test]
async fn a_stopped_ca_closes_its_port_and_its_connections() {
    let (ca, _site, mut client) = practice(Options::default()).await;
    let address = ca.address();
    let url = ca.directory_url();
    client.get(&url).await;
    ca.stop().await;
    assert!(TcpStream::connect(address).await.is_err());

    let ca = TestCa::start(Options::default()).await.unwrap();
    let address = ca.address();
    drop(ca);
    // The task is cancelled at its next wake-up; until then the port may still be open.
    for _ in 0..1000 {
        if TcpStream::connect(address).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{address} is still open");
}

#[tokio::test]
async fn a_ca_without_profiles_does_not_start() {
    let options = Options {
        profiles: Vec::new(),
        ..Options::default()
    };
    expect!["the practice CA needs at least one profile"]
        .assert_eq(&TestCa::start(options).await.unwrap_err().to_string());
}
