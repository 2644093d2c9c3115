//! Where does a redirect lead, and would the CA go there?
//!
//! [`follow`] reads a `Location` as a browser does (RFC 3986 section 5) and then applies the rules of Let's
//! Encrypt's validation servers, one by one.
//!
//! | rule | refused as |
//! | --- | --- |
//! | the status is 301, 302, 307 or 308 | [`Refusal::Status`] |
//! | ten redirects at most, no place twice | [`Refusal::TooMany`], [`Refusal::Loop`] |
//! | http or https | [`Refusal::Scheme`] |
//! | a port the CA knows | [`Refusal::Port`] |
//! | a host that is there, and public | [`Refusal::NoHost`], [`Refusal::MissingSlash`], [`Refusal::NotPublic`] |
//! | a path of at most 2,000 bytes | [`Refusal::TooLong`] |

use std::fmt;
use std::net::IpAddr;

use renewal::name::{Name, NotPublic};

use super::Settings;
use crate::address::is_public;

/// A place the CA fetches from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// The host.
    pub host: Name,
    /// The port.
    pub port: u16,
    /// Path and query, as they stand in the request.
    pub path: String,
}

impl Target {
    /// Returns where the CA begins (RFC 8555 section 8.3).
    #[must_use]
    pub fn challenge(host: Name, port: u16, token: &str) -> Self {
        Self {
            tls: false,
            host,
            port,
            path: encode(&format!("/.well-known/acme-challenge/{token}")),
        }
    }

    /// Returns what the `Host` header says; the usual port is left out, as browsers do.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = match self.host.address() {
            Some(IpAddr::V6(address)) => format!("[{address}]"),
            Some(IpAddr::V4(_)) | None => self.host.to_string(),
        };
        if self.port == usual_port(self.tls) {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

/// For people: a path that is a page long is cut.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let path = shorten(&self.path);
        write!(f, "{scheme}://{}{path}", self.authority())
    }
}

/// Why the CA does not follow a redirect.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The status is another kind of redirect.
    #[error("status {0} is no redirect that a CA follows")]
    Status(u16),
    /// There is no `Location`.
    #[error("the redirect has no Location")]
    NoLocation,
    /// The `Location` is no URL.
    #[error("the Location is no URL: {0}")]
    NoUrl(&'static str),
    /// The path is too long.
    #[error("the path has {0} bytes, and {PATH_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// Neither http nor https.
    #[error("the CA follows http and https, not {0}")]
    Scheme(String),
    /// The host is empty.
    #[error("the Location has no host")]
    NoHost,
    /// The path follows the host without a slash.
    #[error("a “/” is missing between the host and the path, which makes the host {0}")]
    MissingSlash(String),
    /// A port that the CA does not use.
    #[error("the CA follows to the ports {}, not {port}", list(.allowed))]
    Port {
        /// The port.
        port: u16,
        /// Those it follows to.
        allowed: Vec<u16>,
    },
    /// Nobody outside can reach it.
    #[error("{0} cannot be reached from outside")]
    NotPublic(String),
    /// It was there before.
    #[error("it leads to a place it came from")]
    Loop,
    /// There were too many.
    #[error("the CA follows {REDIRECTS_MAX} redirects, and there are more")]
    TooMany,
}

/// Says where the CA goes next.
///
/// `been` holds every place so far; the last is where the redirect came from.
///
/// # Errors
///
/// The rule that the redirect breaks.
pub fn follow(
    been: &[Target],
    status: u16,
    location: Option<&[u8]>,
    settings: &Settings,
) -> Result<Target, Refusal> {
    if !matches!(status, 301 | 302 | 307 | 308) {
        return Err(Refusal::Status(status));
    }
    if been.len() > REDIRECTS_MAX {
        return Err(Refusal::TooMany);
    }
    let from = been.last().ok_or(Refusal::NoLocation)?;
    let target = resolve(from, location.ok_or(Refusal::NoLocation)?)?;
    check_port(&target, settings)?;
    check_host(&target, settings)?;
    if target.path.len() > REQUEST_BYTES_MAX {
        return Err(Refusal::NoUrl("no server would read one so long"));
    }
    let path_bytes = target.path.split('?').next().map_or(0, str::len);
    if path_bytes > PATH_BYTES_MAX {
        return Err(Refusal::TooLong(path_bytes));
    }
    if been.contains(&target) {
        return Err(Refusal::Loop);
    }
    Ok(target)
}

fn check_port(target: &Target, settings: &Settings) -> Result<(), Refusal> {
    let mut allowed = vec![usual_port(false), usual_port(true)];
    for port in [settings.http_port, settings.https_port] {
        if settings.private_ca && !allowed.contains(&port) {
            allowed.push(port);
        }
    }
    if allowed.contains(&target.port) {
        return Ok(());
    }
    Err(Refusal::Port {
        port: target.port,
        allowed,
    })
}

