//! How long until the CA has probably done it?
//!
//! A CA on the same machine validates in milliseconds, a public one in seconds. Asking too early costs a request,
//! asking too late costs time. So the first question waits for as long as it took lately, the second for a quarter
//! of that, and each further one for twice as long. Before anything is known of a CA, the time that it took to take
//! the work on says how fast it is. What the CA itself wishes (Retry-After) goes before.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::Instant;

/// What was learned about one kind of wait at one CA.
pub(crate) struct Pace {
    /// In microseconds; 0 before anything was learned.
    usual: AtomicU32,
    /// Whether a question ever came too soon.
    found: AtomicBool,
}

/// One wait.
pub(crate) struct Poll<'a> {
    pace: &'a Pace,
    usual: Duration,
    since: Instant,
    asked: u32,
    obeyed: bool,
    deadline: Instant,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            usual: AtomicU32::new(0),
            found: AtomicBool::new(false),
        }
    }

    /// Begins a wait that lasts no longer than `longest`, for work that the CA took `reply` to take on.
    pub(crate) fn poll(&self, longest: Duration, reply: Duration) -> Poll<'_> {
        let since = Instant::now();
        let usual = match self.usual.load(Ordering::Relaxed) {
            0 => (reply * REPLIES).clamp(SHORTEST, LONGEST),
            usual => Duration::from_micros(u64::from(usual)),
        };
        Poll {
            pace: self,
            usual,
            since,
            asked: 0,
            obeyed: false,
            deadline: since + longest,
        }
    }

    /// Takes in how a wait went: the first question after `first`, `asked` in all, until `took` had passed.
    fn learn(&self, first: Duration, asked: u32, took: Duration) {
        let usual = match self.usual.load(Ordering::Relaxed) {
            0 => micros(first),
            usual => usual,
        };
        let found = self.found.fetch_or(asked > 1, Ordering::Relaxed);
        // Once it is found, one question too many in six is where these two balance.
        let next = match asked {
            0 | 1 if found => usual - usual / 20,
            0 | 1 => usual - usual / 4,
            2 => usual + usual / 4,
            _ => micros(took) / 4 * 3,
        };
        self.usual.store(
            next.clamp(micros(SHORTEST), micros(LONGEST)),
            Ordering::Relaxed,
        );
    }
}

impl Poll<'_> {
    /// Waits before the next question; says whether there is time for one.
    pub(crate) async fn wait(&mut self, wish: Option<SignedDuration>) -> bool {
        let wish = wish
            .filter(SignedDuration::is_positive)
            .and_then(|wish| Duration::try_from(wish).ok());
        self.obeyed |= wish.is_some();
        let pause = wish.unwrap_or_else(|| match self.asked {
            0 => self.usual,
            asked => (self.usual / 4 * 2_u32.saturating_pow(asked - 1)).clamp(SHORTEST, LONGEST),
        });
        self.asked += 1;
        let at = Instant::now() + pause;
        if at > self.deadline {
            return false;
        }
        tokio::time::sleep_until(at).await;
        true
    }

    /// Ends the wait: the CA has done it. A wait that the CA itself set teaches nothing.
    pub(crate) fn done(self) {
        if !self.obeyed {
            self.pace
                .learn(self.usual, self.asked, self.since.elapsed());
        }
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// Work takes so many times as long as taking it on, before anything was learned.
const REPLIES: u32 = 2;

/// tokio's timer has a grain of a millisecond.
const SHORTEST: Duration = Duration::from_millis(1);

/// A public CA looks within seconds.
const LONGEST: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::Pace;
    use jiff::SignedDuration;
    use std::time::Duration;
    use tokio::time::Instant;

    const REPLY: Duration = Duration::from_millis(10);

    /// Returns how often the CA was asked, and how much later than it was ready the answer came.
    async fn wait_for(pace: &Pace, ready_after: Duration) -> (u32, Duration) {
        let ready = Instant::now() + ready_after;
        let mut poll = pace.poll(Duration::from_secs(60), REPLY);
        loop {
            assert!(poll.wait(None).await);
            if Instant::now() >= ready {
                let asked = poll.asked;
                poll.done();
                return (asked, Instant::now() - ready);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_learns_how_fast_a_ca_is() {
        for (ready_after, late_at_most) in [(3, 3), (20, 10), (1_500, 400)] {
            let pace = Pace::new();
            let ready_after = Duration::from_millis(ready_after);
            for _ in 0..100 {
                wait_for(&pace, ready_after).await;
            }
            let mut asked_in_all = 0;
            for _ in 0..100 {
                let (asked, late) = wait_for(&pace, ready_after).await;
                asked_in_all += asked;
                assert!(
                    late <= Duration::from_millis(late_at_most),
                    "{ready_after:?}: {late:?} late"
                );
            }
            assert!(
                asked_in_all <= 130,
                "{ready_after:?}: {asked_in_all} questions for 100"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_ca_is_found_in_a_few_waits() {
        let pace = Pace::new();
        for _ in 0..8 {
            wait_for(&pace, Duration::from_millis(2)).await;
        }
        let (_, late) = wait_for(&pace, Duration::from_millis(2)).await;
        assert!(late <= Duration::from_millis(1), "{late:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_ca_wishes_is_done_and_the_deadline_holds() {
        let pace = Pace::new();
        let mut poll = pace.poll(Duration::from_secs(10), REPLY);
        let start = Instant::now();
        assert!(poll.wait(Some(SignedDuration::from_secs(5))).await);
        assert_eq!(start.elapsed().as_secs(), 5);
        assert!(!poll.wait(Some(SignedDuration::from_secs(30))).await);
        assert_eq!(
            start.elapsed().as_secs(),
            5,
            "what is too late is not waited for"
        );
    }
}
