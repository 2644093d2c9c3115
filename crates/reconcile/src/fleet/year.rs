//! What came of a simulated time.

use std::collections::BTreeMap;

use jiff::Timestamp;
use renewal::name::Name;
use serde::Serialize;

use super::{DAY_MS, HOUR_MS, Scenario, moment};

/// What came of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Year {
    /// How many certificates were issued.
    pub certificates: u64,
    /// How many of them were a site's first.
    pub first: u64,
    /// How many orders were placed.
    pub orders: u64,
    /// How often the CA refused for a limit (429 or 503), by limit. The ledger is there so that this stays empty.
    pub refused: BTreeMap<&'static str, u64>,
    /// How often the ledger said “not yet”, so that no order was placed.
    pub held_back: u64,
    /// How many validations failed.
    pub failed_validations: u64,
    /// The most failed validations of one name within an hour.
    pub most_failures_per_hour: u32,
    /// How often a name failed twice within a day.
    pub failures_within_a_day: u64,
    /// How often our own checks stopped an order.
    pub stopped_by_checks: u64,
    /// How often the CA did not answer.
    pub unanswered: u64,
    /// How many certificates expired while they were served, for want of a moment at which both the site and the CA
    /// were whole.
    pub expired: u64,
    /// Those that expired and could have been saved.
    pub lost: Vec<Lost>,
    /// How many certificates the CA revoked.
    pub revoked: u64,
    /// How many of those were replaced within a day.
    pub replaced_within_a_day: u64,
    /// How many of those were broken on that day, or so shortly before that they were still being left alone.
    pub revoked_while_broken: u64,
    /// How many passes deployed something: one reload of nginx each.
    pub reloads: u64,
    /// The longest that a whole site waited for its first certificate, in milliseconds.
    pub longest_wait_ms: i64,
    /// How many certificates were issued in each hour of the day (UTC).
    pub hours: [u64; 24],
    /// How many were issued on each day.
    pub days: BTreeMap<i64, u64>,
}

/// A certificate that expired and could have been saved.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Lost {
    /// The site.
    pub domain: String,
    /// When it expired.
    pub at: Timestamp,
}

impl Year {
    /// Returns how many orders the CA refused.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Says whether nothing was lost: no limit burnt, no certificate expired that could have been saved.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.refusals() == 0 && self.lost.is_empty()
    }

    /// Returns the day with the most certificates, and how many they were.
    #[must_use]
    pub fn worst_day(&self) -> Option<(jiff::civil::Date, u64)> {
        let worst = self
            .days
            .iter()
            .max_by_key(|(day, count)| (**count, -**day));
        worst.map(|(day, count)| {
            let zoned = moment(day * DAY_MS).to_zoned(jiff::tz::TimeZone::UTC);
            (zoned.date(), *count)
        })
    }

    /// Returns how many certificates an ordinary day sees, the mean.
    #[must_use]
    pub fn usual_day(&self, scenario: &Scenario) -> u64 {
        self.certificates / u64::from(scenario.days.max(1))
    }

    /// Takes in a certificate.
    pub(super) fn issued(&mut self, first: bool, now: i64) {
        self.certificates += 1;
        self.first += u64::from(first);
        let hour = now.rem_euclid(DAY_MS) / HOUR_MS;
        if let Some(count) = usize::try_from(hour)
            .ok()
            .and_then(|hour| self.hours.get_mut(hour))
        {
            *count += 1;
        }
        *self.days.entry(now.div_euclid(DAY_MS)).or_default() += 1;
    }

    /// Takes in that a certificate expired.
    pub(super) fn expired(&mut self, domain: &Name, at: i64, could_have_been_saved: bool) {
        if could_have_been_saved {
            self.lost.push(Lost {
                domain: domain.to_string(),
                at: moment(at),
            });
        } else {
            self.expired += 1;
        }
    }
}
