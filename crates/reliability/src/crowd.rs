//! What is lost when others are at work at the same time?
//!
//! Ten runs begin at once; the service runs; an administrator reloads nginx and edits a vhost, again and again, while a
//! run deploys.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::crew::{Outcome, Trial, each_of};
use crate::effect::Kind;
use crate::judge;
use crate::stage::{GOOD, SITES, Said, Stage, TWO};
use crate::tracer::Blow;

/// Who else is at work.
#[derive(Clone, Copy, Debug)]
pub enum Company {
    /// So many other runs.
    Runs(usize),
    /// The service, which makes a pass of its own.
    Service,
    /// An administrator who reloads nginx all the time.
    Reloads,
    /// An administrator who edits a vhost all the time.
    Edits,
}

/// Tries each kind of company several times.
#[must_use]
pub fn company(program: &Path, workers: usize, times: usize) -> Outcome {
    let kinds = [
        Company::Runs(2),
        Company::Runs(10),
        Company::Service,
        Company::Reloads,
        Company::Edits,
    ];
    let points: Vec<Company> = kinds
        .into_iter()
        .cycle()
        .take(kinds.len() * times)
        .collect();
    let make = || Stage::new(program, |_| {});
    let name = |company: &Company| format!("{company:?}");
    each_of(workers, &points, name, make, |stage, company| {
        stage.reset();
        let (orders, issued) = (stage.practice.orders(), stage.practice.ca.issued());
        match company {
            Company::Runs(count) => together(stage, *count),
            Company::Service => with_service(stage),
            Company::Reloads => disturbed(stage, |_| stage.host.nginx.tell_to_reload()),
            Company::Edits => disturbed(stage, |round| edit(stage, round)),
        }
        judge::converged(&stage.renew());
        let remarks = judge::at_the_end(stage);
        assert_eq!(
            stage.practice.ca.issued() - issued,
            GOOD.len(),
            "certificates issued"
        );
        assert_eq!(
            stage.practice.orders() - orders,
            SITES.len() as u64,
            "orders"
        );
        judge::nothing_more_happens(stage);
        Trial::Struck(Kind::Program, remarks.into_iter().collect())
    })
}

fn together(stage: &Stage, count: usize) {
    let reloads = stage.host.nginx.reloads();
    let said: Vec<Said> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..count).map(|_| scope.spawn(|| stage.renew())).collect();
        runs.into_iter()
            .map(|run| run.join().expect("a run ends"))
            .collect()
    });
    let worked = said
        .iter()
        .filter(|said| said.outcome(TWO) == "renewed")
        .count();
    assert_eq!(worked, 1, "so many did the work: {said:#?}");
    for said in &said {
        assert!(matches!(said.code, Some(1 | 3)), "{said:#?}");
    }
    assert_eq!(stage.host.nginx.reloads() - reloads, 1, "reloads");
}

fn with_service(stage: &Stage) {
    let service = stage.host.clpctl(&stage.program).spawn(&["service:run"]);
    for _ in 0..3 {
        let said = stage.renew();
        assert!(matches!(said.code, Some(1 | 3)), "{said:#?}");
    }
    drop(service);
}

fn disturbed(stage: &Stage, disturb: impl Fn(usize) + Sync) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                disturb(round);
                std::thread::sleep(PAUSE);
            }
        });
        // Held at each call, it is slow enough to be met everywhere.
        let run = stage.strike(Blow::None);
        over.store(true, Ordering::Relaxed);
        assert!(
            matches!(run.code, Some(1 | 3)),
            "{}\n{}",
            run.stdout,
            run.stderr
        );
    });
}

/// Adds a line as an editor does: the whole file anew, in one step.
fn edit(stage: &Stage, round: usize) {
    let path = stage.host.nginx.vhost(TWO);
    let text = fs::read_to_string(&path).expect("the vhost is there");
    let fresh = stage.host.folder().join("edited");
    fs::write(&fresh, format!("{text}# edited for the {round}th time\n")).expect("it is ours");
    fs::rename(&fresh, &path).expect("it is ours");
}

/// Between two disturbances.
const PAUSE: Duration = Duration::from_millis(10);
