//! Where do unguessable and repeatable numbers come from?
//!
//! Ids, tokens, nonces and serials are unguessable. Which request a fault hits is
//! repeatable: it follows from the seed in the options.

use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Returns `N` unguessable bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)
        .expect("the system's source of randomness never fails once it has been seeded");
    bytes
}

/// Returns an unguessable text that may stand in a URL.
pub(crate) fn id() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<16>())
}

/// Returns a challenge token: 256 bits, more than the 128 that RFC 8555 section 8.3 asks for.
pub(crate) fn token() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<32>())
}

/// Numbers that are the same for the same seed (Vigna's splitmix64).
#[derive(Debug)]
pub(crate) struct Dice(Mutex<u64>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(Mutex::new(seed))
    }

    /// Says yes with the given probability.
    pub(crate) fn happens(&self, probability: f64) -> bool {
        // 53 bits fill a float's mantissa: the numbers are spread evenly over [0, 1).
        let number = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        number < probability
    }

    /// Brings the items into an order that follows from the seed.
    pub(crate) fn shuffle<T>(&self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = (self.next() % (last as u64 + 1)) as usize;
            items.swap(last, other);
        }
    }

    fn next(&self) -> u64 {
        let mut state = lock(&self.0);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Locks, even after a panic elsewhere: every change under our locks is a single step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_dice() {
        let throw = |seed| {
            let dice = Dice::new(seed);
            (0..100).map(|_| dice.happens(0.5)).collect::<Vec<_>>()
        };
        assert_eq!(throw(7), throw(7));
        assert_ne!(throw(7), throw(8));
    }

    #[test]
    fn never_and_always_are_kept() {
        let dice = Dice::new(1);
        assert!((0..1000).all(|_| !dice.happens(0.0) && dice.happens(1.0)));
    }

    #[test]
    fn ids_differ() {
        assert_ne!(id(), id());
        assert_eq!(token().len(), 43);
    }
}
