//! What are the panel's users told, and when?
//!
//! | what | told |
//! | --- | --- |
//! | a failure that somebody must mend: the site's, or this host's | at once |
//! | a failure that may pass: the CA's, the network's | when it lasts, or the certificate is about to end |
//! | that it works again | when the failure was told |
//! | a name that was left out | when that happens |
//! | an imported certificate that nobody renews | when it ends soon, and again in its last week |
//!
//! Each is told once, however often it is seen.

use jiff::{SignedDuration, Timestamp};

use crate::finding::{Finding, FindingName, Severity};
use crate::name::Name;
use crate::panel::{Notice, NoticeLevel};
use crate::report::{Outcome, SiteReport};
use crate::retry::{Attempts, Blame};

/// Returns what is to be told of a site that failed; `None` while nobody need do anything.
#[must_use]
pub fn of_failure(report: &SiteReport, attempts: &Attempts, now: Timestamp) -> Option<Notice> {
    if report.outcome != Outcome::Failed || !needs_somebody(report, attempts, now) {
        return None;
    }
    let domain = report.domain();
    let cause = report.findings.first();
    Some(Notice {
        level: NoticeLevel::Critical,
        subject: failure_subject(domain),
        message: cause.map_or_else(|| attempts.cause.clone(), text),
        ends: Some(recovery_subject(domain)),
    })
}

/// Returns what is to be told of a site that works again.
#[must_use]
pub fn of_recovery(report: &SiteReport) -> Notice {
    let domain = report.domain();
    let end = report
        .certificate
        .as_ref()
        .map_or_else(String::new, |(certificate, _)| {
            format!(
                "Its certificate is valid until {}.",
                certificate.valid.end()
            )
        });
    Notice {
        level: NoticeLevel::Info,
        subject: recovery_subject(domain),
        message: end,
        ends: Some(failure_subject(domain)),
    }
}

/// Returns what is to be told of a finding that is no failure; `None` for one that concerns nobody but admins.
#[must_use]
pub fn of_finding(report: &SiteReport, finding: &Finding) -> Option<Notice> {
    let domain = report.domain();
    let end = || {
        let certificate = report.certificate.as_ref();
        certificate.map(|(certificate, _)| certificate.valid.end())
    };
    let (level, subject) = match finding.name {
        FindingName::NameLeftOut => (
            NoticeLevel::Warning,
            format!("clpctl: {}", finding.explanation),
        ),
        FindingName::CertificateEndsSoon if finding.severity == Severity::Error => (
            NoticeLevel::Critical,
            format!(
                "clpctl: the imported certificate of {domain} ends within a week, on {}",
                end()?
            ),
        ),
        FindingName::CertificateEndsSoon => (
            NoticeLevel::Warning,
            format!(
                "clpctl: the imported certificate of {domain} ends on {}",
                end()?
            ),
        ),
        _ => return None,
    };
    Some(Notice {
        level,
        subject,
        message: text(finding),
        ends: None,
    })
}

/// Returns the subject under which a failure of the site is told.
#[must_use]
pub fn failure_subject(domain: &Name) -> String {
    format!("clpctl: the certificate of {domain} could not be renewed")
}

fn recovery_subject(domain: &Name) -> String {
    format!("clpctl: the certificate of {domain} is renewed again")
}

fn needs_somebody(report: &SiteReport, attempts: &Attempts, now: Timestamp) -> bool {
    match attempts.blame {
        Blame::Site | Blame::Host => true,
        Blame::Ca | Blame::Network => {
            let near = |end: Timestamp| end.duration_since(now) <= NEAR_END;
            let certificate = report.certificate.as_ref();
            attempts.failures >= LASTING
                || certificate.is_some_and(|(certificate, _)| near(certificate.valid.end()))
        }
    }
}

fn text(finding: &Finding) -> String {
    let parts = [&finding.explanation, &finding.detail, &finding.fix];
    let parts = parts.into_iter().map(|part| part.trim());
    let said: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    format!("{} (clpctl explain {})", said.join(" "), finding.name)
}

/// So many failures in a row of a CA or the network take most of a day: that is no short outage.
const LASTING: u32 = 5;

/// CloudPanel's own renewal would begin here, too.
const NEAR_END: SignedDuration = SignedDuration::from_hours(7 * 24);

#[cfg(test)]
mod tests {
    use super::{of_failure, of_finding};
    use crate::finding::{Finding, FindingName, Severity};
    use crate::panel::fixture::{NOW, site};
    use crate::report::{Outcome, SiteReport};
    use crate::retry::{Attempts, Blame};
    use expect_test::{Expect, expect};
    use jiff::Timestamp;

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn report(end: &str, finding: Finding) -> SiteReport {
        let site = site("a.test", &format!("1 until {end}"));
        let current = site.current.unwrap();
        SiteReport {
            names: site.wanted,
            outcome: Outcome::Failed,
            reason: String::new(),
            due_at: None,
            retry_at: None,
            certificate: Some((current.certificate, current.path)),
            served: Vec::new(),
            findings: vec![finding],
        }
    }

    #[track_caller]
    fn check(blame: Blame, times: u32, end: &str, expect: Expect) {
        let finding = Finding::new(FindingName::CaBusy, "It is so.").fix("Do this.");
        let report = report(end, finding);
        let mut attempts = None;
        for _ in 0..times {
            attempts = Some(Attempts::failed(
                attempts.as_ref(),
                blame,
                true,
                None,
                "x".into(),
                now(),
            ));
        }
        let notice = of_failure(&report, &attempts.unwrap(), now());
        expect.assert_eq(&notice.map_or("nothing".to_owned(), |notice| {
            format!("{:?} {}: {}", notice.level, notice.subject, notice.message)
        }));
    }

    #[test]
    fn what_somebody_must_mend_is_told_at_once_and_what_may_pass_when_it_lasts() {
        let told = || {
            expect![
                "Critical clpctl: the certificate of a.test could not be renewed: It is so. Do this. (clpctl explain ca-busy)"
            ]
        };
        check(Blame::Site, 1, "02-25", told());
        check(Blame::Host, 1, "02-25", told());
        check(Blame::Ca, 1, "02-25", expect!["nothing"]);
        check(Blame::Network, 4, "02-25", expect!["nothing"]);
        check(Blame::Network, 5, "02-25", told());
        check(Blame::Ca, 1, "02-08", told());
    }

    #[test]
    fn an_imported_certificate_is_told_of_twice_at_most() {
        let ends = Finding::new(FindingName::CertificateEndsSoon, "Nobody renews it.");
        let subject = |end: &str, finding: &Finding| {
            of_finding(&report(end, finding.clone()), finding)
                .unwrap()
                .subject
        };
        expect!["clpctl: the imported certificate of a.test ends on 2026-02-25T00:00:00Z"]
            .assert_eq(&subject("02-25", &ends));
        let now = ends.severity(Severity::Error);
        expect![
            "clpctl: the imported certificate of a.test ends within a week, on 2026-02-05T00:00:00Z"
        ]
        .assert_eq(&subject("02-05", &now));
        let other = Finding::new(FindingName::NamesOverlap, "They do.");
        assert!(of_finding(&report("02-05", other.clone()), &other).is_none());
    }
}
