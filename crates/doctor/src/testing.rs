//! What do the tests of this crate have in common?

use std::io::Write as _;
use std::path::Path;

use renewal::finding::Finding;

/// Writes a file of a test's own making.
pub(crate) fn put(path: &Path, text: &str) {
    let mut file = std::fs::File::create(path).expect("the folder is the test's own");
    file.write_all(text.as_bytes())
        .expect("a test's file can be written");
}

/// Shows what was found, a line each. Every finding has to say what to do.
pub(crate) fn told(findings: &[Finding]) -> String {
    shown(findings, |finding| finding.name.to_string())
}

/// As [`told`], with how bad it is.
pub(crate) fn weighed(findings: &[Finding]) -> String {
    shown(findings, |finding| {
        format!("{} {}", finding.name, finding.severity.as_str())
    })
}

fn shown(findings: &[Finding], head: impl Fn(&Finding) -> String) -> String {
    let lines: Vec<String> = findings
        .iter()
        .map(|finding| {
            assert!(!finding.fix.is_empty(), "{finding:?}");
            format!("{}: {}", head(finding), finding.detail)
        })
        .collect();
    lines.join("\n")
}
