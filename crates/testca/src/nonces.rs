//! Which nonces are out, and may still come back once?
//!
//! RFC 8555 section 6.5. Only so many are remembered; the oldest are forgotten first, as
//! at a real CA, where a nonce that has waited too long is refused.

use std::collections::{HashSet, VecDeque};
use std::sync::Mutex;

use crate::random::{self, lock};

/// The nonces that were handed out and not yet used.
#[derive(Debug, Default)]
pub(crate) struct Nonces(Mutex<Outstanding>);

#[derive(Debug, Default)]
struct Outstanding {
    known: HashSet<String>,
    by_age: VecDeque<String>,
}

impl Nonces {
    /// Returns a new nonce.
    pub(crate) fn hand_out(&self) -> String {
        let nonce = random::id();
        let mut outstanding = lock(&self.0);
        outstanding.known.insert(nonce.clone());
        outstanding.by_age.push_back(nonce.clone());
        // Used ones stay in the row until their turn: cheaper than looking for them.
        if outstanding.by_age.len() > REMEMBERED
            && let Some(oldest) = outstanding.by_age.pop_front()
        {
            outstanding.known.remove(&oldest);
        }
        nonce
    }

    /// Says whether the nonce was out, and takes it back.
    pub(crate) fn take_back(&self, nonce: &str) -> bool {
        lock(&self.0).known.remove(nonce)
    }
}

/// As many as a client with 64 orders in flight could ever pool, and far more.
const REMEMBERED: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_once() {
        let nonces = Nonces::default();
        let nonce = nonces.hand_out();
        assert!(nonces.take_back(&nonce));
        assert!(!nonces.take_back(&nonce));
    }

    #[test]
    fn a_made_up_nonce_is_refused() {
        assert!(!Nonces::default().take_back(""));
        assert!(!Nonces::default().take_back("AAAA"));
    }

    #[test]
    fn the_oldest_nonce_is_forgotten() {
        let nonces = Nonces::default();
        let oldest = nonces.hand_out();
        let younger = nonces.hand_out();
        for _ in 2..=REMEMBERED {
            nonces.hand_out();
        }
        assert!(!nonces.take_back(&oldest));
        assert!(nonces.take_back(&younger));
    }
}
