//! What waits while the panel obtains certificates by itself?
//!
//! Two runs for one site would both order, and write the same files and row in turn. The panel's does not wait for
//! ours, so ours waits for it; the other sites go on. It is looked for when a run begins, and again before each order,
//! for a run of ours may take longer than it is until the panel's begins.

use jiff::{SignedDuration, Timestamp};
use renewal::finding::FindingName;
use renewal::ports::{Clock as _, Panel as _};
use renewal::report::{Outcome, SiteReport};
use renewal::site::Site;
use tokio::sync::Mutex;

use super::{Due, Work};
use crate::world::World;

impl<W: World> Work<W> {
    /// Takes the panel's sites out of what is due while the panel is at it, and says so in the reports; returns the rest.
    pub(super) async fn postpone_beside_panel(
        &self,
        due: Vec<Due>,
        reports: &mut [SiteReport],
    ) -> Vec<Due> {
        if !due.iter().any(|due| is_the_panels(&due.site)) {
            return due;
        }
        let Some(at_work) = self.world.panel().at_work().await else {
            return due;
        };
        let now = self.world.clock().now();
        let (waiting, rest): (Vec<Due>, Vec<Due>) =
            due.into_iter().partition(|due| is_the_panels(&due.site));
        for due in waiting {
            postpone(&mut reports[due.index], &at_work, now);
        }
        rest
    }
}

/// Says in a site's report that it waits for the panel's process.
pub(super) fn postpone(report: &mut SiteReport, at_work: &str, now: Timestamp) {
    report.outcome = Outcome::Postponed;
    report.reason = format!(
        "CloudPanel is obtaining certificates itself ({at_work}), and is waited for; see {}",
        FindingName::AnotherRunHoldsTheLock
    );
    report.retry_at = now.checked_add(UNTIL_IT_IS_DONE).ok();
}

/// Looks at what the panel does, for all orders of a run together.
#[derive(Debug, Default)]
pub(super) struct PanelWatch {
    seen: Mutex<Option<(Timestamp, Option<String>)>>,
}

impl PanelWatch {
    /// Returns the process for which an order of the site has to wait, if there is one.
    pub(super) async fn stands_before<W: World>(&self, world: &W, site: &Site) -> Option<String> {
        if !is_the_panels(site) {
            return None;
        }
        let mut seen = self.seen.lock().await;
        let now = world.clock().now();
        if let Some((at, at_work)) = &*seen
            && now.duration_since(*at) < LOOKED_AGAIN
        {
            return at_work.clone();
        }
        let at_work = world.panel().at_work().await;
        *seen = Some((now, at_work.clone()));
        at_work
    }
}

fn is_the_panels(site: &Site) -> bool {
    site.panel.site().is_some()
}

/// Its run takes seconds for each site that is due, and there are few of those beside ours.
const UNTIL_IT_IS_DONE: SignedDuration = SignedDuration::from_mins(2);

/// Looking goes through all processes; the panel's run needs longer than this to come to its first order.
const LOOKED_AGAIN: SignedDuration = SignedDuration::from_millis(500);
