//! How is one event written as one line?
//!
//! `2026-02-01T12:00:00.123Z INFO domain=a.test ordering key=value …`: the time in UTC, the level, the site, the
//! message, and the other fields. Whatever is in a value, it stays one line.

use std::fmt::Write as _;

use jiff::Timestamp;
use tracing::Level;
use tracing::field::{Field, Visit};

use super::redact::{is_secret, redact};
use crate::output::wrap::is_steering;

/// Gathers the fields of one event.
#[derive(Debug, Default)]
pub struct Fields {
    domain: String,
    message: String,
    rest: String,
}

impl Fields {
    /// Writes the line, with its end.
    #[must_use]
    pub fn to_line(&self, at: Timestamp, level: Level) -> String {
        let mut line = format!("{at:.3} {level}");
        if !self.domain.is_empty() {
            let _ = write!(line, " domain={}", self.domain);
        }
        let _ = writeln!(line, " {}{}", self.message, self.rest);
        line
    }

    /// Is about the site that `outer` is about, unless it says itself which one it is about.
    pub(super) fn inherit_domain(&mut self, outer: &Self) {
        if self.domain.is_empty() {
            self.domain.clone_from(&outer.domain);
        }
    }

    fn take(&mut self, name: &str, value: &str) {
        let value = if is_secret(name) {
            "…".into()
        } else {
            redact(value)
        };
        match name {
            "domain" => self.domain = one_line(&value),
            "message" => self.message = one_line(&value),
            _ => {
                let value = one_line(&value);
                let quoted = value.is_empty() || value.contains([' ', '"', '=']);
                let _ = if quoted {
                    write!(self.rest, " {name}=\"{}\"", value.replace('"', "\\\""))
                } else {
                    write!(self.rest, " {name}={value}")
                };
            }
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.take(field.name(), &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.take(field.name(), &value.to_string());
    }
}

/// Escapes what would break the line or steer a terminal, and bounds the length.
fn one_line(value: &str) -> String {
    if value.len() <= VALUE_BYTES_MAX && !value.contains(is_steering) {
        return value.to_owned();
    }
    let mut line = String::new();
    for character in value.chars() {
        if line.len() > VALUE_BYTES_MAX {
            line.push('…');
            break;
        }
        if is_steering(character) {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// A CA's problem document has a few hundred; a page of HTML in its place has no business in a log.
const VALUE_BYTES_MAX: usize = 4_000;
