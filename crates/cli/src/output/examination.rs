//! How is an examination told, to people and to programs?

use doctor::Examination;
use doctor::examination::{Checked, SiteExamined, Status, Verdict};
use renewal::finding::Finding;
use renewal::name::Name;
use serde::Serialize;

use super::findings::push_finding;
use super::fixes::FixDocument;
use super::verdict::of_findings;
use super::wrap::push_wrapped;
use crate::commands::mending::Mended;
use crate::console::{ERROR, FAINT, GOOD, LABEL, WARNING};
use crate::errors::{CommandError, Kind};

/// The document of the contract.
#[derive(Debug, Serialize)]
pub struct ExaminationDocument<'a> {
    command: &'a str,
    verdict: Verdict,
    host: &'a [Checked],
    sites: Vec<SiteDocument<'a>>,
}

#[derive(Debug, Serialize)]
struct SiteDocument<'a> {
    domain: &'a Name,
    verdict: Verdict,
    checks: &'a [Checked],
}

impl<'a> ExaminationDocument<'a> {
    /// Makes the document about what `command` found.
    #[must_use]
    pub fn new(command: &'a str, examination: &'a Examination) -> Self {
        let sites = examination.sites.iter().map(|site| SiteDocument {
            domain: &site.domain,
            verdict: site.verdict,
            checks: &site.checks,
        });
        Self {
            command,
            verdict: examination.verdict,
            host: &examination.host,
            sites: sites.collect(),
        }
    }
}

/// Makes the document about what `command` found after it had mended what it could.
///
/// # Errors
///
/// When a value has no form in JSON, which would be a defect.
pub fn with_fixes(
    command: &str,
    examination: &Examination,
    mended: &[Mended],
) -> Result<serde_json::Value, CommandError> {
    let document = serde_json::to_value(ExaminationDocument::new(command, examination));
    let fixes: Vec<FixDocument<'_>> = mended.iter().map(FixDocument::new).collect();
    let both = document.and_then(|document| Ok((document, serde_json::to_value(fixes)?)));
    let (mut document, fixes) = both.map_err(|cause| {
        CommandError::defect("A result could not be written as JSON.").because(&cause)
    })?;
    document["fixes"] = fixes;
    Ok(document)
}

/// Returns 1 when something that a person must mend stands, 3 when it passes by itself, else 0.
#[must_use]
pub fn exit_code(examination: &Examination) -> u8 {
    let of_sites = examination.sites.iter().flat_map(|site| &site.checks);
    let all = examination.host.iter().chain(of_sites);
    of_findings(all.filter_map(|checked| checked.finding.as_ref())).map_or(0, Kind::exit_code)
}

/// Writes it for people: the verdict, then what is wrong, then what is well in a line.
#[must_use]
pub fn to_text(examination: &Examination, width: Option<usize>) -> String {
    let mut out = headline(examination);
    push_part(&mut out, "this host", None, &examination.host, width);
    let (ready, rest): (Vec<_>, Vec<_>) = examination.sites.iter().partition(|site| is_well(site));
    // One site is told in full, many only where there is something to tell.
    let is_alone = ready.len() == 1 && rest.is_empty();
    for site in if is_alone { &ready } else { &rest } {
        push_part(
            &mut out,
            site.domain.as_str(),
            Some(site.verdict),
            &site.checks,
            width,
        );
    }
    if !is_alone && !ready.is_empty() {
        let names: Vec<&str> = ready
            .iter()
            .take(NAMES_SHOWN)
            .map(|site| site.domain.as_str())
            .collect();
        let more = ready.len() - names.len();
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        out.push_str(&format!("{GOOD}ready{GOOD:#} "));
        push_wrapped(
            &mut out,
            &format!("{}{more}", names.join(", ")),
            INDENT,
            width,
        );
    }
    out
}

