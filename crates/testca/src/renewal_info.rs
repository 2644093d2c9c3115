//! When should a certificate be renewed, and may an order replace it?
//!
//! RFC 9773. Windows are computed as Boulder does (`core/objects.go`): around a third of
//! the life before its end, or half of it for lives under ten days, two hundredths of the
//! life wide.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::json;

use crate::accounts::Account;
use crate::ca::Ca;
use crate::certificates::Certificate;
use crate::clock::rfc3339;
use crate::endpoint::Endpoint;
use crate::faults::{Occasion, RenewalInfoFault, ReplacesRefusal};
use crate::problems::{Problem, RetryAfter};
use crate::random::lock;
use crate::reply::Reply;

/// When the CA would like to see the renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenewalWindow {
    /// The first moment.
    pub start: Timestamp,
    /// The moment after the last.
    pub end: Timestamp,
}

/// A window that was put in place of the usual one.
#[derive(Clone, Debug)]
pub(crate) struct Suggestion {
    pub(crate) window: RenewalWindow,
    pub(crate) explanation: Option<String>,
}

/// Shows the suggested window of a certificate.
pub(crate) fn show(ca: &Ca, cert_id: &str) -> Result<Reply, Problem> {
    let certificate = find(ca, cert_id).map_err(|_| {
        Problem::not_found(format!("Certificate with identifier {cert_id:?} not found"))
    })?;
    let now = ca.now();
    let (window, explanation) = suggestion(&certificate, now);
    let mut document = json!({
        "suggestedWindow": { "start": rfc3339(window.start), "end": rfc3339(window.end) },
    });
    if let Some(explanation) = explanation {
        document["explanationURL"] = json!(explanation);
    }
    let retry_after = Some(whole_seconds(ca.options.renewal_info_retry_after));
    match ca.faults.take::<RenewalInfoFault>(Occasion {
        endpoint: Endpoint::RenewalInfo,
        names: &certificate.names,
    }) {
        None => {}
        Some(RenewalInfoFault::EndsBeforeStart) => {
            document["suggestedWindow"] =
                json!({ "start": rfc3339(window.end), "end": rfc3339(window.start) });
        }
        Some(RenewalInfoFault::NoWindow) => document = json!({}),
        Some(RenewalInfoFault::NoRetryAfter) => return Ok(Reply::json(200, &document)),
    }
    Ok(Reply::json(200, &document).with_retry_after(retry_after, now))
}

/// Refuses an order that may not replace the certificate, as Boulder does.
pub(crate) fn check_replacement(
    ca: &Ca,
    account: &Account,
    names: &[String],
    cert_id: &str,
) -> Result<(), Problem> {
    let refused = |refusal: ReplacesRefusal| Err(refusal.problem(&serial_in(cert_id)));
    let certificate = match find(ca, cert_id) {
        Ok(certificate) => certificate,
        Err(Some(refusal)) => return refused(refusal),
        Err(None) => {
            return Err(Problem::malformed(
                "Could not validate ARI 'replaces' field :: path was not base64url-encoded or contained a dot too many",
            ));
        }
    };
    if certificate.account != account.id {
        return refused(ReplacesRefusal::ForeignAccount);
    }
    if !names.iter().any(|name| certificate.covers(name)) {
        return refused(ReplacesRefusal::NoCommonName);
    }
    let replaced_by = lock(&certificate.fate).replaced_by.clone();
    if replaced_by.is_some_and(|order| ca.orders.blocks_replacement(ca, &order)) {
        return refused(ReplacesRefusal::AlreadyReplaced);
    }
    Ok(())
}

/// Notes that this order replaces the certificate.
pub(crate) fn note_replacement(ca: &Ca, cert_id: &str, order: &str) {
    if let Ok(certificate) = find(ca, cert_id) {
        lock(&certificate.fate).replaced_by = Some(order.to_owned());
    }
}

