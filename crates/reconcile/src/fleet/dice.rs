//! Chance that repeats itself: the same seed gives the same numbers.

/// A generator of numbers (SplitMix64, by Guy Steele and others).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// Starts from a seed and a number of its own, so that two of one seed differ.
    pub(super) fn new(seed: u64, own: u64) -> Self {
        let mut dice = Self(seed);
        let mixed = dice.next() ^ own.wrapping_mul(GOLDEN);
        Self(mixed)
    }

    /// Returns any number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`; 0 for a bound of nothing.
    pub(super) fn below(&mut self, bound: i64) -> i64 {
        let Ok(bound) = u64::try_from(bound) else {
            return 0;
        };
        let number = self.next().checked_rem(bound).unwrap_or(0);
        i64::try_from(number).unwrap_or(0)
    }

    /// Returns true `percent` times of a hundred.
    pub(super) fn percent(&mut self, percent: i64) -> bool {
        self.below(100) < percent
    }
}

/// 2⁶⁴ divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
