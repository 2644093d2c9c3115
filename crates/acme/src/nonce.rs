//! Where does the next nonce come from? (RFC 8555 section 6.5)
//!
//! Every reply brings one, errors included, and all orders share them. A new one is asked for only when none is
//! left, and then seldom: Let's Encrypt allows 20 new nonces a second from one address, and a burst of ten. Who
//! waits for one takes whatever arrives first.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The nonces at hand for one CA.
#[derive(Default)]
pub(crate) struct Nonces {
    fresh: Mutex<Vec<(String, Instant)>>,
    arrived: Notify,
    turns: tokio::sync::Mutex<Option<Instant>>,
}

impl Nonces {
    /// Keeps a nonce; what is no base64url is ignored (RFC 8555 section 6.5.1).
    pub(crate) fn put(&self, nonce: String) {
        if !is_nonce(&nonce) {
            return;
        }
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        if fresh.len() == KEPT_MAX {
            fresh.remove(0);
        }
        fresh.push((nonce, Instant::now()));
        drop(fresh);
        self.arrived.notify_one();
    }

    /// Returns the newest nonce, or asks for one with `fetch` when none arrives before it is our turn to ask.
    pub(crate) async fn take<E, F>(&self, fetch: impl FnOnce() -> F) -> Result<String, E>
    where
        F: Future<Output = Result<String, E>>,
    {
        loop {
            if let Some(nonce) = self.newest() {
                return Ok(nonce);
            }
            tokio::select! {
                biased;
                () = self.arrived.notified() => {}
                () = self.turn() => break,
            }
        }
        match self.newest() {
            Some(nonce) => Ok(nonce),
            None => fetch().await,
        }
    }

    fn newest(&self) -> Option<String> {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        let (nonce, since) = fresh.pop()?;
        if since.elapsed() > LIFE {
            // The others are older still.
            fresh.clear();
            return None;
        }
        Some(nonce)
    }

    /// Waits until the CA may be asked for one more.
    async fn turn(&self) {
        let mut arrival = self.turns.lock().await;
        let now = Instant::now();
        let at = arrival.map_or(now, |arrival| arrival.max(now));
        let burst = INTERVAL * (BURST - 1);
        if at - now > burst {
            tokio::time::sleep_until(at - burst).await;
        }
        *arrival = Some(at + INTERVAL);
    }
}

fn is_nonce(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !text.is_empty() && text.len() <= NONCE_BYTES_MAX && text.bytes().all(allowed)
}

/// CAs forget nonces after some minutes; a refused one costs a request.
const LIFE: Duration = Duration::from_secs(180);

/// Let's Encrypt's limit per address, which hosts behind one address share (facts of 2026-08).
const INTERVAL: Duration = Duration::from_millis(50);
const BURST: u32 = 10;

/// As many as requests are ever in flight.
const KEPT_MAX: usize = 512;

/// Let's Encrypt's have 43 bytes.
const NONCE_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::Nonces;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;
    use tokio::time::Instant;

    async fn take(nonces: &Nonces, asked: &AtomicU32) -> String {
        let answer: Result<String, Infallible> = nonces
            .take(|| async {
                asked.fetch_add(1, Ordering::Relaxed);
                Ok("asked".to_owned())
            })
            .await;
        answer.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_is_taken_and_an_old_one_never() {
        let (nonces, asked) = (Nonces::default(), AtomicU32::new(0));
        nonces.put("one".into());
        nonces.put("two".into());
        nonces.put("not base64url!".into());
        assert_eq!(take(&nonces, &asked).await, "two");
        tokio::time::advance(Duration::from_secs(200)).await;
        assert_eq!(take(&nonces, &asked).await, "asked");
    }

    #[tokio::test(start_paused = true)]
    async fn ten_are_asked_for_at_once_and_then_twenty_a_second() {
        let (nonces, asked) = (Nonces::default(), AtomicU32::new(0));
        let start = Instant::now();
        for _ in 0..10 {
            take(&nonces, &asked).await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..20 {
            take(&nonces, &asked).await;
        }
        assert_eq!(start.elapsed().as_millis(), 1000);
        assert_eq!(asked.load(Ordering::Relaxed), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_turn_takes_what_arrives() {
        let (nonces, asked) = (std::sync::Arc::new(Nonces::default()), AtomicU32::new(0));
        for _ in 0..10 {
            take(&nonces, &asked).await;
        }
        let feeder = std::sync::Arc::clone(&nonces);
        tokio::spawn(async move { feeder.put("fed".into()) });
        assert_eq!(take(&nonces, &asked).await, "fed");
    }
}
