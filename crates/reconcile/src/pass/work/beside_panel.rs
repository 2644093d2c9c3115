//! What waits while the panel obtains certificates by itself?
//!
//! Two runs for one site would both order, and write the same files and row in turn. The panel's does not wait for
//! ours, so ours waits for it; the other sites go on.

use jiff::SignedDuration;
use renewal::finding::FindingName;
use renewal::ports::{Clock as _, Panel as _};
use renewal::report::{Outcome, SiteReport};

use super::{Due, Work};
use crate::world::World;

impl<W: World> Work<W> {
    /// Takes the panel's sites out of what is due while the panel is at it, and says so in the reports; returns the rest.
    pub(super) async fn postpone_beside_panel(
        &self,
        due: Vec<Due>,
        reports: &mut [SiteReport],
    ) -> Vec<Due> {
        let is_the_panels = |due: &Due| due.site.panel.site().is_some();
        if !due.iter().any(is_the_panels) {
            return due;
        }
        let Some(at_work) = self.world.panel().at_work().await else {
            return due;
        };
        let now = self.world.clock().now();
        let (waiting, rest): (Vec<Due>, Vec<Due>) = due.into_iter().partition(is_the_panels);
        for due in waiting {
            let report = &mut reports[due.index];
            report.outcome = Outcome::Postponed;
            report.reason = format!(
                "CloudPanel is obtaining certificates itself ({at_work}), and is waited for; see {}",
                FindingName::AnotherRunHoldsTheLock
            );
            report.retry_at = now.checked_add(UNTIL_IT_IS_DONE).ok();
        }
        rest
    }
}

/// Its run takes seconds for each site that is due, and there are few of those beside ours.
const UNTIL_IT_IS_DONE: SignedDuration = SignedDuration::from_mins(2);
