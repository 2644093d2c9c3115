//! How much CPU does a probe take? Prints one line: the client's own, without DNS and web server.

#![expect(clippy::unwrap_used, reason = "a failure ends the measurement")]

#[path = "../tests/preflight/dns.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod dns;
#[path = "../tests/preflight/web.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod web;

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use doctor::{Preflight, Settings};
use futures_util::stream::{self, StreamExt};
use renewal::challenge::Probe;
use renewal::name::Name;
use renewal::ports::Preflight as _;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

#[expect(clippy::print_stdout, reason = "its one result")]
fn main() {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dns = dns::DnsServer::start(|_| {
                dns::Records::Addresses(vec!["127.0.0.1".parse().unwrap()])
            })
            .await;
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nt0ken.thumb";
            let respond = Arc::new(|_: &web::Request| web::Answer::Bytes(answer.to_vec()));
            let _web = web::Web::serve(listener, None, respond);
            send.send((dns.address, port)).unwrap();
            std::future::pending::<()>().await;
        });
    });
    let (server, port) = receive.recv().unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let preflight = Preflight::new(Settings {
        servers: vec![server],
        http_port: port,
        private_ca: true,
        ..Settings::default()
    });
    for round in 0..ROUNDS {
        let (cpu, wall) = (own_cpu(), Instant::now());
        runtime.block_on(async {
            let probes = (0..SITES).map(|number| Probe {
                name: Name::parse(&format!("site-{round}-{number}.test")).unwrap(),
                token: "t0ken".to_owned(),
                expected: "t0ken.thumb".to_owned(),
            });
            let preflight = &preflight;
            stream::iter(probes)
                .map(|probe| async move { preflight.probe(&probe).await.unwrap() })
                .buffer_unordered(16)
                .for_each(|reached| async move { assert_eq!(reached.len(), 1) })
                .await;
        });
        let each = (own_cpu() - cpu) / SITES;
        println!(
            "{SITES} probes: {each:?} of CPU each, {:?} in all",
            wall.elapsed()
        );
    }
}

/// Returns the CPU time of this thread: wall time says little on a busy machine.
fn own_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.try_into().unwrap()
}

const SITES: u32 = 100;

const ROUNDS: u32 = 5;
