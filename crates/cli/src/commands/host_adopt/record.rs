//! What was taken over, so that it can be given back; and how are the settings of those sites written?
//!
//! The record lies with what clpctl remembers, as `adopted.json`. The settings are a file of their own beside the
//! configuration, `adopted.toml`, for the configuration is its owner's: what that says of a site wins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use doctor::clients::{Kind, Schedule};
use jiff::Timestamp;
use renewal::adoption::{Client, Settings};
use renewal::name::Name;
use renewal::site::Site;
use serde::{Deserialize, Serialize};

use super::Files;
use crate::commands::service_install::write;
use crate::errors::CommandError;

/// What was taken over.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Record {
    pub(super) clients: BTreeMap<Client, Taken>,
}

/// What was taken over from one client.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Taken {
    pub(super) at: Timestamp,
    #[serde(default)]
    pub(super) accounts: Vec<TakenAccount>,
    #[serde(default)]
    pub(super) sites: BTreeMap<Name, TakenSite>,
    #[serde(default)]
    pub(super) stopped: Vec<Stopped>,
}

/// An account that is ours as well since then.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct TakenAccount {
    pub(super) directory: String,
    pub(super) thumbprint: String,
}

/// A site that was taken over.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct TakenSite {
    /// The settings that differ from the configuration.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub(super) settings: Settings,
    /// The file that its vhost named then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<PathBuf>,
}

/// What started the client, and does not any more.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stopped {
    Timer(String),
    CronFile(PathBuf),
}

impl Taken {
    pub(super) fn new(at: Timestamp) -> Self {
        Self {
            at,
            accounts: Vec::new(),
            sites: BTreeMap::new(),
            stopped: Vec::new(),
        }
    }
}

impl TakenSite {
    /// Takes in what differs now; what was taken in before is part of the configuration by now, and differs no more.
    pub(super) fn add(&mut self, settings: &Settings, site: &Site) {
        let known = &mut self.settings;
        known.directory = settings.directory.clone().or(known.directory.take());
        known.key_type = settings.key_type.or(known.key_type);
        known.profile = settings.profile.clone().or(known.profile.take());
        known.before_expiry_days = settings.before_expiry_days.or(known.before_expiry_days);
        known.listed |= settings.listed;
        let current = site.current.as_ref().map(|current| current.path.clone());
        self.certificate = self.certificate.take().or(current);
    }
}

impl Stopped {
    /// Returns how this schedule can be stopped; `None` for a line that is somebody's own.
    pub(super) fn of(schedule: &Schedule) -> Option<Self> {
        match &schedule.kind {
            Kind::Timer(unit) => Some(Self::Timer(unit.clone())),
            Kind::CronFile => Some(Self::CronFile(schedule.place.clone())),
            Kind::CronLine(_) => None,
        }
    }

    /// Stops it. Safe to repeat.
    pub(super) async fn stop(&self) -> Result<(), CommandError> {
        match self {
            Self::Timer(unit) => Ok(nginx::jobs::stop_timer(unit).await?),
            Self::CronFile(path) => {
                nginx::jobs::put_aside(path)?;
                Ok(())
            }
        }
    }

    /// Lets it run again. Safe to repeat.
    pub(super) async fn start(&self) -> Result<(), CommandError> {
        match self {
            Self::Timer(unit) => Ok(nginx::jobs::start_timer(unit).await?),
            Self::CronFile(path) => Ok(nginx::jobs::put_back(path)?),
        }
    }

    /// Returns how people call it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Timer(unit) => unit.clone(),
            Self::CronFile(path) => path.display().to_string(),
        }
    }
}

impl Record {
    /// Returns the text of the settings' file; empty when no site needs any.
    pub(super) fn settings(&self) -> String {
        let mut sites: BTreeMap<&Name, &Settings> = BTreeMap::new();
        for taken in self.clients.values() {
            let differing = taken
                .sites
                .iter()
                .filter(|(_, site)| !site.settings.is_empty());
            sites.extend(differing.map(|(domain, site)| (domain, &site.settings)));
        }
        if sites.is_empty() {
            return String::new();
        }
        let mut text = String::from(HEAD);
        for (domain, settings) in sites {
            text.push_str(&format!("\n[[site]]\ndomain = \"{domain}\"\n"));
            for (key, value) in lines(settings) {
                text.push_str(&format!("{key} = \"{value}\"\n"));
            }
        }
        text
    }
}

