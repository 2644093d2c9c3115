//! How are many points tried at once, each on a host of its own?

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::effect::Kind;

/// What a trial of one point showed.
#[derive(Clone, Debug)]
pub enum Trial {
    /// The run ended before it came so far: there is no such point, and none after it.
    Beyond,
    /// It was struck there, at an effect of this kind.
    Struck(Kind, Vec<&'static str>),
}

/// What all points showed.
#[derive(Debug)]
pub struct Outcome {
    /// How many points there were, by kind.
    pub points: BTreeMap<Kind, usize>,
    /// How often what was worth a remark was seen.
    pub remarks: BTreeMap<&'static str, usize>,
    /// What was lost: the point, and what does not hold.
    pub losses: Vec<(String, String)>,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// Returns how many points were tried.
    #[must_use]
    pub fn tried(&self) -> usize {
        self.points.values().sum()
    }

    /// Takes in another outcome.
    pub fn add(&mut self, other: Self) {
        for (kind, count) in other.points {
            *self.points.entry(kind).or_default() += count;
        }
        for (remark, count) in other.remarks {
            *self.remarks.entry(remark).or_default() += count;
        }
        self.losses.extend(other.losses);
        self.took += other.took;
    }

    /// Fails when anything was lost, or when there were fewer points than `least`, so that the trial itself is doubtful.
    ///
    /// # Panics
    ///
    /// See above.
    #[track_caller]
    pub fn expect_no_loss(&self, least: usize) {
        let losses: Vec<_> = self
            .losses
            .iter()
            .map(|(at, what)| format!("{at}: {what}"))
            .collect();
        assert!(losses.is_empty(), "lost:\n{}", losses.join("\n"));
        assert!(self.tried() >= least, "only {} points", self.tried());
    }
}

/// Tries every point from `first` on, in steps, until a run ends before its point. `make` makes what one worker works
/// with, `trial` tries one point and panics when something is lost.
#[must_use]
pub fn every_point<S>(
    workers: usize,
    first: usize,
    step: usize,
    make: impl Fn() -> S + Sync,
    trial: impl Fn(&mut S, usize) -> Trial + Sync,
) -> Outcome {
    let (next, end) = (AtomicUsize::new(first), AtomicUsize::new(usize::MAX));
    work(workers, make, |state, record| {
        let point = next.fetch_add(step, Ordering::Relaxed);
        if point >= end.load(Ordering::Relaxed) {
            return false;
        }
        match record.trial(&format!("at {point}"), || trial(state, point)) {
            Some(Trial::Beyond) => {
                end.fetch_min(point, Ordering::Relaxed);
            }
            Some(Trial::Struck(..)) | None => {}
        }
        true
    })
}

/// Tries each of the points.
#[must_use]
pub fn each_of<S, P: Sync>(
    workers: usize,
    points: &[P],
    name: impl Fn(&P) -> String + Sync,
    make: impl Fn() -> S + Sync,
    trial: impl Fn(&mut S, &P) -> Trial + Sync,
) -> Outcome {
    let next = AtomicUsize::new(0);
    work(workers, make, |state, record| {
        let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) else {
            return false;
        };
        let _ = record.trial(&name(point), || trial(state, point));
        true
    })
}

/// Takes in what is seen.
struct Record<'a>(&'a Mutex<Outcome>);

impl Record<'_> {
    fn trial(&self, at: &str, trial: impl FnOnce() -> Trial) -> Option<Trial> {
        let tried = catch_unwind(AssertUnwindSafe(trial));
        let mut outcome = self.0.lock().expect("nobody panics with it");
        match tried {
            Ok(trial) => {
                if let Trial::Struck(kind, remarks) = &trial {
                    *outcome.points.entry(*kind).or_default() += 1;
                    for remark in remarks {
                        *outcome.remarks.entry(remark).or_default() += 1;
                    }
                }
                Some(trial)
            }
            Err(panic) => {
                let said = panic.downcast_ref::<String>().cloned();
                let said =
                    said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                outcome
                    .losses
                    .push((at.to_owned(), said.unwrap_or_default()));
                None
            }
        }
    }
}

fn work<S>(
    workers: usize,
    make: impl Fn() -> S + Sync,
    one: impl Fn(&mut S, &Record<'_>) -> bool + Sync,
) -> Outcome {
    let begin = Instant::now();
    let outcome = Mutex::new(Outcome {
        points: BTreeMap::new(),
        remarks: BTreeMap::new(),
        losses: Vec::new(),
        took: Duration::ZERO,
    });
    std::thread::scope(|scope| {
        for _ in 0..workers.max(1) {
            scope.spawn(|| {
                let mut state = make();
                while one(&mut state, &Record(&outcome)) {}
            });
        }
    });
    let mut outcome = outcome.into_inner().expect("nobody panics with it");
    outcome.took = begin.elapsed();
    outcome
}
