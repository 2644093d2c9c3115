//! When may a site that failed be tried again?
//!
//! | whose fault | again after |
//! | --- | --- |
//! | the site's, told by the CA | a day: a failed validation a day is what Let's Encrypt's pause limit forgives |
//! | the site's, told by our own preflight | the next pass: it costs the CA nothing |
//! | the CA's or the network's | 1, 10, 100 minutes, then 6 hours; never counted against the site |
//! | a rate limit | the moment the CA names |
//! | the CA has paused the name | a week, for only a person can lift that; at once when one asks with `--force` |
//! | ours (disk, rights, nginx) | the next pass |
//!
//! [`Attempts`] is remembered, so a restart or a reload forgets nothing.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::names::Names;

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// The site's: DNS, a rule, a missing file. Somebody must mend it.
    Site,
    /// The CA's.
    Ca,
    /// The way between here and the CA.
    Network,
    /// This host's: disk, rights, nginx.
    Host,
}

/// What is remembered of the failures since the last success.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Attempts {
    /// How many in a row with the same blame.
    pub failures: u32,
    /// Whose fault the last one was.
    pub blame: Blame,
    /// When the last one was.
    pub last_at: Timestamp,
    /// When to try again; not before.
    pub retry_at: Timestamp,
    /// Whether the CA named that moment: it then holds for everybody, for the CA would refuse again.
    #[serde(default)]
    pub told: bool,
    /// What it was, for people.
    pub cause: String,
    /// The names that were asked for; `None` when it does not depend on them.
    #[serde(default)]
    pub about: Option<Names>,
    /// When our line was last put into the vhost without helping.
    #[serde(default)]
    pub line_tried_at: Option<Timestamp>,
}

impl Attempts {
    /// Takes in one more failure.
    ///
    /// `asked_ca` tells a failure that the CA saw from one that our preflight stopped; `told` is the moment
    /// the CA named, if it did.
    #[must_use]
    pub fn failed(
        before: Option<&Self>,
        blame: Blame,
        asked_ca: bool,
        told: Option<Timestamp>,
        cause: String,
        now: Timestamp,
    ) -> Self {
        let same = before.filter(|before| before.blame == blame);
        let failures = same.map_or(0, |before| before.failures).saturating_add(1);
        let usual = match blame {
            Blame::Site if asked_ca => AFTER_REFUSED_VALIDATION,
            Blame::Site | Blame::Host => SignedDuration::ZERO,
            Blame::Ca | Blame::Network => {
                let step = usize::try_from(failures - 1).unwrap_or(usize::MAX);
                AFTER_OUTAGE.get(step).copied().unwrap_or(AFTER_LONG_OUTAGE)
            }
        };
        let usual_at = now.checked_add(usual).unwrap_or(Timestamp::MAX);
        let line_tried_at = before.and_then(|before| before.line_tried_at);
        Self {
            line_tried_at,
            failures,
            blame,
            last_at: now,
            retry_at: within_reason(told.unwrap_or(usual_at), now),
            told: told.is_some(),
            cause,
            about: None,
        }
    }

    /// Takes in that the CA has paused a name of the site until a person lifts that.
    ///
    /// No moment is waited for: asking sooner earns the same refusal. After a week it may have been lifted
    /// without our being told.
    #[must_use]
    pub fn paused(before: Option<&Self>, cause: String, now: Timestamp) -> Self {
        Self {
            retry_at: now.checked_add(AFTER_PAUSE).unwrap_or(Timestamp::MAX),
            ..Self::failed(before, Blame::Site, true, None, cause, now)
        }
    }

    /// Takes in for which names it was.
    #[must_use]
    pub fn about(self, names: &Names) -> Self {
        Self {
            about: Some(names.clone()),
            ..self
        }
    }

    /// Returns the moment before which the site that wants `wanted` is not tried again, or `None` when it may be now.
    ///
    /// When the site's names were changed, the one at fault may be gone; where it is not, the ledger keeps it waiting.
    /// A failure in the future was written down by a clock that was ahead; what it says of the next try means
    /// nothing.
    #[must_use]
    pub fn too_early(&self, wanted: &Names, now: Timestamp) -> Option<Timestamp> {
        let about = self
            .about
            .as_ref()
            .filter(|_| self.blame == Blame::Site && !self.told);
        let others = about.is_some_and(|about| !about.same_set(wanted.as_slice()));
        let holds = self.retry_at > now && self.last_at <= now && !others;
        holds.then_some(self.retry_at)
    }

    /// Says whether our line may be put into the vhost (again): each try costs two reloads, so a line that did
    /// not help is tried once a day.
    #[must_use]
    pub fn line_may_help(attempts: Option<&Self>, now: Timestamp) -> bool {
        let tried_at = attempts.and_then(|attempts| attempts.line_tried_at);
        tried_at.is_none_or(|at| at > now || now.duration_since(at) >= AFTER_USELESS_LINE)
    }
}

/// Takes a moment that a CA names as it is, but not one that is over or years away: that is a mistake of the CA's.
pub(crate) fn within_reason(told: Timestamp, now: Timestamp) -> Timestamp {
    let latest = now.checked_add(LONGEST).unwrap_or(Timestamp::MAX);
    told.clamp(now, latest)
}

