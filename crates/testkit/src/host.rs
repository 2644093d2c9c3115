//! How does a test get a whole host to run the program on?
//!
//! [`Host`] is a temporary folder with everything a host has, and the configuration that tells `clpctl` about it:
//!
//! | path | is |
//! | --- | --- |
//! | `letsencrypt/` | lineages and accounts |
//! | `state/` | what clpctl remembers |
//! | `clpctl.toml` | its configuration, rewritten by [`Host::set`] |
//! | `clpctl.log`, `acme.log` | what it logged |
//!
//! nginx has a folder of its own, see [`Nginx`].

mod clpctl;

pub use clpctl::{Clpctl, Running};

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::certificate::Pair;
use crate::lineage;
use crate::nginx::{self, Nginx, Site};
use crate::pebble::{Pebble, Settings};

/// A host of its own, with nginx running; stopped and removed when dropped.
#[derive(Debug)]
pub struct Host {
    /// The host's nginx.
    pub nginx: Nginx,
    folder: TempDir,
    settings: BTreeMap<String, BTreeMap<String, String>>,
    more: String,
}

impl Host {
    /// Leaves all files where they are when it ends; the caller removes the folder for temporary files as a whole.
    pub fn keep_files(&mut self) {
        self.folder.disable_cleanup(true);
        self.nginx.keep_files();
    }

    /// Makes a host with the given sites, starts its nginx and writes its configuration. There is no CA yet.
    ///
    /// # Panics
    ///
    /// When nginx does not start, or the folder for temporary files cannot be written.
    #[must_use]
    #[track_caller]
    pub fn start(sites: impl IntoIterator<Item = Site>) -> Self {
        let mut host = Self::prepare();
        for site in sites {
            host.nginx.add(site);
        }
        host.nginx.launch();
        host
    }

    /// Makes a host without sites, whose nginx is not started yet.
    ///
    /// # Panics
    ///
    /// When the folder for temporary files cannot be written.
    #[must_use]
    pub fn prepare() -> Self {
        Self::around(Nginx::prepare([]))
    }

    /// The same with nginx on the real ports 80 and 443 of every address, and with what the program finds out by
    /// itself not told to it; for a network namespace of one's own.
    ///
    /// # Panics
    ///
    /// When the folder for temporary files cannot be written.
    #[must_use]
    pub fn prepare_real() -> Self {
        let mut host = Self::around(Nginx::prepare_real());
        host.unset("host", "public_addresses");
        host
    }