fn headline(examination: &Examination) -> String {
    let total = examination.sites.len();
    let with = |verdict| {
        examination
            .sites
            .iter()
            .filter(|site| site.verdict == verdict)
            .count()
    };
    let (style, words) = match examination.verdict {
        Verdict::WillFail if total == 0 => {
            (ERROR, "No site is seen, so none can be renewed.".to_owned())
        }
        Verdict::Ready | Verdict::AtRisk if total == 0 => {
            (WARNING, "There is no site here.".to_owned())
        }
        Verdict::Ready => (
            GOOD,
            format!(
                "{} can be renewed, and nothing stands in the way.",
                sites(total)
            ),
        ),
        Verdict::AtRisk => (
            WARNING,
            format!(
                "{} can be renewed, but something is risky or broken.",
                sites(total)
            ),
        ),
        Verdict::WillFail if total == 0 => {
            (ERROR, "No site is seen, so none can be renewed.".to_owned())
        }
        Verdict::WillFail => (
            ERROR,
            format!(
                "The renewal of {} of {} would fail now.",
                with(Verdict::WillFail),
                sites(total)
            ),
        ),
    };
    format!(
        "{style}{}{style:#}: {words}\n\n",
        examination.verdict.as_str()
    )
}

fn sites(count: usize) -> String {
    match count {
        1 => "1 site".to_owned(),
        count => format!("{count} sites"),
    }
}

/// Says whether there is nothing to tell about a site.
fn is_well(site: &SiteExamined) -> bool {
    site.verdict == Verdict::Ready && site.checks.iter().all(|checked| checked.finding.is_none())
}

fn push_part(
    out: &mut String,
    title: &str,
    verdict: Option<Verdict>,
    checks: &[Checked],
    width: Option<usize>,
) {
    let verdict = verdict.map(|verdict| {
        let style = match verdict {
            Verdict::Ready => GOOD,
            Verdict::AtRisk => WARNING,
            Verdict::WillFail => ERROR,
        };
        format!("  {style}{}{style:#}", verdict.as_str())
    });
    out.push_str(&format!(
        "{LABEL}{title}{LABEL:#}{}\n",
        verdict.unwrap_or_default()
    ));
    for finding in worst_first(checks) {
        push_finding(out, finding, INDENT, width);
    }
    let of = |status| {
        checks
            .iter()
            .filter(move |checked| checked.status == status)
    };
    let passed: Vec<&str> = of(Status::Passed)
        .map(|checked| checked.check.as_str())
        .collect();
    if !passed.is_empty() {
        push_line(out, "passed", &passed.join(", "), width);
    }
    for checked in of(Status::Skipped) {
        let why = checked.note.as_deref().unwrap_or_default();
        push_line(out, "skipped", &format!("{}: {why}", checked.check), width);
    }
    out.push('\n');
}

/// Returns what was found, the worst first, and otherwise in the order of the checks.
fn worst_first(checks: &[Checked]) -> Vec<&Finding> {
    let mut findings: Vec<&Finding> = checks
        .iter()
        .filter_map(|checked| checked.finding.as_ref())
        .collect();
    findings.sort_by_key(|finding| finding.severity);
    findings
}

fn push_line(out: &mut String, label: &str, text: &str, width: Option<usize>) {
    out.push_str(&format!("  {FAINT}{label}{FAINT:#} "));
    push_wrapped(out, text, INDENT * 2, width);
}

/// How far what belongs to a title stands to the right of it.
const INDENT: usize = 2;

/// More names say no more.
const NAMES_SHOWN: usize = 12;

#[cfg(test)]
mod tests {
    use super::{ExaminationDocument, exit_code, to_text};
    use crate::testing::name;
    use doctor::examination::{Checked, SiteExamined, Status, Verdict};
    use doctor::{Check, Examination};
    use expect_test::{Expect, expect};
    use renewal::finding::{Finding, FindingName};

    fn checked(check: Check, status: Status, finding: Option<FindingName>) -> Checked {
        let finding = finding.map(|name| {
            Finding::new(name, name.meaning())
                .detail("what was seen")
                .fix("do this")
        });
        let note = (status == Status::Skipped).then(|| "“dns” comes first".to_owned());
        Checked {
            check,
            status,
            finding,
            note,
        }
    }

