//! When is the next pass, for as long as the service runs?
//!
//! Between passes the service holds a `Schedule` and sleeps until its first moment. A
//! moment at which only CAs are to be asked for their windows costs those questions and nothing else: no site
//! but those is touched. Whatever falls within [`ServiceSettings::coalesce`] is done together.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use renewal::name::Name;
use renewal::plan::Remembered;
use renewal::ports::{Clock as _, Host as _, LeaseHeld, Memory as _};
use renewal::report::{Outcome, Report};
use renewal::site::Site;

use crate::pass::{Request, RunError, run};
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

    /// Forgets the changes up to now: they were the service's own. Says whether there were any.
    fn forget(&mut self) -> bool;
}

/// Takes in how the service fares.
pub trait Supervisor: Send + Sync {
    /// Takes in that a pass is over, and when the next one is.
    fn passed(&self, report: &Result<Report, RunError>, next: Timestamp);
}

/// Makes a pass now and whenever one is due, until the end is wished for.
///
/// The world is asked for before each pass, for its settings may have changed meanwhile.
pub async fn serve<W: World>(
    mut world: impl FnMut() -> Arc<W>,
    settings: ServiceSettings,
    watcher: &mut impl Watcher,
    supervisor: &impl Supervisor,
    mut stop: Stop,
) {
    watch_from_the_start(&*world(), watcher).await;
    while !stop.wished() {
        let world = world();
        let pass = run(&world, &Request::default(), &stop).await;
        let now = world.clock().now();
        let mut rest = match pass {
            Ok(pass) => {
                watcher.watch(&pass.watched);
                let forgotten = worked(&pass.report) && watcher.forget();
                let mut schedule = Schedule::new(
                    &pass.sites,
                    &pass.remembered,
                    &pass.report,
                    settings.coalesce,
                    now,
                );
                if forgotten {
                    schedule.look_soon(now);
                }
                supervisor.passed(&Ok(pass.report), schedule.next(now));
                Rest {
                    sites: pass.sites,
                    remembered: pass.remembered,
                    schedule,
                }
            }
            Err(error) => {
                let others = matches!(error, RunError::Lease(LeaseHeld::By(_)));
                let wait = if others { AFTER_OTHERS } else { AFTER_ERROR };
                let schedule = Schedule::only(later(now, wait), SignedDuration::ZERO);
                supervisor.passed(&Err(error), schedule.next(now));
                Rest {
                    sites: Vec::new(),
                    remembered: HashMap::new(),
                    schedule,
                }
            }
        };
        let earliest = later(now, settings.floor);
        rest.until_next_pass(&*world, earliest, watcher, &mut stop)
            .await;
    }
}

/// Watches what the configuration names before the first pass looks at it, so that what changes while that pass
/// works is seen. Reading the configuration twice at the start is the price.
async fn watch_from_the_start<W: World>(world: &W, watcher: &mut impl Watcher) {
    let known = world.memory().known().unwrap_or_default();
    // What cannot be looked at now is told by the pass.
    let look = world.host().look(&known).await.unwrap_or_default();
    watcher.watch(&look.watched);
}

/// Says whether a pass may have changed what is watched. Changes during any other pass are somebody else's.
fn worked(report: &Report) -> bool {
    let idle = |outcome| match outcome {
        Outcome::NotDue | Outcome::WouldRenew | Outcome::Postponed | Outcome::Skipped => true,
        Outcome::Issued | Outcome::Renewed | Outcome::Installed | Outcome::Failed => false,
    };
    report.reloads > 0 || !report.sites.iter().all(|site| idle(site.outcome))
}

/// What the service holds between two passes.
struct Rest {
    sites: Vec<Arc<Site>>,
    remembered: HashMap<Name, Remembered>,
    schedule: Schedule,
}

impl Rest {
    /// Sleeps and asks CAs for their windows, until a pass is due, something changes, or the end is wished for.
    async fn until_next_pass<W: World>(
        &mut self,
        world: &W,
        earliest: Timestamp,
        watcher: &mut impl Watcher,
        stop: &mut Stop,
    ) {
        let clock = world.clock();
        loop {
            let at = self.schedule.wake(clock.now()).max(earliest);
            tokio::select! {
                () = stop.wait() => return,
                () = watcher.changed() => {
                    // A deployment of somebody else's touches many files: look once, when it is over.
                    tokio::select! {
                        () = stop.wait() => {}
                        () = clock.wait_until(later(clock.now(), CALM).max(earliest)) => {}
                    }
                    return;
                }
                () = clock.wait_until(at) => {}
            }
            let Some(polls) = self.schedule.polls_only(clock.now()) else {
                return;
            };
            let asked: Vec<_> = polls
                .iter()
                .map(|index| Arc::clone(&self.sites[*index]))
                .collect();
            if let Err(error) = polling::poll(world, &asked, &mut self.remembered).await {
                tracing::warn!(%error, "the CA's answers could not be written down");
                return;
            }
            for index in polls {
                let site = &self.sites[index];
                self.schedule.reschedule(
                    index,
                    site,
                    self.remembered.get(site.domain()),
                    clock.now(),
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
