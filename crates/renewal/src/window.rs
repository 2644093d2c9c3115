//! From when until when?

use jiff::{SignedDuration, Timestamp};

/// A stretch of time that is never empty: a certificate's validity, or when a CA would like a renewal.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Window {
    start: Timestamp,
    end: Timestamp,
}

impl Window {
    /// Joins two moments.
    ///
    /// # Errors
    ///
    /// When the end is not after the start.
    pub fn new(start: Timestamp, end: Timestamp) -> Result<Self, EmptyWindow> {
        if end <= start {
            Err(EmptyWindow { start, end })
        } else {
            Ok(Self { start, end })
        }
    }

    /// Returns the first moment inside.
    #[must_use]
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// Returns the first moment after.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        self.end
    }

    /// Returns how long it lasts.
    #[must_use]
    pub fn length(&self) -> SignedDuration {
        self.end.duration_since(self.start)
    }

    /// Says whether `moment` is inside; the end is not.
    #[must_use]
    pub fn contains(&self, moment: Timestamp) -> bool {
        self.start <= moment && moment < self.end
    }

    /// Returns the moment at `part` of `whole` of the way, to the second.
    #[must_use]
    pub fn at(&self, part: u32, whole: u32) -> Timestamp {
        let seconds = self
            .length()
            .as_secs()
            .saturating_mul(i64::from(part.min(whole)))
            / i64::from(whole.max(1));
        let offset = SignedDuration::from_secs(seconds);
        self.start
            .checked_add(offset)
            .unwrap_or(self.end)
            .min(self.end)
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", self.start, self.end)
    }
}

impl<'de> serde::Deserialize<'de> for Window {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Ends {
            start: Timestamp,
            end: Timestamp,
        }
        let Ends { start, end } = Ends::deserialize(deserializer)?;
        Self::new(start, end).map_err(serde::de::Error::custom)
    }
}

/// The window ends before it begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the window ends at {end}, which is not after its start, {start}")]
pub struct EmptyWindow {
    start: Timestamp,
    end: Timestamp,
}
