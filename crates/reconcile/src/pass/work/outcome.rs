//! What is reported and remembered of a site once it is done.

use renewal::finding::FindingName;
use renewal::name::Name;
use renewal::ports::{Clock as _, Event, HistoryEntry, Memory as _, Note, Observer as _, Staged};
use renewal::report::{Outcome, Served, SiteReport};
use renewal::retry::Attempts;

use super::{Due, Work};
use crate::ordering::forgot;
use crate::recording::record;
use crate::tally::{self, Failure};
use crate::world::World;

impl<W: World> Work<W> {
    /// Takes in that these sites' new certificates are served.
    pub(super) fn succeeded(
        &self,
        served: &[(Due, Staged, Vec<Served>)],
        reports: &mut [SiteReport],
    ) {
        let mut history = Vec::new();
        for (due, staged, seen) in served {
            let report = &mut reports[due.index];
            let first = due
                .site
                .current
                .as_ref()
                .is_none_or(|current| current.certificate.self_signed);
            tally::served(report, first, staged, seen.clone());
            let detail = format!(
                "serial {}, until {}",
                staged.certificate.serial,
                staged.certificate.valid.end()
            );
            history.push(self.entry(due.site.domain(), report.outcome.as_str(), detail));
        }
        let domains = served.iter().map(|(due, ..)| due.site.domain());
        let unneeded = |due: &Due| {
            let known = self.remembered.get(due.site.domain());
            let has_line = due
                .site
                .servers
                .iter()
                .any(|server| server.stateless.is_some());
            known.is_some_and(|known| known.line_at.is_some()) && !has_line
        };
        // Where it was put there again in this run, that is written down when the lines are closed.
        let unneeded = served.iter().filter(|(due, ..)| unneeded(due));
        let mut notes: Vec<Note<'_>> = history.iter().map(Note::History).collect();
        // The order is closed when its certificate is written; a crash may have come between.
        notes.extend(
            domains.flat_map(|domain| [Note::Attempts(domain, None), Note::Order(domain, None)]),
        );
        notes.extend(unneeded.map(|(due, ..)| Note::Line(due.site.domain(), None)));
        if let Err(error) = self.world.memory().note(&notes) {
            let findings = forgot(error).findings;
            for (due, ..) in served {
                reports[due.index].findings.extend(findings.clone());
            }
        }
    }

    /// Has what these sites serve now recorded by the panel, where there is one.
    pub(super) async fn record(
        &self,
        served: &[(Due, Staged, Vec<Served>)],
        reports: &mut [SiteReport],
    ) {
        let each: Vec<_> = served
            .iter()
            .map(|(due, staged, _)| (&*due.site, staged.version, &staged.certificate))
            .collect();
        let said = record(&*self.world, &each).await;
        for ((due, ..), findings) in served.iter().zip(said) {
            for finding in &findings {
                let about = Some(due.site.domain());
                self.world.observer().saw(Event::Found(about, finding));
            }
            reports[due.index].findings.extend(findings);
        }
    }

    /// Takes in that it went wrong.
    pub(super) fn failed(&self, due: &Due, failure: Failure, reports: &mut [SiteReport]) {
        let now = self.world.clock().now();
        let domain = due.site.domain();
        for finding in &failure.findings {
            self.world
                .observer()
                .saw(Event::Found(Some(domain), finding));
        }
        if failure.from_ledger {
            // Nothing was tried: what is remembered of the failures before stays the cause.
            let report = &mut reports[due.index];
            report.retry_at = failure.retry_at;
            tally::failed(report, failure.findings);
            report.outcome = Outcome::Postponed;
            return;
        }
        let before = self
            .remembered
            .get(domain)
            .and_then(|known| known.attempts.as_ref());
        let cause = failure.cause();
        let paused =
            failure.findings.first().map(|cause| cause.name) == Some(FindingName::AccountPaused);
        let attempts = if paused {
            Attempts::paused(before, cause.clone(), now)
        } else {
            Attempts::failed(
                before,
                failure.blame,
                failure.asked_ca,
                failure.retry_at,
                cause.clone(),
                now,
            )
            .about(&due.site.wanted)
        };
        let report = &mut reports[due.index];
        report.retry_at = Some(attempts.retry_at);
        // Where the ledger or the CA names a moment there is nothing to mend but to wait for it.
        let told = failure.retry_at.is_some() && !paused;
        tally::failed(report, failure.findings);
        if told {
            report.outcome = Outcome::Postponed;
        }
        let entry = self.entry(domain, report.outcome.as_str(), cause);
        let notes = [
            Note::Attempts(domain, Some(&attempts)),
            Note::History(&entry),
        ];
        if let Err(error) = self.world.memory().note(&notes) {
            report.findings.extend(forgot(error).findings);
        }
    }

    /// Makes an entry of the history.
    pub(super) fn entry(&self, domain: &Name, what: &str, detail: String) -> HistoryEntry {
        HistoryEntry {
            at: self.world.clock().now(),
            domain: Some(domain.clone()),
            what: what.to_owned(),
            detail,
        }
    }
}
