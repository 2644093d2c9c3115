//! Which values does a setting take, and how are they written?
//!
//! A text either becomes a value of its own type, or an error that says what was expected. Nothing is checked
//! later.

use std::net::{IpAddr, SocketAddr};
use std::path::{Component, Path, PathBuf};

use renewal::policy::Ca;
use toml::de::DeValue;

use super::address::{parse_directory, parse_mail};

pub use self::choices::{Challenge, FirewallMode, Manage, Owner, Reload};
pub(crate) use self::measures::parse_duration;
pub use self::measures::{Jobs, OpenFor, Size};

mod choices;
mod measures;

/// A type that a setting can have.
pub trait Value: Clone + Sized {
    /// Which values there are, as a phrase.
    const KIND: &'static str;

    /// Reads the text of an environment variable or of a flag.
    ///
    /// # Errors
    ///
    /// Says what was expected.
    fn from_text(text: &str) -> Result<Self, String>;

    /// Reads the value of a key in the file.
    ///
    /// # Errors
    ///
    /// Says what was expected.
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) => Self::from_text(text),
            other => Err(expected(Self::KIND, other)),
        }
    }

    /// Writes the value as TOML.
    fn show(&self) -> String;
}

/// An e-mail address for the CA.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Contact(pub String);

impl Value for PathBuf {
    const KIND: &'static str = "an absolute path";

    fn from_text(text: &str) -> Result<Self, String> {
        let path = Path::new(text);
        if text.is_empty() || !path.is_absolute() {
            return Err(format!("“{}” is not an absolute path", cut(text)));
        }
        if text.contains(char::is_control) {
            return Err(format!(
                "“{}” contains a control character",
                cut(text).escape_debug()
            ));
        }
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(format!("“{}” must not contain “..”", cut(text)));
        }
        Ok(path.to_owned())
    }

    fn show(&self) -> String {
        quote(&self.to_string_lossy())
    }
}

impl Value for Option<PathBuf> {
    const KIND: &'static str = "an absolute path, or empty";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Ok(None)
        } else {
            PathBuf::from_text(text).map(Some)
        }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| quote(""), PathBuf::show)
    }
}

impl Value for Option<String> {
    const KIND: &'static str = "a word, or empty";

    fn from_text(text: &str) -> Result<Self, String> {
        let odd = |c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c));
        if text.len() > WORD_BYTES_MAX || text.contains(odd) {
            return Err(format!(
                "“{}” is not one word of letters, digits, “-”, “_” and “.”",
                cut(text)
            ));
        }
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    fn show(&self) -> String {
        quote(self.as_deref().unwrap_or_default())
    }
}

impl Value for Ca {
    const KIND: &'static str = "an https URL (http for loopback addresses)";

    fn from_text(text: &str) -> Result<Self, String> {
        parse_directory(text).map(|()| Ca(text.into()))
    }

    fn show(&self) -> String {
        quote(&self.0)
    }
}

impl Value for Contact {
    const KIND: &'static str = "an e-mail address";

    fn from_text(text: &str) -> Result<Self, String> {
        let address = text.strip_prefix("mailto:").unwrap_or(text);
        parse_mail(address).map(|()| Self(address.to_owned()))
    }

    fn show(&self) -> String {
        quote(&self.0)
    }
}

impl Value for SocketAddr {
    const KIND: &'static str = "an address with or without a port, such as 127.0.0.1:8053";

    fn from_text(text: &str) -> Result<Self, String> {
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        let address = text
            .parse()
            .or_else(|_| bare.parse().map(|ip: IpAddr| SocketAddr::new(ip, DNS_PORT)));
        address.map_err(|_| {
            format!(
                "“{}” is not an address; write 127.0.0.1, 127.0.0.1:53, ::1 or [::1]:53",
                cut(text)
            )
        })
    }

    fn show(&self) -> String {
        quote(&self.to_string())
    }
}

impl Value for IpAddr {
    const KIND: &'static str = "an IP address";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("“{}” is not an IP address", cut(text)))
    }

    fn show(&self) -> String {
        quote(&self.to_string())
    }
}

/// Lists: an array in the file, words between commas elsewhere.
macro_rules! list_of {
    ($($type:ty, $kind:literal;)+) => {$(
        impl Value for Vec<$type> {
            const KIND: &'static str = $kind;

            fn from_text(text: &str) -> Result<Self, String> {
                let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
                words.map(<$type>::from_text).collect()
            }

            fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
                match value {
                    DeValue::Array(items) => items.iter().map(|item| <$type>::from_toml(item.get_ref())).collect(),
                    other => Err(expected($kind, other)),
                }
            }

            fn show(&self) -> String {
                let items: Vec<String> = self.iter().map(Value::show).collect();
                format!("[{}]", items.join(", "))
            }
        }
    )+};
}

list_of! {
    Contact, "a list of e-mail addresses";
    SocketAddr, "a list of addresses with or without a port, such as 127.0.0.1:8053";
    IpAddr, "a list of IP addresses";
}

fn expected(kind: &str, found: &DeValue<'_>) -> String {
    let found = match found {
        DeValue::String(_) => "a text in quotes",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    format!("{kind} is expected here, and this is {found}")
}

fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Keeps an error readable when the value is a megabyte.
fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

const DNS_PORT: u16 = 53;
const WORD_BYTES_MAX: usize = 64;
const SHOWN_CHARS: usize = 80;

#[cfg(test)]
mod tests;
