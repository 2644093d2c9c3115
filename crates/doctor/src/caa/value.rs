//! What does the value of an `issue` or `issuewild` record say? (RFC 8659 section 4.2)
//!
//! ```text
//! letsencrypt.org; accounturi=https://…/acct/7; validationmethods=http-01
//! ```

/// What was read.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Value<'a> {
    /// Who may issue.
    pub(crate) issuer: Issuer<'a>,
    /// The parameters behind it.
    pub(crate) parameters: Vec<(&'a str, &'a str)>,
}

/// Who may issue.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Issuer<'a> {
    /// The CA with this name.
    Named(&'a str),
    /// Nobody: a lone `;`.
    Nobody,
}

/// It is no such value.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Malformed;

/// Reads a value.
pub(crate) fn parse(text: &str) -> Result<Value<'_>, Malformed> {
    let (issuer, rest) = match text.split_once(';') {
        Some((issuer, rest)) => (issuer, Some(rest)),
        None => (text, None),
    };
    let issuer = match trim(issuer) {
        "" => Issuer::Nobody,
        name if is_host(name) => Issuer::Named(name),
        _ => return Err(Malformed),
    };
    let mut parameters = Vec::new();
    for parameter in rest.into_iter().flat_map(|rest| rest.split(';')) {
        let parameter = trim(parameter);
        if parameter.is_empty() {
            continue;
        }
        let (tag, value) = parameter.split_once('=').ok_or(Malformed)?;
        let (tag, value) = (trim(tag), trim(value));
        let plain = !tag.is_empty() && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !plain || !value.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Malformed);
        }
        parameters.push((tag, value));
    }
    Ok(Value { issuer, parameters })
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn is_host(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        let plain = label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        plain && !label.is_empty()
    };
    name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::{Issuer, Malformed, Value, parse};

    #[test]
    fn values_as_people_write_them() {
        let value = |issuer, parameters: &[(&'static str, &'static str)]| {
            Ok(Value {
                issuer,
                parameters: parameters.to_vec(),
            })
        };
        let named = Issuer::Named;
        assert_eq!(parse("ca.test"), value(named("ca.test"), &[]));
        assert_eq!(parse(" ca.test ; "), value(named("ca.test"), &[]));
        assert_eq!(parse(";"), value(Issuer::Nobody, &[]));
        assert_eq!(parse(""), value(Issuer::Nobody, &[]));
        assert_eq!(
            parse("ca.test;accounturi = https://ca.test/7 ; validationmethods=http-01,dns-01"),
            value(
                named("ca.test"),
                &[
                    ("accounturi", "https://ca.test/7"),
                    ("validationmethods", "http-01,dns-01")
                ]
            )
        );
    }

    #[test]
    fn what_makes_no_sense() {
        for text in [
            "ca test",
            "https://ca.test",
            "ca..test",
            "%%%%%",
            "ca.test; accounturi",
            "ca.test; =x",
            "ä.test",
            "ca.test; a=b c",
        ] {
            assert_eq!(parse(text), Err(Malformed), "{text}");
        }
    }
}
