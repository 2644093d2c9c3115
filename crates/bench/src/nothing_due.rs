//! What does a run cost that has nothing to do?
//!
//! clpctl looks at a host with that many lineages, each with a vhost of its own, for the second time and on: what it
//! asks a CA for once is asked for. Beside it certbot's `renew`, likewise its second pass.

use std::error::Error;
use std::time::Duration;

use serde_json::Value;
use testkit::port::Port;

use crate::arguments::Arguments;
use crate::fleet::Lineages;
use crate::host;
use crate::measure::{Cost, Program, median};
use crate::table::{Table, number};

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut table = Table::new([
        "client",
        "lineages",
        "CPU, ms",
        "wall, ms",
        "peak memory, MB",
        "CPU per lineage, µs",
        "to reach",
    ]);
    let mut failed = None;
    let peers = arguments.choose(200, 20);
    let certbot = certbot(arguments, peers)?;
    table.line(cells("certbot renew", peers, certbot, ""));
    for (lineages, target) in [(1_000, "50 ms, 40 MB"), (10_000, "300 ms, 80 MB")] {
        if arguments.quick && lineages > 1_000 {
            continue;
        }
        match clpctl(arguments, lineages) {
            Ok(cost) => {
                table.line(cells(
                    "clpctl site:renew-certificates",
                    lineages,
                    cost,
                    target,
                ));
                let ratio = per_lineage(certbot, peers) / per_lineage(cost, lineages);
                let less = format!(
                    "{} times less CPU per lineage than certbot with {peers}, starts included",
                    number(ratio)
                );
                table.line([less.as_str(), "", "", "", "", "", ""]);
            }
            Err(error) => failed = Some(error),
        }
    }
    println!("Medians of {RUNS} runs.\n\n{table}");
    failed.map_or(Ok(()), Err)
}

/// Measures a run on a plain host with so many lineages.
pub(crate) fn clpctl(arguments: &Arguments, lineages: usize) -> Result<Cost, Box<dyn Error>> {
    let fleet = Lineages::make(lineages)?;
    let mut host = fleet.serve(lineages);
    let pebble = host::pebble(arguments, host.nginx.http_port(), host.nginx.https_port())?;
    host::use_pebble(&mut host, &pebble);
    let program = host::clpctl(arguments, &host)?.limit(PASS);
    let program = first_pass(program, lineages)?;
    middle(&program)
}

/// Makes the first pass, which asks the CA; returns the next one.
pub(crate) fn first_pass(program: Program, lineages: usize) -> Result<Program, Box<dyn Error>> {
    let first = program
        .clone()
        .args(["site:renew-certificates", "--json"])
        .run()?;
    let report: Value = serde_json::from_str(&first.stdout)?;
    let outcomes = report["sites"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let left = outcomes
        .iter()
        .filter(|site| site["outcome"] == "not-due")
        .count();
    if left != lineages {
        let other = outcomes.iter().find(|site| site["outcome"] != "not-due");
        return Err(
            format!("only {left} of {lineages} sites are not due; another: {other:?}").into(),
        );
    }
    Ok(program.arg("site:renew-certificates"))
}

fn certbot(arguments: &Arguments, lineages: usize) -> Result<Cost, Box<dyn Error>> {
    let fleet = Lineages::make(lineages)?;
    let ports = [Port::free(), Port::free()];
    let pebble = host::pebble(arguments, ports[0].number(), ports[1].number())?;
    fleet.come_from(&pebble.directory())?;
    let certbot = host::absolute(&arguments.peers)?.join("certbot/bin/certbot");
    let folder = fleet.letsencrypt();
    let program = Program::new(certbot, &folder)
        .args([
            "renew",
            "--non-interactive",
            "--no-random-sleep-on-renew",
            "--work-dir=../work",
        ])
        .args(["--logs-dir=../log", "--config-dir"])
        .arg(&folder)
        .env("REQUESTS_CA_BUNDLE", pebble.ca_bundle())
        .limit(PASS);
    program.run()?;
    middle(&program)
}

/// Returns the median of some runs.
pub(crate) fn middle(program: &Program) -> Result<Cost, Box<dyn Error>> {
    host::settle();
    let runs: Result<Vec<_>, _> = (0..RUNS)
        .map(|_| program.run().map(|run| run.cost))
        .collect();
    println!("`{}`\n", program.shown());
    Ok(median(runs?, |cost| cost.cpu).ok_or("no run was asked for")?)
}

fn cells(client: &str, lineages: usize, cost: Cost, target: &str) -> [String; 7] {
    [
        client.to_owned(),
        lineages.to_string(),
        number(cost.cpu * 1e3),
        number(cost.wall * 1e3),
        number(cost.peak_mb),
        number(per_lineage(cost, lineages) * 1e6),
        target.to_owned(),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "lineages are few")]
fn per_lineage(cost: Cost, lineages: usize) -> f64 {
    cost.cpu / lineages as f64
}

/// How often each is run. The first pass of all, which asks the CA, is not among them.
const RUNS: usize = 5;

/// How long one pass may take; the first one asks the CA about each lineage.
pub(crate) const PASS: Duration = Duration::from_secs(600);
