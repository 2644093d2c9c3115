//! Does a request get another chance, and after which wait?
//!
//! | what happened | again |
//! | --- | --- |
//! | a nonce was refused | at once, with the nonce of the refusal, ten times |
//! | there was no reply | soon, three times; a silent CA twice |
//! | the CA is busy and says until when | then, when that is within a minute, and two minutes in all |
//! | the CA is busy and says nothing | after 1, 3 and 10 seconds |
//!
//! Anything longer is for the driver to plan, which has other work to do meanwhile.

use std::time::Duration;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};

use crate::bounds::{WAIT_MAX, WAITS_MAX};
use crate::diagnosis;
use crate::http::HttpFailure;
use crate::problem::Problem;

/// How much a caller wants the answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Persistence {
    /// An order hangs on it.
    Usual,
    /// It will be asked again anyway: one more try when the connection is lost, and no waiting.
    Little,
}

/// The chances that one request has left.
pub(crate) struct Chances {
    persistence: Persistence,
    nonces: usize,
    failures: usize,
    refusals: usize,
    waited: Duration,
}

impl Chances {
    pub(crate) fn new(persistence: Persistence) -> Self {
        Self {
            persistence,
            nonces: 0,
            failures: 0,
            refusals: 0,
            waited: Duration::ZERO,
        }
    }

    /// Says whether a refused nonce may be followed by another.
    pub(crate) fn after_bad_nonce(&mut self) -> bool {
        self.nonces += 1;
        self.nonces <= NONCES
    }

    /// Returns the wait before the next try after there was no reply.
    pub(crate) fn after_failure(&mut self, failure: &HttpFailure) -> Option<Duration> {
        let waits: &[Duration] = match failure {
            HttpFailure::NotTrusted(_) | HttpFailure::TooLong => &[],
            HttpFailure::Silent(_) => &AFTER_SILENCE,
            HttpFailure::NoConnection(_) | HttpFailure::Broken(_) => &AFTER_LOSS,
        };
        let allowed = match self.persistence {
            Persistence::Usual => waits,
            Persistence::Little => &waits[..waits.len().min(1)],
        };
        let wait = allowed.get(self.failures).copied();
        self.failures += 1;
        wait
    }

    /// Returns the wait before the next try after a refusal, when it is one that passes soon.
    pub(crate) fn after_refusal(
        &mut self,
        status: StatusCode,
        problem: &Problem,
        wish: Option<SignedDuration>,
        now: Timestamp,
    ) -> Option<Duration> {
        let busy = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        if !busy || self.persistence == Persistence::Little || diagnosis::is_pause(problem) {
            return None;
        }
        let told = diagnosis::told_moment(problem).map(|at| at.duration_since(now));
        let wait = match wish.or(told) {
            Some(wish) => Duration::try_from(wish).unwrap_or_default().max(AT_LEAST),
            None => *WHEN_NOTHING_IS_SAID.get(self.refusals)?,
        };
        self.refusals += 1;
        self.waited += wait;
        let soon = wait <= WAIT_MAX && self.waited <= WAITS_MAX && self.refusals <= REFUSALS;
        soon.then_some(wait)
    }
}

/// At three refusals in ten, one request in 170,000 still fails.
const NONCES: usize = 10;

/// A connection that an idle server closed just now comes back at once.
const AFTER_LOSS: [Duration; 3] = [
    Duration::from_millis(50),
    Duration::from_secs(1),
    Duration::from_secs(4),
];

/// The silence itself was wait enough.
const AFTER_SILENCE: [Duration; 2] = [Duration::ZERO, Duration::ZERO];

/// Let's Encrypt's integration guide begins with a minute; an overloaded CA is often back sooner.
const WHEN_NOTHING_IS_SAID: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
];

/// Never ask again at once, whatever the CA says.
const AT_LEAST: Duration = Duration::from_millis(100);

const REFUSALS: usize = 4;

#[cfg(test)]
mod tests {
    use super::{Chances, Persistence};
    use crate::http::HttpFailure;
    use crate::problem::Problem;
    use http::StatusCode;
    use jiff::SignedDuration;
    use std::time::Duration;

    fn waits(status: u16, detail: &str, wish: Option<i64>) -> Vec<u64> {
        let mut chances = Chances::new(Persistence::Usual);
        let problem = Problem {
            detail: detail.to_owned(),
            ..Problem::default()
        };
        let status = StatusCode::from_u16(status).unwrap();
        let now = "2026-02-01T00:00:00Z".parse().unwrap();
        let wish = wish.map(SignedDuration::from_secs);
        std::iter::from_fn(|| chances.after_refusal(status, &problem, wish, now))
            .map(|wait| wait.as_secs())
            .take(20)
            .collect()
    }

    #[test]
    fn a_busy_ca_is_waited_for_a_little() {
        assert_eq!(waits(503, "Service busy; retry later.", None), [1, 3, 10]);
        assert_eq!(waits(503, "", Some(2)), [2, 2, 2, 2]);
        assert_eq!(waits(429, "", Some(50)), [50, 50]);
        assert_eq!(waits(500, "", Some(60)), [60, 60]);
        assert_eq!(waits(503, "", Some(61)), [0; 0]);
    }

    #[test]
    fn a_refusal_that_does_not_pass_is_not_waited_for() {
        assert_eq!(waits(400, "", Some(1)), [0; 0]);
        assert_eq!(waits(403, "", None), [0; 0]);
        let limit = "too many new orders (300) from this account in the last 3h0m0s, retry after 2026-02-01 00:36:00 UTC";
        assert_eq!(waits(429, limit, None), [0; 0]);
        let pause = "Your account is temporarily prevented from requesting certificates for a.test and possibly others. Please visit: https://x/?jwt=y";
        assert_eq!(waits(429, pause, None), [0; 0]);
    }

    #[test]
    fn no_reply_is_tried_again_a_few_times() {
        let waits = |persistence, failure: &HttpFailure| {
            let mut chances = Chances::new(persistence);
            std::iter::from_fn(|| chances.after_failure(failure)).count()
        };
        let lost = HttpFailure::Broken(String::new());
        let silent = HttpFailure::Silent(Duration::from_secs(30));
        assert_eq!(waits(Persistence::Usual, &lost), 3);
        assert_eq!(waits(Persistence::Usual, &silent), 2);
        assert_eq!(waits(Persistence::Little, &lost), 1);
        assert_eq!(
            waits(Persistence::Usual, &HttpFailure::NotTrusted(String::new())),
            0
        );
    }
}
