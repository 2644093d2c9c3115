//! What can be done for a site while no nginx runs?
//!
//! Nobody answers the CA in its place, so nothing is asked of the CA; only a listener of our own may answer for the
//! sites that have one. What was obtained is put in place all the same: nginx reads it when it is started, and may
//! not even start without it. That nginx does not run is said once, about the host; the sites refer to it.

use std::sync::Arc;

use renewal::challenge::ways_without_nginx;
use renewal::finding::{Finding, FindingName};
use renewal::plan::Action;
use renewal::ports::{Clock as _, Memory as _, Note, Staged};
use renewal::report::{Outcome, SiteReport};

use super::{Due, Work};
use crate::ordering::forgot;
use crate::world::World;

impl<W: World> Work<W> {
    /// Takes out of what is due what must wait for nginx, and says so in the reports; returns the rest.
    pub(super) fn postpone_without_nginx(
        &self,
        due: Vec<Due>,
        reports: &mut [SiteReport],
    ) -> Vec<Due> {
        let Some(why) = self.without_nginx else {
            return due;
        };
        let port = self.world.settings().http_port;
        let now = self.world.clock().now();
        let (rest, waiting): (Vec<Due>, Vec<Due>) = due.into_iter().partition(|due| {
            // Without the program nothing can be tested, so nothing can be put in place.
            let may_run = why == FindingName::NginxNotRunning;
            let answered = match due.action {
                Action::Order { .. } => !ways_without_nginx(&due.site, port).is_empty(),
                Action::Leave | Action::Skip(_) | Action::Postpone(_) | Action::Deploy(_) => true,
            };
            may_run && answered
        });
        for due in waiting {
            let report = &mut reports[due.index];
            report.outcome = Outcome::Postponed;
            report.reason = format!("{}, so the CA was not asked; see {why}", why.meaning());
            report.retry_at = Some(now);
        }
        rest
    }

    /// Says whether these findings only repeat that nginx does not run.
    pub(super) fn waits_for_nginx(&self, findings: &[Finding]) -> bool {
        self.without_nginx.is_some_and(|why| {
            findings
                .iter()
                .all(|finding| finding.name == why && why == FindingName::NginxNotRunning)
        })
    }

    /// Takes in that the site's new certificate is where nginx will read it.
    pub(super) fn in_place(&self, due: &Due, staged: &Staged, reports: &mut [SiteReport]) {
        let now = self.world.clock().now();
        let domain = due.site.domain();
        let report = &mut reports[due.index];
        report.outcome = Outcome::Postponed;
        report.reason = format!(
            "its new certificate is in place, and nginx serves it once it is started; see {}",
            FindingName::NginxNotRunning
        );
        report.retry_at = Some(now);
        report.certificate = Some((Arc::new(staged.certificate.clone()), staged.path.clone()));
        let entry = self.entry(domain, report.outcome.as_str(), report.reason.clone());
        let notes = [Note::Attempts(domain, None), Note::History(&entry)];
        if let Err(error) = self.world.memory().note(&notes) {
            report.findings.extend(forgot(error).findings);
        }
    }
}
