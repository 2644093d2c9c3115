//! What is set about this host, and about single sites?

use std::ffi::OsString;
use std::path::PathBuf;

use jiff::SignedDuration;
use renewal::name::Name;
use renewal::names::Names;
use renewal::policy::{EditVhosts, Policy};
use rustls::pki_types::CertificateDer;

/// The settings of this host; the defaults are those of the documentation.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The nginx program.
    pub binary: PathBuf,
    /// The main configuration file.
    pub config: PathBuf,
    /// nginx's prefix; `None` leaves it to how nginx was built.
    pub prefix: Option<PathBuf>,
    /// How nginx is told to take up its configuration.
    pub reload: Reload,
    /// Which vhosts may be edited.
    pub edit: EditVhosts,
    /// Where a site that does not listen for TLS yet will, and is looked at.
    pub https_port: u16,
    /// Where the CA asks for challenges.
    pub http01_port: u16,
    /// To whom challenge files belong.
    pub http01_owner: Owner,
    /// For how long the port is opened in the firewall for validations; `None` where the firewall is left alone.
    pub open_for_validation: Option<SignedDuration>,
    /// The folder with `live/` and `archive/`.
    pub letsencrypt: PathBuf,
    /// The folder for what is kept between two runs.
    pub state: PathBuf,
    /// Root certificates that are trusted besides the public ones.
    pub roots: Vec<CertificateDer<'static>>,
    /// What is set about sites.
    pub sites: Sites,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            binary: "/usr/sbin/nginx".into(),
            config: DEFAULT_CONFIG.into(),
            prefix: None,
            reload: Reload::Auto,
            edit: EditVhosts::default(),
            https_port: 443,
            http01_port: 80,
            http01_owner: Owner::DocumentRoot,
            open_for_validation: None,
            letsencrypt: "/etc/letsencrypt".into(),
            state: "/var/lib/clpctl".into(),
            roots: Vec::new(),
            sites: Sites::default(),
        }
    }
}

impl Settings {
    /// Returns the arguments that make nginx use this configuration.
    pub(crate) fn nginx_arguments(&self) -> Vec<OsString> {
        let mut arguments = vec!["-c".into(), self.config.clone().into()];
        if let Some(prefix) = &self.prefix {
            arguments.extend(["-p".into(), prefix.clone().into()]);
        }
        arguments
    }
}

/// How nginx is told to take up its configuration.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Reload {
    /// By a signal to the master; through systemd when the master is not found and nginx is the system's.
    #[default]
    Auto,
    /// By `systemctl reload nginx`.
    Systemd,
    /// By a signal to the master.
    Signal,
    /// By a line for the shell.
    Command(String),
}

/// To whom challenge files and the folders made for them belong.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Owner {
    /// To the document root's owner and group.
    #[default]
    DocumentRoot,
    /// To this user and group.
    Ids(u32, u32),
}

/// What is set about sites.
#[derive(Clone, Debug, Default)]
pub struct Sites {
    /// For sites that nothing else is said of.
    pub policy: Policy,
    /// For single sites.
    pub listed: Vec<Listed>,
}

impl Sites {
    /// Returns what is set about the site `domain` alone.
    #[must_use]
    pub fn listed(&self, domain: &Name) -> Option<&Listed> {
        self.listed.iter().find(|listed| listed.domain == *domain)
    }

    /// Returns the policy that applies to the site `domain`.
    #[must_use]
    pub fn policy_for(&self, domain: &Name) -> &Policy {
        self.listed(domain)
            .map_or(&self.policy, |listed| &listed.policy)
    }
}

/// What is set about one site.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its domain.
    pub domain: Name,
    /// The names its certificate shall cover, when they are set.
    pub names: Option<Names>,
    /// The policy that applies to it.
    pub policy: Policy,
}

/// Where distributions put it.
pub(crate) const DEFAULT_CONFIG: &str = "/etc/nginx/nginx.conf";
