//! What is lost when a run is killed between two effects?
//!
//! At every effect of a run that issues one certificate, renews two and fails one: it is killed there, the files are
//! judged as they lie, the next run finishes what was begun, and a third has nothing to do.

use std::path::Path;

use crate::crew::{Outcome, Trial, every_point};
use crate::judge;
use crate::stage::{GOOD, SITES, Stage};
use crate::tracer::{Blow, Traced};

/// Kills a run at every effect, or at every few.
#[must_use]
pub fn killed_everywhere(program: &Path, workers: usize, first: usize, step: usize) -> Outcome {
    let make = || Stage::new(program, |_| {});
    every_point(workers, first, step, make, |stage, point| {
        stage.reset();
        let before = Before::of(stage);
        killed_at(stage, point, before)
    })
}

/// Kills a run at every few effects, and the run that is to mend it as well.
#[must_use]
pub fn killed_twice(program: &Path, workers: usize, first: usize, step: usize) -> Outcome {
    let mut sum: Option<Outcome> = None;
    let mut second = 1;
    loop {
        let make = || Stage::new(program, |_| {});
        let outcome = every_point(workers, first, step, make, |stage, point| {
            stage.reset();
            let before = Before::of(stage);
            let _ = stage.strike(Blow::Kill(point));
            killed_at(stage, second, before)
        });
        let beyond = outcome.tried() == 0 && outcome.losses.is_empty();
        match &mut sum {
            Some(sum) => sum.add(outcome),
            None => sum = Some(outcome),
        }
        if beyond {
            break;
        }
        second += step;
    }
    sum.expect("there was one round at least")
}

/// Kills a run in which nginx refuses one of the new certificates, so that the batch is undone and taken apart; then
/// the cause is mended.
#[must_use]
pub fn killed_while_undoing(program: &Path, workers: usize, first: usize, step: usize) -> Outcome {
    let make = || {
        let mut stage = Stage::new(program, |_| {});
        stage.refuse();
        stage
    };
    every_point(workers, first, step, make, |stage, point| {
        stage.reset();
        stage.accept(false);
        let before = Before::of(stage);
        let run = stage.strike(Blow::Kill(point));
        let Some(effect) = run.struck.clone() else {
            return Trial::Beyond;
        };
        stage.accept(true);
        let remarks = mended(stage, &run, before);
        Trial::Struck(effect.kind(), remarks)
    })
}

/// Kills one run and sees the next one mend it.
fn killed_at(stage: &Stage, point: usize, before: Before) -> Trial {
    let run = stage.strike(Blow::Kill(point));
    let Some(effect) = run.struck.clone() else {
        return Trial::Beyond;
    };
    let remarks = mended(stage, &run, before);
    Trial::Struck(effect.kind(), remarks)
}

/// What the CA had done before the first run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    orders: u64,
    issued: usize,
}

impl Before {
    pub(crate) fn of(stage: &Stage) -> Self {
        Self {
            orders: stage.practice.orders(),
            issued: stage.practice.ca.issued(),
        }
    }
}

/// Judges what a killed run left, and what the next ones make of it.
pub(crate) fn mended(stage: &Stage, run: &Traced, before: Before) -> Vec<&'static str> {
    let left = judge::at_any_moment(stage);
    let placed = stage.practice.orders() - before.orders;
    let said = stage.renew();
    judge::converged(&said);
    let mut remarks = judge::at_the_end(stage);
    let more = stage.practice.orders() - before.orders - placed;
    assert!(
        more <= left.orders.allowed() as u64,
        "{more} more orders, though {:?} were on record; killed before: {:?}",
        left.orders,
        run.struck
    );
    let issued = stage.practice.ca.issued() - before.issued;
    assert_eq!(issued, GOOD.len(), "certificates issued");
    judge::nothing_more_happens(stage);
    if placed + more > SITES.len() as u64 {
        remarks.push(ASKED_AGAIN);
    }
    remarks
}

/// The reply to an order was not on record yet, so the order was asked for once more; the CA gave back the first.
pub const ASKED_AGAIN: &str = "an order was asked for again, its reply not being on record";
