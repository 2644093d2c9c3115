//! How does each client obtain certificates, and what did it cost?

use std::error::Error;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use testkit::host::Host;
use testkit::nginx::{Nginx, Site};
use testkit::pebble::{Pebble, Sick};
use testkit::port::Port;

use super::ca::Watch;
use crate::arguments::Arguments;
use crate::host;
use crate::ideal;
use crate::measure::{Cost, MeasureError, Program};

/// What one client did and what it cost.
pub(super) struct Round {
    pub(super) command: String,
    pub(super) certificates: usize,
    /// Seconds from start to end.
    pub(super) wall: f64,
    /// Seconds of user and system time, without the programs it started.
    pub(super) cpu: f64,
    /// Seconds of user and system time of the programs it started: `nginx -t`.
    pub(super) started: f64,
    pub(super) peak_mb: Option<f64>,
    /// Seconds from the first order to the last certificate, as the CA saw them.
    pub(super) phase: Option<f64>,
    pub(super) requests: f64,
    pub(super) new_nonce: usize,
    pub(super) reloads: Option<usize>,
    pub(super) served: Option<usize>,
}

/// Why there is no round.
#[derive(Debug, thiserror::Error)]
pub(super) enum Attempt {
    /// It was the CA. Measured once more.
    #[error("{0}")]
    CaSick(Sick),
    /// It was the client.
    #[error("{0}")]
    Failed(Box<dyn Error>),
}

