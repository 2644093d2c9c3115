//! How do keys, tokens and nonces stay out of logs?
//!
//! Nobody logs them on purpose. This is the second line: a field with such a name is left out, and so is text
//! that looks like one: PEM, and long words that mix small and capital letters, as base64url of random bytes does.
//! Fingerprints and serial numbers are hexadecimal, so they stay.

use std::borrow::Cow;

/// Says whether a field's name means that its value is secret.
#[must_use]
pub fn is_secret(field: &str) -> bool {
    SECRET_FIELDS.iter().any(|secret| {
        let begin = field.len().checked_sub(secret.len());
        begin
            .and_then(|begin| field.split_at_checked(begin))
            .is_some_and(|(before, end)| {
                end.eq_ignore_ascii_case(secret) && (before.is_empty() || before.ends_with('_'))
            })
    })
}

/// Leaves out what looks like a secret.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let suspicious = text.contains(PEM) || words(text).any(|(_, word)| is_random(word));
    if !suspicious {
        return Cow::Borrowed(text);
    }
    if let Some(start) = text.find(PEM) {
        return Cow::Owned(format!("{}…", redact(&text[..start])));
    }
    let mut kept = String::with_capacity(text.len());
    let mut end = 0;
    for (start, word) in words(text).filter(|(_, word)| is_random(word)) {
        kept.push_str(&text[end..start]);
        kept.push('…');
        end = start + word.len();
    }
    kept.push_str(&text[end..]);
    Cow::Owned(kept)
}

/// Returns the runs of base64url characters, with where they begin.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '+';
    text.split(move |c| !is_word(c))
        .map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

fn is_random(word: &str) -> bool {
    if word.len() < RANDOM_BYTES_LEAST {
        return false;
    }
    let has = |test: fn(&u8) -> bool| word.as_bytes().iter().any(test);
    has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase)
}

const PEM: &str = "-----BEGIN ";

/// RFC 8555 section 8.3 wants 128 bits in a token, which are 22 characters.
const RANDOM_BYTES_LEAST: usize = 22;

const SECRET_FIELDS: [&str; 9] = [
    "key",
    "token",
    "nonce",
    "secret",
    "password",
    "authorization",
    "private_key",
    "key_authorization",
    "signature",
];

#[cfg(test)]
mod tests {
    use super::{is_secret, redact};
    use expect_test::{Expect, expect};

    fn check(text: &str, expect: Expect) {
        expect.assert_eq(&redact(text));
    }

    #[test]
    fn what_looks_like_a_secret_is_left_out() {
        check(
            "GET /.well-known/acme-challenge/LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0 -> 200 LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI",
            expect!["GET /.well-known/acme-challenge/… -> 200 ….…"],
        );
        check(
            "key: -----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG",
            expect!["key: …"],
        );
        check(
            "Replay-Nonce: oFvnlFP1wIhRlYS2jTaXbA",
            expect!["Replay-Nonce: …"],
        );
        check("äöü oFvnlFP1wIhRlYS2jTaXbA ü", expect!["äöü … ü"]);
    }

    #[test]
    fn what_people_look_for_stays() {
        for text in [
            "sha256 ababababababababababababababababababababababababababababababab12",
            "https://acme-v02.api.letsencrypt.org/acme/order/123456789/987654321",
            "a-very-long-label-of-a-domain-name-indeed.example.com",
            "urn:ietf:params:acme:error:rateLimited: too many certificates already issued",
            "/etc/letsencrypt/live/example.com/fullchain.pem",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn fields_that_name_a_secret() {
        assert!(
            is_secret("token")
                && is_secret("Nonce")
                && is_secret("replay_nonce")
                && is_secret("account_key")
        );
        assert!(!is_secret("domain") && !is_secret("key_type") && !is_secret("monkey"));
    }
}
