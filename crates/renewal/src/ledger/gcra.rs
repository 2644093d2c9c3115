//! The arithmetic of a bucket (the generic cell rate algorithm, as boulder's `ratelimits/gcra.go` uses it).

use jiff::{SignedDuration, Timestamp};

use super::limits::Limit;

impl Limit {
    /// Returns when the next one is allowed, given the bucket's theoretical arrival time.
    pub(super) fn allowed_at(&self, arrival: Timestamp) -> Timestamp {
        arrival
            .checked_sub(self.tolerance())
            .unwrap_or(Timestamp::MIN)
    }

    /// Returns the arrival time of a bucket that allows one at `moment`, and no more.
    pub(super) fn arrival_that_allows_at(&self, moment: Timestamp) -> Timestamp {
        moment
            .checked_add(self.tolerance())
            .unwrap_or(Timestamp::MAX)
    }

    /// Returns the arrival time after one more was spent.
    pub(super) fn spend(&self, arrival: Timestamp, now: Timestamp) -> Timestamp {
        arrival
            .max(now)
            .checked_add(self.interval())
            .unwrap_or(Timestamp::MAX)
    }

    /// Returns the arrival time after one was given back.
    pub(super) fn refund(&self, arrival: Timestamp) -> Timestamp {
        arrival
            .checked_sub(self.interval())
            .unwrap_or(Timestamp::MIN)
    }

    /// Returns the arrival time of a bucket with nothing in it.
    pub(super) fn arrival_when_empty(&self, now: Timestamp) -> Timestamp {
        now.checked_add(self.period).unwrap_or(Timestamp::MAX)
    }

    /// Returns how far ahead of now the arrival time may be for one more to be allowed.
    fn tolerance(&self) -> SignedDuration {
        let times = self.interval().checked_mul(self.count - self.spare - 1);
        times.unwrap_or(SignedDuration::MAX)
    }

    fn interval(&self) -> SignedDuration {
        self.period / self.count
    }
}
