//! What time is it?
//!
//! The only place that reads the clock. It can be shifted, so that a test sees a certificate come due.

use jiff::{SignedDuration, Timestamp};
use renewal::ports::Clock;

/// The clock of this host, shifted by an offset that is usually zero.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock {
    offset: SignedDuration,
}

impl SystemClock {
    /// Returns the clock, shifted by `offset`.
    #[must_use]
    pub fn shifted(offset: SignedDuration) -> Self {
        Self { offset }
    }

    /// Returns the present moment.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place that may")]
    pub fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        now.checked_add(self.offset).unwrap_or(now)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        SystemClock::now(self)
    }

    async fn wait_until(&self, moment: Timestamp) {
        // Timers do not see the clock being set, nor a sleeping machine; so look at it now and then.
        loop {
            let left = moment.duration_since(SystemClock::now(self));
            let Ok(left) = std::time::Duration::try_from(left) else {
                return;
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(GLANCE)).await;
        }
    }
}

/// Reads an offset such as `+60d` or `-36h`.
///
/// # Errors
///
/// Says what an offset looks like.
pub(crate) fn parse_offset(text: &str) -> Result<SignedDuration, String> {
    let (back, length) = match text.strip_prefix('-') {
        Some(length) => (true, length),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let length = crate::config::values::parse_duration(length)?;
    Ok(if back { -length } else { length })
}

/// The longest time after which a clock that was set is noticed.
const GLANCE: std::time::Duration = std::time::Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::{SystemClock, parse_offset};
    use jiff::SignedDuration;
    use renewal::ports::Clock;

    #[test]
    fn an_offset_shifts_the_clock() {
        let offset = parse_offset("+60d").unwrap();
        assert_eq!(offset, SignedDuration::from_hours(60 * 24));
        assert_eq!(parse_offset("-36h"), Ok(SignedDuration::from_hours(-36)));
        assert!(parse_offset("tomorrow").is_err());
        let ahead = SystemClock::shifted(offset)
            .now()
            .duration_since(SystemClock::default().now());
        assert!(
            (ahead - offset).abs() < SignedDuration::from_secs(10),
            "{ahead}"
        );
    }

    #[tokio::test]
    async fn a_moment_in_the_past_is_not_waited_for() {
        let clock = SystemClock::default();
        let past = clock.now() - SignedDuration::from_secs(5);
        let waited =
            tokio::time::timeout(std::time::Duration::from_secs(30), clock.wait_until(past));
        waited.await.unwrap();
    }
}
