//! Plays as many worlds as one likes, and shows the first that must not be as it is.
//!
//! ```sh
//! cargo run --release -p reconcile --example worlds -- 0..1000000
//! cargo run -p reconcile --example worlds -- 4711..=4711
//! ```

#![expect(
    clippy::unwrap_used,
    reason = "what simulates ends at the first surprise"
)]
#![expect(
    clippy::print_stdout,
    reason = "it is a program, and this is its result"
)]

use std::process::ExitCode;

#[path = "../tests/worlds/world.rs"]
mod world;

fn main() -> ExitCode {
    let asked = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "0..10000".to_owned());
    let Some((first, end)) = seeds(&asked) else {
        println!("usage: worlds FIRST..END, or FIRST..=LAST");
        return ExitCode::from(2);
    };
    match world::play_many(first..end) {
        Ok(sum) => {
            println!(
                "{} worlds are as they must be: {} passes, of which {} died; {} orders, {} reloads",
                end - first,
                sum.passes,
                sum.deaths,
                sum.orders,
                sum.reloads
            );
            ExitCode::SUCCESS
        }
        Err((seed, tale)) => {
            println!("{}", world::told(seed, &tale));
            ExitCode::FAILURE
        }
    }
}

fn seeds(text: &str) -> Option<(u64, u64)> {
    let (first, end) = text.split_once("..")?;
    let first = first.parse().ok()?;
    let end = match end.strip_prefix('=') {
        Some(last) => last.parse::<u64>().ok()?.checked_add(1)?,
        None => end.parse().ok()?,
    };
    (first < end).then_some((first, end))
}
