//! Which names can a certificate cover?
//!
//! [`Name::parse`] accepts a DNS name as a certificate may carry it: lower case, A-labels, at most 253
//! bytes; or an IP address. Whether a *public* CA would ever issue for it is another question, and
//! [`Name::public`] answers that one.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// A DNS name or IP address that a certificate covers, in lower case.
///
/// Cheap to clone. A leading `*.` is allowed, for certificates made elsewhere may carry it.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Name(Arc<str>);

impl Name {
    /// Reads a name; upper case is folded and one trailing dot is dropped.
    ///
    /// # Errors
    ///
    /// Says which rule of RFC 1035 section 2.3.4 or RFC 5890 section 2.3.1 the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if may_be_address(text) && text.parse::<IpAddr>().is_ok() {
            return Ok(Self::folded(text));
        }
        let refuse = |why| NameError {
            text: shorten(text),
            why,
        };
        if text.is_empty() {
            return Err(refuse(Why::Empty));
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(refuse(Why::TooLong(text.len())));
        }
        if text.starts_with('~') {
            return Err(refuse(Why::Regex));
        }
        let labels = text.strip_prefix("*.").unwrap_or(text);
        for label in labels.split('.') {
            if label.is_empty() {
                return Err(refuse(Why::EmptyLabel));
            }
            if label.len() > LABEL_BYTES_MAX {
                return Err(refuse(Why::LabelTooLong(label.len())));
            }
            if let Some(at) = label.bytes().position(|byte| !is_label_byte(byte)) {
                return Err(refuse(wrong_character(&label[at..])));
            }
            if label.starts_with('-') || label.ends_with('-') {
                return Err(refuse(Why::Hyphen));
            }
        }
        Ok(Self::folded(text))
    }

    fn folded(text: &str) -> Self {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Self(text.to_ascii_lowercase().into())
        } else {
            Self(text.into())
        }
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the address, when the name is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        may_be_address(&self.0)
            .then(|| self.0.parse().ok())
            .flatten()
    }

    /// Says whether a CA that checks names from outside could ever reach this one.
    ///
    /// # Errors
    ///
    /// Says why not. The reserved domains for documentation and testing (RFC 6761 section 6.2, `.test`) are
    /// not refused: a private CA serves them.
    pub fn public(&self) -> Result<(), NotPublic> {
        if let Some(address) = self.address() {
            return Err(NotPublic::Address(address));
        }
        if self.0.starts_with("*.") {
            return Err(NotPublic::Wildcard);
        }
        let Some((_, last)) = self.0.rsplit_once('.') else {
            return Err(NotPublic::SingleLabel);
        };
        if LOCAL_TOP_LEVELS.contains(&last) {
            return Err(NotPublic::LocalTopLevel(last.to_owned()));
        }
        if self.0.contains('_') {
            return Err(NotPublic::Underscore);
        }
        if self.0.starts_with("www1.") {
            return Err(NotPublic::PanelAlias);
        }
        Ok(())
    }

    /// Says whether this name, as a certificate carries it, covers `wanted` (RFC 6125 section 6.4.3:
    /// a `*` stands for exactly one label).
    #[must_use]
    pub fn covers(&self, wanted: &Name) -> bool {
        if self == wanted {
            return true;
        }
        let Some(parent) = self.0.strip_prefix("*.") else {
            return false;
        };
        wanted
            .0
            .split_once('.')
            .is_some_and(|(label, rest)| label != "*" && rest == parent)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The text is no name that a certificate could cover.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("“{text}” is not a host name: {why}")]
pub struct NameError {
    text: String,
    why: Why,
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
enum Why {
    #[error("it is empty")]
    Empty,
    #[error("it has {0} bytes, and {NAME_BYTES_MAX} are allowed")]
    TooLong(usize),
    #[error("it is a regular expression")]
    Regex,
    #[error("two dots follow each other, or it begins with one")]
    EmptyLabel,
    #[error("a part between dots has {0} bytes, and {LABEL_BYTES_MAX} are allowed")]
    LabelTooLong(usize),
    #[error("it contains {0:?}")]
    Character(char),
    #[error("it contains {0:?}; write the name in its ASCII form (xn--…)")]
    NotAscii(char),
    #[error("a part between dots begins or ends with a hyphen")]
    Hyphen,
}

/// Why no public CA would issue for a name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NotPublic {
    /// It is an IP address.
    #[error("{0} is an address, not a name")]
    Address(IpAddr),
    /// HTTP-01 cannot prove a wildcard (RFC 8555 section 8.3).
    #[error("a wildcard cannot be proved over HTTP")]
    Wildcard,
    /// It has no dot.
    #[error("it has no dot, so it is a name of the local network")]
    SingleLabel,
    /// Its last label is for local networks (RFC 6761, RFC 6762, RFC 8375, ICANN's `.internal`).
    #[error("“.{0}” is for local networks")]
    LocalTopLevel(String),
    /// Host names have no underscore (CA/Browser Forum ballot SC12).
    #[error("a host name has no underscore")]
    Underscore,
    /// CloudPanel adds `www1.` to every vhost, and nobody has DNS for it.
    #[error("“www1.” is an alias that CloudPanel adds and nobody's DNS knows")]
    PanelAlias,
}

