//! A world from one seed: a host, a CA, and what befalls them, with the driver in the middle.
//!
//! [`play`] lets a story of some dozen steps happen. In each, something changes (sites, configuration, clocks, nginx,
//! another client, the CA) and the driver makes a pass, which may die at any effect. After each step the truth is
//! looked at, by code that knows nothing of the driver. In the end everything is healed, and the driver must bring
//! every site to where it belongs, and then leave it alone.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use self::pulse::Tempo;
use self::story::Story;

pub(crate) mod authority;
pub(crate) mod dice;
pub(crate) mod host;
pub(crate) mod judge;
pub(crate) mod ports;
pub(crate) mod pulse;
pub(crate) mod story;
pub(crate) mod truth;

/// What happened in a world.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tale {
    /// How many passes there were.
    pub(crate) passes: u32,
    /// How many of them died.
    pub(crate) deaths: u32,
    /// How many orders were placed.
    pub(crate) orders: u32,
    /// How often nginx was reloaded.
    pub(crate) reloads: u32,
    /// What happened, a line per step.
    pub(crate) steps: Vec<String>,
    /// What must never be, and was.
    pub(crate) violations: Vec<String>,
}

/// Lets the world of a seed happen.
pub(crate) fn play(seed: u64) -> Tale {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .max_blocking_threads(1)
        .build()
        .expect("a runtime of one thread can be made");
    runtime.block_on(async { Story::new(seed).tell().await })
}

/// Plays many worlds on all processors; returns the first seed, in their order, that must not be as it is.
pub(crate) fn play_many(seeds: std::ops::Range<u64>) -> Result<Tale, (u64, Tale)> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = std::sync::atomic::AtomicU64::new(seeds.start);
    let worst = std::sync::Mutex::new(None::<(u64, Tale)>);
    let sum = std::sync::Mutex::new(Tale::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= seeds.end || ports::lock(&worst).is_some() {
                        return;
                    }
                    let tale = surely(seed);
                    if tale.violations.is_empty() {
                        let mut sum = ports::lock(&sum);
                        sum.passes += tale.passes;
                        sum.deaths += tale.deaths;
                        sum.orders += tale.orders;
                        sum.reloads += tale.reloads;
                        continue;
                    }
                    let mut worst = ports::lock(&worst);
                    if worst.as_ref().is_none_or(|(other, _)| seed < *other) {
                        *worst = Some((seed, tale));
                    }
                }
            });
        }
    });
    let worst = worst.into_inner().ok().flatten();
    worst.map_or_else(|| Ok(ports::lock(&sum).clone()), Err)
}

/// Plays a world; a panic in it is a violation like others.
pub(crate) fn surely(seed: u64) -> Tale {
    let played = std::panic::catch_unwind(|| play(seed));
    played.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Tale {
            violations: vec![format!("a panic: {}", text.unwrap_or_default())],
            ..Tale::default()
        }
    })
}

/// Writes down what happened in a world, for whoever has to find out why.
pub(crate) fn told(seed: u64, tale: &Tale) -> String {
    format!(
        "world {seed} must not be as it is:\n  {}\nIt went so:\n  {}\nAgain: cargo run -p reconcile --example worlds -- {seed}..={seed}",
        tale.violations.join("\n  "),
        tale.steps.join("\n  "),
    )
}

/// Returns what time it really is.
pub(crate) fn true_time(tempo: &Arc<Tempo>) -> Timestamp {
    let start: Timestamp = "2027-03-01T00:00:00Z".parse().expect("a moment");
    let passed = SignedDuration::try_from(tempo.elapsed()).expect("less than a century");
    start.checked_add(passed).expect("less than a century")
}