    fn around(nginx: Nginx) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("host-")
            .tempdir()
            .expect("a temporary folder can be made");
        // nginx's workers are another user; what is for root alone says so itself.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))
            .expect("the folder is ours");
        let mut host = Self {
            nginx,
            folder,
            settings: BTreeMap::new(),
            more: String::new(),
        };
        host.describe();
        host.write();
        host
    }

    /// Adds a site that serves a lineage: version 1 is the given pair, and the vhost names its files in `live/`.
    /// Seen by nginx once it is started or reloaded.
    ///
    /// # Panics
    ///
    /// When the files cannot be written.
    pub fn add_with_lineage(&mut self, site: Site, pair: &Pair) {
        let live = lineage::write(&self.letsencrypt(), site.domain(), 1, pair);
        self.nginx
            .add(site.certificate(live.join("fullchain.pem"), live.join("privkey.pem")));
    }

    /// Starts a pebble that knocks at this host's nginx, and makes it the host's CA.
    ///
    /// # Panics
    ///
    /// When pebble does not start.
    #[must_use]
    #[track_caller]
    pub fn with_pebble(&mut self, settings: impl FnOnce(Settings) -> Settings) -> Pebble {
        let pebble = settings(Pebble::settings(
            self.nginx.http_port(),
            self.nginx.https_port(),
        ))
        .start();
        self.set_ca(&pebble.directory(), &pebble.ca_bundle());
        self.set(
            "dns",
            "servers",
            &format!("[\"{}\"]", pebble.dns().address()),
        );
        pebble
    }

    /// Makes the CA with this directory the host's CA; its HTTPS certificate leads to a root in the bundle.
    pub fn set_ca(&mut self, directory: &str, bundle: &Path) {
        self.set("acme", "directory", &quoted(directory));
        self.set("acme", "staging_directory", &quoted(directory));
        self.set("acme", "ca_bundle", &quoted_path(bundle));
    }

    /// Sets one setting, given as TOML, and rewrites the configuration.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    pub fn set(&mut self, section: &str, key: &str, value: &str) {
        self.settings
            .entry(section.to_owned())
            .or_default()
            .insert(key.to_owned(), value.to_owned());
        self.write();
    }

    /// Takes one setting out of the configuration.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    pub fn unset(&mut self, section: &str, key: &str) {
        if let Some(section) = self.settings.get_mut(section) {
            section.remove(key);
        }
        self.write();
    }

    /// Adds lines to the end of the configuration, such as `[[site]]` tables.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    pub fn append(&mut self, lines: &str) {
        writeln!(self.more, "\n{}", lines.trim()).expect("text can be added to a String");
        self.write();
    }

    /// Gives the host the program under test: `host.clpctl(env!("CARGO_BIN_EXE_clpctl"))`.
    #[must_use]
    pub fn clpctl(&self, program: impl Into<PathBuf>) -> Clpctl {
        Clpctl::new(program.into(), self.folder().to_owned())
    }

    /// Returns the host's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the folder of lineages and accounts.
    #[must_use]
    pub fn letsencrypt(&self) -> PathBuf {
        self.folder().join("letsencrypt")
    }

    /// Returns the folder of a lineage in `live/`.
    #[must_use]
    pub fn live(&self, name: &str) -> PathBuf {
        self.letsencrypt().join("live").join(name)
    }

    /// Returns the folder of a lineage in `archive/`.
    #[must_use]
    pub fn archive(&self, name: &str) -> PathBuf {
        self.letsencrypt().join("archive").join(name)
    }

    /// Returns the folder of what clpctl remembers.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder().join("state")
    }

    /// Returns the configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        clpctl::config_of(self.folder())
    }

    /// Returns what clpctl logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder().join("clpctl.log")).unwrap_or_default()
    }

    /// Returns the conversation with the CA, as far as it was logged.
    #[must_use]
    pub fn acme_log(&self) -> String {
        fs::read_to_string(self.folder().join("acme.log")).unwrap_or_default()
    }

    /// Every path and port that differs from a real host's.
    fn describe(&mut self) {
        let (http, https) = (
            self.nginx.http_port().to_string(),
            self.nginx.https_port().to_string(),
        );
        let settings = [
            ("paths", "letsencrypt", quoted_path(&self.letsencrypt())),
            ("paths", "state", quoted_path(&self.state())),
            (
                "paths",
                "log",
                quoted_path(&self.folder().join("clpctl.log")),
            ),
            (
                "paths",
                "acme_log",
                quoted_path(&self.folder().join("acme.log")),
            ),
            ("http01", "port", http),
            ("nginx", "binary", quoted(nginx::BINARY)),
            ("nginx", "config", quoted_path(&self.nginx.config())),
            ("nginx", "prefix", quoted_path(self.nginx.folder())),
            ("nginx", "https_port", https),
            // Never by way of systemd, whose nginx is the machine's own.
            ("nginx", "reload", quoted("signal")),
            // A CA that nobody asked for would be a mistake of the test; this one never answers.
            (
                "acme",
                "directory",
                quoted("https://127.0.0.1:9/no-ca-was-given"),
            ),
            (
                "acme",
                "staging_directory",
                quoted("https://127.0.0.1:9/no-ca-was-given"),
            ),
            (
                "host",
                "public_addresses",
                r#"["127.0.0.1", "::1"]"#.to_owned(),
            ),
            (
                "host",
                "cloudpanel_database",
                quoted_path(&self.folder().join("no-cloudpanel.sq3")),
            ),
        ];
        for (section, key, value) in settings {
            self.settings
                .entry(section.to_owned())
                .or_default()
                .insert(key.to_owned(), value);
        }
    }

    fn write(&self) {
        let mut text = String::new();
        for (section, values) in &self.settings {
            let lines: String = values
                .iter()
                .map(|(key, value)| format!("{key} = {value}\n"))
                .collect();
            writeln!(text, "[{section}]\n{lines}").expect("text can be added to a String");
        }
        fs::write(self.config(), text + &self.more).expect("the configuration can be written");
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn quoted_path(path: &Path) -> String {
    quoted(path.to_str().expect("temporary folders have plain names"))
}

#[cfg(test)]
mod tests;
