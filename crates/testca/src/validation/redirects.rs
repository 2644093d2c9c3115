//! Where does the next request of a validation go?
//!
//! The rules of Boulder's `va/http.go` for redirect targets, with its words.

use std::net::IpAddr;

use crate::ca::Ca;

/// The destination of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) https: bool,
    /// A name, or an address without brackets.
    pub(super) host: String,
    /// The port that is really used.
    pub(super) port: u16,
    /// The path with the query.
    pub(super) path: String,
}

/// Why a redirect is not followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RedirectError {
    #[error(
        "Invalid protocol scheme in redirect target. Only \"http\" and \"https\" protocol schemes are supported, not {0:?}"
    )]
    Scheme(String),
    #[error("Invalid port in redirect target. Only ports 80 and 443 are supported, not {0}")]
    Port(String),
    #[error("Invalid empty host in redirect target")]
    EmptyHost,
    #[error(
        "Invalid host in redirect target {0:?}. Check webserver config for missing '/' in redirect target."
    )]
    MissingSlash(String),
    #[error("Invalid host in redirect target, must end in IANA registered TLD")]
    NotPublic,
    #[error("Invalid host in redirect target: contains scope zone")]
    ScopeZone,
    #[error("Redirect target too long")]
    TooLong,
}

impl Target {
    /// Returns the destination of the first request for a challenge.
    pub(super) fn first(name: &str, token: &str, http_port: u16) -> Target {
        Target {
            https: false,
            host: name.to_owned(),
            port: http_port,
            path: format!("/.well-known/acme-challenge/{token}"),
        }
    }

    /// Returns the URL as people know it: the options' ports stand for 80 and 443.
    pub(super) fn url(&self, ca: &Ca) -> String {
        let usual =
            self.port == usual_port(self.https, ca.options.http_port, ca.options.https_port);
        let port = if usual {
            String::new()
        } else {
            format!(":{}", self.port)
        };
        format!(
            "{}://{}{port}{}",
            if self.https { "https" } else { "http" },
            self.authority(),
            self.path
        )
    }

    /// Returns the host as it stands in a URL and in the `Host` header.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        }
    }

    /// Returns the destination that a `Location` header names.
    pub(super) fn redirected(&self, ca: &Ca, location: &str) -> Result<Target, RedirectError> {
        self.redirected_with(location, ca.options.http_port, ca.options.https_port)
    }

    fn redirected_with(
        &self,
        location: &str,
        http_port: u16,
        https_port: u16,
    ) -> Result<Target, RedirectError> {
        let location = location.trim();
        let location = location.split('#').next().unwrap_or(location);
        let (https, rest) = match split_scheme(location) {
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "http" => (false, rest),
                "https" => (true, rest),
                other => return Err(RedirectError::Scheme(other.to_owned())),
            },
            None => (self.https, location),
        };
        let Some(rest) = rest.strip_prefix("//") else {
            return self.at_path(rest);
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = split_authority(authority)?;
        check_host(&host)?;
        let port = match port {
            "" => usual_port(https, http_port, https_port),
            "80" => http_port,
            "443" => https_port,
            other => other
                .parse()
                .ok()
                .filter(|port| *port == http_port || *port == https_port)
                .ok_or_else(|| RedirectError::Port(other.to_owned()))?,
        };
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        Target {
            https,
            host,
            port,
            path,
        }
        .at_most_so_long()
    }

    /// Returns the same host with another path (RFC 3986 section 5.2, as far as servers use it).
    fn at_path(&self, reference: &str) -> Result<Target, RedirectError> {
        let own = self.path.split('?').next().unwrap_or(&self.path);
        let path = if reference.starts_with('/') {
            reference.to_owned()
        } else if reference.is_empty() || reference.starts_with('?') {
            format!("{own}{reference}")
        } else {
            let folder = own.rfind('/').map_or("/", |slash| &own[..=slash]);
            format!("{folder}{reference}")
        };
        Target {
            path,
            ..self.clone()
        }
        .at_most_so_long()
    }

    fn at_most_so_long(self) -> Result<Target, RedirectError> {
        if self.path.len() > LONGEST_PATH {
            Err(RedirectError::TooLong)
        } else {
            Ok(self)
        }
    }
}

fn usual_port(https: bool, http_port: u16, https_port: u16) -> u16 {
    if https { https_port } else { http_port }
}

fn split_scheme(location: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = location.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    is_scheme.then_some((scheme, rest))
}