    fn examination() -> Examination {
        let well = |domain: &str| SiteExamined {
            domain: name(domain),
            verdict: Verdict::Ready,
            checks: vec![checked(Check::Vhost, Status::Passed, None)],
        };
        Examination {
            verdict: Verdict::WillFail,
            host: vec![
                checked(Check::Nginx, Status::Passed, None),
                checked(
                    Check::Schedule,
                    Status::Warning,
                    Some(FindingName::ServiceNotRunning),
                ),
            ],
            sites: vec![
                well("a.test"),
                SiteExamined {
                    domain: name("b.test"),
                    verdict: Verdict::WillFail,
                    checks: vec![
                        checked(
                            Check::Vhost,
                            Status::Warning,
                            Some(FindingName::NamesOverlap),
                        ),
                        checked(Check::Dns, Status::Failed, Some(FindingName::DnsNoSuchName)),
                        checked(Check::Challenge, Status::Skipped, None),
                    ],
                },
                well("c.test"),
            ],
        }
    }

    fn check(examination: &Examination, expect: Expect) {
        let text = to_text(examination, None);
        let text = anstream::adapter::strip_str(&text).to_string();
        expect.assert_eq(&format!("{text}exit {}\n", exit_code(examination)));
    }

    #[test]
    fn the_verdict_stands_first_and_the_worst_before_the_rest() {
        check(
            &examination(),
            expect![[r#"
            will-fail: The renewal of 1 of 3 sites would fail now.

            this host
              warning: The scheduler does not run.
                seen: what was seen
                fix: Do this.
                finding: service-not-running (clpctl explain service-not-running)
              passed nginx

            b.test  will-fail
              fatal: The name does not exist in DNS.
                seen: what was seen
                fix: Do this.
                finding: dns-no-such-name (clpctl explain dns-no-such-name)
              warning: Two server blocks claim the same name.
                seen: what was seen
                fix: Do this.
                finding: names-overlap (clpctl explain names-overlap)
              skipped challenge: “dns” comes first

            ready a.test, c.test
            exit 1
        "#]],
        );
    }

    #[test]
    fn one_site_that_is_well_is_told_in_full() {
        let mut examination = examination();
        examination.sites.truncate(1);
        examination.host.truncate(1);
        examination.verdict = Verdict::Ready;
        check(
            &examination,
            expect![[r#"
            ready: 1 site can be renewed, and nothing stands in the way.

            this host
              passed nginx

            a.test  ready
              passed vhost

            exit 0
        "#]],
        );
    }

    #[test]
    fn the_document_of_the_contract() {
        let mut examination = examination();
        examination.sites.drain(..1);
        examination.host.truncate(1);
        let document = ExaminationDocument::new("site:doctor", &examination);
        expect![[r#"
            {
              "command": "site:doctor",
              "verdict": "will-fail",
              "host": [
                {
                  "check": "nginx",
                  "status": "passed",
                  "finding": null
                }
              ],
              "sites": [
                {
                  "domain": "b.test",
                  "verdict": "will-fail",
                  "checks": [
                    {
                      "check": "vhost",
                      "status": "warning",
                      "finding": {
                        "name": "names-overlap",
                        "severity": "warning",
                        "explanation": "two server blocks claim the same name",
                        "detail": "what was seen",
                        "fix": "do this"
                      }
                    },
                    {
                      "check": "dns",
                      "status": "failed",
                      "finding": {
                        "name": "dns-no-such-name",
                        "severity": "fatal",
                        "explanation": "the name does not exist in DNS",
                        "detail": "what was seen",
                        "fix": "do this"
                      }
                    },
                    {
                      "check": "challenge",
                      "status": "skipped",
                      "finding": null,
                      "note": "“dns” comes first"
                    }
                  ]
                },
                {
                  "domain": "c.test",
                  "verdict": "ready",
                  "checks": [
                    {
                      "check": "vhost",
                      "status": "passed",
                      "finding": null
                    }
                  ]
                }
              ]
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&document).unwrap());
    }
}