/// Says whether it is worth to ask the parser of addresses: nearly all names end in a letter and have no colon.
fn may_be_address(text: &str) -> bool {
    let last = text.as_bytes().last().copied().unwrap_or(b'.');
    last.is_ascii_digit() || text.contains(':')
}

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Says what is wrong with the character that this text begins with.
fn wrong_character(text: &str) -> Why {
    match text.chars().next() {
        Some(bad) if bad.is_ascii() => Why::Character(bad),
        Some(bad) => Why::NotAscii(bad),
        None => Why::EmptyLabel,
    }
}

/// Keeps an error readable when the text is a megabyte.
fn shorten(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// RFC 1035 section 2.3.4, as text without the trailing dot.
const NAME_BYTES_MAX: usize = 253;

/// RFC 1035 section 2.3.4.
const LABEL_BYTES_MAX: usize = 63;

/// Top-level labels that never resolve in public.
const LOCAL_TOP_LEVELS: [&str; 7] = [
    "localhost",
    "local",
    "internal",
    "lan",
    "home",
    "localdomain",
    "arpa",
];

#[cfg(test)]
mod tests {
    use super::Name;
    use expect_test::{Expect, expect};

    fn check(text: &str, expect: Expect) {
        let answer = match Name::parse(text) {
            Err(error) => error.to_string(),
            Ok(name) => match name.public() {
                Ok(()) => format!("{name}: public"),
                Err(why) => format!("{name}: {why}"),
            },
        };
        expect.assert_eq(&answer);
    }

    #[test]
    fn ordinary_names() {
        check("Example.COM", expect!["example.com: public"]);
        check("example.com.", expect!["example.com: public"]);
        check(
            "xn--bcher-kva.example",
            expect!["xn--bcher-kva.example: public"],
        );
        check("a.test", expect!["a.test: public"]);
    }

    #[test]
    fn names_no_public_ca_would_reach() {
        check(
            "localhost",
            expect!["localhost: it has no dot, so it is a name of the local network"],
        );
        check(
            "a.localhost",
            expect!["a.localhost: “.localhost” is for local networks"],
        );
        check(
            "printer.local",
            expect!["printer.local: “.local” is for local networks"],
        );
        check(
            "_",
            expect!["_: it has no dot, so it is a name of the local network"],
        );
        check(
            "a_b.example.com",
            expect!["a_b.example.com: a host name has no underscore"],
        );
        check(
            "www1.example.com",
            expect![
                "www1.example.com: “www1.” is an alias that CloudPanel adds and nobody's DNS knows"
            ],
        );
        check(
            "*.example.com",
            expect!["*.example.com: a wildcard cannot be proved over HTTP"],
        );
        check(
            "192.0.2.7",
            expect!["192.0.2.7: 192.0.2.7 is an address, not a name"],
        );
        check(
            "2001:DB8::7",
            expect!["2001:db8::7: 2001:db8::7 is an address, not a name"],
        );
    }

    #[test]
    fn what_is_no_name() {
        check("", expect!["“” is not a host name: it is empty"]);
        check(
            "a..b",
            expect!["“a..b” is not a host name: two dots follow each other, or it begins with one"],
        );
        check(
            ".a.b",
            expect!["“.a.b” is not a host name: two dots follow each other, or it begins with one"],
        );
        check(
            "~^www",
            expect!["“~^www” is not a host name: it is a regular expression"],
        );
        check(
            "-a.b",
            expect!["“-a.b” is not a host name: a part between dots begins or ends with a hyphen"],
        );
        check(
            "a b.c",
            expect!["“a b.c” is not a host name: it contains ' '"],
        );
        check(
            "bücher.example",
            expect![
                "“bücher.example” is not a host name: it contains 'ü'; write the name in its ASCII form (xn--…)"
            ],
        );
        check(
            &format!("{}.example", "a".repeat(64)),
            expect![
                "“aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example” is not a host name: a part between dots has 64 bytes, and 63 are allowed"
            ],
        );
        check(
            &"a.".repeat(500_000),
            expect![
                "“a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.…” is not a host name: it has 999999 bytes, and 253 are allowed"
            ],
        );
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        let name = |text| Name::parse(text).unwrap();
        assert!(name("*.a.test").covers(&name("www.a.test")));
        assert!(!name("*.a.test").covers(&name("a.test")));
        assert!(!name("*.a.test").covers(&name("x.www.a.test")));
        assert!(name("a.test").covers(&name("A.test")));
    }
}
