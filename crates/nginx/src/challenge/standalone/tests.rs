//! Does a listener of our own answer, and go away again?

use testkit::port::{Port, has_ipv6};

use super::*;

/// A challenge listener on a port that nobody else has.
fn standalone() -> (Standalone, Port) {
    let port = Port::free();
    (Standalone::new(port.number()), port)
}

async fn ask(address: &str, port: u16, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(format!("{address}:{port}")).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await?;
    Ok(reply)
}

#[tokio::test]
async fn open_challenges_are_answered_and_nothing_else() {
    let (standalone, _port) = standalone();
    let port = standalone.port;
    standalone.present("AAA", "AAA.print").unwrap();
    standalone.present("BBB", "BBB.print").unwrap();
    standalone.present("BBB", "BBB.print").unwrap();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let reply = ask("127.0.0.1", port, &get("/.well-known/acme-challenge/AAA"))
        .await
        .unwrap();
    assert!(
        reply.starts_with("HTTP/1.1 200 OK\r\n") && reply.ends_with("\r\n\r\nAAA.print"),
        "{reply}"
    );
    for other in [
        get("/.well-known/acme-challenge/CCC"),
        get("/.well-known/acme-challenge/"),
        get("/"),
        "POST /.well-known/acme-challenge/AAA HTTP/1.1\r\n\r\n".to_owned(),
        "\r\n\r\n".to_owned(),
    ] {
        let reply = ask("127.0.0.1", port, &other).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 404"), "{other}: {reply}");
    }
    standalone.withdraw("AAA");
    let reply = ask("127.0.0.1", port, &get("/.well-known/acme-challenge/AAA"))
        .await
        .unwrap();
    assert!(reply.starts_with("HTTP/1.1 404"), "{reply}");
}

#[tokio::test]
async fn ipv6_is_answered_too() {
    if !has_ipv6() {
        return;
    }
    let (standalone, _port) = standalone();
    standalone.present("AAA", "AAA.print").unwrap();
    let request = "GET /.well-known/acme-challenge/AAA HTTP/1.1\r\n\r\n";
    let reply = ask("[::1]", standalone.port, request).await.unwrap();
    assert!(reply.ends_with("AAA.print"), "{reply}");
}

#[tokio::test]
async fn listening_ends_with_the_last_challenge_and_begins_anew() {
    let (standalone, _port) = standalone();
    for _ in 0..2 {
        standalone.present("AAA", "x").unwrap();
        standalone.withdraw("AAA");
        let begin = tokio::time::Instant::now();
        while TcpStream::connect(("127.0.0.1", standalone.port))
            .await
            .is_ok()
        {
            assert!(
                begin.elapsed() < Duration::from_secs(30),
                "it still listens"
            );
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn who_has_the_port_is_told() {
    let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let standalone = Standalone::new(taken.local_addr().unwrap().port());
    let finding = standalone.present("AAA", "x").unwrap_err();
    assert_eq!(finding.name, FindingName::Port80Taken);
    let ours = format!("(process {})", std::process::id());
    assert!(finding.detail.ends_with(&ours), "{}", finding.detail);
}