/// Returns the certificate that this id names, or why there is none; `None` where the id is no id.
pub(crate) fn find(ca: &Ca, cert_id: &str) -> Result<Arc<Certificate>, Option<ReplacesRefusal>> {
    let (key_id, serial) = parse(cert_id).ok_or(None)?;
    if key_id != ca.hierarchy.authority_key_id {
        return Err(Some(ReplacesRefusal::UnknownIssuer));
    }
    ca.certificates
        .with_serial(&serial)
        .ok_or(Some(ReplacesRefusal::UnknownSerial))
}

/// Returns the serial in a certificate id, in hexadecimal, for messages.
pub(crate) fn serial_in(cert_id: &str) -> String {
    let serial = parse(cert_id).map(|(_, serial)| serial).unwrap_or_default();
    serial.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the id of a certificate (RFC 9773 section 4.1).
pub(crate) fn id_of(ca: &Ca, certificate: &Certificate) -> String {
    let key_id = URL_SAFE_NO_PAD.encode(&ca.hierarchy.authority_key_id);
    format!(
        "{key_id}.{}",
        URL_SAFE_NO_PAD.encode(&certificate.leaf.serial)
    )
}

/// Writes a span as `Retry-After` does.
pub(crate) fn whole_seconds(span: Duration) -> RetryAfter {
    RetryAfter::Seconds(span.as_secs().try_into().unwrap_or(u32::MAX))
}

impl Certificate {
    fn covers(&self, name: &str) -> bool {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|own| {
            own == name || (own.strip_prefix("*.").is_some() && own.strip_prefix("*.") == parent)
        })
    }
}

fn suggestion(certificate: &Certificate, now: Timestamp) -> (RenewalWindow, Option<String>) {
    let fate = lock(&certificate.fate);
    if let Some(suggestion) = &fate.suggestion {
        return (suggestion.window, suggestion.explanation.clone());
    }
    if fate.revoked {
        // In the past, so that the renewal is due at once.
        let window = RenewalWindow {
            start: now - 60 * MINUTE,
            end: now - 30 * MINUTE,
        };
        return (window, None);
    }
    (
        usual_window(certificate.not_before, certificate.not_after),
        None,
    )
}

fn usual_window(not_before: Timestamp, not_after: Timestamp) -> RenewalWindow {
    let life = Duration::from_secs(not_after.as_second().abs_diff(not_before.as_second()));
    let left = if life < SHORT_LIFE {
        life / 2
    } else {
        life / 3
    };
    let ideal = not_after - left;
    RenewalWindow {
        start: ideal - life / 100,
        end: ideal + life / 100,
    }
}

fn parse(cert_id: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (key_id, serial) = cert_id.split_once('.')?;
    Some((
        URL_SAFE_NO_PAD.decode(key_id).ok()?,
        URL_SAFE_NO_PAD.decode(serial).ok()?,
    ))
}

const MINUTE: Duration = Duration::from_secs(60);

/// Lives shorter than this are renewed at half of them.
const SHORT_LIFE: Duration = Duration::from_secs(10 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(hours: u64, expected: &Expect) {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let window = usual_window(start, start + 60 * MINUTE * u32::try_from(hours).unwrap());
        expected.assert_eq(&format!(
            "{} to {}",
            rfc3339(window.start),
            rfc3339(window.end)
        ));
    }

    #[test]
    fn windows_are_those_of_lets_encrypt() {
        check(
            90 * 24,
            &expect!["2026-03-01T02:24:00Z to 2026-03-02T21:36:00Z"],
        );
        check(
            45 * 24,
            &expect!["2026-01-30T13:12:00Z to 2026-01-31T10:48:00Z"],
        );
        check(
            160,
            &expect!["2026-01-04T06:24:00Z to 2026-01-04T09:36:00Z"],
        );
    }

    #[test]
    fn the_example_of_rfc_9773_is_read() {
        assert_eq!(
            serial_in("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"),
            "0087654321"
        );
        assert_eq!(serial_in("no id at all"), "");
    }
}
