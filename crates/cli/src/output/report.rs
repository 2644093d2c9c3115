//! What came of a run, in plain sentences?
//!
//! A site for which something was done, or should have been, gets a paragraph: the outcome, the reason, what is
//! wrong and how to mend it, and what that costs. Sites that are not due are only counted, unless more is wanted.

use std::fmt::Write as _;

use anstyle::Style;
use jiff::Timestamp;
use renewal::report::{Outcome, Report, SiteReport};

use super::findings::{push_finding, sentence};
use super::verdict;
use super::when;
use super::wrap::push_wrapped;
use crate::console::{ERROR, FAINT, GOOD, LABEL, WARNING};

/// How a report is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Whether sites that are not due are told too: they were named, or `-v` was given.
    pub all: bool,
    /// The columns of the terminal, if it is one.
    pub width: Option<usize>,
}

/// Writes what came of a run.
#[must_use]
pub fn to_text(report: &Report, manner: Manner) -> String {
    let now = report.finished_at;
    let mut out = String::new();
    for site in report
        .sites
        .iter()
        .filter(|site| manner.all || is_told(site))
    {
        push_site(&mut out, site, now, manner.width);
    }
    for finding in &report.findings {
        push_finding(&mut out, finding, 0, manner.width);
    }
    if let Some(passed_over) = not_asked_for(report).filter(|_| !manner.all) {
        push_wrapped(&mut out, &passed_over, 0, manner.width);
    }
    push_wrapped(&mut out, &summary(report), 0, manner.width);
    out
}

/// Says that some sites were passed over because nobody asked for their first certificate.
fn not_asked_for(report: &Report) -> Option<String> {
    let without = |site: &&SiteReport| {
        let certificate = site.certificate.as_ref();
        site.outcome == Outcome::Skipped
            && certificate.is_none_or(|(certificate, _)| certificate.self_signed)
    };
    let count = report.sites.iter().filter(without).count();
    let sites = match count {
        0 => return None,
        1 => "1 site has".to_owned(),
        count => format!("{count} sites have"),
    };
    Some(format!(
        "{sites} no certificate of a CA, and nobody asked for one: name a site with --domain, or list it as [[site]]."
    ))
}

fn is_told(site: &SiteReport) -> bool {
    match site.outcome {
        Outcome::NotDue | Outcome::Skipped => verdict::of_site(site).is_some(),
        Outcome::Issued
        | Outcome::Renewed
        | Outcome::Installed
        | Outcome::WouldRenew
        | Outcome::Postponed
        | Outcome::Failed => true,
    }
}

fn push_site(out: &mut String, site: &SiteReport, now: Timestamp, width: Option<usize>) {
    let style = style(site.outcome);
    let word = word(site.outcome);
    let _ = write!(
        out,
        "{LABEL}{}{LABEL:#}  {style}{word}{style:#}",
        site.domain()
    );
    let reason = match site.outcome {
        // There the reason says why it will be due, and stands beside the date.
        Outcome::NotDue => String::new(),
        Outcome::Issued
        | Outcome::Renewed
        | Outcome::Installed
        | Outcome::WouldRenew
        | Outcome::Postponed
        | Outcome::Skipped
        | Outcome::Failed => sentence(&site.reason),
    };
    if !reason.is_empty() {
        out.push_str("  ");
    }
    push_wrapped(out, &reason, INDENT, width);
    let mut line = |text: String| {
        out.extend(std::iter::repeat_n(' ', INDENT));
        push_wrapped(out, &text, INDENT, width);
    };
    let others: Vec<&str> = site
        .names
        .iter()
        .skip(1)
        .map(renewal::name::Name::as_str)
        .collect();
    if !others.is_empty() {
        line(format!("With {}.", others.join(", ")));
    }
    for served in site.served.iter().filter(|served| !served.ok) {
        let why = match (&served.error, served.sha256) {
            (Some(error), _) => format!("there was no TLS handshake: {error}"),
            (None, Some(other)) => {
                let by = served.answered_by.as_ref();
                let by = by.map(|by| format!(" from {by}")).unwrap_or_default();
                format!("another certificate is served{by} (sha256 {other})")
            }
            (None, None) => "nothing is served".to_owned(),
        };
        line(format!("On {}, {why}.", served.address));
    }
    for finding in &site.findings {
        push_finding(out, finding, INDENT, width);
    }
    let mut line = |text: String| {
        out.extend(std::iter::repeat_n(' ', INDENT));
        push_wrapped(out, &text, INDENT, width);
    };
    line(standing(site, now));
    if let Some(retry_at) = site.retry_at {
        line(if retry_at <= now {
            "The next run tries it again.".to_owned()
        } else {
            format!("It is tried again on {}.", when::minute(retry_at))
        });
    }
}

