//! How does nginx answer a challenge by itself?
//!
//! By one line at the top of a server block. A server block's own `if` and `return` run in the order of the file and
//! before anything a location says, so the line comes before forced https, rewrites, `deny` and `auth_basic`:
//!
//! ```nginx
//! if ($uri ~ "^/\.well-known/acme-challenge/([-_A-Za-z0-9]+)$") { return 200 "$1.THUMBPRINT"; } # clpctl http-01
//! ```
//!
//! The answer is the token, a dot and the thumbprint of the account's key (RFC 8555 section 8.1); anyone may
//! see it, and it is worth nothing without that key.

use super::edit::Edits;
use super::tree::Directive;

/// Returns the thumbprint in the line of ours that stands in this server block itself.
#[must_use]
pub fn thumbprint(server: Directive<'_>) -> Option<String> {
    server.block().find_map(thumbprint_of)
}

/// Returns the thumbprint when this `if` is such a line.
#[must_use]
pub fn thumbprint_of(directive: Directive<'_>) -> Option<String> {
    let arguments = directive.arguments();
    let asked = [&b"($uri"[..], b"~", PATTERN.as_bytes(), b")"];
    if !directive.is("if") || !arguments.eq(asked) {
        return None;
    }
    let mut inside = directive.block();
    let (answer, None) = (inside.next()?, inside.next()) else {
        return None;
    };
    let words: Vec<_> = answer.arguments().collect();
    let [status, body] = &words[..] else {
        return None;
    };
    let thumbprint = body.strip_prefix(b"$1.")?;
    let plain = !thumbprint.is_empty() && thumbprint.iter().all(|&b| is_base64url(b));
    let ours = answer.is("return") && **status == *b"200" && plain;
    ours.then(|| String::from_utf8_lossy(thumbprint).into_owned())
}

/// Makes the block answer challenges for this account, and for no other of ours; does nothing when it does.
///
/// `thumbprint` must be base64url, as RFC 7638 makes it; any other is refused by doing nothing.
pub fn put<'t>(edits: &mut Edits<'t>, server: Directive<'t>, thumbprint: &str) {
    if thumbprint.is_empty() || !thumbprint.bytes().all(is_base64url) {
        return;
    }
    let mut lines = server
        .block()
        .filter(|directive| thumbprint_of(*directive).is_some());
    let first = server.block().next();
    let ours = lines.next();
    if let Some(line) = ours
        && thumbprint_of(line).as_deref() == Some(thumbprint)
        && first.is_some_and(|first| first.span() == line.span())
    {
        lines.for_each(|other| edits.remove(other));
        return;
    }
    ours.into_iter()
        .chain(lines)
        .for_each(|line| edits.remove(line));
    edits.insert_first(server, &statement(thumbprint), Some(COMMENT));
}

/// Takes our lines out of the block.
pub fn take<'t>(edits: &mut Edits<'t>, server: Directive<'t>) {
    let lines = server
        .block()
        .filter(|directive| thumbprint_of(*directive).is_some());
    lines.for_each(|line| edits.remove(line));
}

/// Returns the line, without its comment.
#[must_use]
pub fn statement(thumbprint: &str) -> String {
    format!("if ($uri ~ \"{PATTERN}\") {{ return 200 \"$1.{thumbprint}\"; }}")
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// The path of a challenge, its token captured (RFC 8555 section 8.3: base64url).
const PATTERN: &str = r"^/\.well-known/acme-challenge/([-_A-Za-z0-9]+)$";

/// Says whose line it is, to those who read the vhost.
const COMMENT: &str = "clpctl http-01";
