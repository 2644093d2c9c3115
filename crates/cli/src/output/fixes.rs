//! How is a fix told, to people and to programs?

use renewal::finding::FindingName;
use renewal::fix::Shown;
use renewal::name::Name;
use serde::Serialize;

use super::findings::sentence;
use super::wrap::push_wrapped;
use crate::commands::mending::{Mended, Outcome};
use crate::console::{ERROR, FAINT, GOOD, LABEL, WARNING};

/// The document of one fix.
#[derive(Debug, Serialize)]
pub struct FixDocument<'a> {
    finding: FindingName,
    site: Option<&'a Name>,
    what: &'a str,
    outcome: Outcome,
    changes: &'a [Shown],
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl<'a> FixDocument<'a> {
    /// Makes the document.
    #[must_use]
    pub fn new(mended: &'a Mended) -> Self {
        Self {
            finding: mended.fix.cures,
            site: mended.fix.site.as_ref(),
            what: &mended.fix.what,
            outcome: mended.outcome,
            changes: &mended.shown,
            why: mended.why.as_ref().map(|finding| {
                let mut text = finding.explanation.clone();
                if !finding.detail.is_empty() {
                    text.push(' ');
                    text.push_str(&finding.detail);
                }
                text
            }),
        }
    }
}

/// Writes a fix for people: what it does, what was there and what is there, and what came of it.
#[must_use]
pub fn to_text(mended: &Mended, width: Option<usize>) -> String {
    let mut out = format!("{LABEL}fix{LABEL:#} ");
    if let Some(site) = &mended.fix.site {
        out.push_str(&format!("{site}: "));
    }
    push_wrapped(&mut out, &mended.fix.what, INDENT, width);
    for shown in &mended.shown {
        out.push_str(&format!("  {}\n", shown.place));
        let old = shown.before.lines().map(|line| ('-', line));
        for (sign, line) in old.chain(shown.after.lines().map(|line| ('+', line))) {
            out.push_str(&format!("    {sign} {}\n", clean(line)));
        }
    }
    let (style, word) = match mended.outcome {
        Outcome::Done => (GOOD, "done"),
        Outcome::WouldFix => (FAINT, "would be done"),
        Outcome::Undone => (WARNING, "undone"),
        Outcome::Failed => (ERROR, "not done"),
    };
    let mut words = format!("for {}", mended.fix.cures);
    if let Some(why) = &mended.why {
        words = format!("{} {}", sentence(&why.explanation), why.detail);
    }
    out.push_str(&format!("  {style}{word}{style:#}: "));
    push_wrapped(&mut out, &words, INDENT * 2, width);
    out
}

/// Keeps what stands in a file from steering the terminal.
fn clean(line: &str) -> String {
    line.chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// How far what belongs to a fix stands to the right of it.
const INDENT: usize = 2;

#[cfg(test)]
mod tests {
    use super::{FixDocument, to_text};
    use crate::commands::mending::{Mended, Outcome};
    use crate::testing::name;
    use expect_test::expect;
    use renewal::finding::{Finding, FindingName};
    use renewal::fix::{Fix, Remedy, Shown};

    fn mended() -> Mended {
        Mended {
            fix: Fix {
                cures: FindingName::Port80NoIpv6,
                site: Some(name("a.test")),
                what: "Let nginx listen on port 80 over IPv6 for a.test too.".to_owned(),
                remedy: Remedy::Lines(Vec::new()),
            },
            shown: vec![Shown {
                place: "/etc/nginx/sites-enabled/a.test.conf:3".to_owned(),
                before: String::new(),
                after: "    listen [::]:80;".to_owned(),
            }],
            outcome: Outcome::Undone,
            why: Some(
                Finding::new(FindingName::NginxConfigInvalid, "nginx refuses it")
                    .detail("could not build server_names_hash"),
            ),
        }
    }

    #[test]
    fn a_fix_is_told_with_what_was_there_and_what_is() {
        let text = to_text(&mended(), None);
        let text = anstream::adapter::strip_str(&text).to_string();
        expect![[r#"
            fix a.test: Let nginx listen on port 80 over IPv6 for a.test too.
              /etc/nginx/sites-enabled/a.test.conf:3
                +     listen [::]:80;
              undone: nginx refuses it. could not build server_names_hash
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn the_document_of_a_fix() {
        expect![[r#"{"finding":"port-80-no-ipv6","site":"a.test","what":"Let nginx listen on port 80 over IPv6 for a.test too.","outcome":"undone","changes":[{"place":"/etc/nginx/sites-enabled/a.test.conf:3","before":"","after":"    listen [::]:80;"}],"why":"nginx refuses it could not build server_names_hash"}"#]]
        .assert_eq(&serde_json::to_string(&FixDocument::new(&mended())).unwrap());
    }
}
