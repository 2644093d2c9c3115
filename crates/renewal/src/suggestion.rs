//! When would the CA like a certificate renewed, and which moment inside that window is ours?
//!
//! RFC 9773 section 4.2 asks for a uniformly random moment inside the window. Ours comes from a hash of the
//! certificate's identifier: it looks random across a fleet, and is the same each time it is asked. It is kept
//! for as long as the CA's window still holds it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::certificate::CertificateId;
use crate::spread;
use crate::window::Window;

/// What the CA answered, as the adapter hands it over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The window.
    pub window: Window,
    /// Where the CA explains itself, for people.
    pub explanation: Option<String>,
    /// The reply's Retry-After.
    pub retry_after: Option<SignedDuration>,
}

/// What is remembered about one certificate's suggested window.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Suggestion {
    /// The certificate it is about; one about another certificate is worth nothing.
    pub id: CertificateId,
    /// The window and the moment in it, if the CA gave one that makes sense.
    pub chosen: Option<Chosen>,
    /// When to ask again.
    pub poll_at: Timestamp,
    /// How often in a row the CA did not answer.
    pub failures: u32,
}

/// A window and our moment inside it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// The CA's window.
    pub window: Window,
    /// Our moment.
    pub at: Timestamp,
    /// Where the CA explains itself.
    pub explanation: Option<String>,
}

impl Suggestion {
    /// Takes in an answer; the moment chosen before is kept while the window still holds it.
    #[must_use]
    pub fn answered(
        before: Option<&Self>,
        id: &CertificateId,
        answer: Answer,
        now: Timestamp,
    ) -> Self {
        let kept = before
            .filter(|before| before.id == *id)
            .and_then(|before| before.chosen.as_ref())
            .map(|chosen| chosen.at)
            .filter(|at| answer.window.contains(*at));
        let at = kept.unwrap_or_else(|| answer.window.at(spread::spread(&id.0), spread::WHOLE));
        let wait = answer
            .retry_after
            .unwrap_or(POLL_USUAL)
            .clamp(POLL_SHORTEST, POLL_LONGEST);
        Self {
            id: id.clone(),
            chosen: Some(Chosen {
                window: answer.window,
                at,
                explanation: answer.explanation,
            }),
            poll_at: later(now, wait),
            failures: 0,
        }
    }

    /// Takes in that there was no answer; what was known stays known.
    ///
    /// `lasting` tells an answer that makes no sense, or a refusal, from an outage (RFC 9773 section 4.3.3).
    #[must_use]
    pub fn unanswered(
        before: Option<&Self>,
        id: &CertificateId,
        lasting: bool,
        now: Timestamp,
    ) -> Self {
        let before = before.filter(|before| before.id == *id);
        let failures = before.map_or(0, |before| before.failures).saturating_add(1);
        let wait = if lasting {
            POLL_AFTER_REFUSAL
        } else {
            let doubled = POLL_AFTER_OUTAGE.as_secs() << (failures - 1).min(DOUBLINGS_MAX);
            SignedDuration::from_secs(doubled).min(POLL_AFTER_REFUSAL)
        };
        Self {
            id: id.clone(),
            chosen: before.and_then(|before| before.chosen.clone()),
            poll_at: later(now, wait),
            failures,
        }
    }

    /// Says whether the window is open now, so that the renewal may name the certificate it replaces.
    ///
    /// Let's Encrypt exempts a replacement from its limits only inside the window; outside, naming the
    /// certificate gains nothing and can be refused.
    #[must_use]
    pub fn open(&self, now: Timestamp) -> bool {
        self.chosen
            .as_ref()
            .is_some_and(|chosen| chosen.window.contains(now))
    }

    /// Says whether the CA should be asked now about the certificate `id`, which ends at `end`.
    #[must_use]
    pub fn wanted(
        known: Option<&Self>,
        id: &CertificateId,
        end: Timestamp,
        now: Timestamp,
    ) -> bool {
        // RFC 9773 section 4.3: never about a certificate that has expired.
        now < end
            && known.is_none_or(|known| {
                // No wait is longer; this one was begun by a clock that was ahead.
                let too_far = known.poll_at > later(now, POLL_LONGEST);
                known.id != *id || known.poll_at <= now || too_far
            })
    }
}