/// Says how the site stands now: what a failure costs, and what a success gained.
#[must_use]
pub fn standing(site: &SiteReport, now: Timestamp) -> String {
    let Some((certificate, path)) = &site.certificate else {
        return "The site has no certificate: over https, visitors get a warning or nothing."
            .to_owned();
    };
    let end = certificate.valid.end();
    if certificate.self_signed {
        return "The site's certificate is self-signed: browsers warn every visitor.".to_owned();
    }
    if end <= now {
        return format!(
            "The present certificate ended on {}, {} ago: browsers warn every visitor.",
            when::date(end),
            when::between(now, end)
        );
    }
    let left = format!("until {}, {}", when::date(end), when::between(end, now));
    match site.outcome {
        Outcome::Issued | Outcome::Renewed | Outcome::Installed => {
            let served: Vec<String> = site
                .served
                .iter()
                .filter(|served| served.ok)
                .map(|served| served.address.to_string())
                .collect();
            let on = if served.is_empty() {
                String::new()
            } else {
                format!(" on {}", served.join(", "))
            };
            format!("{} is valid {left}, and served{on}.", path.display())
        }
        Outcome::NotDue => match site.due_at {
            Some(due_at) => format!(
                "Valid {left}; due on {}: {}.",
                when::date(due_at),
                site.reason
            ),
            None => format!("Valid {left}."),
        },
        Outcome::WouldRenew | Outcome::Postponed | Outcome::Skipped | Outcome::Failed => {
            format!("The present certificate is valid {left}.")
        }
    }
}

/// Counts outcomes in one sentence.
fn summary(report: &Report) -> String {
    let count = |outcome| {
        report
            .sites
            .iter()
            .filter(|site| site.outcome == outcome)
            .count()
    };
    let mut parts = Vec::new();
    for outcome in ALL {
        match count(outcome) {
            0 => {}
            n => parts.push(format!("{n} {}", word(outcome))),
        }
    }
    let sites = match report.sites.len() {
        0 => return "No site was found, so there is nothing to do.".to_owned(),
        1 => "1 site".to_owned(),
        n => format!("{n} sites"),
    };
    let reloads = match report.reloads {
        0 => String::new(),
        1 => " nginx was reloaded once.".to_owned(),
        n => format!(" nginx was reloaded {n} times."),
    };
    let next = match report.wake_at {
        Some(at) if at > report.finished_at => format!(" Next: {}.", when::minute(at)),
        Some(_) | None => String::new(),
    };
    format!("{sites}: {}.{reloads}{next}", parts.join(", "))
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotDue => "not due",
        Outcome::WouldRenew => "would be renewed",
        Outcome::Issued
        | Outcome::Renewed
        | Outcome::Installed
        | Outcome::Postponed
        | Outcome::Skipped
        | Outcome::Failed => outcome.as_str(),
    }
}

fn style(outcome: Outcome) -> Style {
    match outcome {
        Outcome::Issued | Outcome::Renewed | Outcome::Installed => GOOD,
        Outcome::WouldRenew | Outcome::Postponed => WARNING,
        Outcome::NotDue | Outcome::Skipped => FAINT,
        Outcome::Failed => ERROR,
    }
}

/// All outcomes, in the order in which they are counted.
const ALL: [Outcome; 8] = [
    Outcome::Issued,
    Outcome::Renewed,
    Outcome::Installed,
    Outcome::WouldRenew,
    Outcome::NotDue,
    Outcome::Postponed,
    Outcome::Skipped,
    Outcome::Failed,
];

const INDENT: usize = 4;

#[cfg(test)]
mod tests {
    use super::{Manner, to_text};
    use crate::testing::{certificate, not_served, report, served, site_report, time};
    use expect_test::{Expect, expect};
    use renewal::finding::{Finding, FindingName};
    use renewal::report::{Outcome, Report, Served};

    fn check(report: &Report, manner: Manner, expect: Expect) {
        expect.assert_eq(&anstream::adapter::strip_str(&to_text(report, manner)).to_string());
    }

    fn failed() -> renewal::report::SiteReport {
        let mut site = site_report("shop.test www.shop.test", Outcome::Failed);
        let path = "/etc/letsencrypt/live/shop.test/fullchain.pem".into();
        site.certificate = Some((certificate("shop.test", "2026-02-14").into(), path));
        site.findings.push(
            Finding::new(
                FindingName::ChallengeNotFound,
                "the challenge is answered with 404",
            )
            .detail("GET http://shop.test/.well-known/acme-challenge/… on 192.0.2.7: 404")
            .fix("let the vhost serve /.well-known/acme-challenge/ from its document root"),
        );
        site.retry_at = Some(time("2026-02-02T12:00:00Z"));
        site
    }

