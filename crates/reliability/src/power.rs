//! What is lost when the power fails?
//!
//! A run is killed, the disk is made to hold only what was synced until then, nginx starts from that, and the next run
//! has to come to the same end. Tried where the most is at stake: just before each sync, each request to the CA, each
//! test and reload.

use std::path::Path;

use crate::crash::{self, Before};
use crate::crew::{Outcome, Trial, each_of};
use crate::disk::{Disk, Survives};
use crate::effect::Kind;
use crate::stage::Stage;
use crate::tracer::Blow;

/// Lets the power fail at every such point, or at every few.
#[must_use]
pub fn fails_everywhere(
    program: &Path,
    workers: usize,
    step: usize,
    survives: Survives,
) -> Outcome {
    let points: Vec<usize> = points(program).into_iter().step_by(step).collect();
    let make = || Stage::new(program, |_| {});
    let name = |point: &usize| format!("at {point}");
    each_of(workers, &points, name, make, |stage, point| {
        stage.reset();
        let mut disk = Disk::read(stage.folders());
        let before = Before::of(stage);
        let run = stage.strike(Blow::Kill(*point));
        let Some(effect) = run.struck.clone() else {
            return Trial::Beyond;
        };
        run.effects.iter().for_each(|effect| disk.play(effect));
        disk.write(survives);
        stage.host.nginx.reload();
        let remarks = crash::mended(stage, &run, before);
        Trial::Struck(effect.kind(), remarks)
    })
}

/// Numbers the effects before which most is unsynced; which they are differs a little from run to run.
fn points(program: &Path) -> Vec<usize> {
    let stage = Stage::new(program, |_| {});
    let run = stage.strike(Blow::None);
    let counted = run
        .effects
        .iter()
        .filter(|effect| effect.kind() != Kind::Open);
    let points = counted
        .zip(1..)
        .filter(|(effect, _)| AT_STAKE.contains(&effect.kind()));
    points.map(|(_, number)| number).collect()
}

const AT_STAKE: [Kind; 4] = [Kind::Sync, Kind::Request, Kind::Program, Kind::Signal];
