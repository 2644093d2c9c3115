//! When is somebody told that a certificate ends, which nobody renews?
//!
//! An imported certificate is watched: its end is told in good time, once a run, until it is replaced.

use jiff::{SignedDuration, Timestamp};

use crate::finding::{Finding, FindingName, Severity};
use crate::site::{Current, Site};

/// Returns what is to be told about the end of the site's certificate, if it was imported.
#[must_use]
pub fn warning(site: &Site, now: Timestamp) -> Option<Finding> {
    // CloudPanel's own word for it may have been taken in already.
    let told = |finding: &Finding| finding.name == FindingName::CertificateEndsSoon;
    let current = imported(site).filter(|_| !site.findings.iter().any(told))?;
    let end = current.certificate.valid.end();
    let domain = site.domain();
    let fix = format!(
        "import its successor with clpctl site:install:certificate --domainName={domain}, or have clpctl obtain one: \
         clpctl lets-encrypt:install:certificate --domainName={domain}"
    );
    let finding = if end <= now {
        Finding::new(
            FindingName::CertificateExpired,
            format!(
                "the imported certificate of {domain} has expired, and it is not renewed by itself"
            ),
        )
    } else if tell_at(current) <= now {
        let severity = if in_last_week(current) <= now {
            Severity::Error
        } else {
            Severity::Warning
        };
        Finding::new(
            FindingName::CertificateEndsSoon,
            format!(
                "the imported certificate of {domain} ends soon, and it is not renewed by itself"
            ),
        )
        .severity(severity)
    } else {
        return None;
    };
    Some(finding.detail(format!("it ends on {end}")).fix(fix))
}

/// Returns the next moment at which [`warning`] says something else.
#[must_use]
pub fn next_warning(site: &Site, now: Timestamp) -> Option<Timestamp> {
    let current = imported(site)?;
    let end = current.certificate.valid.end();
    let moments = [tell_at(current), in_last_week(current), end];
    moments.into_iter().find(|moment| *moment > now)
}

fn imported(site: &Site) -> Option<&Current> {
    site.current.as_ref().filter(|_| site.is_imported())
}

/// Returns when a week is left; no sooner than it is told of at all.
fn in_last_week(current: &Current) -> Timestamp {
    let end = current.certificate.valid.end();
    end.checked_sub(LAST_WEEK)
        .unwrap_or(end)
        .max(tell_at(current))
}

fn tell_at(current: &Current) -> Timestamp {
    let valid = current.certificate.valid;
    let latest = valid
        .end()
        .checked_sub(TOLD_BEFORE)
        .unwrap_or(Timestamp::MIN);
    latest.max(valid.at(2, 3))
}

/// Then it is no matter for next week any more.
const LAST_WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Buying a certificate takes people some weeks. One that lives shorter is told of when a third of its life is left.
const TOLD_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);

#[cfg(test)]
mod tests {
    use super::{next_warning, warning};
    use crate::certificate::{Certificate, Fingerprint};
    use crate::choice::{Choice, How};
    use crate::name::Name;
    use crate::names::Names;

    use crate::site::{Current, Site};
    use crate::window::Window;
    use expect_test::{Expect, expect};
    use jiff::Timestamp;

    fn moment(day: &str) -> Timestamp {
        format!("{day}T00:00:00Z").parse().unwrap()
    }

    /// A certificate valid between two days, chosen so, looked at on a day.
    #[track_caller]
    fn check(how: How, valid: &str, today: &str, expect: Expect) {
        let (start, end) = valid.split_once(' ').unwrap();
        let name = Name::parse("a.test").unwrap();
        let leaf = Fingerprint([1; 32]);
        let certificate = Certificate {
            names: vec![name.clone()],
            valid: Window::new(moment(start), moment(end)).unwrap(),
            issuer: "Elsewhere".into(),
            serial: "01".into(),
            sha256: leaf,
            id: None,
            self_signed: false,
        };
        let site = Site {
            current: Some(Current {
                certificate: certificate.into(),
                path: "/live/a.test/fullchain.pem".into(),
                version: Some(1),
                key_fits: true,
            }),
            choice: Some(Choice {
                how,
                leaf,
                at: moment(start),
                newest: 1,
            }),
            ..Site::new(Names::from(name))
        };
        let told = warning(&site, moment(today)).map_or("nothing".to_owned(), |finding| {
            format!("{} {}", finding.severity.as_str(), finding.name)
        });
        let next =
            next_warning(&site, moment(today)).map_or("never".to_owned(), |at| at.to_string());
        expect.assert_eq(&format!("{told}, then {next}"));
    }

    #[test]
    fn the_end_of_an_imported_certificate_is_told_in_good_time() {
        let year = "2025-03-01 2026-03-01";
        check(
            How::Imported,
            year,
            "2026-01-01",
            expect!["nothing, then 2026-01-30T00:00:00Z"],
        );
        check(
            How::Imported,
            year,
            "2026-01-30",
            expect!["warning certificate-ends-soon, then 2026-02-22T00:00:00Z"],
        );
        check(
            How::Imported,
            year,
            "2026-03-01",
            expect!["error certificate-expired, then never"],
        );
        check(
            How::Imported,
            year,
            "2026-02-22",
            expect!["error certificate-ends-soon, then 2026-03-01T00:00:00Z"],
        );
        let short = "2026-02-01 2026-02-16";
        check(
            How::Imported,
            short,
            "2026-02-02",
            expect!["nothing, then 2026-02-11T00:00:00Z"],
        );
    }

    #[test]
    fn what_is_renewed_by_itself_is_not_warned_of() {
        check(
            How::RolledBack,
            "2025-12-01 2026-03-01",
            "2026-02-28",
            expect!["nothing, then never"],
        );
    }
}
