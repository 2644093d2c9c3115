//! What does the CA say is wrong?
//!
//! Problem documents (RFC 7807, RFC 8555 section 6.7), kept whole. A CA may send one with any field missing.

use std::fmt;

use http::HeaderMap;
use http::header::LINK;
use renewal::name::Name;
use serde::{Deserialize, Serialize};

use crate::bounds::WORDS_MAX;

/// A problem document.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Problem {
    /// The kind, a URN.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short title.
    pub title: String,
    /// What happened, for people.
    pub detail: String,
    /// The HTTP status, as far as the CA repeats it.
    pub status: Option<u16>,
    /// One problem per name (RFC 8555 section 6.7.1).
    pub subproblems: Vec<Subproblem>,
    /// A page for the user to visit (RFC 8555 section 7.3.3).
    pub instance: Option<String>,
    /// The page that the reply's `Link: …;rel="help"` leads to.
    #[serde(skip)]
    pub help: Option<String>,
}

/// The problem with one name.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Subproblem {
    /// The kind, a URN.
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened, for people.
    pub detail: String,
    /// The name.
    pub identifier: Option<Identifier>,
}

/// A name, as ACME writes it (RFC 8555 section 9.7.7, RFC 8738).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Identifier {
    /// `dns` or `ip`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name itself.
    pub value: String,
}

impl Identifier {
    /// Writes a name as ACME does; addresses in their canonical form (RFC 8738 section 3).
    pub(crate) fn of(name: &Name) -> Self {
        let (kind, value) = match name.address() {
            Some(address) => ("ip", address.to_string()),
            None => ("dns", name.to_string()),
        };
        Self {
            kind: kind.to_owned(),
            value,
        }
    }

    /// Says whether it stands for `name`. An authorization for a wildcard leaves the `*.` out (RFC 8555 section 7.1.4).
    pub(crate) fn stands_for(&self, name: &Name) -> bool {
        let wanted = Self::of(name).value;
        let wanted = wanted.strip_prefix("*.").unwrap_or(&wanted);
        let value = self.value.strip_prefix("*.").unwrap_or(&self.value);
        value.eq_ignore_ascii_case(wanted)
    }
}

impl Problem {
    /// Reads the body of a reply; `None` when it is no problem document.
    pub(crate) fn read(body: &[u8], headers: &HeaderMap) -> Option<Self> {
        let mut problem: Self = serde_json::from_slice(body).ok()?;
        if problem.kind.is_empty() && problem.detail.is_empty() && problem.title.is_empty() {
            return None;
        }
        problem.help = link(headers, "help").next();
        Some(problem)
    }

    /// Says whether it is of the kind `name`, such as `badNonce`.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        short_kind(&self.kind) == name
    }

    /// Returns the kind without its prefix.
    #[must_use]
    pub fn short_kind(&self) -> &str {
        short_kind(&self.kind)
    }
}

impl Subproblem {
    /// Returns the subproblem as a problem of its own.
    #[must_use]
    pub fn to_problem(&self) -> Problem {
        Problem {
            kind: self.kind.clone(),
            detail: self.detail.clone(),
            ..Problem::default()
        }
    }
}

/// The CA's own words, without tokens: fit for logs and people.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if self.detail.is_empty() {
            &self.title
        } else {
            &self.detail
        };
        let (text, kind) = (shortened(text), shortened(self.short_kind()));
        match (text.is_empty(), kind.is_empty()) {
            (false, false) => write!(f, "{} ({kind})", without_tokens(text)),
            (false, true) => f.write_str(&without_tokens(text)),
            (true, _) => f.write_str(kind),
        }
    }
}

/// Blots out challenge tokens, thumbprints and the key authorizations made of them.
///
/// They have at least 22 characters of base64url (RFC 8555 section 8.3 asks for 128 bits) and, but for one in ten
/// thousand, a capital among them; names in the CAs' texts are in lower case.
#[must_use]
pub fn without_tokens(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let is_token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut rest = text;
    while let Some(start) = rest.find(is_token) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c| !is_token(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        shown.push_str(before);
        let secret =
            word.len() >= TOKEN_CHARACTERS_MIN && word.bytes().any(|b| b.is_ascii_uppercase());
        shown.push_str(if secret { "…" } else { word });
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// Returns as much of a text as people read.
fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(WORDS_MAX);
    end.map_or(text, |(end, _)| &text[..end])
}

/// Lists the targets of the reply's links of one relation (RFC 8288).
pub(crate) fn link<'a>(
    headers: &'a HeaderMap,
    relation: &'a str,
) -> impl Iterator<Item = String> + 'a {
    let values = headers
        .get_all(LINK)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .filter_map(move |link| {
            let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
            let fits = parameters.split(';').any(|parameter| {
                let value = parameter.trim().strip_prefix("rel=");
                value.is_some_and(|value| {
                    value
                        .trim_matches('"')
                        .split(' ')
                        .any(|rel| rel == relation)
                })
            });
            fits.then(|| target.to_owned())
        })
}

fn short_kind(kind: &str) -> &str {
    kind.strip_prefix("urn:ietf:params:acme:error:")
        .unwrap_or(kind)
}

const TOKEN_CHARACTERS_MIN: usize = 22;

#[cfg(test)]
mod tests {
    use super::{Problem, link, without_tokens};
    use http::HeaderMap;

    #[test]
    fn a_problem_is_kept_whole() {
        let body = br#"{"type": "urn:ietf:params:acme:error:malformed", "detail": "Some of the identifiers requested were rejected",
            "status": 400, "subproblems": [{"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "no",
            "identifier": {"type": "dns", "value": "a.test"}}]}"#;
        let mut headers = HeaderMap::new();
        headers.insert(
            "link",
            "<https://ca/directory>;rel=\"index\", <https://ca/help>;rel=\"help\""
                .parse()
                .unwrap(),
        );
        let problem = Problem::read(body, &headers).unwrap();
        assert!(problem.is("malformed"));
        assert_eq!(
            problem.subproblems[0].identifier.as_ref().unwrap().value,
            "a.test"
        );
        assert_eq!(problem.help.as_deref(), Some("https://ca/help"));
        assert_eq!(
            problem.to_string(),
            "Some of the identifiers requested were rejected (malformed)"
        );
    }

    #[test]
    fn what_is_no_problem_document_is_none() {
        for body in ["", "{}", "[]", "<html>", "null", "{\"status\": \"x\"}"] {
            assert_eq!(
                Problem::read(body.as_bytes(), &HeaderMap::new()),
                None,
                "{body}"
            );
        }
    }

    #[test]
    fn tokens_are_blotted_out_and_names_are_not() {
        let token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
        let thumbprint = "LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ";
        let text = format!(
            "Fetching http://a.test/.well-known/acme-challenge/{token}: expected \"{token}.{thumbprint}\""
        );
        assert_eq!(
            without_tokens(&text),
            "Fetching http://a.test/.well-known/acme-challenge/…: expected \"….…\""
        );
        let names = "a-very-long-label-of-a-customer-of-ours.example.com";
        assert_eq!(without_tokens(names), names);
    }

    #[test]
    fn links_of_one_relation_are_found() {
        let mut headers = HeaderMap::new();
        headers.append("link", "<https://ca/1>;rel=\"alternate\"".parse().unwrap());
        headers.append(
            "link",
            "<https://ca/up>; rel=up, <https://ca/2>; title=x; rel=alternate"
                .parse()
                .unwrap(),
        );
        let found: Vec<String> = link(&headers, "alternate").collect();
        assert_eq!(found, ["https://ca/1", "https://ca/2"]);
    }
}
