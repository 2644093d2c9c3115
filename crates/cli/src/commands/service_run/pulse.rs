//! Does the service get on, or does it hang?
//!
//! The watchdog is fed only while it gets on. A pass shows itself by its events; between two of them lies at most one
//! thing that takes long, and each of those has a limit of its own: a request to the CA with all its repetitions,
//! five minutes of a CA's silence, three of `nginx -t`, two until a reload is served, the links of a batch. So however
//! long a pass takes for 50,000 sites, the silence within it stays far below [`SILENCE_MAX`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use renewal::ports::{Event, Observer};
use tokio::time::Instant;

/// When the service must have shown itself again.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    /// Starts with a service that is at work.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now() + SILENCE_MAX)))
    }

    /// Takes in that a pass begins.
    pub fn begin(&self) {
        *self.expected() = Instant::now() + SILENCE_MAX;
    }

    /// Takes in that it got on. Questions to CAs during a rest do not make that end.
    pub fn beat(&self) {
        let mut expected = self.expected();
        *expected = expected.max(Instant::now() + SILENCE_MAX);
    }

    /// Takes in that a pass is over, and that it rests until the next one.
    pub fn rest(&self) {
        *self.expected() = Instant::now() + REST_MAX + SILENCE_MAX;
    }

    /// Says whether it gets on.
    #[must_use]
    pub fn beats(&self) -> bool {
        Instant::now() < *self.expected()
    }

    fn expected(&self) -> MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for Pulse {
    fn saw(&self, _event: Event<'_>) {
        self.beat();
    }
}

/// Feeds the watchdog at half the time that it allows, for as long as the service gets on.
pub(super) async fn feed(pulse: Pulse, limit: Duration, feed: impl Fn()) {
    let mut interval = tokio::time::interval(limit / 2);
    let mut said = false;
    loop {
        interval.tick().await;
        let beats = pulse.beats();
        if beats {
            feed();
        } else if !said {
            tracing::error!(
                "the service has not got on for so long that it hangs; it is left to systemd's watchdog"
            );
        }
        said = !beats;
    }
}

/// The longest silence of a pass that gets on.
const SILENCE_MAX: Duration = Duration::from_hours(1);

/// The longest rest: a pass is made once a day, whatever happens, and a little later when others fall due with it.
const REST_MAX: Duration = Duration::from_hours(25);

#[cfg(test)]
mod tests {
    use super::{Pulse, feed};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// Lets so many hours pass, with something done each time, and returns how often the watchdog was fed in the last.
    async fn fed(hours: usize, each: impl Fn(&Pulse)) -> usize {
        let (pulse, count) = (Pulse::new(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&count);
        let limit = Duration::from_mins(10);
        let feeding = tokio::spawn(feed(pulse.clone(), limit, move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        let mut before = 0;
        for _ in 0..hours {
            before = count.load(Ordering::Relaxed);
            each(&pulse);
            // A little less, so that what is done each hour is in time.
            tokio::time::sleep(Duration::from_mins(59)).await;
        }
        feeding.abort();
        count.load(Ordering::Relaxed) - before
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_that_gets_on_may_last_for_days() {
        assert!(fed(60, Pulse::beat).await > 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_that_hangs_is_left_to_the_watchdog() {
        assert!(fed(1, |_| {}).await > 0);
        assert_eq!(fed(3, |_| {}).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_of_a_day_is_none() {
        let once = std::cell::Cell::new(false);
        let rest = |pulse: &Pulse| {
            if !once.replace(true) {
                pulse.rest();
            }
        };
        assert!(fed(24, rest).await > 0);
        once.set(false);
        assert_eq!(fed(30, rest).await, 0, "the daily pass did not come");
        once.set(false);
        let asking = |pulse: &Pulse| {
            rest(pulse);
            pulse.beat();
        };
        assert!(fed(24, asking).await > 0, "a question ends no rest");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_that_hangs_after_a_rest_is_not_taken_for_the_rest() {
        let pulse = Pulse::new();
        pulse.rest();
        pulse.begin();
        tokio::time::sleep(Duration::from_hours(2)).await;
        assert!(!pulse.beats());
    }
}
