//! How are moments and lengths of time said to people?

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Writes a moment as a date, in UTC.
#[must_use]
pub fn date(moment: Timestamp) -> String {
    moment
        .to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%d")
        .to_string()
}

/// Writes a moment to the minute, in UTC.
#[must_use]
pub fn minute(moment: Timestamp) -> String {
    moment
        .to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%d %H:%M UTC")
        .to_string()
}

/// Writes the time between two moments, whichever is the earlier: `83 days`, `5 hours`, `1 minute`.
#[must_use]
pub fn between(one: Timestamp, other: Timestamp) -> String {
    let seconds = one.duration_since(other).as_secs().unsigned_abs();
    let (count, unit) = match seconds {
        DAYS_FROM.. => (seconds / DAY, "day"),
        HOURS_FROM.. => (seconds / HOUR, "hour"),
        MINUTE.. => (seconds / MINUTE, "minute"),
        _ => (seconds, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// Writes a moment with its distance: `2026-12-06, in 12 days`, `2026-11-20, 4 days ago`.
#[must_use]
pub fn date_and_distance(moment: Timestamp, now: Timestamp) -> String {
    let distance = between(moment, now);
    if moment > now {
        format!("{}, in {distance}", date(moment))
    } else {
        format!("{}, {distance} ago", date(moment))
    }
}

/// Returns how many whole days are left until `end`; negative when it is past.
#[must_use]
pub fn days_left(end: Timestamp, now: Timestamp) -> i64 {
    end.duration_since(now)
        .as_secs()
        .div_euclid(i64::try_from(DAY).unwrap_or(i64::MAX))
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// From here on, the next smaller unit no longer matters to anyone.
const DAYS_FROM: u64 = 2 * DAY;
const HOURS_FROM: u64 = 2 * HOUR;

#[cfg(test)]
mod tests {
    use super::{between, date_and_distance, days_left};
    use jiff::Timestamp;

    #[test]
    fn lengths_of_time() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = time("2026-02-01T12:00:00Z");
        let said = [
            "2026-05-02T12:00:00Z",
            "2026-02-03T11:59:59Z",
            "2026-02-01T13:30:00Z",
            "2026-02-01T12:01:00Z",
            "2026-02-01T11:59:59Z",
        ]
        .map(|text| between(time(text), now));
        assert_eq!(
            said,
            ["90 days", "47 hours", "90 minutes", "1 minute", "1 second"]
        );
        assert_eq!(
            date_and_distance(time("2026-01-20T00:00:00Z"), now),
            "2026-01-20, 12 days ago"
        );
        assert_eq!(days_left(time("2026-02-01T11:00:00Z"), now), -1);
        assert_eq!(days_left(time("2026-02-02T11:00:00Z"), now), 0);
    }
}
