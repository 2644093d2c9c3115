//! When does the CA want to be asked again?
//!
//! Retry-After comes as seconds or as a date (RFC 9110 section 10.2.3). A date is measured from the reply's own
//! Date, so that a wrong clock on either side makes no difference.

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use jiff::{SignedDuration, Timestamp};

/// Returns how long to wait, if the reply says so; never less than nothing.
pub(crate) fn wait(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(SignedDuration::from_secs(i64::from(seconds)));
    }
    let wait = moment(text)?.duration_since(date(headers).unwrap_or(now));
    Some(wait.max(SignedDuration::ZERO))
}

/// Returns when the reply was made, by the clock of whoever made it.
pub(crate) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    moment(headers.get(DATE)?.to_str().ok()?)
}

/// Reads an HTTP date. The weekday is not checked: it adds nothing, and is wrong surprisingly often.
fn moment(text: &str) -> Option<Timestamp> {
    static PARSER: jiff::fmt::rfc2822::DateTimeParser =
        jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    PARSER.parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use http::HeaderMap;

    #[track_caller]
    fn check(retry_after: &str, date: Option<&str>, expect: Expect) {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", retry_after.parse().unwrap());
        if let Some(date) = date {
            headers.insert("date", date.parse().unwrap());
        }
        let wait = super::wait(&headers, "2026-02-01T00:00:00Z".parse().unwrap());
        expect.assert_eq(&wait.map_or_else(|| "none".to_owned(), |wait| format!("{wait:#}")));
    }

    #[test]
    fn seconds_and_dates_are_read() {
        check("120", None, expect!["2m"]);
        check(" 0 ", None, expect!["0s"]);
        check("Sun, 01 Feb 2026 00:00:30 GMT", None, expect!["30s"]);
        check("Mon, 01 Feb 2026 00:00:30 GMT", None, expect!["30s"]);
        check("Sat, 31 Jan 2026 00:00:30 GMT", None, expect!["0s"]);
    }

    #[test]
    fn a_wrong_clock_here_changes_nothing() {
        check(
            "Sun, 01 Mar 2026 00:00:30 GMT",
            Some("Sun, 01 Mar 2026 00:00:10 GMT"),
            expect!["20s"],
        );
    }

    #[test]
    fn nonsense_is_no_wish() {
        check("", None, expect!["none"]);
        check("soon", None, expect!["none"]);
        check("-5", None, expect!["none"]);
        check("99999999999999999999", None, expect!["none"]);
    }
}
