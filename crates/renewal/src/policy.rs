//! Which settings apply to one site?

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::certificate::KeyType;
use crate::site::{Site, Source};

/// The settings of one site, after defaults, file, environment and flags were laid over each other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// The CA's directory.
    pub ca: Ca,
    /// The CA's name for the kind of certificate; `None` leaves it to the CA.
    pub profile: Option<String>,
    /// The kind of key.
    pub key_type: KeyType,
    /// How control over the names is proved over HTTP.
    pub http01: Http01Mode,
    /// How long before its end a certificate is renewed; `None` follows the CA or the life's length.
    pub before_expiry: Option<SignedDuration>,
    /// What becomes of a name that no CA could prove any more.
    pub dead_names: DeadNames,
    /// Whether clpctl renews the site, or only watches it.
    pub managed: bool,
    /// Whether the configuration has a `[[site]]` for it, so that it gets even its first certificate unasked.
    pub listed: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            ca: Ca("https://acme-v02.api.letsencrypt.org/directory".into()),
            profile: None,
            key_type: KeyType::default(),
            http01: Http01Mode::default(),
            before_expiry: None,
            dead_names: DeadNames::default(),
            managed: true,
            listed: false,
        }
    }
}

/// A CA, known by the URL of its directory (RFC 8555 section 7.1.1).
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Ca(pub std::sync::Arc<str>);

impl Ca {
    /// Says whether this is Let's Encrypt's staging directory, whose certificates no browser trusts.
    #[must_use]
    pub fn is_staging(&self) -> bool {
        self.0.starts_with("https://acme-staging")
    }
}

impl From<String> for Ca {
    fn from(directory: String) -> Self {
        Self(directory.into())
    }
}

impl From<Ca> for String {
    fn from(ca: Ca) -> Self {
        ca.0.as_ref().into()
    }
}

impl std::fmt::Display for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// How HTTP-01 challenges are answered (RFC 8555 section 8.3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Http01Mode {
    /// By whatever works, tried in order.
    #[default]
    Auto,
    /// By a line in the vhost that computes the answer.
    Stateless,
    /// By a file below the document root.
    Webroot,
    /// By a listener of our own.
    Standalone,
}

/// Which vhosts may be edited.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum EditVhosts {
    /// All but those that a panel writes: it would write them anew at any time, without what was put there.
    #[default]
    NotThePanels,
    /// All.
    All,
    /// None.
    None,
}

impl EditVhosts {
    /// Says whether the vhost of `site` may be edited.
    #[must_use]
    pub fn allows(self, site: &Site) -> bool {
        match self {
            Self::NotThePanels => site.source != Source::Cloudpanel,
            Self::All => true,
            Self::None => false,
        }
    }
}

/// What becomes of a name that no CA could prove any more.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeadNames {
    /// It is left out of the next certificate, and that is said.
    #[default]
    Drop,
    /// It makes the renewal fail.
    Fail,
}