impl From<io::Error> for Attempt {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Lets clpctl do everything: order, deploy, reload, verify.
pub(super) fn clpctl(arguments: &Arguments, sites: usize) -> Result<Round, Attempt> {
    let mut host = Host::start(host::sites(sites));
    // For minutes ext4 is slow to give out the places of deleted files; the next round would pay for it.
    host.keep_files();
    let pebble = host::pebble(arguments, host.nginx.http_port(), host.nginx.https_port())?;
    host::use_pebble(&mut host, &pebble);
    host::list(&mut host, sites);
    let program = host::clpctl(arguments, &host)?.args(["site:renew-certificates", "--jobs=4"]);
    host::settle();
    let watch = Watch::start(&pebble.log_file())?;
    let measured = program.limit(HANGS).run();
    let phase = watch.finish();
    let cost = measured.map_err(|error| blame(&pebble, error))?.cost;
    let served = host::served(&host.nginx, &pebble.root(), sites)?;
    if served != sites {
        return Err(Attempt::Failed(
            format!("only {served} of {sites} sites are served").into(),
        ));
    }
    Ok(Round {
        reloads: Some(host.nginx.reloads()),
        served: Some(served),
        ..round(
            "clpctl site:renew-certificates --jobs=4",
            sites,
            cost,
            phase,
            &pebble,
        )
    })
}

/// Lets the ideal client obtain them. There is no nginx, for it answers challenges itself.
pub(super) fn ideal(arguments: &Arguments, certificates: usize) -> Result<Round, Attempt> {
    let (listen, unused) = (Port::free(), Port::free());
    let pebble = host::pebble(arguments, listen.number(), unused.number())?;
    let folder = scratch()?;
    let program = Program::new(std::env::current_exe()?, folder.path())
        .args(["ideal", "--directory", &pebble.directory(), "--in-flight=4"])
        .args([
            "--listen",
            &listen.v4().to_string(),
            "--count",
            &certificates.to_string(),
        ])
        .arg("--bundle")
        .arg(pebble.ca_bundle());
    host::settle();
    let watch = Watch::start(&pebble.log_file())?;
    let measured = program.limit(HANGS).run();
    let phase = watch.finish();
    let measured = measured.map_err(|error| blame(&pebble, error))?;
    let outcome: ideal::Outcome =
        serde_json::from_str(&measured.stdout).map_err(|error| Attempt::Failed(error.into()))?;
    // What was made before the first order is no part of it.
    let cost = Cost {
        wall: outcome.wall,
        cpu: outcome.cpu,
        ..measured.cost
    };
    let command = "the ideal client: 4 connections, requests made before";
    Ok(round(command, certificates, cost, phase, &pebble))
}

/// Lets lego obtain them, in four processes at a time, each kind with a folder of its own as it has no lock.
pub(super) fn lego(arguments: &Arguments, certificates: usize) -> Result<Round, Attempt> {
    let lego = host::absolute(&arguments.unpacked("lego"))?;
    let nginx = Nginx::start(plain(certificates));
    let pebble = host::pebble(arguments, nginx.http_port(), nginx.https_port())?;
    let folder = scratch()?;
    let one = |process: usize, index: usize| {
        let domain = host::domain(index);
        let program = Program::new(&lego, folder.path())
            .args([
                "--accept-tos",
                "--email",
                "bench@lego.test",
                "--server",
                &pebble.directory(),
            ])
            .args([
                "--path",
                &format!("lego-{process}"),
                "--domains",
                &domain,
                "--http",
                "--http.webroot",
            ])
            .arg(nginx.document_root(&domain))
            .arg("run")
            .env("LEGO_CA_CERTIFICATES", pebble.ca_bundle());
        program.limit(HANGS).run()
    };
    host::settle();
    let start = Instant::now();
    let costs: Vec<Result<Vec<Cost>, MeasureError>> = thread::scope(|scope| {
        let work = |process| {
            let (one, mine) = (&one, (process..certificates).step_by(LEGOS));
            scope.spawn(move || {
                mine.map(|index| one(process, index).map(|done| done.cost))
                    .collect()
            })
        };
        let running: Vec<_> = (0..LEGOS).map(work).collect();
        running
            .into_iter()
            .map(|one| one.join().expect("a measurement does not panic"))
            .collect()
    });
    let wall = start.elapsed().as_secs_f64();
    let costs: Result<Vec<_>, _> = costs.into_iter().collect();
    let costs = costs.map_err(|error| blame(&pebble, error))?.concat();
    Ok(round(
        "lego --http --http.webroot DOCROOT run, four processes at a time",
        certificates,
        sum(&costs, wall),
        None,
        &pebble,
    ))
}

/// Lets certbot obtain them one after another: its lock allows nothing else.
pub(super) fn certbot(arguments: &Arguments, certificates: usize) -> Result<Round, Attempt> {
    let certbot =
        host::absolute(arguments.certbot().parent().unwrap_or(Path::new("")))?.join("certbot");
    let nginx = Nginx::start(plain(certificates));
    let pebble = host::pebble(arguments, nginx.http_port(), nginx.https_port())?;
    let folder = scratch()?;
    host::settle();
    let start = Instant::now();
    let one = |index: usize| {
        let domain = host::domain(index);
        let program = Program::new(&certbot, folder.path())
            .args([
                "certonly",
                "--non-interactive",
                "--agree-tos",
                "--register-unsafely-without-email",
            ])
            .args(["--config-dir=etc", "--work-dir=work", "--logs-dir=log"])
            .args([
                "--server",
                &pebble.directory(),
                "--domain",
                &domain,
                "--webroot",
                "--webroot-path",
            ])
            .arg(nginx.document_root(&domain))
            .env("REQUESTS_CA_BUNDLE", pebble.ca_bundle());
        program.limit(HANGS).run().map(|done| done.cost)
    };
    let costs: Result<Vec<_>, _> = (0..certificates).map(one).collect();
    let wall = start.elapsed().as_secs_f64();
    let costs = costs.map_err(|error| blame(&pebble, error))?;
    let command = "certbot certonly --webroot --webroot-path DOCROOT, one after another";
    Ok(round(
        command,
        certificates,
        sum(&costs, wall),
        None,
        &pebble,
    ))
}

fn round(
    command: &str,
    certificates: usize,
    cost: Cost,
    phase: Option<f64>,
    pebble: &Pebble,
) -> Round {
    let requests = pebble.requests();
    #[expect(clippy::cast_precision_loss, reason = "requests are few")]
    let total = requests.total() as f64;
    Round {
        command: command.to_owned(),
        certificates,
        wall: cost.wall,
        cpu: cost.cpu - cost.started,
        started: cost.started,
        peak_mb: Some(cost.peak_mb),
        phase,
        requests: total,
        new_nonce: requests.new_nonce,
        reloads: None,
        served: None,
    }
}

/// Processes that ran one after another or side by side; their memory is that of the largest.
fn sum(costs: &[Cost], wall: f64) -> Cost {
    let sum = costs.iter().fold(Cost::default(), |sum, cost| Cost {
        cpu: sum.cpu + cost.cpu,
        started: sum.started + cost.started,
        peak_mb: sum.peak_mb.max(cost.peak_mb),
        ..sum
    });
    Cost { wall, ..sum }
}

/// Sites without TLS: what a peer has obtained is not deployed.
fn plain(count: usize) -> impl Iterator<Item = Site> {
    (0..count).map(|index| Site::plain(&host::domain(index)))
}

/// Tells a CA that hung from a client that failed.
fn blame(pebble: &Pebble, error: MeasureError) -> Attempt {
    match pebble.health_within(HEALTHY) {
        Ok(()) => Attempt::Failed(error.into()),
        Err(sick) => Attempt::CaSick(sick),
    }
}

fn scratch() -> io::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("bench-").tempdir()
}

/// How many lego processes run side by side: as many as the others have orders in flight.
const LEGOS: usize = 4;

/// A client that takes longer waits for a CA that hangs.
const HANGS: Duration = Duration::from_secs(90);

/// A CA that is well answers at once, even on a busy machine.
const HEALTHY: Duration = Duration::from_secs(10);
