//! Does a regular expression of the configuration match?
//!
//! nginx uses PCRE. What our engine can't compile, or gives up on, is unknown: an answer that callers must
//! treat as "perhaps", never as "no".

use std::collections::HashMap;

/// Says whether `text` matches; none when that is unknown.
#[must_use]
pub(super) fn matches(pattern: &str, any_case: bool, text: &str) -> Option<bool> {
    if pattern.len() > PATTERN_MAX {
        return None;
    }
    let compiled = fancy_regex::RegexBuilder::new(pattern)
        .case_insensitive(any_case)
        .backtrack_limit(STEPS_MAX)
        .delegate_size_limit(COMPILED_MAX)
        .build();
    compiled.ok()?.is_match(text).ok()
}

/// The answers about one text, for the same few patterns stand in thousands of vhosts.
#[derive(Debug)]
pub(super) struct Answers {
    text: &'static str,
    as_written: Known,
    any_case: Known,
}

type Known = HashMap<Box<[u8]>, Option<bool>>;

impl Answers {
    /// Starts with no answer about this text.
    #[must_use]
    pub(super) fn about(text: &'static str) -> Self {
        Answers {
            text,
            as_written: Known::new(),
            any_case: Known::new(),
        }
    }

    /// Says whether the text matches; none when that is unknown.
    pub(super) fn matches(&mut self, pattern: &[u8], any_case: bool) -> Option<bool> {
        let known = if any_case {
            &mut self.any_case
        } else {
            &mut self.as_written
        };
        if let Some(&answer) = known.get(pattern) {
            return answer;
        }
        let answer = std::str::from_utf8(pattern)
            .ok()
            .and_then(|pattern| matches(pattern, any_case, self.text));
        if known.len() < KNOWN_MAX {
            known.insert(pattern.into(), answer);
        }
        answer
    }
}

/// Longest pattern that is looked at, in bytes: nginx's own limit for a word.
const PATTERN_MAX: usize = 4096;

/// How many steps back a match may take; a text of 90 bytes needs few.
const STEPS_MAX: usize = 20_000;

/// Largest compiled pattern, in bytes.
const COMPILED_MAX: usize = 1 << 20;

/// How many answers are kept.
const KNOWN_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: Option<bool>) {
        assert_eq!(
            matches(pattern, false, text),
            expected,
            "{pattern} on {text}"
        );
    }

    #[test]
    fn patterns_seen_in_vhosts() {
        check("/.well-known", "/.well-known/x", Some(true));
        check(r"/\.(?!well-known)", "/.well-known/x", Some(false));
        check(r"/\.(?!well-known)", "/.git/config", Some(true));
        check(r"\.php$", "/.well-known/x", Some(false));
        check(
            r"^/(?:[a-z]+/)?\.well\-known/",
            "/.well-known/x",
            Some(true),
        );
        check(
            r"^(?<user>.+)\.example\.net$",
            "joe.example.net",
            Some(true),
        );
        check("^/\\.well-known\\/acme", "/.well-known/acme", Some(true));
    }

    #[test]
    fn case_counts_unless_it_does_not() {
        assert_eq!(matches(r"\.JPG$", true, "/a.jpg"), Some(true));
        assert_eq!(matches(r"\.JPG$", false, "/a.jpg"), Some(false));
    }

    #[test]
    fn what_can_not_be_compiled_or_takes_for_ever_is_unknown() {
        check("(", "x", None);
        check("(?{code})", "x", None);
        check(&"(".repeat(3000), "x", None);
        check(r"^(a|a)*\1b$", &"a".repeat(60), None);
    }
}
