//! A small internet on loopback: one DNS server, one web server per address, and hosts that behave as named.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use doctor::{Patience, Preflight, Settings};
use hickory_proto::op::ResponseCode;
use renewal::challenge::Probe;
use renewal::name::Name;
use renewal::ports::Preflight as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::dns::{DnsServer, Records};
use crate::web::{Answer, Request, Web};

/// How long a step may take that is meant to take too long.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// How long every other step may take: enough on a busy machine.
const LONG: Duration = Duration::from_secs(8);

const EXPECTED: &str = "t0ken.thumb";

pub(crate) struct World {
    dns: DnsServer,
    _web: Vec<Web>,
    settings: Settings,
    preflight: Preflight,
    backlog: Vec<TcpStream>,
    full: Option<TcpListener>,
}

impl World {
    pub(crate) async fn start() -> Self {
        let dns = DnsServer::start(zone).await;
        let (http, http_port) = listen_on_all().await;
        let (https, https_port) = listen_on_all().await;
        let respond = Arc::new(move |request: &Request| respond(request, http_port, https_port));
        let tls = acceptor();
        let mut web = Vec::new();
        for listener in http {
            web.push(Web::serve(listener, None, respond.clone()));
        }
        for listener in https {
            web.push(Web::serve(listener, Some(tls.clone()), respond.clone()));
        }
        let settings = Settings {
            servers: vec![dns.address],
            http_port,
            https_port,
            private_ca: true,
            patience: Patience {
                dns: LONG,
                connect: LONG,
                tls: LONG,
                answer: LONG,
                overall: LONG * 2,
            },
        };
        Self {
            dns,
            _web: web,
            preflight: Preflight::new(settings.clone()),
            settings,
            backlog: Vec::new(),
            full: None,
        }
    }

    /// Probes `name` and tells what came of it, with the ports by name.
    pub(crate) async fn probe(&self, name: &str) -> String {
        let probe = Probe {
            name: Name::parse(name).unwrap(),
            token: "t0ken".to_owned(),
            expected: EXPECTED.to_owned(),
        };
        let text = match self.preflight.probe(&probe).await {
            Ok(reached) => {
                let reached: Vec<_> = reached.iter().map(|at| at.address.to_string()).collect();
                format!("reached: {}", reached.join(" "))
            }
            Err(findings) => {
                let shown = findings.iter().map(|finding| {
                    format!(
                        "{}: {}\n  {}",
                        finding.name, finding.explanation, finding.detail
                    )
                });
                shown.collect::<Vec<_>>().join("\n")
            }
        };
        text.replace(&self.settings.http_port.to_string(), "HTTP")
            .replace(&self.settings.https_port.to_string(), "HTTPS")
            .replace(&self.settings.servers[0].to_string(), "DNS")
    }

    pub(crate) fn questions(&self, name: &str) -> usize {
        self.dns.questions(name)
    }

    /// Lets the preflight ask a DNS server that is not there.
    pub(crate) fn without_dns(mut self) -> Self {
        let unused = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        self.settings.servers = vec![unused.local_addr().unwrap()];
        self.settings.patience.dns = SHORT;
        drop(unused);
        self.again()
    }

    /// Lets the CA knock at another server than ours.
    pub(crate) fn ports(mut self, http: u16, https: u16) -> Self {
        self.settings.http_port = http;
        self.settings.https_port = https;
        self.again()
    }

    pub(crate) fn with_public_ca(mut self) -> Self {
        self.settings.private_ca = false;
        self.again()
    }

    /// Makes one step impatient.
    pub(crate) fn patience(mut self, change: impl FnOnce(&mut Patience)) -> Self {
        change(&mut self.settings.patience);
        self.again()
    }

    /// Moves the CA's port to one whose queue of connections is full, so that new ones get no answer.
    pub(crate) async fn with_full_backlog(mut self) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        while let Ok(connected) = tokio::time::timeout(SHORT, TcpStream::connect(address)).await {
            self.backlog.push(connected.unwrap());
        }
        self.settings.http_port = address.port();
        self.settings.patience.connect = SHORT;
        self.full = Some(listener);
        self.again()
    }

    fn again(mut self) -> Self {
        self.preflight = Preflight::new(self.settings.clone());
        self
    }
}

fn zone(name: &str) -> Records {
    let addresses = |texts: &[&str]| {
        Records::Addresses(texts.iter().map(|text| text.parse().unwrap()).collect())
    };
    match name {
        "both.test" | "v6-lost.test" => addresses(&["127.0.0.1", "::1"]),
        // Nobody listens at these: the servers take 127.0.0.1 and 127.0.0.2 alone.
        "v6-refused.test" => addresses(&["127.0.0.1", "::ffff:127.0.0.9"]),
        "v6-only-refused.test" => addresses(&["::ffff:127.0.0.9"]),
        "one-refuses.test" => addresses(&["127.0.0.1", "127.0.0.9"]),
        "two-addresses.test" => addresses(&["127.0.0.1", "127.0.0.2"]),
        "no-such-name.test" | "nowhere.test" => Records::Error(ResponseCode::NXDomain),
        "no-address.test" => addresses(&[]),
        "servfail.test" => Records::Error(ResponseCode::ServFail),
        "v6-servfail.test" => Records::OnlyV4("127.0.0.1".parse().unwrap(), ResponseCode::ServFail),
        "silent.test" => Records::Silence,
        _ => addresses(&["127.0.0.1"]),
    }
}

