//! Which settings apply?
//!
//! A flag wins over the environment (`CLPCTL_SECTION_KEY`), that over the file, and that over the default.
//! What a `[[site]]` says wins for that site, for it is the most particular. [`load`] returns values of their
//! own types, or every problem at once, each with its place.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use renewal::name::Name;
use renewal::names::Names;
use renewal::policy::{DeadNames, Policy};

use crate::environment::Environment;
use crate::errors::CommandError;

pub use self::problem::{Place, Problem};
pub use self::settings::{
    Acme, Dns, Firewall, Host, Http01, Log, Nginx, Paths, Renewal, SETTINGS, Setting,
};
pub use self::site::SiteSettings;

pub mod values;
mod address;
mod problem;
mod settings;
mod read;
mod site;
mod text;

/// All settings, as values.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that was read; `None` when there is none.
    pub file: Option<PathBuf>,
    /// Where things are kept.
    pub paths: Paths,
    /// The CA, and what is ordered there.
    pub acme: Acme,
    /// How HTTP-01 challenges are answered.
    pub http01: Http01,
    /// When certificates are renewed, and whose.
    pub renewal: Renewal,
    /// The firewall of this host.
    pub firewall: Firewall,
    /// The web server.
    pub nginx: Nginx,
    /// Where names are looked up.
    pub dns: Dns,
    /// This machine.
    pub host: Host,
    /// How logs grow.
    pub log: Log,
    /// The sites that differ, in the order of the file.
    pub sites: Vec<SiteSettings>,
    /// Whether the CA's staging directory is used.
    pub staging: bool,
    /// Every setting, as people see it.
    pub shown: Vec<Shown>,
    by_name: HashMap<Name, usize>,
}

/// One setting as people see it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Shown {
    /// The site it is about; `None` for all.
    pub site: Option<Name>,
    /// `section.key`; within a site, the key alone.
    pub key: String,
    /// Its value, as TOML.
    pub value: String,
    /// Where it came from.
    pub source: Source,
}

/// Where a value came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File(Place),
    /// An environment variable.
    Environment(String),
    /// An option of the command line.
    Flag(String),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) => write!(f, "{}:{}", place.file.display(), place.line),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// What the command line lays over the settings.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Flags {
    /// Whether `--staging` was given.
    pub staging: bool,
    values: Vec<(&'static str, &'static str, String)>,
}

impl Flags {
    /// Starts with no setting changed.
    #[must_use]
    pub fn new(staging: bool) -> Self {
        Self {
            staging,
            values: Vec::new(),
        }
    }

    /// Sets `section.key` to a value, because of `flag`.
    pub fn set(&mut self, path: &'static str, flag: &'static str, value: String) {
        self.values.push((path, flag, value));
    }

    fn get(&self, path: &str) -> Option<(&'static str, &str)> {
        let found = self
            .values
            .iter()
            .rev()
            .find(|(known, _, _)| *known == path);
        found.map(|(_, flag, value)| (*flag, value.as_str()))
    }
}

/// Reads all settings; `asked` is the file that the user named, which then must exist.
///
/// # Errors
///
/// Names every key that is unknown or has a wrong value, with file, line and column.
pub fn load(
    asked: Option<&Path>,
    environment: &Environment,
    flags: &Flags,
) -> Result<Config, CommandError> {
    let asked = asked.or_else(|| environment.get("CLPCTL_CONFIG").map(Path::new));
    let path = asked.unwrap_or(Path::new(FILE_USUAL));
    let text = text::read(path, asked.is_some())?;
    let parsed = text
        .as_deref()
        .map(|text| text::parse(path, text))
        .transpose()?;
    let beside = path.with_file_name(ADOPTED);
    let adopted = text::read(&beside, false)?;
    let adopted = adopted
        .as_deref()
        .map(|text| text::parse(&beside, text))
        .transpose()?;
    let mut reader = read::Reader::new(parsed.as_ref(), environment, flags);
    reader.check_names();
    let (paths, acme) = (Paths::read(&mut reader), Acme::read(&mut reader));
    let (http01, renewal) = (Http01::read(&mut reader), Renewal::read(&mut reader));
    let firewall = Firewall::read(&mut reader);
    let (nginx, dns) = (Nginx::read(&mut reader), Dns::read(&mut reader));
    let (host, log) = (Host::read(&mut reader), Log::read(&mut reader));
    let base = (&acme, &http01, &renewal);
    let mut sites = site::read_all(&mut reader, parsed.as_ref(), base, &[]);
    let adopted = site::read_all(&mut reader, adopted.as_ref(), base, &sites);
    sites.extend(adopted);
    let (problems, shown) = reader.finish();
    if !problems.is_empty() {
        return Err(problem::to_error(problems));
    }
    let named = sites.iter().enumerate();
    let by_name = named
        .flat_map(|(at, site)| site.all_names().map(move |name| (name.clone(), at)))
        .collect();
    Ok(Config {
        file: parsed.map(|_| path.to_owned()),
        paths,
        acme,
        http01,
        renewal,
        firewall,
        nginx,
        dns,
        host,
        log,
        sites,
        staging: flags.staging,
        shown,
        by_name,
    })
}

impl Config {
    /// Returns what the file says about the site that has this name.
    #[must_use]
    pub fn site(&self, name: &Name) -> Option<&SiteSettings> {
        self.by_name.get(name).and_then(|at| self.sites.get(*at))
    }

    /// Returns the names that the file gives the site; `None` when it leaves them to nginx's configuration.
    #[must_use]
    pub fn names_for(&self, name: &Name) -> Option<&Names> {
        self.site(name).and_then(|site| site.names.as_ref())
    }

    /// Returns the settings that apply to sites of which the file says nothing.
    #[must_use]
    pub fn usual_policy(&self) -> Policy {
        self.policy(None)
    }

    /// Returns the settings that apply to the site.
    #[must_use]
    pub fn policy_for(&self, domain: &Name) -> Policy {
        self.policy(self.site(domain))
    }

    fn policy(&self, site: Option<&SiteSettings>) -> Policy {
        let (acme, http01, renewal) = match site {
            Some(site) => (&site.acme, &site.http01, &site.renewal),
            None => (&self.acme, &self.http01, &self.renewal),
        };
        let ca = if self.staging {
            &acme.staging_directory
        } else {
            &acme.directory
        };
        Policy {
            ca: ca.clone(),
            profile: acme.profile.clone(),
            key_type: acme.key_type,
            http01: http01.mode,
            before_expiry: renewal.before_expiry,
            managed: match renewal.manage {
                values::Manage::All => true,
                values::Manage::Listed => site.is_some(),
                values::Manage::None => false,
            },
            // Whoever lists a name wants it.
            dead_names: match site.and_then(|site| site.names.as_ref()) {
                Some(_) => DeadNames::Fail,
                None => renewal.dead_names,
            },
            listed: site.is_some(),
        }
    }
}

/// What `host:adopt` writes beside it: `[[site]]`s that stand behind those of the configuration.
pub(crate) const ADOPTED: &str = "adopted.toml";

/// The file that is read when none is named; it may be missing.
pub(crate) const FILE_USUAL: &str = "/etc/clpctl/clpctl.toml";

#[cfg(test)]
mod tests;
