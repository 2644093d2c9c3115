//! A thousand certificates from the practice CA with many orders in flight: where does the processor's time go?
//!
//! pebble dead-locks with so many at once. The practice CA runs inside this program; clpctl and its ideal rival run
//! outside. The profile is taken in a run of its own, by `perf`, whose samples are sorted by what stands in their stacks.

mod profile;

use std::error::Error;
use std::fs;
use std::time::Duration;

use testca::dns::{DnsServer, Zone};
use testca::{Endpoint, Handle, Options, TestCa};
use testkit::host::Host;
use testkit::port::Port;
use tokio::runtime::Runtime;

use crate::arguments::Arguments;
use crate::host;
use crate::ideal;
use crate::measure::{Cost, Program};
use crate::table::{Table, number};

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let certificates = arguments.choose(1_000, 100);
    let runtime = Runtime::new()?;
    let mut table = Table::new([
        "client",
        "certificates",
        "s",
        "CPU per certificate, ms",
        "nginx -t beside it, ms",
        "CPU, share of the cores",
        "peak memory, MB",
        "requests per certificate",
        "new-nonce requests in all",
    ]);
    let (cost, ca) = ideal_client(&runtime, certificates)?;
    table.line(cells("ideal client, order phase", certificates, cost, &ca));
    let stage = Stage::new(&runtime, certificates)?;
    let program = stage.clpctl(arguments)?;
    println!("`{}`\n", program.shown());
    host::settle();
    let cost = program.run()?.cost;
    stage.check(certificates)?;
    table.line(cells("clpctl, everything", certificates, cost, &stage.ca));
    println!("{IN_FLIGHT} orders in flight.\n\n{table}");
    drop(stage);
    let stage = Stage::new(&runtime, certificates)?;
    host::settle();
    profile::run(&stage.clpctl(arguments)?, stage.host.folder())
}

/// A host, with a practice CA that knocks at its nginx.
struct Stage {
    host: Host,
    ca: Handle,
    _dns: DnsServer,
}

impl Stage {
    fn new(runtime: &Runtime, sites: usize) -> Result<Self, Box<dyn Error>> {
        let mut host = Host::start(host::sites(sites));
        host.keep_files();
        let ca = runtime.block_on(TestCa::start(Options {
            http_port: host.nginx.http_port(),
            https_port: host.nginx.https_port(),
            ..Options::default()
        }))?;
        let dns = runtime.block_on(DnsServer::start(Zone::default()))?;
        let bundle = host.folder().join("bundle.pem");
        fs::write(&bundle, ca.ca_bundle_pem())?;
        host.set_ca(&ca.directory_url(), &bundle);
        host::use_dns(&mut host, dns.address());
        host::list(&mut host, sites);
        Ok(Self {
            host,
            ca,
            _dns: dns,
        })
    }

    fn clpctl(&self, arguments: &Arguments) -> Result<Program, Box<dyn Error>> {
        let jobs = format!("--jobs={IN_FLIGHT}");
        let program = host::clpctl(arguments, &self.host)?;
        Ok(program
            .args(["site:renew-certificates", &jobs])
            .limit(LIMIT))
    }

    fn check(&self, sites: usize) -> Result<(), Box<dyn Error>> {
        let roots = self.host.folder().join("roots.pem");
        fs::write(&roots, self.ca.roots_pem())?;
        let served = host::served(&self.host.nginx, &roots, sites)?;
        if served == sites {
            return Ok(());
        }
        Err(format!("only {served} of {sites} sites are served").into())
    }
}

fn ideal_client(runtime: &Runtime, certificates: usize) -> Result<(Cost, Handle), Box<dyn Error>> {
    let listen = Port::free();
    let options = Options {
        http_port: listen.number(),
        ..Options::default()
    };
    let ca = runtime.block_on(TestCa::start(options))?;
    let folder = tempfile::Builder::new().prefix("bench-").tempdir()?;
    let bundle = folder.path().join("bundle.pem");
    fs::write(&bundle, ca.ca_bundle_pem())?;
    let measured = Program::new(std::env::current_exe()?, folder.path())
        .args([
            "ideal",
            "--directory",
            &ca.directory_url(),
            "--in-flight",
            &IN_FLIGHT.to_string(),
        ])
        .args([
            "--listen",
            &listen.v4().to_string(),
            "--count",
            &certificates.to_string(),
        ])
        .arg("--bundle")
        .arg(&bundle)
        .limit(LIMIT)
        .run()?;
    let outcome: ideal::Outcome = serde_json::from_str(&measured.stdout)?;
    let cost = Cost {
        wall: outcome.wall,
        cpu: outcome.cpu,
        ..measured.cost
    };
    Ok((cost, ca))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "certificates and requests are few"
)]
fn cells(client: &str, certificates: usize, cost: Cost, ca: &Handle) -> [String; 9] {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    [
        client.to_owned(),
        certificates.to_string(),
        number(cost.wall),
        number((cost.cpu - cost.started) * 1e3 / certificates as f64),
        number(cost.started * 1e3 / certificates as f64),
        number(cost.cpu / cost.wall / cores as f64),
        number(cost.peak_mb),
        number(ca.requests().total() as f64 / certificates as f64),
        ca.requests().of(Endpoint::NewNonce).to_string(),
    ]
}

/// Orders in flight: as many as a large host would allow.
const IN_FLIGHT: usize = 64;

/// How long a run may take.
const LIMIT: Duration = Duration::from_secs(600);
