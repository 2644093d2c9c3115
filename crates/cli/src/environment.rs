//! What does the environment of the process say?
//!
//! Read once, at the start, and passed on as a value: nothing below asks the process again.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// The variables of the process that are text, and those that are for clpctl alone.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    unreadable: Vec<String>,
}

impl Environment {
    /// Takes the variables in.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut made = Self::default();
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            match value.into_string() {
                Ok(value) => {
                    made.variables.insert(name.to_owned(), value);
                }
                Err(_) if name.starts_with(PREFIX) => made.unreadable.push(name.to_owned()),
                Err(_) => {}
            }
        }
        made
    }

    /// Returns one variable; an empty one counts as none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// Returns the variables that are meant as settings: `CLPCTL_SECTION_KEY`.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        let ours = self
            .variables
            .iter()
            .filter(|(name, _)| name.starts_with(PREFIX));
        ours.map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| !NO_SETTINGS.contains(name))
    }

    /// Returns the settings whose value is not UTF-8.
    #[must_use]
    pub fn unreadable(&self) -> &[String] {
        &self.unreadable
    }

    /// Returns where the CloudPanel program is that unknown commands are handed to.
    #[must_use]
    pub fn cloudpanel(&self) -> PathBuf {
        PathBuf::from(self.get(CLOUDPANEL).unwrap_or(CLOUDPANEL_USUAL))
    }

    /// Says whether the user asked for output without colour (<https://no-color.org>).
    #[must_use]
    pub fn no_color(&self) -> bool {
        self.get("NO_COLOR").is_some() || self.get("TERM") == Some("dumb")
    }

    /// Returns the width of the terminal when the user names one.
    #[must_use]
    pub fn columns(&self) -> Option<usize> {
        self.get("COLUMNS")?
            .parse()
            .ok()
            .filter(|columns| *columns > 0)
    }
}

/// Names another program than the usual one, for tests.
pub(crate) const CLOUDPANEL: &str = "CLPCTL_CLOUDPANEL";

/// Where CloudPanel's package installs its own `clpctl`.
const CLOUDPANEL_USUAL: &str = "/usr/bin/clpctl";

/// What all our variables begin with.
pub(crate) const PREFIX: &str = "CLPCTL_";

/// Our variables that are no settings: the global options that can be given by variable, and the one above.
const NO_SETTINGS: [&str; 3] = ["CLPCTL_CONFIG", "CLPCTL_CLOCK_OFFSET", CLOUDPANEL];
