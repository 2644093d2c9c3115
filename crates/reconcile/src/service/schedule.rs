//! At which moment is which site to be looked at, or its CA to be asked?

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use renewal::due::due;
use renewal::name::Name;
use renewal::plan::Remembered;
use renewal::report::{Outcome, Report};
use renewal::site::Site;

/// The moments of all sites, the first at the top.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    moments: BinaryHeap<Reverse<(Timestamp, Kind, usize)>>,
    /// The moment of each site's pass that counts: a poll may have moved it since it was put in.
    passes: HashMap<usize, Timestamp>,
    /// When to wake at the latest, for certificates that end before [`Schedule::coalesce`] is over.
    hurried: BinaryHeap<Reverse<Timestamp>>,
    /// How long a moment may be put off so that others fall together with it.
    coalesce: SignedDuration,
}

/// What is to be done at a moment.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    /// A pass.
    Pass,
    /// The site's CA is asked for its window.
    Poll,
}

impl Schedule {
    /// Works out the moments after a pass.
    pub(super) fn new(
        sites: &[Arc<Site>],
        remembered: &HashMap<Name, Remembered>,
        report: &Report,
        coalesce: SignedDuration,
        now: Timestamp,
    ) -> Self {
        let mut schedule = Self::only(later(now, LOOK_AT_LEAST), coalesce);
        let reports: HashMap<&Name, _> = report
            .sites
            .iter()
            .map(|site| (site.domain(), site))
            .collect();
        for (index, site) in sites.iter().enumerate() {
            match reports
                .get(site.domain())
                .map(|report| (report.outcome, report))
            {
                // What failed without costing the CA anything may be tried again at once, but a service that
                // did so would do nothing else.
                Some((Outcome::Failed | Outcome::Postponed, report)) => {
                    let at = report.retry_at.unwrap_or(now).max(later(now, RETRY_LEAST));
                    schedule.pass(index, at);
                }
                // What was seen at the beginning of the pass is not what is there now.
                Some((Outcome::Issued | Outcome::Renewed | Outcome::Installed, report)) => {
                    schedule.pass(index, now);
                    if let Some((certificate, _)) = &report.certificate {
                        schedule.hurry(now, certificate.valid.end());
                    }
                }
                Some((Outcome::NotDue | Outcome::WouldRenew, _)) => {
                    schedule.reschedule(index, site, remembered.get(site.domain()), now);
                }
                Some((Outcome::Skipped, _)) | None => {}
            }
        }
        schedule
    }

    /// A pass at `moment`, and nothing else.
    pub(super) fn only(moment: Timestamp, coalesce: SignedDuration) -> Self {
        let mut schedule = Self {
            coalesce,
            ..Self::default()
        };
        schedule.pass(NOBODY, moment);
        schedule
    }

    /// Puts a pass in soon: among the changes that were taken for the service's own may be one of somebody else's.
    pub(super) fn look_soon(&mut self, now: Timestamp) {
        self.pass(NOBODY, later(now, RETRY_LEAST));
    }

    /// Returns the first moment.
    pub(super) fn next(&self, now: Timestamp) -> Timestamp {
        self.moments
            .peek()
            .map_or_else(|| later(now, LOOK_AT_LEAST), |Reverse((at, ..))| *at)
    }

    /// Returns when to wake: with what falls into the next minutes, unless a certificate would not live as long.
    pub(super) fn wake(&self, now: Timestamp) -> Timestamp {
        let together = later(self.next(now), self.coalesce);
        let hurried = self.hurried.peek().map(|Reverse(at)| *at);
        hurried.map_or(together, |at| at.min(together))
    }

    /// Takes out what is to be done by now, when it is nothing but questions to CAs; returns whose.
    pub(super) fn polls_only(&mut self, now: Timestamp) -> Option<Vec<usize>> {
        while self.hurried.peek().is_some_and(|Reverse(at)| *at <= now) {
            self.hurried.pop();
        }
        let mut polls = Vec::new();
        while let Some(Reverse((at, kind, index))) = self.moments.peek().copied() {
            if at > now {
                break;
            }
            self.moments.pop();
            match kind {
                Kind::Pass if self.passes.get(&index) == Some(&at) => return None,
                Kind::Pass => {}
                Kind::Poll => polls.push(index),
            }
        }
        Some(polls)
    }

    /// Puts a site's next moments in, from what is known of it now.
    pub(super) fn reschedule(
        &mut self,
        index: usize,
        site: &Site,
        known: Option<&Remembered>,
        now: Timestamp,
    ) {
        let suggestion = known.and_then(|known| known.suggestion.as_ref());
        let due = due(
            &site.wanted,
            site.current.as_ref(),
            site.policy.before_expiry,
            suggestion,
            now,
        );
        if self.passes.get(&index) != Some(&due.at) {
            self.pass(index, due.at);
            if let Some(current) = &site.current {
                self.hurry(due.at, current.certificate.valid.end());
            }
        }
        if let Some(suggestion) = suggestion.filter(|suggestion| suggestion.poll_at < due.at) {
            self.moments
                .push(Reverse((suggestion.poll_at, Kind::Poll, index)));
        }
    }
}

impl Schedule {
    fn pass(&mut self, index: usize, at: Timestamp) {
        self.passes.insert(index, at);
        self.moments.push(Reverse((at, Kind::Pass, index)));
    }

    /// Sees to it that what is to be done at `at` is not put off until the certificate's `end`.
    fn hurry(&mut self, at: Timestamp, end: Timestamp) {
        let patience = end.duration_since(at) / PATIENCE_DIVISOR;
        if patience < self.coalesce {
            self.hurried.push(Reverse(later(at, patience)));
        }
    }
}

fn later(moment: Timestamp, wait: SignedDuration) -> Timestamp {
    moment.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// What is due is put off by no more than this part of the life that is left: the rest is for failures.
const PATIENCE_DIVISOR: i32 = 8;

/// Stands for no site in particular.
const NOBODY: usize = usize::MAX;

/// A pass is made at least this often, for what no watch shows: a certificate replaced by hand, say.
const LOOK_AT_LEAST: SignedDuration = SignedDuration::from_hours(24);

/// The shortest wait before what failed is tried again.
const RETRY_LEAST: SignedDuration = SignedDuration::from_mins(10);
