//! What does the client make of a CA that means harm, exhaustively?
//!
//! ```text
//! cargo run -p acme --example hostile_ca -- matrix        each text at each step
//! cargo run -p acme --example hostile_ca -- cuts          connections cut once, after every number of bytes of a run
//! cargo run -p acme --example hostile_ca -- cuts 0..500   the same for some
//! cargo run -p acme --example hostile_ca -- each 0..6000  each connection cut after so many bytes of its own
//! ```
//!
//! `cargo test -p acme` plays a part of them.

#![expect(
    clippy::print_stdout,
    dead_code,
    reason = "a program for developers, which shares the tests' rig and uses a part of it"
)]

use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use futures_util::StreamExt as _;

#[path = "../tests/cas/cuts.rs"]
mod cuts;
#[path = "../tests/cas/cutter.rs"]
mod cutter;
#[path = "../tests/cas/desk.rs"]
mod desk;
#[path = "../tests/cas/matrix.rs"]
mod matrix;
#[path = "../tests/cas/rig.rs"]
mod rig;
#[path = "../tests/cas/texts.rs"]
mod texts;

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let range = words.get(1).and_then(|text| range(text));
    let begun = Instant::now();
    let (played, wrong) = match words.first().map(String::as_str) {
        Some("matrix") => all_cells().await,
        Some("cuts") => {
            let range = match range {
                Some(range) => range,
                // A signature has a byte more or less.
                None => 0..cuts::length().await + 16,
            };
            all_cuts(range, cutter::Cuts::Once).await
        }
        Some("each") => all_cuts(range.unwrap_or(0..6_000), cutter::Cuts::Each).await,
        _ => {
            println!("matrix, cuts or each; see the top of examples/hostile_ca.rs");
            return ExitCode::from(2);
        }
    };
    for line in &wrong {
        println!("{line}");
    }
    let took = begun.elapsed().as_secs();
    println!("{played} played in {took} s, {} wrong", wrong.len());
    if wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Plays every cell. The slow ones wait for five minutes, all at once.
async fn all_cells() -> (usize, Vec<String>) {
    let texts = texts::all();
    let mut cells: Vec<_> = texts
        .iter()
        .flat_map(|text| matrix::STEPS.map(|step| (step, text)))
        .collect();
    cells.sort_by_key(|(step, text)| matrix::is_quick(*step, text));
    let count = cells.len();
    let played = cells.into_iter().map(|(step, text)| async move {
        let outcome = matrix::cell(step, text).await;
        outcome
            .err()
            .map(|why| format!("{step:?}, {}: {why}", text.what))
    });
    let wrong = futures_util::stream::iter(played.collect::<Vec<_>>())
        .buffer_unordered(64)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    (count, wrong)
}

async fn all_cuts(range: Range<u64>, cuts: fn(u64) -> cutter::Cuts) -> (usize, Vec<String>) {
    let count = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
    let played = range.map(|at| async move {
        let outcome = cuts::play(cuts(at)).await;
        outcome.err().map(|why| format!("at {at}: {why}"))
    });
    let wrong = futures_util::stream::iter(played)
        .buffer_unordered(64)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    (count, wrong)
}

fn range(text: &str) -> Option<Range<u64>> {
    let (begin, end) = text.split_once("..")?;
    Some(begin.parse().ok()?..end.parse().ok()?)
}
