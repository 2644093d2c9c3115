//! Which words does a setting take, when only some make sense?

use renewal::certificate::KeyType;
use renewal::policy::{DeadNames, EditVhosts, Http01Mode};
use toml::de::DeValue;

use super::{Value, cut, expected, quote};
use crate::nearest::did_you_mean;

/// How control over a name is proved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Challenge {
    /// Over whatever works.
    Auto,
    /// Over HTTP (RFC 8555 section 8.3).
    Http01,
}

/// Which sites are renewed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manage {
    /// All that are found.
    All,
    /// Those with a `[[site]]`.
    Listed,
    /// None: they are only watched.
    None,
}

/// What becomes of the firewall.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FirewallMode {
    /// It is left alone.
    Off,
    /// It is opened while validations run.
    OpenDuringValidation,
}

/// Who owns token files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Owner {
    /// The owner of the document root.
    Auto,
    /// A user and a group by name.
    Named {
        /// The user.
        user: String,
        /// The group; the user's own where there is none.
        group: Option<String>,
    },
}

/// How nginx is told to take up its configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reload {
    /// By whatever works; the signal first.
    Auto,
    /// By `systemctl reload nginx`.
    Systemd,
    /// By SIGHUP to the master process.
    Signal,
    /// By a program and its arguments; no shell is involved.
    Command(Vec<String>),
}

/// Words out of a short list.
macro_rules! choice {
    ($($type:ty, $kind:literal, [$($word:literal => $value:expr),+ $(,)?];)+) => {$(
        impl Value for $type {
            const KIND: &'static str = $kind;

            fn from_text(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok($value),)+
                    _ => Err(format!("“{}” is not {}{}", cut(text), $kind, did_you_mean(text, [$($word),+]))),
                }
            }

            fn show(&self) -> String {
                $(if *self == $value { return quote($word); })+
                // Every value stands in the list: `every_choice_is_written_as_it_is_read` sees to it.
                String::new()
            }
        }
    )+};
}

choice! {
    DeadNames, "drop or fail", ["drop" => DeadNames::Drop, "fail" => DeadNames::Fail];
    KeyType, "one of ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096", [
        "ecdsa-p256" => KeyType::EcdsaP256, "ecdsa-p384" => KeyType::EcdsaP384, "rsa-2048" => KeyType::Rsa2048,
        "rsa-3072" => KeyType::Rsa3072, "rsa-4096" => KeyType::Rsa4096,
    ];
    Http01Mode, "one of auto, stateless, webroot, standalone", [
        "auto" => Http01Mode::Auto, "stateless" => Http01Mode::Stateless, "webroot" => Http01Mode::Webroot,
        "standalone" => Http01Mode::Standalone,
    ];
    FirewallMode, "off or open-during-validation", [
        "off" => FirewallMode::Off, "open-during-validation" => FirewallMode::OpenDuringValidation,
    ];
    Manage, "one of all, listed, none", ["all" => Manage::All, "listed" => Manage::Listed, "none" => Manage::None];
}

impl Value for Challenge {
    const KIND: &'static str = "one of auto, http-01";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "http-01" => Ok(Self::Http01),
            "tls-alpn-01" | "dns-01" => Err(format!(
                "this release cannot answer {text}; use auto or http-01"
            )),
            _ => Err(format!(
                "“{}” is not {}{}",
                cut(text),
                Self::KIND,
                did_you_mean(text, ["auto", "http-01"])
            )),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => quote("auto"),
            Self::Http01 => quote("http-01"),
        }
    }
}

impl Value for EditVhosts {
    const KIND: &'static str = "true, false, or auto";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::NotThePanels),
            "true" => Ok(Self::All),
            "false" => Ok(Self::None),
            _ => Err(format!("“{}” is not {}", cut(text), Self::KIND)),
        }
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) => Self::from_text(text),
            DeValue::Boolean(true) => Ok(Self::All),
            DeValue::Boolean(false) => Ok(Self::None),
            other => Err(expected(Self::KIND, other)),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::NotThePanels => quote("auto"),
            Self::All => "true".to_owned(),
            Self::None => "false".to_owned(),
        }
    }
}

impl Value for Owner {
    const KIND: &'static str = "auto, user, or user:group";

    fn from_text(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let is_name = |name: &str| {
            !name.is_empty()
                && name.len() <= 32
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.$".contains(c))
        };
        if !is_name(user) || !group.is_none_or(is_name) {
            return Err(format!("“{}” is not {}", cut(text), Self::KIND));
        }
        Ok(Self::Named {
            user: user.to_owned(),
            group: group.map(str::to_owned),
        })
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => quote("auto"),
            Self::Named { user, group: None } => quote(user),
            Self::Named {
                user,
                group: Some(group),
            } => quote(&format!("{user}:{group}")),
        }
    }
}

impl Value for Reload {
    const KIND: &'static str = "auto, systemd, signal, or a command with an absolute path";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "auto" => return Ok(Self::Auto),
            "systemd" => return Ok(Self::Systemd),
            "signal" => return Ok(Self::Signal),
            _ => {}
        }
        if !text.starts_with('/') {
            let meant = did_you_mean(text, ["auto", "systemd", "signal"]);
            return Err(format!("“{}” is not {}{meant}", cut(text), Self::KIND));
        }
        if text.contains(|c: char| "\"'`$&|;<>\\*?(){}\0\n".contains(c)) {
            return Err("the command is started without a shell, so it cannot contain quotes or shell characters; put it into a script".to_owned());
        }
        Ok(Self::Command(
            text.split_whitespace().map(str::to_owned).collect(),
        ))
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => quote("auto"),
            Self::Systemd => quote("systemd"),
            Self::Signal => quote("signal"),
            Self::Command(words) => quote(&words.join(" ")),
        }
    }
}
