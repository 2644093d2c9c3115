//! When is the next pass, for as long as the service runs?
//!
//! Between passes the service holds a [`Schedule`](schedule::Schedule) and sleeps until its first moment. A
//! moment at which only CAs are to be asked for their windows costs those questions and nothing else: no site
//! but those is touched. Whatever falls within [`ServiceSettings::coalesce`] is done together.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use renewal::ports::{Clock as _, LeaseHeld};
use renewal::report::Report;

use crate::pass::{Pass, Request, RunError, run};
use crate::polling;
use crate::world::{Stop, World};

use self::schedule::Schedule;

mod schedule;

/// How the service is set up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ServiceSettings {
    /// How long a moment may be put off so that others fall together with it.
    pub coalesce: SignedDuration,
    /// The shortest time between two passes, whatever happens.
    pub floor: SignedDuration,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        Self {
            coalesce: SignedDuration::from_mins(3),
            floor: SignedDuration::from_secs(10),
        }
    }
}

/// Tells the service that something outside changed.
pub trait Watcher: Send {
    /// Watches these files and folders from now on, and no others.
    fn watch(&mut self, paths: &[PathBuf]);

    /// Waits until one of them changes, or somebody asks for a pass. MUST be safe to cancel and to call again.
    fn changed(&mut self) -> impl Future<Output = ()> + Send;

    /// Forgets the changes up to now: they were the service's own.
    fn forget(&mut self);
}

/// Takes in how the service fares.
pub trait Supervisor: Send + Sync {
    /// Takes in that a pass is over, and when the next one is.
    fn passed(&self, report: &Result<Report, RunError>, next: Timestamp);
}

/// Makes a pass now and whenever one is due, until the end is wished for.
pub async fn serve<W: World>(
    world: &Arc<W>,
    settings: ServiceSettings,
    watcher: &mut impl Watcher,
    supervisor: &impl Supervisor,
    mut stop: Stop,
) {
    while !stop.wished() {
        let pass = run(world, &Request::default(), &stop).await;
        let now = world.clock().now();
        let (mut pass, mut schedule) = match pass {
            Ok(Pass {
                report,
                sites,
                remembered,
                watched,
            }) => {
                watcher.watch(&watched);
                let schedule = Schedule::new(&sites, &remembered, &report, now);
                let held = Some((sites, remembered));
                supervisor.passed(&Ok(report), schedule.next(now));
                (held, schedule)
            }
            Err(error) => {
                let wait = if matches!(error, RunError::Lease(LeaseHeld::By(_))) {
                    AFTER_OTHERS
                } else {
                    AFTER_ERROR
                };
                let schedule = Schedule::only(later(now, wait));
                supervisor.passed(&Err(error), schedule.next(now));
                (None, schedule)
            }
        };
        watcher.forget();
        let earliest = later(now, settings.floor);
        loop {
            let at = later(schedule.next(world.clock().now()), settings.coalesce).max(earliest);
            tokio::select! {
                () = stop.wait() => return,
                () = watcher.changed() => {
                    // A deployment of somebody else's touches many files: look once, when it is over.
                    let calm = later(world.clock().now(), CALM).max(earliest);
                    world.clock().wait_until(calm).await;
                    break;
                }
                () = world.clock().wait_until(at) => {}
            }
            let now = world.clock().now();
            let Some(domains) = schedule.polls_only(now) else {
                break;
            };
            let Some((sites, remembered)) = &mut pass else {
                break;
            };
            let asked: Vec<_> = domains
                .iter()
                .filter_map(|index| sites.get(*index).cloned())
                .collect();
            if let Err(error) = polling::poll(&**world, &asked, remembered).await {
                tracing::warn!(%error, "the CA's answers could not be written down");
                break;
            }
            for index in domains {
                schedule.reschedule(
                    index,
                    &sites[index],
                    remembered.get(sites[index].domain()),
                    world.clock().now(),
                );
            }
        }
    }
}

fn later(moment: Timestamp, wait: SignedDuration) -> Timestamp {
    moment.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// After an error that is not likely to pass by itself. A change of the configuration comes first.
const AFTER_ERROR: SignedDuration = SignedDuration::from_mins(10);

/// After another run was found at work.
const AFTER_OTHERS: SignedDuration = SignedDuration::from_mins(1);

/// How long the configuration must be left alone before it is looked at.
const CALM: SignedDuration = SignedDuration::from_secs(2);

#[cfg(test)]
mod tests;
