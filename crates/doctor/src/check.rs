//! Which checks are there, about what, and what must hold before each?
//!
//! Checks are data: [`Check::ALL`] lists them in the order in which people read them, and each comes after those it
//! depends on. Who runs them is in [`examination`](crate::examination).

use std::fmt;

use serde::{Deserialize, Serialize};

/// One check.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Check {
    /// Is there an nginx?
    Nginx,
    /// Does nginx accept its configuration?
    Configuration,
    /// Does an nginx run with that configuration?
    Running,
    /// Has nginx connections and open files enough?
    Limits,
    /// Can all vhosts be read?
    Vhosts,
    /// Who listens on the port on which the CA knocks?
    HttpPort,
    /// Would this host's firewall let the CA in?
    Firewall,
    /// Is there room for new files?
    Space,
    /// Does the CA answer?
    Authority,
    /// Is this host's clock right?
    Clock,
    /// Does anything renew by itself?
    Schedule,
    /// Is the site's vhost in order?
    Vhost,
    /// Are its certificate and key in order?
    Certificate,
    /// Is that certificate served everywhere?
    Served,
    /// Do the servers of its names agree?
    NameServers,
    /// Does DNS know its names?
    Dns,
    /// Do CAA records let the CA issue?
    Caa,
    /// Could a challenge file be written and read?
    DocumentRoot,
    /// Would a challenge be answered?
    Challenge,
    /// Would the CA take an order now?
    Order,
}

/// What a check is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum About {
    /// This host, once for all sites.
    Host,
    /// One site.
    Site,
}

/// What there is to know of a check before it is made.
struct Facts {
    name: &'static str,
    about: About,
    after: &'static [Check],
}

impl Check {
    /// All checks; each stands behind those that it depends on.
    pub const ALL: &'static [Self] = &[
        Self::Nginx,
        Self::Configuration,
        Self::Running,
        Self::Limits,
        Self::Vhosts,
        Self::HttpPort,
        Self::Firewall,
        Self::Space,
        Self::Authority,
        Self::Clock,
        Self::Schedule,
        Self::Vhost,
        Self::Certificate,
        Self::Served,
        Self::NameServers,
        Self::Dns,
        Self::Caa,
        Self::DocumentRoot,
        Self::Challenge,
        Self::Order,
    ];

    /// Returns the name that documents use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.facts().name
    }

    /// Returns what it is about.
    #[must_use]
    pub fn about(self) -> About {
        self.facts().about
    }

    /// Returns the checks without which it says nothing.
    #[must_use]
    pub fn after(self) -> &'static [Self] {
        self.facts().after
    }

    fn facts(self) -> Facts {
        let (name, about, after): (_, _, &[Self]) = match self {
            Self::Nginx => ("nginx", About::Host, &[]),
            Self::Configuration => ("nginx-configuration", About::Host, &[Self::Nginx]),
            Self::Running => ("nginx-running", About::Host, &[Self::Nginx]),
            Self::Limits => ("limits", About::Host, &[Self::Nginx]),
            Self::Vhosts => ("vhosts", About::Host, &[]),
            Self::HttpPort => ("port-80", About::Host, &[]),
            Self::Firewall => ("firewall", About::Host, &[]),
            Self::Space => ("space", About::Host, &[]),
            Self::Authority => ("ca", About::Host, &[]),
            Self::Clock => ("clock", About::Host, &[Self::Authority]),
            Self::Schedule => ("schedule", About::Host, &[]),
            Self::Vhost => ("vhost", About::Site, &[]),
            Self::Certificate => ("certificate", About::Site, &[]),
            Self::Served => ("served", About::Site, &[Self::Running]),
            Self::NameServers => ("name-servers", About::Site, &[]),
            Self::Dns => ("dns", About::Site, &[]),
            Self::Caa => ("caa", About::Site, &[Self::Authority, Self::Dns]),
            Self::DocumentRoot => ("document-root", About::Site, &[]),
            Self::Challenge => ("challenge", About::Site, &[Self::Dns]),
            Self::Order => ("order", About::Site, &[]),
        };
        Facts { name, about, after }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Check {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Check {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = Self::ALL.iter().find(|check| check.as_str() == text);
        let unknown = || serde::de::Error::custom(format!("there is no check “{text}”"));
        known.copied().ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::{About, Check};
    use std::collections::HashSet;

    #[test]
    fn a_check_stands_behind_those_it_depends_on() {
        for (at, check) in Check::ALL.iter().enumerate() {
            for before in check.after() {
                assert!(Check::ALL[..at].contains(before), "{check} before {before}");
                // What is known of one site says nothing of the host.
                assert!(check.about() == About::Site || before.about() == About::Host);
            }
        }
    }

    #[test]
    fn names_tell_checks_apart() {
        let names: HashSet<_> = Check::ALL.iter().map(|check| check.as_str()).collect();
        assert_eq!(names.len(), Check::ALL.len());
    }
}
