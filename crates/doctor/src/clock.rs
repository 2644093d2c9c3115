//! Is this host's clock right?
//!
//! The CA's server tells the time with every answer. Minutes do no harm; an hour does, for that is how far CAs set
//! back the beginning of a certificate, so that with a slow clock a new one is not valid yet.

use jiff::{SignedDuration, Timestamp};
use renewal::finding::{Finding, FindingName, Severity};
use serde::{Deserialize, Serialize};

/// Two clocks at one moment.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ClockSeen {
    /// What this host says.
    pub here: Timestamp,
    /// What the CA's server says.
    pub there: Timestamp,
    /// The CA, for people.
    pub ca: String,
}

/// Compares them.
#[must_use]
pub fn judge(seen: &ClockSeen) -> Vec<Finding> {
    let ahead = seen.here.duration_since(seen.there);
    let off = ahead.abs();
    if off <= HARMLESS {
        return Vec::new();
    }
    let severity = if off < HARMFUL {
        Severity::Warning
    } else if ahead.is_negative() {
        Severity::Fatal
    } else {
        Severity::Error
    };
    let word = if ahead.is_negative() {
        "behind"
    } else {
        "ahead"
    };
    let finding = Finding::new(
        FindingName::ClockWrong,
        format!("This host's clock is {} {word}.", span(off)),
    );
    vec![
        finding
            .severity(severity)
            .detail(format!(
                "here it is {}, and at {} it is {}",
                seen.here, seen.ca, seen.there
            ))
            .fix("Let the clock be kept right: timedatectl set-ntp true"),
    ]
}

fn span(off: SignedDuration) -> String {
    let minutes = off.as_mins();
    match minutes {
        0..120 => format!("{minutes} minutes"),
        120..2880 => format!("{} hours", minutes / 60),
        _ => format!("{} days", minutes / (24 * 60)),
    }
}

/// Answers are under way, and the header has whole seconds.
const HARMLESS: SignedDuration = SignedDuration::from_mins(5);

/// Let's Encrypt sets the beginning of a certificate back by an hour.
const HARMFUL: SignedDuration = SignedDuration::from_mins(50);

#[cfg(test)]
mod tests {
    use super::{ClockSeen, judge};
    use expect_test::{Expect, expect};

    fn check(here: &str, expect: Expect) {
        let seen = ClockSeen {
            here: format!("2026-02-{here}Z").parse().unwrap(),
            there: "2026-02-10T12:00:00Z".parse().unwrap(),
            ca: "ca.test".to_owned(),
        };
        let shown = judge(&seen)
            .iter()
            .map(|finding| format!("{}: {}", finding.severity.as_str(), finding.explanation))
            .collect::<String>();
        expect.assert_eq(&shown);
    }

    #[test]
    fn a_clock_that_is_behind_is_worse_than_one_that_is_ahead() {
        check("10T12:04:00", expect![""]);
        check(
            "10T12:10:00",
            expect!["warning: This host's clock is 10 minutes ahead."],
        );
        check(
            "10T11:40:00",
            expect!["warning: This host's clock is 20 minutes behind."],
        );
        check(
            "10T18:00:00",
            expect!["error: This host's clock is 6 hours ahead."],
        );
        check(
            "01T12:00:00",
            expect!["fatal: This host's clock is 9 days behind."],
        );
    }
}