/// Returns host and port; the port is empty where there is none.
fn split_authority(authority: &str) -> Result<(String, &str), RedirectError> {
    let authority = authority
        .rsplit_once('@')
        .map_or(authority, |(_, rest)| rest);
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']').unwrap_or((rest, ""));
        if address.contains('%') {
            return Err(RedirectError::ScopeZone);
        }
        return Ok((
            address.to_ascii_lowercase(),
            port.strip_prefix(':').unwrap_or(port),
        ));
    }
    let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
    Ok((host.to_ascii_lowercase(), port))
}

fn check_host(host: &str) -> Result<(), RedirectError> {
    if host.is_empty() {
        return Err(RedirectError::EmptyHost);
    }
    if host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    if host.ends_with(".well-known") {
        return Err(RedirectError::MissingSlash(host.to_owned()));
    }
    let top = host.rsplit_once('.').map(|(_, top)| top);
    // `.test` and `.example` stand in for registered ones.
    let is_public = top.is_some_and(|top| {
        let spelled = top.len() >= 2 && top.bytes().all(|byte| byte.is_ascii_alphabetic());
        (spelled || top.starts_with("xn--")) && !NEVER_PUBLIC.contains(&top)
    });
    if is_public {
        Ok(())
    } else {
        Err(RedirectError::NotPublic)
    }
}

/// Top-level names that people use inside and that nobody can register.
const NEVER_PUBLIC: [&str; 9] = [
    "corp",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
];

/// As in Boulder, in bytes.
const LONGEST_PATH: usize = 2000;

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(location: &str, expected: &Expect) {
        let first = Target::first("a.test", "token", 5002);
        let seen = first.redirected_with(location, 5002, 5001).map_or_else(
            |error| error.to_string(),
            |target| {
                format!(
                    "{} {} {} {}",
                    if target.https { "https" } else { "http" },
                    target.host,
                    target.port,
                    target.path
                )
            },
        );
        expected.assert_eq(&seen);
    }

    #[test]
    fn targets_that_are_followed() {
        check(
            "https://a.test/x?y=1#z",
            &expect!["https a.test 5001 /x?y=1"],
        );
        check("https://A.test:443/x", &expect!["https a.test 5001 /x"]);
        check("http://b.example:80", &expect!["http b.example 5002 /"]);
        check("http://a.test:5001/x", &expect!["http a.test 5001 /x"]);
        check("//b.test/x", &expect!["http b.test 5002 /x"]);
        check("/elsewhere", &expect!["http a.test 5002 /elsewhere"]);
        check(
            "other",
            &expect!["http a.test 5002 /.well-known/acme-challenge/other"],
        );
        check(
            "?again",
            &expect!["http a.test 5002 /.well-known/acme-challenge/token?again"],
        );
        check("https://user:word@a.test/", &expect!["https a.test 5001 /"]);
        check("http://[::1]/x", &expect!["http ::1 5002 /x"]);
        check("http://127.0.0.1/x", &expect!["http 127.0.0.1 5002 /x"]);
    }

    #[test]
    fn targets_that_are_not() {
        check(
            "ftp://a.test/",
            &expect![[
                r#"Invalid protocol scheme in redirect target. Only "http" and "https" protocol schemes are supported, not "ftp""#
            ]],
        );
        check(
            "https://a.test:8443/",
            &expect![
                "Invalid port in redirect target. Only ports 80 and 443 are supported, not 8443"
            ],
        );
        check(
            "https://a.test:99999/",
            &expect![
                "Invalid port in redirect target. Only ports 80 and 443 are supported, not 99999"
            ],
        );
        check(
            "https:///x",
            &expect!["Invalid empty host in redirect target"],
        );
        check(
            "https://a.test.well-known/x",
            &expect![[
                r#"Invalid host in redirect target "a.test.well-known". Check webserver config for missing '/' in redirect target."#
            ]],
        );
        check(
            "https://backend/x",
            &expect!["Invalid host in redirect target, must end in IANA registered TLD"],
        );
        check(
            "https://db.internal/x",
            &expect!["Invalid host in redirect target, must end in IANA registered TLD"],
        );
        check(
            "https://a.test1/x",
            &expect!["Invalid host in redirect target, must end in IANA registered TLD"],
        );
        check(
            "http://[fe80::1%25eth0]/",
            &expect!["Invalid host in redirect target: contains scope zone"],
        );
        check(
            &format!("/{}", "x".repeat(2000)),
            &expect!["Redirect target too long"],
        );
    }
}
