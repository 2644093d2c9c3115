//! A year of a fleet in seconds: would these rules ever let a certificate expire, or burn a limit?
//!
//! The rules of `renewal` decide (when a certificate is due, what the ledger allows, when to try again); a CA that
//! was written without them (`ca`) judges. Sites come, break in changing ways and heal; the CA revokes a
//! third of all certificates at once, and is gone for five days. Everything comes from one seed, so the same seed
//! gives the same year.
//!
//! Nothing waits here: the fleet goes from one moment at which something happens to the next. A check that would
//! only say again what it said ten minutes ago is left out.

use jiff::{SignedDuration, Timestamp};

pub use self::year::{Lost, Year};

use self::life::Fleet;

mod ca;
mod dice;
mod life;
mod trouble;
mod year;

/// A fleet, and what befalls it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Scenario {
    /// How many sites there are in the end.
    pub sites: u32,
    /// For how long they are watched.
    pub days: u32,
    /// How long the CA's certificates live, in days.
    pub lifetime_days: u32,
    /// What everything that looks like chance comes from.
    pub seed: u64,
    /// How many sites of a hundred are broken at any moment.
    pub broken_percent: u32,
    /// Whether the CA revokes a third of all certificates at once.
    pub mass_revocation: bool,
    /// How long the CA is gone, once, in days.
    pub outage_days: u32,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            sites: 10_000,
            days: 365,
            lifetime_days: 64,
            seed: 1,
            broken_percent: 5,
            mass_revocation: true,
            outage_days: 5,
        }
    }
}

impl Scenario {
    /// Returns the moment after so much of the time, of a hundred.
    fn at_percent(&self, percent: i64) -> i64 {
        i64::from(self.days) * DAY_MS * percent / 100
    }

    /// Returns when the CA is gone, from and until.
    fn outage(&self) -> (i64, i64) {
        let from = self.at_percent(55);
        (from, from + i64::from(self.outage_days) * DAY_MS)
    }
}

/// Lets the time pass, and says what came of it.
#[must_use]
pub fn simulate(scenario: &Scenario) -> Year {
    let mut fleet = Fleet::new(*scenario);
    fleet.live();
    fleet.into_year()
}

/// Turns a moment of the simulation into one of the calendar.
fn moment(ms: i64) -> Timestamp {
    let start = Timestamp::from_second(START_S).unwrap_or(Timestamp::UNIX_EPOCH);
    start
        .checked_add(SignedDuration::from_millis(ms))
        .unwrap_or(Timestamp::MAX)
}

/// Turns a moment of the calendar into one of the simulation.
fn since_start(moment: Timestamp) -> i64 {
    moment.as_millisecond() - START_S * 1_000
}

/// 2027-03-01: by then Let's Encrypt's certificates live 64 days.
const START_S: i64 = 1_803_859_200;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

#[cfg(test)]
mod tests;