fn later(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// RFC 9773 section 4.3.2: Retry-After is clamped to between a minute and a day.
const POLL_SHORTEST: SignedDuration = SignedDuration::from_mins(1);
const POLL_LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// Let's Encrypt's own interval, for a CA that sends none.
const POLL_USUAL: SignedDuration = SignedDuration::from_hours(6);

/// RFC 9773 section 4.3.3, for errors that last.
const POLL_AFTER_REFUSAL: SignedDuration = SignedDuration::from_hours(6);

/// The first wait after an outage; it doubles up to [`POLL_AFTER_REFUSAL`].
const POLL_AFTER_OUTAGE: SignedDuration = SignedDuration::from_mins(1);
const DOUBLINGS_MAX: u32 = 20;

#[cfg(test)]
mod tests {
    use super::{Answer, Suggestion};
    use crate::certificate::CertificateId;
    use crate::window::Window;
    use jiff::{SignedDuration, Timestamp};

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn answer(start: &str, end: &str, retry_after_s: i64) -> Answer {
        Answer {
            window: Window::new(time(start), time(end)).unwrap(),
            explanation: None,
            retry_after: Some(SignedDuration::from_secs(retry_after_s)),
        }
    }

    #[test]
    fn the_moment_is_kept_while_the_window_holds_it_and_chosen_anew_when_not() {
        let id = CertificateId("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".into());
        let now = time("2026-02-01T00:00:00Z");
        let first = Suggestion::answered(
            None,
            &id,
            answer("2026-03-01T00:00:00Z", "2026-03-03T00:00:00Z", 21_600),
            now,
        );
        let chosen = first.chosen.clone().unwrap();
        assert!(chosen.window.contains(chosen.at));
        assert_eq!(first.poll_at, time("2026-02-01T06:00:00Z"));

        let wider = Suggestion::answered(
            Some(&first),
            &id,
            answer("2026-02-28T00:00:00Z", "2026-03-04T00:00:00Z", 5),
            now,
        );
        assert_eq!(wider.chosen.unwrap().at, chosen.at);
        assert_eq!(
            wider.poll_at,
            time("2026-02-01T00:01:00Z"),
            "never more often than once a minute"
        );

        let revoked = Suggestion::answered(
            Some(&first),
            &id,
            answer("2026-01-31T23:00:00Z", "2026-01-31T23:30:00Z", 1 << 40),
            now,
        );
        assert!(revoked.chosen.unwrap().at < now);
        assert_eq!(
            revoked.poll_at,
            time("2026-02-02T00:00:00Z"),
            "never less often than once a day"
        );
    }

    #[test]
    fn a_clock_that_was_ahead_does_not_keep_the_ca_from_being_asked() {
        let id = CertificateId("a.b".into());
        let ahead = time("2027-02-01T00:00:00Z");
        let window = answer("2027-03-01T00:00:00Z", "2027-03-03T00:00:00Z", 21_600);
        let known = Suggestion::answered(None, &id, window, ahead);
        let wanted = |now| Suggestion::wanted(Some(&known), &id, time("2027-05-01T00:00:00Z"), now);
        assert!(!wanted(ahead));
        assert!(wanted(time("2026-02-01T00:00:00Z")));
    }

    #[test]
    fn an_outage_doubles_the_wait_and_keeps_what_was_known() {
        let id = CertificateId("a.b".into());
        let now = time("2026-02-01T00:00:00Z");
        let mut known = Suggestion::answered(
            None,
            &id,
            answer("2026-03-01T00:00:00Z", "2026-03-03T00:00:00Z", 60),
            now,
        );
        let mut waits = Vec::new();
        for _ in 0..12 {
            known = Suggestion::unanswered(Some(&known), &id, false, now);
            waits.push(known.poll_at.duration_since(now).as_secs() / 60);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]);
        assert!(known.chosen.is_some());
        assert!(!Suggestion::wanted(
            Some(&known),
            &id,
            time("2026-05-01T00:00:00Z"),
            now
        ));
        assert!(Suggestion::wanted(
            Some(&known),
            &CertificateId("c.d".into()),
            time("2026-05-01T00:00:00Z"),
            now
        ));
        assert!(
            !Suggestion::wanted(None, &id, now, now),
            "an expired certificate is not asked about"
        );
    }
}
