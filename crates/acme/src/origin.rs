//! Which URLs may a CA send us to?
//!
//! RFC 8555 lets a CA spread its resources over hosts. A signed request shows the account and its names, so it
//! goes only to hosts that the directory itself names, and only over TLS (RFC 8555 section 6.1).

use http::Uri;

/// The hosts of one CA.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins(Vec<(String, u16)>);

impl Origins {
    pub(crate) fn allow(&mut self, uri: &Uri) {
        let origin = origin(uri);
        if !self.0.contains(&origin) {
            self.0.push(origin);
        }
    }

    /// Reads a URL that a reply named.
    pub(crate) fn read(&self, text: &str) -> Result<Uri, UrlFault> {
        let uri = https(text)?;
        if self.0.contains(&origin(&uri)) {
            Ok(uri)
        } else {
            Err(UrlFault::Foreign(shorten(text)))
        }
    }
}

/// Reads a URL that must be one of HTTPS.
pub(crate) fn https(text: &str) -> Result<Uri, UrlFault> {
    let uri: Uri = text
        .parse()
        .map_err(|_| UrlFault::Malformed(shorten(text)))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) if !host.is_empty() => Ok(uri),
        (Some(_), Some(_)) => Err(UrlFault::NotHttps(shorten(text))),
        _ => Err(UrlFault::Malformed(shorten(text))),
    }
}

/// A URL that is not followed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum UrlFault {
    #[error("“{0}” is no URL")]
    Malformed(String),
    #[error("“{0}” is not an https:// URL, and an ACME request is never sent in the clear")]
    NotHttps(String),
    #[error("“{0}” is on a host that the CA's directory does not name")]
    Foreign(String),
}

fn origin(uri: &Uri) -> (String, u16) {
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    (host, uri.port_u16().unwrap_or(HTTPS))
}

fn shorten(text: &str) -> String {
    text.chars()
        .take(SHOWN)
        .filter(|c| !c.is_control())
        .collect()
}

const HTTPS: u16 = 443;

/// Keeps an error readable, in characters.
const SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::{Origins, https};
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(text: &str, expect: Expect) {
        let mut origins = Origins::default();
        origins.allow(&https("https://ca.test/directory").unwrap());
        let answer = origins.read(text);
        expect.assert_eq(&answer.map_or_else(|fault| fault.to_string(), |_| "followed".to_owned()));
    }

    #[test]
    fn only_the_directorys_hosts_are_followed() {
        check("https://ca.test/order/1", expect!["followed"]);
        check("https://CA.test:443/order/1?x", expect!["followed"]);
        check(
            "https://ca.test:8443/order/1",
            expect![
                "“https://ca.test:8443/order/1” is on a host that the CA's directory does not name"
            ],
        );
        check(
            "https://ca.test@evil.test/",
            expect![
                "“https://ca.test@evil.test/” is on a host that the CA's directory does not name"
            ],
        );
        check(
            "http://ca.test/order/1",
            expect![
                "“http://ca.test/order/1” is not an https:// URL, and an ACME request is never sent in the clear"
            ],
        );
        check("/order/1", expect!["“/order/1” is no URL"]);
        check("", expect!["“” is no URL"]);
    }
}
