//! What is reported and remembered of a site once it is done.

use renewal::name::Name;
use renewal::ports::{
    Clock as _, Event, HistoryEntry, Memory as _, MemoryFailure, Observer as _, Staged,
};
use renewal::report::{Outcome, Served, SiteReport};
use renewal::retry::Attempts;

use super::{Due, Work};
use crate::ordering::forgot;
use crate::tally::{self, Failure};
use crate::world::World;

impl<W: World> Work<W> {
    /// Takes in that the site's new certificate is served.
    pub(super) fn succeeded(
        &self,
        due: &Due,
        staged: &Staged,
        served: Vec<Served>,
        reports: &mut [SiteReport],
    ) {
        let report = &mut reports[due.index];
        let first = due
            .site
            .current
            .as_ref()
            .is_none_or(|current| current.certificate.self_signed);
        tally::served(report, first, staged, served);
        let detail = format!(
            "serial {}, until {}",
            staged.certificate.serial,
            staged.certificate.valid.end()
        );
        let domain = due.site.domain();
        let memory = self.world.memory();
        let written = self
            .record(domain, report.outcome.as_str(), detail)
            .and_then(|()| memory.remember_attempts(domain, None))
            .and_then(|()| memory.remember_order(domain, None));
        if let Err(error) = written {
            report.findings.extend(forgot(error).findings);
        }
    }

    /// Takes in that it went wrong.
    pub(super) fn failed(&self, due: &Due, failure: Failure, reports: &mut [SiteReport]) {
        let now = self.world.clock().now();
        let domain = due.site.domain();
        let memory = self.world.memory();
        let before = self
            .remembered
            .get(domain)
            .and_then(|known| known.attempts.as_ref());
        let cause = failure.cause();
        let attempts = Attempts::failed(
            before,
            failure.blame,
            failure.asked_ca,
            failure.retry_at,
            cause.clone(),
            now,
        );
        let report = &mut reports[due.index];
        report.retry_at = Some(attempts.retry_at);
        for finding in &failure.findings {
            self.world
                .observer()
                .saw(Event::Found(Some(domain), finding));
        }
        // Where the ledger or the CA names a moment there is nothing to mend but to wait for it.
        let told = failure.retry_at.is_some();
        tally::failed(report, failure.findings);
        if told {
            report.outcome = Outcome::Postponed;
        }
        let written = memory
            .remember_attempts(domain, Some(&attempts))
            .and_then(|()| self.record(domain, report.outcome.as_str(), cause));
        if let Err(error) = written {
            report.findings.extend(forgot(error).findings);
        }
    }

    fn record(&self, domain: &Name, what: &str, detail: String) -> Result<(), MemoryFailure> {
        self.world.memory().record(&[HistoryEntry {
            at: self.world.clock().now(),
            domain: Some(domain.clone()),
            what: what.to_owned(),
            detail,
        }])
    }
}