fn respond(request: &Request, http: u16, https: u16) -> Answer {
    let right = || ok(EXPECTED);
    let to = |location: String| {
        status(
            "301 Moved Permanently",
            &format!("Location: {location}\r\n"),
            "",
        )
    };
    let path = request.path();
    let at_first = !request.tls && path == "/.well-known/acme-challenge/t0ken";
    match request.host() {
        "spaces-after-it.test" => ok("t0ken.thumb \r\n\n"),
        "chunked.test" => Answer::Bytes(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nt0ken.\r\n5\r\nthumb\r\n0\r\n\r\n"
                .to_vec(),
        ),
        "as-lets-encrypt-asks.test" if request.head == lets_encrypts(http) => right(),
        "as-lets-encrypt-asks.test" => panic!("{}", request.head),
        "forbidden.test" => status("403 Forbidden", "", "<h1>403</h1>"),
        "lost.test" => status("404 Not Found", "", "<h1>404</h1>"),
        "broken.test" => status("502 Bad Gateway", "", "<h1>502</h1>"),
        "catch-all.test" => ok("<!doctype html>\n<title>Welcome</title>"),
        "endless.test" => Answer::Endless(b"HTTP/1.1 200 OK\r\n\r\nt0ken.thumb".to_vec()),
        "too-long.test" => ok(&format!("{EXPECTED}{}x", " ".repeat(200))),
        "closes.test" => Answer::Bytes(Vec::new()),
        "half.test" => Answer::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nt0k".to_vec()),
        "nonsense.test" => Answer::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        "huge-head.test" => Answer::Endless(b"HTTP/1.1 200 OK\r\nX: ".to_vec()),
        "drips.test" => Answer::Drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n".to_vec()),
        "tls-hangs.test" if request.tls => Answer::Hang(Vec::new()),
        "tls-hangs.test" | "to-https.test" if at_first => to(format!(
            "https://{}:{https}{path}",
            request.host()
        )),
        "to-other-host.test" => to(format!("http://plain.test:{http}{path}")),
        "to-https-address.test" => to(format!("https://127.0.0.1:{https}{path}")),
        "ten-redirects.test" | "eleven-redirects.test" | "slow-redirects.test" => {
            let count: usize = path.strip_prefix("/r").map_or(0, |n| n.parse().unwrap());
            let last = if request.host().starts_with("ten") { 10 } else { 11 };
            match status("302 Found", &format!("Location: /r{}\r\n", count + 1), "") {
                _ if count == last => right(),
                Answer::Bytes(bytes) if request.host().starts_with("slow") => {
                    Answer::Late(SHORT, bytes)
                }
                answer => answer,
            }
        }
        "loop.test" => to(format!("http://loop.test:{http}{path}")),
        "to-port-1.test" => to("http://plain.test:1/".to_owned()),
        "missing-slash.test" => to(format!("https://missing-slash.test{}", &path[1..])),
        "no-location.test" => status("301 Moved Permanently", "", ""),
        "see-other.test" => status("303 See Other", "Location: /x\r\n", ""),
        "to-nowhere.test" => to(format!("http://nowhere.test:{http}/")),
        "plain-on-https.test" => to(format!("https://plain-on-https.test:{http}/")),
        "v6-lost.test" if request.local.is_ipv6() => status("404 Not Found", "", "old host"),
        host if host.starts_with("hangs") => Answer::Hang(Vec::new()),
        _ => right(),
    }
}

/// A request of Let's Encrypt's validation servers.
fn lets_encrypts(port: u16) -> String {
    format!(
        "GET /.well-known/acme-challenge/t0ken HTTP/1.1\r\nHost: as-lets-encrypt-asks.test:{port}\r\n\
         User-Agent: Mozilla/5.0 (compatible; Let's Encrypt validation server; +https://www.letsencrypt.org)\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    )
}

fn ok(body: &str) -> Answer {
    status("200 OK", "Content-Type: text/plain\r\n", body)
}

fn status(status: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
    Answer::Bytes(text.into_bytes())
}

/// Listens on `127.0.0.1`, `127.0.0.2` and, where there is IPv6, `::1`, on one port that is free on all.
async fn listen_on_all() -> (Vec<TcpListener>, u16) {
    'port: loop {
        let mut listeners = vec![TcpListener::bind("127.0.0.1:0").await.unwrap()];
        let port = listeners[0].local_addr().unwrap().port();
        let mut others: Vec<IpAddr> = vec![[127, 0, 0, 2].into()];
        if testkit::port::has_ipv6() {
            others.push(Ipv6Addr::LOCALHOST.into());
        }
        for other in others {
            match TcpListener::bind((other, port)).await {
                Ok(listener) => listeners.push(listener),
                Err(error) => {
                    // Somebody else has the port there; anything else is worth knowing.
                    assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
                    continue 'port;
                }
            }
        }
        return (listeners, port);
    }
}

fn acceptor() -> TlsAcceptor {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["somebody-else.test".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
