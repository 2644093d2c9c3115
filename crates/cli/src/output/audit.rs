//! How is an audit told, to people and to programs?

use doctor::audit::{Aspect, Audited, score, verdict};
use doctor::examination::{Status, Verdict};
use renewal::finding::Finding;
use serde::Serialize;

use super::findings::push_finding;
use super::fixes::FixDocument;
use super::verdict::of_findings;
use super::wrap::push_wrapped;
use crate::commands::mending::Mended;
use crate::console::{ERROR, FAINT, GOOD, LABEL, WARNING};
use crate::errors::Kind;

/// The document of the contract, with the score.
#[derive(Debug, Serialize)]
pub struct AuditDocument<'a> {
    command: &'static str,
    verdict: Verdict,
    score: u32,
    host: Vec<CheckDocument<'a>>,
    sites: [(); 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    fixes: Option<Vec<FixDocument<'a>>>,
}

/// What came of one aspect. One that found several things stands here once for each.
#[derive(Debug, Serialize)]
struct CheckDocument<'a> {
    check: Aspect,
    status: Status,
    finding: Option<&'a Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

impl<'a> AuditDocument<'a> {
    /// Makes the document; `mended` where fixes were asked for.
    #[must_use]
    pub fn new(audited: &'a [Audited], mended: Option<&'a [Mended]>) -> Self {
        Self {
            command: "host:audit",
            verdict: verdict(audited),
            score: score(audited),
            host: audited.iter().flat_map(documents).collect(),
            sites: [],
            fixes: mended.map(|mended| mended.iter().map(FixDocument::new).collect()),
        }
    }
}

fn documents(audited: &Audited) -> Vec<CheckDocument<'_>> {
    let document = |finding| CheckDocument {
        check: audited.aspect,
        status: audited.status(),
        finding,
        note: audited.note.as_deref(),
    };
    if audited.findings.is_empty() {
        return vec![document(None)];
    }
    audited
        .findings
        .iter()
        .map(|finding| document(Some(finding)))
        .collect()
}

/// Returns 1 when something that a person must mend stands, else 0.
#[must_use]
pub fn exit_code(audited: &[Audited]) -> u8 {
    let findings = audited.iter().flat_map(|one| &one.findings);
    of_findings(findings).map_or(0, Kind::exit_code)
}

/// Writes it for people: the score, then what was found, then what is well.
#[must_use]
pub fn to_text(audited: &[Audited], width: Option<usize>) -> String {
    let verdict = verdict(audited);
    let (style, words) = match verdict {
        Verdict::Ready => (GOOD, "Nothing on this host endangers renewals."),
        Verdict::AtRisk => (WARNING, "Something on this host is risky or broken."),
        Verdict::WillFail => (ERROR, "Renewals on this host will fail."),
    };
    let mut out = format!(
        "{style}{}{style:#}: {words}\nscore {} of 100\n\n",
        verdict.as_str(),
        score(audited)
    );
    for one in audited.iter().filter(|one| !one.findings.is_empty()) {
        out.push_str(&format!("{LABEL}{}{LABEL:#}\n", one.aspect));
        for finding in &one.findings {
            push_finding(&mut out, finding, INDENT, width);
        }
    }
    for one in audited.iter().filter(|one| one.findings.is_empty()) {
        let (style, word) = if one.looked {
            (GOOD, "ok")
        } else {
            (FAINT, "skipped")
        };
        out.push_str(&format!(
            "{LABEL}{}{LABEL:#}  {style}{word}{style:#}",
            one.aspect
        ));
        match &one.note {
            Some(note) => {
                out.push_str("  ");
                push_wrapped(&mut out, note, INDENT, width);
            }
            None => out.push('\n'),
        }
    }
    out
}

/// How far what belongs to a title stands to the right of it.
const INDENT: usize = 2;

#[cfg(test)]
mod tests {
    use super::{AuditDocument, exit_code, to_text};
    use doctor::audit::{Aspect, Audited};
    use expect_test::expect;
    use renewal::finding::{Finding, FindingName};

    fn audited() -> Vec<Audited> {
        let finding = Finding::new(
            FindingName::TlsTooOld,
            "nginx speaks versions of TLS that are broken.",
        )
        .detail("/etc/nginx/nginx.conf:35: TLSv1")
        .fix("Write: ssl_protocols TLSv1.2 TLSv1.3;");
        vec![
            Audited::skipped(Aspect::PanelCron, "there is no CloudPanel here"),
            Audited::found(Aspect::Keys, Vec::new()),
            Audited::found(Aspect::Tls, vec![finding]),
            Audited::found(Aspect::Test, Vec::new()).noting("0.02 s with 12 server blocks"),
        ]
    }

    #[test]
    fn the_score_stands_first() {
        let text = to_text(&audited(), None);
        let text = anstream::adapter::strip_str(&text).to_string();
        expect![[r#"
            at-risk: Something on this host is risky or broken.
            score 85 of 100

            tls-versions
              warning: nginx speaks versions of TLS that are broken.
                seen: /etc/nginx/nginx.conf:35: TLSv1
                fix: Write: ssl_protocols TLSv1.2 TLSv1.3;
                finding: tls-too-old (clpctl explain tls-too-old)
            panel-cron  skipped  there is no CloudPanel here
            keys  ok
            nginx-test  ok  0.02 s with 12 server blocks
        "#]]
        .assert_eq(&text);
        assert_eq!(exit_code(&audited()), 0);
    }

    #[test]
    fn the_document_of_the_contract() {
        let audited = audited();
        let document = serde_json::to_value(AuditDocument::new(&audited, Some(&[]))).unwrap();
        assert_eq!(document["score"], 85);
        assert_eq!(document["verdict"], "at-risk");
        assert_eq!(document["host"][0]["status"], "skipped");
        assert_eq!(document["host"][2]["finding"]["name"], "tls-too-old");
        assert_eq!(document["fixes"], serde_json::json!([]));
    }
}
