//! What was probably meant?

/// Returns the candidate that `word` is most likely a misspelling of, if one is near enough.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = fold(word);
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        let folded = fold(candidate);
        let alike = strsim::normalized_damerau_levenshtein(&word, &folded)
            .max(strsim::jaro_winkler(&word, &folded) - JARO_OPTIMISM);
        if alike >= ALIKE_LEAST && best.is_none_or(|(before, _)| alike > before) {
            best = Some((alike, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Returns a question to append to an error: ` Did you mean “x”?`, or nothing.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    match nearest(word, candidates) {
        Some(candidate) => format!("; did you mean “{candidate}”?"),
        None => String::new(),
    }
}

/// `-`, `_` and `:` are what people mix up most.
fn fold(word: &str) -> String {
    // An absurdly long word is like nothing we know, and comparing is quadratic.
    word.chars()
        .take(WORD_CHARS_MAX)
        .flat_map(char::to_lowercase)
        .map(|c| if c == '_' || c == ':' { '-' } else { c })
        .collect()
}

/// Below this, a suggestion would be a guess.
const ALIKE_LEAST: f64 = 0.6;

/// Jaro-Winkler favours common beginnings (`site:renew` for `site:renew-certificates`), but sees likeness everywhere.
const JARO_OPTIMISM: f64 = 0.2;

const WORD_CHARS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_misspelling_is_recognised_and_noise_is_not() {
        let known = ["letsencrypt", "state", "log", "acme_log"];
        assert_eq!(nearest("letsencrpt", known), Some("letsencrypt"));
        assert_eq!(nearest("acme-log", known), Some("acme_log"));
        assert_eq!(nearest("State", known), Some("state"));
        assert_eq!(nearest("zzz", known), None);
        assert_eq!(nearest(&"x".repeat(1_000_000), known), None);
        assert_eq!(nearest("", known), None);
        let commands = [
            "site:list",
            "site:renew-certificates",
            "lets-encrypt:renew:certificates",
        ];
        assert_eq!(
            nearest("site:renew", commands),
            Some("site:renew-certificates")
        );
        assert_eq!(nearest("site-list", commands), Some("site:list"));
    }
}