/// Refills Let's Encrypt's consecutive-failure bucket by exactly what one failure takes.
const AFTER_REFUSED_VALIDATION: SignedDuration = SignedDuration::from_hours(24);

/// A pause lasts until a person lifts it. This is for the person who did and did not tell us.
const AFTER_PAUSE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A line that did not help is not tried again for this long.
const AFTER_USELESS_LINE: SignedDuration = SignedDuration::from_hours(24);

/// The waits after the first failures that are not the site's (Let's Encrypt's integration guide).
const AFTER_OUTAGE: [SignedDuration; 3] = [
    SignedDuration::from_mins(1),
    SignedDuration::from_mins(10),
    SignedDuration::from_mins(100),
];

/// The wait after each further one.
const AFTER_LONG_OUTAGE: SignedDuration = SignedDuration::from_hours(6);

/// The longest wait that a CA's Retry-After can cause: its longest window is a week.
const LONGEST: SignedDuration = SignedDuration::from_hours(8 * 24);

#[cfg(test)]
mod tests {
    use super::{Attempts, Blame};
    use crate::name::Name;
    use crate::names::Names;
    use jiff::Timestamp;

    fn waits(blame: Blame, asked_ca: bool) -> Vec<i64> {
        let now: Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
        let mut before: Option<Attempts> = None;
        let mut minutes = Vec::new();
        for _ in 0..5 {
            let after = Attempts::failed(before.as_ref(), blame, asked_ca, None, "x".into(), now);
            minutes.push(after.retry_at.duration_since(now).as_secs() / 60);
            before = Some(after);
        }
        minutes
    }

    #[test]
    fn each_blame_has_its_waits() {
        assert_eq!(waits(Blame::Ca, true), [1, 10, 100, 360, 360]);
        assert_eq!(waits(Blame::Network, true), [1, 10, 100, 360, 360]);
        assert_eq!(waits(Blame::Site, true), [1440; 5]);
        assert_eq!(waits(Blame::Site, false), [0; 5]);
        assert_eq!(waits(Blame::Host, false), [0; 5]);
    }

    fn names(text: &str) -> Names {
        Names::new(text.split(' ').map(|name| Name::parse(name).unwrap())).unwrap()
    }

    #[test]
    fn a_site_whose_names_were_changed_is_tried_at_once() {
        let now: Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
        let failed = |blame, told: bool| {
            let told = told.then(|| "2026-02-01T05:00:00Z".parse().unwrap());
            Attempts::failed(None, blame, true, told, "x".into(), now)
                .about(&names("a.test bad.test"))
        };
        let waits = |failed: Attempts, wanted| failed.too_early(&names(wanted), now).is_some();
        assert!(waits(failed(Blame::Site, false), "bad.test a.test"));
        assert!(!waits(failed(Blame::Site, false), "a.test"));
        assert!(
            waits(failed(Blame::Ca, false), "a.test"),
            "the names are not at fault"
        );
        assert!(
            waits(failed(Blame::Site, true), "a.test"),
            "the CA named the moment"
        );
        let paused = Attempts::paused(None, "x".into(), now);
        assert!(waits(paused, "a.test"), "a pause stands whatever the names");
    }

    #[test]
    fn a_pause_is_not_asked_about_for_a_week() {
        let now: Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
        let paused = Attempts::paused(None, "account-paused".into(), now);
        assert_eq!(paused.retry_at.to_string(), "2026-02-08T00:00:00Z");
        assert!(!paused.told, "a person may insist");
    }

    #[test]
    fn what_a_clock_wrote_that_was_ahead_keeps_nobody_waiting() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let ahead = at("2027-02-01T00:00:00Z");
        let failed = Attempts::failed(None, Blame::Site, true, None, "x".into(), ahead);
        assert_eq!(
            failed.too_early(&names("a.test"), ahead),
            Some(at("2027-02-02T00:00:00Z"))
        );
        assert_eq!(
            failed.too_early(&names("a.test"), at("2026-02-01T00:00:00Z")),
            None
        );
        assert_eq!(
            failed.too_early(&names("a.test"), at("2027-02-02T00:00:00Z")),
            None
        );
        let tried = Attempts {
            line_tried_at: Some(ahead),
            ..failed
        };
        assert!(Attempts::line_may_help(
            Some(&tried),
            at("2026-02-01T00:00:00Z")
        ));
        assert!(!Attempts::line_may_help(Some(&tried), ahead));
    }

    #[test]
    fn the_moment_the_ca_names_is_taken_within_reason() {
        let now: Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
        let at = |told: &str| {
            let told = Some(told.parse().unwrap());
            Attempts::failed(None, Blame::Ca, true, told, "x".into(), now)
                .retry_at
                .to_string()
        };
        assert_eq!(at("2026-02-02T03:04:05Z"), "2026-02-02T03:04:05Z");
        assert_eq!(at("2031-01-01T00:00:00Z"), "2026-02-09T00:00:00Z");
        assert_eq!(at("2020-01-01T00:00:00Z"), "2026-02-01T00:00:00Z");
    }
}
