//! Does anything that a CA may send make a reader of this crate panic, hang or say too much?
//!
//! [`read`] gives the same bytes to every reader: what is a directory to one is a problem to another. It is played with
//! seeded noise by the tests below, and with coverage-guided fuzzing by `fuzz/run`.

use std::hint::black_box;

use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use renewal::name::Name;
use renewal::ports::OrderFailure;
use renewal::secret::Secret;

use crate::authorization::{Authorization, ValidationRecord};
use crate::bounds::{FINDINGS_MAX, WORDS_MAX};
use crate::diagnosis::{self, Detail, Diagnosis};
use crate::directory::Directory;
use crate::failure;
use crate::order::Order;
use crate::origin::Origins;
use crate::problem::{self, Problem, without_tokens};
use crate::{account, retry_after};

/// Has every reader read these bytes.
///
/// # Panics
///
/// When one of them breaks a promise.
pub fn read(bytes: &[u8]) {
    let url = "https://ca.test/directory".parse().expect("it is a URL");
    let _ = black_box(Directory::read(&url, bytes));
    let _ = black_box(serde_json::from_slice::<Authorization>(bytes));
    if let Ok(order) = serde_json::from_slice::<Order>(bytes)
        && let Some(problem) = order.error
    {
        diagnose(&problem);
    }
    let text = String::from_utf8_lossy(bytes);
    let headers = header(bytes);
    let now = Timestamp::UNIX_EPOCH;
    if let Some(wait) = retry_after::wait(&headers, now) {
        assert!(!wait.is_negative(), "no wait ends before it begins");
    }
    for relation in ["alternate", "help"] {
        black_box(problem::link(&headers, relation).count());
    }
    let problem = Problem::read(bytes, &headers).unwrap_or_else(|| Problem {
        detail: text.clone().into_owned(),
        kind: "urn:ietf:params:acme:error:rateLimited".to_owned(),
        ..Problem::default()
    });
    diagnose(&problem);
    let mut origins = Origins::default();
    origins.allow(&url);
    if let Ok(uri) = origins.read(&text) {
        assert_eq!(
            uri.host().map(str::to_ascii_lowercase).as_deref(),
            Some("ca.test")
        );
    }
    assert!(without_tokens(&text).len() <= text.len() * 3);
    black_box(Detail::read(&text));
    let _ = black_box(account::pem_of_jwk(&Secret::new(text.into_owned())));
}

/// Puts the bytes where a reply has headers.
fn header(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let line: Vec<u8> = bytes
        .iter()
        .copied()
        .filter(|b| !matches!(b, b'\r' | b'\n'))
        .collect();
    if let Ok(value) = HeaderValue::from_bytes(&line) {
        for name in ["retry-after", "date", "link"] {
            headers.insert(name, value.clone());
        }
    }
    headers
}

fn diagnose(problem: &Problem) {
    let name = Name::parse("a.test").expect("it is a name");
    let records = [ValidationRecord::default()];
    for status in [StatusCode::BAD_REQUEST, StatusCode::TOO_MANY_REQUESTS] {
        judge(diagnosis::refusal(status, problem));
    }
    judge(diagnosis::validation(&name, problem, &records, &[]));
    black_box(diagnosis::is_pause(problem));
    assert!(problem.to_string().chars().count() <= 2 * WORDS_MAX + 3);
}

fn judge(diagnosis: Diagnosis) {
    assert!(!diagnosis.findings.is_empty(), "there is always a cause");
    assert!(diagnosis.findings.len() <= FINDINGS_MAX);
    let failure: OrderFailure = failure::bounded(failure::diagnosed(diagnosis, None));
    for finding in &failure.findings {
        for text in [&finding.explanation, &finding.detail, &finding.fix] {
            assert!(text.chars().count() <= WORDS_MAX + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use testkit::noise;

    use super::read;

    #[test]
    fn noise_is_read_by_all() {
        noise::bytes(2_000, 300, read);
    }

    #[test]
    fn pieces_of_what_cas_say_are_read_by_all() {
        noise::pieces(6_000, 25, &PIECES, read);
    }

    #[test]
    fn large_replies_take_linear_time() {
        // Without optimisation, on a machine at work; what is quadratic takes minutes.
        let more = ["[", "{\"a\":", "\\", "\u{202e}", "9", "-", ".", ": "];
        let pieces = PIECES.into_iter().chain(more);
        noise::repeated(256 << 10, pieces, Duration::from_secs(10), read);
    }

    const PIECES: [&str; 34] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "null",
        "1e999",
        "{\"type\":\"urn:ietf:params:acme:error:rateLimited\",\"detail\":\"",
        "\",\"status\":429}",
        "\"status\":\"valid\"",
        "\"error\":{\"detail\":\"",
        "\"subproblems\":[{\"identifier\":{\"type\":\"dns\",\"value\":\"",
        "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s",
        ", retry after ",
        "2026-01-02 15:04:05 UTC",
        "9999-99-99 99:99:99 UTC",
        ": see https://letsencrypt.org/docs/rate-limits/#",
        "During secondary validation: ",
        "While processing CAA for a.test: ",
        "2001:db8::1: ",
        "Fetching http://a.test/x: ",
        "Connection refused",
        "\\\"a.test\\\"",
        "Please visit: https://ca/?jwt=x",
        "https://ca.test/",
        "https://user@ca.test:443@evil/",
        "<https://ca.test/1>;rel=\"alternate\"",
        "Sun, 01 Feb 2026 00:00:30 GMT",
        "\u{0}",
        "\u{1b}[2J",
        "é",
        "99999999999999999999",
    ];
}
