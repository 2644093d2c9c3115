//! How long until a hundred sites have their first certificate?
//!
//! Each client gets a pebble of its own, because pebble grows slower with every order it remembers; and an nginx
//! with a vhost per site. clpctl's time ends when everything is served and verified. The peers only obtain: the
//! reload that each of their certificates would need is left out, in their favour.

mod ca;
mod clients;

use std::error::Error;

use self::clients::{Attempt, Round};
use crate::arguments::Arguments;
use crate::measure::median;
use crate::table::{Table, number};

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let sites = arguments.choose(100, 20);
    let rounds = arguments.choose(3, 1);
    let mut columns = vec![column("ideal client", rounds, || {
        clients::ideal(arguments, sites)
    })?];
    if !arguments.without_peers {
        columns.push(column("lego, 4 processes", 1, || {
            clients::lego(arguments, arguments.choose(20, 4))
        })?);
        columns.push(column("certbot, one by one", 1, || {
            clients::certbot(arguments, arguments.choose(5, 1))
        })?);
    }
    // The peers' figures are worth something even where clpctl fails.
    let failed = match column("clpctl", rounds, || clients::clpctl(arguments, sites)) {
        Ok(column) => {
            columns.insert(0, column);
            None
        }
        Err(error) => Some(error),
    };
    print(&columns, sites);
    failed.map_or(Ok(()), Err)
}

/// One client with the round in the middle.
struct Column {
    name: &'static str,
    rounds: usize,
    round: Round,
}

impl Column {
    /// Seconds for as many certificates as clpctl obtained.
    #[expect(clippy::cast_precision_loss, reason = "certificates are few")]
    fn wall_for(&self, sites: usize) -> f64 {
        self.round.wall * sites as f64 / self.round.certificates as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "certificates are few")]
    fn per_certificate(&self, whole: f64) -> f64 {
        whole / self.round.certificates as f64
    }
}

fn column(
    name: &'static str,
    rounds: usize,
    attempt: impl Fn() -> Result<Round, Attempt>,
) -> Result<Column, Box<dyn Error>> {
    let mut measured = Vec::new();
    for _ in 0..rounds {
        measured.push(unless_hung(name, &attempt)?);
    }
    let round = median(measured, |round| round.wall).ok_or("no round was asked for")?;
    println!("`{}`", round.command);
    Ok(Column {
        name,
        rounds,
        round,
    })
}

/// Tries again when it was the CA that hung.
fn unless_hung(
    name: &str,
    attempt: impl Fn() -> Result<Round, Attempt>,
) -> Result<Round, Box<dyn Error>> {
    for _ in 1..MOST_TRIES {
        match attempt() {
            Ok(round) => return Ok(round),
            Err(Attempt::CaSick(why)) => println!("{name}: {why}; measured once more"),
            Err(Attempt::Failed(error)) => return Err(format!("{name}: {error}").into()),
        }
    }
    attempt().map_err(|error| format!("{name}: {error}").into())
}

/// A line of the table: what it says, and how it is read off a client.
type Line<'a> = (&'a str, &'a dyn Fn(&Column) -> String);

fn print(columns: &[Column], sites: usize) {
    let headings = columns.iter().map(|column| match column.rounds {
        1 => column.name.to_owned(),
        rounds => format!("{} (median of {rounds})", column.name),
    });
    let mut table = Table::new(["what".to_owned()].into_iter().chain(headings));
    let scaled = format!("s for {sites} certificates, start to end");
    let lines: [Line<'_>; 10] = [
        ("certificates obtained", &|column| {
            column.round.certificates.to_string()
        }),
        (&scaled, &|column| number(column.wall_for(sites))),
        (
            "certificates a second, first order to last certificate",
            &|column| {
                column.round.phase.map_or("–".into(), |phase| {
                    number(1.0 / column.per_certificate(phase))
                })
            },
        ),
        ("client CPU per certificate, ms", &|column| {
            number(column.per_certificate(column.round.cpu) * 1e3)
        }),
        (
            "CPU of what it started (nginx -t) per certificate, ms",
            &|column| number(column.per_certificate(column.round.started) * 1e3),
        ),
        ("peak memory, MB", &|column| {
            column.round.peak_mb.map_or("–".into(), number)
        }),
        ("requests to the CA per certificate", &|column| {
            number(column.per_certificate(column.round.requests))
        }),
        ("new-nonce requests in all", &|column| {
            column.round.new_nonce.to_string()
        }),
        ("reloads of nginx", &|column| {
            column
                .round
                .reloads
                .map_or("–".into(), |count| count.to_string())
        }),
        ("served, seen from outside", &|column| {
            column
                .round
                .served
                .map_or("–".into(), |count| count.to_string())
        }),
    ];
    for (what, read) in lines {
        table.line(
            [what.to_owned()]
                .into_iter()
                .chain(columns.iter().map(read)),
        );
    }
    println!("\n{table}");
    ratios(columns, sites);
}

fn ratios(columns: &[Column], sites: usize) {
    let Some((clpctl, others)) = columns
        .split_first()
        .filter(|(first, _)| first.name == "clpctl")
    else {
        println!("clpctl was not measured, so there are no ratios.");
        return;
    };
    let mut table = Table::new(["ratio", "measured", "to reach"]);
    if let [ideal, peers @ ..] = others {
        let rate = |column: &Column| {
            column
                .round
                .phase
                .map_or(f64::NAN, |phase| 1.0 / column.per_certificate(phase))
        };
        table.line([
            "order rate, clpctl to ideal client",
            &number(rate(clpctl) / rate(ideal)),
            "≥ 0.8",
        ]);
        let faster = |other: &Column| number(other.wall_for(sites) / clpctl.wall_for(sites));
        let leaner = |other: &Column| {
            number(
                other.per_certificate(other.round.cpu) / clpctl.per_certificate(clpctl.round.cpu),
            )
        };
        if let [lego, certbot] = peers {
            table.line(["time, lego to clpctl", &faster(lego), "≥ 10"]);
            table.line(["time, certbot to clpctl", &faster(certbot), "≥ 50"]);
            table.line(["CPU per certificate, lego to clpctl", &leaner(lego), ""]);
            table.line([
                "CPU per certificate, certbot to clpctl",
                &leaner(certbot),
                "",
            ]);
        }
    }
    table.line([
        "clpctl, s to everything served and verified",
        &number(clpctl.round.wall),
        "≤ 3",
    ]);
    let cpu = number(clpctl.per_certificate(clpctl.round.cpu) * 1e3);
    table.line(["clpctl, CPU per certificate, ms", &cpu, "≤ 4"]);
    let requests = number(clpctl.per_certificate(clpctl.round.requests));
    table.line(["clpctl, requests per certificate", &requests, "≤ 7.5"]);
    table.line([
        "clpctl, reloads",
        &clpctl.round.reloads.unwrap_or(0).to_string(),
        "1",
    ]);
    println!("{table}");
}

/// How often a CA may hang before it is given up.
const MOST_TRIES: usize = 5;