/// Returns the settings as keys and values of the configuration.
pub(super) fn lines(settings: &Settings) -> Vec<(&'static str, String)> {
    let key_type = settings.key_type.map(|kind| {
        let json = serde_json::to_value(kind).unwrap_or_default();
        json.as_str().unwrap_or_default().to_owned()
    });
    let directory = settings.directory.as_ref().map(ToString::to_string);
    let before = settings.before_expiry_days.map(|days| format!("{days}d"));
    [
        ("directory", directory),
        ("key_type", key_type),
        ("profile", settings.profile.clone()),
        ("before_expiry", before),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key, escaped(&value?))))
    .collect()
}

/// A value comes from another program's file: it must not end the string (TOML 1.0).
fn escaped(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .flat_map(|c| match c {
            '"' | '\\' => vec!['\\', c],
            _ => vec![c],
        })
        .collect()
}

impl Files {
    /// Reads the record; without one, nothing was taken over.
    pub(super) fn read(&self) -> Result<Record, CommandError> {
        let text = match std::fs::read(&self.record) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Record::default());
            }
            Err(cause) => return Err(unusable(&self.record, &cause)),
        };
        serde_json::from_slice(&text).map_err(|cause| unusable(&self.record, &cause))
    }

    /// Writes the record; an empty one is removed.
    pub(super) fn write(&self, record: &Record) -> Result<(), CommandError> {
        if record.clients.is_empty() {
            return remove(&self.record);
        }
        let text =
            serde_json::to_string_pretty(record).map_err(|cause| unusable(&self.record, &cause))?;
        write_file(&self.record, &(text + "\n"))
    }

    /// Writes the settings; a file that would say nothing is removed.
    pub(super) fn write_settings(&self, record: &Record) -> Result<(), CommandError> {
        let text = record.settings();
        if text.is_empty() {
            return remove(&self.settings);
        }
        write_file(&self.settings, &text)
    }
}

fn write_file(path: &Path, text: &str) -> Result<(), CommandError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)
        .and_then(|()| write(path, text))
        .map(|_| ())
        .map_err(|cause| {
            CommandError::file(format!("{} could not be written.", path.display()), &cause)
        })
}

fn remove(path: &Path) -> Result<(), CommandError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(CommandError::file(
            format!("{} could not be removed.", path.display()),
            &cause,
        )),
    }
}

fn unusable(path: &Path, cause: &dyn std::error::Error) -> CommandError {
    CommandError::mend(format!(
        "What was taken over before cannot be read from {}, so nothing was done.",
        path.display()
    ))
    .because(cause)
}

const HEAD: &str = "\
# Written by `clpctl host:adopt`; `clpctl host:adopt --undo` takes it away again.
# A [[site]] in clpctl.toml goes before the one here.
";

#[cfg(test)]
mod tests {
    use super::{Record, Taken, TakenSite};
    use expect_test::expect;
    use renewal::adoption::{Client, Settings};
    use renewal::certificate::KeyType;
    use renewal::policy::Ca;

    #[test]
    fn the_settings_are_toml_whatever_the_other_client_wrote() {
        let mut taken = Taken::new("2026-02-01T00:00:00Z".parse().unwrap());
        let site = |settings| TakenSite {
            settings,
            certificate: None,
        };
        let settings = Settings {
            directory: Some(Ca("https://ca.test/\"x\\\n".into())),
            key_type: Some(KeyType::Rsa4096),
            profile: Some("shortlived".into()),
            before_expiry_days: Some(20),
            listed: false,
        };
        taken
            .sites
            .insert(crate::testing::name("b.test"), site(settings));
        let listed = Settings {
            listed: true,
            ..Settings::default()
        };
        taken
            .sites
            .insert(crate::testing::name("a.test"), site(listed));
        taken
            .sites
            .insert(crate::testing::name("c.test"), site(Settings::default()));
        let mut record = Record::default();
        assert_eq!(record.settings(), "");
        record.clients.insert(Client::Certbot, taken);
        let text = record.settings();
        expect![[r#"
            # Written by `clpctl host:adopt`; `clpctl host:adopt --undo` takes it away again.
            # A [[site]] in clpctl.toml goes before the one here.

            [[site]]
            domain = "a.test"

            [[site]]
            domain = "b.test"
            directory = "https://ca.test/\"x\\"
            key_type = "rsa-4096"
            profile = "shortlived"
            before_expiry = "20d"
        "#]]
        .assert_eq(&text);
        let parsed: toml::Table = text.parse().unwrap();
        assert_eq!(parsed["site"].as_array().unwrap().len(), 2);
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
    }
}
