//! How is a finding told?

use renewal::finding::{Finding, Severity};

use super::wrap::push_wrapped;
use crate::console::{ERROR, FAINT, LABEL, WARNING};

/// Appends a finding: what it means, the evidence, what to do, and the name to look up.
pub fn push_finding(out: &mut String, finding: &Finding, indent: usize, width: Option<usize>) {
    let style = match finding.severity {
        Severity::Fatal | Severity::Error => ERROR,
        Severity::Warning => WARNING,
        Severity::Info => FAINT,
    };
    let word = finding.severity.as_str();
    push_labelled(
        out,
        &format!("{style}{word}:{style:#}"),
        &sentence(&finding.explanation),
        (indent, width),
    );
    if !finding.detail.is_empty() {
        push_labelled(out, "seen:", &finding.detail, (indent + STEP, width));
    }
    if !finding.fix.is_empty() {
        push_labelled(
            out,
            &format!("{LABEL}fix:{LABEL:#}"),
            &sentence(&finding.fix),
            (indent + STEP, width),
        );
    }
    let look_up = format!("{} (clpctl explain {})", finding.name, finding.name);
    push_labelled(out, "finding:", &look_up, (indent + STEP, width));
}

/// Writes half a sentence as a whole one.
#[must_use]
pub fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut characters = text.chars();
    let Some(first) = characters.next() else {
        return String::new();
    };
    // A name or a path at the beginning keeps its spelling.
    let word = text.split_whitespace().next().unwrap_or_default();
    let plain = word.chars().all(char::is_alphabetic) && !NAMES_OF_PROGRAMS.contains(&word);
    let mut made: String = if plain {
        first.to_uppercase().collect()
    } else {
        first.to_string()
    };
    made.push_str(characters.as_str());
    if !made.ends_with(['.', '!', '?', ':', '…', ';', '}']) {
        made.push('.');
    }
    made
}

fn push_labelled(
    out: &mut String,
    label: &str,
    text: &str,
    (indent, width): (usize, Option<usize>),
) {
    out.extend(std::iter::repeat_n(' ', indent));
    out.push_str(label);
    out.push(' ');
    push_wrapped(out, text, indent + STEP, width);
}

/// How far what belongs to a line stands to the right of it.
const STEP: usize = 2;

/// Words that keep their small letter at the beginning of a sentence.
const NAMES_OF_PROGRAMS: [&str; 6] = [
    "nginx",
    "clpctl",
    "certbot",
    "systemd",
    "chmod",
    "systemctl",
];

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn half_a_sentence_becomes_a_whole_one() {
        assert_eq!(sentence("the disk is full"), "The disk is full.");
        assert_eq!(
            sentence("nginx refuses its configuration"),
            "nginx refuses its configuration."
        );
        assert_eq!(
            sentence("/etc/x is missing. Make it!"),
            "/etc/x is missing. Make it!"
        );
        assert_eq!(sentence(""), "");
    }
}