    #[test]
    fn one_renewed_one_failed_and_the_rest_counted() {
        let mut renewed = site_report("a.test", Outcome::Renewed);
        renewed.certificate = Some((
            certificate("a.test", "2026-05-02").into(),
            "/etc/letsencrypt/live/a.test/fullchain.pem".into(),
        ));
        renewed.served.push(served("127.0.0.1:443"));
        let not_due = site_report("b.test", Outcome::NotDue);
        let mut run = report(vec![renewed, failed(), not_due.clone(), not_due]);
        run.reloads = 1;
        run.wake_at = Some(time("2026-02-01T18:00:00Z"));
        check(
            &run,
            Manner::default(),
            expect![[r#"
                a.test  renewed  A third of its life is left.
                    /etc/letsencrypt/live/a.test/fullchain.pem is valid until 2026-05-02, 89 days, and served on 127.0.0.1:443.
                shop.test  failed  A third of its life is left.
                    With www.shop.test.
                    fatal: The challenge is answered with 404.
                      seen: GET http://shop.test/.well-known/acme-challenge/… on 192.0.2.7: 404
                      fix: Let the vhost serve /.well-known/acme-challenge/ from its document root.
                      finding: challenge-not-found (clpctl explain challenge-not-found)
                    The present certificate is valid until 2026-02-14, 12 days.
                    It is tried again on 2026-02-02 12:00 UTC.
                4 sites: 1 renewed, 2 not due, 1 failed. nginx was reloaded once. Next: 2026-02-01 18:00 UTC.
            "#]],
        );
    }

    #[test]
    fn a_narrow_terminal() {
        check(
            &report(vec![failed()]),
            Manner {
                all: false,
                width: Some(48),
            },
            expect![[r#"
                shop.test  failed  A third of its life is left.
                    With www.shop.test.
                    fatal: The challenge is answered with 404.
                      seen: GET
                        http://shop.test/.well-known/acme-challenge/…
                        on 192.0.2.7: 404
                      fix: Let the vhost serve
                        /.well-known/acme-challenge/ from its
                        document root.
                      finding: challenge-not-found (clpctl explain
                        challenge-not-found)
                    The present certificate is valid until
                    2026-02-14, 12 days.
                    It is tried again on 2026-02-02 12:00 UTC.
                1 site: 1 failed.
            "#]],
        );
    }

    #[test]
    fn nothing_to_do() {
        let mut site = site_report("a.test", Outcome::NotDue);
        site.certificate = Some((certificate("a.test", "2026-05-02").into(), "/x".into()));
        site.due_at = Some(time("2026-04-01T00:00:00Z"));
        check(
            &report(vec![site.clone()]),
            Manner::default(),
            expect![[r#"
                1 site: 1 not due.
            "#]],
        );
        check(
            &report(vec![site]),
            Manner {
                all: true,
                width: None,
            },
            expect![[r#"
                a.test  not due
                    Valid until 2026-05-02, 89 days; due on 2026-04-01: a third of its life is left.
                1 site: 1 not due.
            "#]],
        );
        check(
            &report(Vec::new()),
            Manner::default(),
            expect![[r#"
                No site was found, so there is nothing to do.
            "#]],
        );
    }

    #[test]
    fn another_certificate_is_served_and_the_old_one_has_ended() {
        let mut site = site_report("a.test", Outcome::Failed);
        site.certificate = Some((certificate("a.test", "2026-01-30").into(), "/x".into()));
        site.served.push(Served {
            sha256: Some(renewal::certificate::Fingerprint([7; 32])),
            ok: false,
            answered_by: Some("/etc/nginx/b.conf:3".to_owned()),
            ..served("[::1]:443")
        });
        site.served
            .push(not_served("[::1]:443", "connection refused"));
        check(
            &report(vec![site]),
            Manner::default(),
            expect![[r#"
                a.test  failed  A third of its life is left.
                    On [::1]:443, another certificate is served from /etc/nginx/b.conf:3 (sha256 0707070707070707070707070707070707070707070707070707070707070707).
                    On [::1]:443, there was no TLS handshake: connection refused.
                    The present certificate ended on 2026-01-30, 2 days ago: browsers warn every visitor.
                1 site: 1 failed.
            "#]],
        );
    }
}
