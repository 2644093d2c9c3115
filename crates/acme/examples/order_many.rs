//! How many certificates a second, at which cost? Against a pebble of its own, with nothing deployed.
//!
//! ```console
//! $ cargo run --release -p acme --example order_many -- 100 4
//! ```

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement for people, with the real clock"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use acme::{Authorities, Settings};
use futures_util::StreamExt as _;
use renewal::certificate::KeyType;
use renewal::name::Name;
use renewal::names::Names;
use renewal::policy::Ca;
use renewal::ports::{
    Authority as _, OrderDesk, OrderFailure, OrderRequest, PresentError, Waiting,
};
use testkit::pebble::Pebble;

/// The responder answers every token, so nothing is put in place.
struct Stateless;

impl OrderDesk for Stateless {
    fn placed(&self, _: &str) {}
    async fn recorded(&self) -> Result<(), PresentError> {
        Ok(())
    }
    fn waiting(&self, _: Waiting) {}
    async fn present(&self, _: &Name, _: &str, _: &str) -> Result<(), PresentError> {
        Ok(())
    }
    async fn withdraw(&self, _: &Name, _: &str) {}
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "respond") {
        respond(&arguments[1], &arguments[2]);
        return;
    }
    let number = |index: usize, default| {
        arguments
            .get(index)
            .map_or(default, |text| text.parse().expect("a number"))
    };
    let (count, in_flight) = (number(0, 100), number(1, 4));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime
        .expect("a runtime can be made")
        .block_on(measure(count, in_flight));
}

async fn measure(count: usize, in_flight: usize) {
    let port = testkit::port::Port::free().number();
    let pebble = Pebble::settings(port, port).processors(2).start();
    let accounts = tempfile::tempdir().expect("a folder can be made");
    let bundle = std::fs::read(pebble.ca_bundle()).expect("the bundle is there");
    let settings = Settings {
        user_agent: "clpctl/measure".to_owned(),
        roots: acme::roots(&bundle).expect("it holds a root"),
        accounts: accounts.path().to_owned(),
        contact: Vec::new(),
        own_addresses: Vec::new(),
    };
    let authorities =
        Authorities::new(settings, jiff::Timestamp::now).expect("the settings are good");
    let ca = Ca(pebble.directory().into());
    let thumbprint = authorities.thumbprint(&ca).await;
    let mut responder = start_responder(port, &thumbprint.expect("an account can be made")).await;
    let before = pebble.requests().total();
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let orders: Vec<_> = (0..count)
        .map(|index| order(&authorities, &ca, index))
        .collect();
    let outcomes: Vec<_> = futures_util::stream::iter(orders)
        .buffer_unordered(in_flight)
        .collect()
        .await;
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    responder.kill().expect("it is ours");
    responder.wait().expect("it is ours");
    let (mut times, failures): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    times.sort_by_key(|time| time.as_ref().ok().copied());
    if let Some(Err(failure)) = failures.first() {
        println!("{} failed: {failure:?}", failures.len());
        pebble.assert_well();
    }
    let requests = pebble.requests();
    let per = |value: f64| value / f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let asked = u32::try_from(requests.total() - before).unwrap_or(u32::MAX);
    println!(
        "{count} certificates, {in_flight} in flight: {wall:.2} s, {:.0} a second, {:.2} ms CPU and {:.2} requests each, median {:?}",
        1.0 / per(wall),
        per(cpu) * 1e3,
        per(f64::from(asked)),
        times
            .get(times.len() / 2)
            .and_then(|time| time.as_ref().ok())
    );
    println!("{requests:?}");
}

/// Obtains one certificate; returns how long it took.
async fn order(authorities: &Authorities, ca: &Ca, index: usize) -> Result<Duration, OrderFailure> {
    let name = Name::parse(&format!("n{index}.a.test")).expect("it is a name");
    let request = OrderRequest {
        ca: ca.clone(),
        names: Names::from(name),
        key: authorities.make_key(KeyType::EcdsaP256).await?,
        profile: None,
        replaces: None,
        resume: None,
    };
    let start = Instant::now();
    authorities.order(&request, &Stateless).await?;
    Ok(start.elapsed())
}

/// Starts this program once more, as the web server.
async fn start_responder(port: u16, thumbprint: &str) -> Child {
    let me = std::env::current_exe().expect("this program has a path");
    let responder = Command::new(me)
        .args(["respond", &port.to_string(), thumbprint])
        .spawn();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    responder.expect("the responder starts")
}

/// Sums the time that all threads of this process have run.
fn cpu_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("this is Linux");
    let nanoseconds = tasks.flatten().filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}

/// Answers every challenge, as the stateless line in nginx does. A process of its own, so that its work is not counted.
fn respond(port: &str, thumbprint: &str) {
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).expect("the port is free");
    for mut stream in listener.incoming().flatten() {
        let mut request = String::new();
        if BufReader::new(&stream).read_line(&mut request).is_err() {
            continue;
        }
        let token = request
            .split(' ')
            .nth(1)
            .and_then(|path| path.rsplit('/').next())
            .unwrap_or_default();
        let body = format!("{token}.{thumbprint}");
        let reply = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        drop(stream.write_all(reply.as_bytes()));
    }
}
