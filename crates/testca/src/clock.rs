//! What time is it, for the practice CA?
//!
//! The clock is an option, so that a test can live through ninety days in a second.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Tells the practice CA the time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// Returns the clock of this machine.
    #[expect(
        clippy::disallowed_methods,
        reason = "the practice CA is a program of its own, and this is its one clock"
    )]
    pub fn system() -> Clock {
        Clock::new(Timestamp::now)
    }

    /// Returns a clock that asks `read` each time.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(read))
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Writes a moment as JSON documents of ACME want it (RFC 3339, whole seconds).
pub(crate) fn rfc3339(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Writes a moment as HTTP headers want it (RFC 9110 section 5.6.7).
pub(crate) fn http_date(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC)
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(at: &str, expected: &Expect) {
        let at: Timestamp = at.parse().unwrap();
        expected.assert_eq(&format!("{} = {}", rfc3339(at), http_date(at)));
    }

    #[test]
    fn moments_are_written_in_both_forms() {
        check(
            "2026-02-03T04:05:06.789Z",
            &expect!["2026-02-03T04:05:06Z = Tue, 03 Feb 2026 04:05:06 GMT"],
        );
        check(
            "2019-12-31T23:59:59Z",
            &expect!["2019-12-31T23:59:59Z = Tue, 31 Dec 2019 23:59:59 GMT"],
        );
    }
}