fn check_host(target: &Target, settings: &Settings) -> Result<(), Refusal> {
    if settings.private_ca {
        return Ok(());
    }
    let refused = match target.host.address() {
        Some(address) => !is_public(address),
        None => matches!(
            target.host.public(),
            Err(NotPublic::SingleLabel | NotPublic::LocalTopLevel(_))
        ),
    };
    if refused {
        return Err(Refusal::NotPublic(target.host.to_string()));
    }
    Ok(())
}

/// Resolves a reference (RFC 3986 section 5.2.2), without its fragment.
fn resolve(from: &Target, location: &[u8]) -> Result<Target, Refusal> {
    let text = std::str::from_utf8(location).map_err(|_| Refusal::NoUrl("it is not UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(Refusal::NoUrl("it has control characters"));
    }
    let text = text.split('#').next().unwrap_or_default();
    let (tls, rest) = match scheme(text) {
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        Some((other, _)) => return Err(Refusal::Scheme(shorten(other))),
        None => (from.tls, text),
    };
    if let Some(rest) = rest.strip_prefix("//") {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = host_and_port(authority)?;
        return Ok(Target {
            tls,
            host,
            port: port.unwrap_or(usual_port(tls)),
            path: encode(&without_dots(path)),
        });
    }
    if rest.len() != text.len() {
        // "https:example.com": a scheme without an authority.
        return Err(Refusal::NoHost);
    }
    let base = from.path.split('?').next().unwrap_or("/");
    let path = match rest.as_bytes().first() {
        None => from.path.clone(),
        Some(b'/') => without_dots(rest),
        Some(b'?') => format!("{base}{rest}"),
        Some(_) => {
            let folder = base.rfind('/').map_or("/", |slash| &base[..=slash]);
            without_dots(&format!("{folder}{rest}"))
        }
    };
    Ok(Target {
        path: encode(&path),
        ..from.clone()
    })
}

/// Splits a scheme off (RFC 3986 section 3.1), in lower case where it is one we know.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let end = text.find([':', '/', '?'])?;
    let (scheme, rest) = text.split_at(end);
    let rest = rest.strip_prefix(':')?;
    let starts_well = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    if !starts_well || !scheme.chars().all(is_part) {
        return None;
    }
    let known = ["http", "https"];
    let known = known
        .into_iter()
        .find(|known| scheme.eq_ignore_ascii_case(known));
    Some((known.unwrap_or(scheme), rest))
}

/// Reads an authority (RFC 3986 section 3.2); user and password are skipped.
fn host_and_port(authority: &str) -> Result<(Name, Option<u16>), Refusal> {
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, rest) = bracketed
            .split_once(']')
            .ok_or(Refusal::NoUrl("a bracket is not closed"))?;
        if host.contains('%') {
            return Err(Refusal::NoUrl("an address has a scope zone"));
        }
        (host, rest.strip_prefix(':'))
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    if host.is_empty() {
        return Err(Refusal::NoHost);
    }
    if authority.ends_with(MISSING_SLASH) {
        return Err(Refusal::MissingSlash(shorten(authority)));
    }
    let port = match port {
        None | Some("") => None,
        Some(digits) => match digits.parse() {
            Ok(port) if port != 0 => Some(port),
            Ok(_) | Err(_) => return Err(Refusal::NoUrl("the port is no number")),
        },
    };
    let host = Name::parse(host).map_err(|_| Refusal::NoUrl("the host is no host name"))?;
    Ok((host, port))
}

/// Removes `.` and `..` (RFC 3986 section 5.2.4); leaves the query alone.
fn without_dots(path: &str) -> String {
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_folder = true;
    for part in path.split('/').skip(1) {
        ends_in_folder = matches!(part, "." | ".." | "");
        match part {
            "." => {}
            ".." => {
                kept.pop();
            }
            // An empty part in the middle is a part; one at the end is put back below.
            part => kept.push(part),
        }
    }
    if kept.last() == Some(&"") {
        kept.pop();
    }
    let mut whole = String::with_capacity(path.len() + 1);
    for part in &kept {
        whole.push('/');
        whole.push_str(part);
    }
    if ends_in_folder {
        whole.push('/');
    }
    if let Some(query) = query {
        whole.push('?');
        whole.push_str(query);
    }
    whole
}

/// Encodes what may not stand in a request line; what is encoded already stays.
fn encode(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        let plain = byte.is_ascii_graphic()
            && !matches!(
                byte,
                b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
            );
        if plain {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Keeps a sentence readable when a stranger's word is a page long.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(WORD_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn usual_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

fn list(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    ports.join(", ")
}

/// Let's Encrypt follows so many.
const REDIRECTS_MAX: usize = 10;

/// Let's Encrypt's bound for the path of a redirect, in bytes.
const PATH_BYTES_MAX: usize = 2000;

/// Our own bound for path and query together, in bytes; nginx reads 8,192 for the whole line.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// A host name is no longer than that (RFC 1035 section 2.3.4).
const WORD_CHARACTERS_MAX: usize = 253;

/// How a host ends when `https://example.com` and `/.well-known/…` were joined without the slash.
const MISSING_SLASH: &str = ".well-known";

#[cfg(test)]
mod tests;
