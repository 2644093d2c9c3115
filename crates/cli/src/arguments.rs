//! What was asked for on the command line?
//!
//! The one definition of all commands and options. Help, completions, manual pages and
//! `docs/reference/commands.md` are generated from it.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use renewal::name::Name;

use crate::commands;
use crate::config::Flags;

pub use self::renewing::{InstallCertificate, RenewAll, RenewCertificates};
pub use self::words::{CommandLine, Refused, parse};

mod renewing;
mod words;

/// Keep the TLS certificates of the sites on this host alive
///
/// clpctl finds the sites that nginx serves, obtains and renews a certificate for each from Let's Encrypt
/// or another ACME CA, puts it where nginx reads it, reloads nginx once, and looks at what nginx then serves.
#[derive(Debug, Parser)]
#[command(
    name = "clpctl",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands",
    max_term_width = 100,
    after_long_help = "Examples:\n  \
        clpctl site:renew-certificates              renew what is due\n  \
        clpctl site:renew-certificates --dry-run    say what would be done\n  \
        clpctl site:list                            show every site and its certificate\n  \
        clpctl explain port-80-refused              read about a finding\n\n\
        Exit codes: 0 done, 1 something must be mended, 2 wrong usage or configuration, 3 try later, 101 a defect."
)]
pub struct Cli {
    /// The options that stand everywhere.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The options that every command takes, before or after its name.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// Read this configuration file [default: /etc/clpctl/clpctl.toml, which may be missing]
    #[arg(long, value_name = "FILE", global = true, help_heading = EVERYWHERE)]
    pub config: Option<PathBuf>,
    /// Print the result as one JSON document
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub json: bool,
    /// Print results and errors only
    #[arg(long, short, global = true, conflicts_with = "verbose", help_heading = EVERYWHERE)]
    pub quiet: bool,
    /// Say more; twice, to log every request too
    #[arg(long, short, global = true, action = ArgAction::Count, help_heading = EVERYWHERE)]
    pub verbose: u8,
    /// Colour the output
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = EVERYWHERE)]
    pub color: Color,
    /// Shift the clock, so that tests can look into the future (`+60d`)
    #[arg(long, global = true, hide = true, allow_hyphen_values = true, value_parser = crate::clock::parse_offset)]
    pub clock_offset: Option<SignedDuration>,
}

/// When output is coloured.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What clpctl can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Renew the certificates that are due
    #[command(name = "site:renew-certificates")]
    RenewCertificates(RenewCertificates),
    /// Obtain the first certificate of a site
    #[command(name = "lets-encrypt:install:certificate")]
    InstallCertificate(InstallCertificate),
    /// Renew the certificates of all sites that are due (CloudPanel's name for it)
    #[command(name = "lets-encrypt:renew:certificates")]
    RenewAll(RenewAll),
    /// Serve a certificate that was made elsewhere
    #[command(name = "site:install:certificate")]
    SiteInstall(commands::site_install::Arguments),
    /// List every site with its certificate and when that is due
    #[command(name = "site:list")]
    SiteList(commands::site_list::Arguments),
    /// Show one site in full
    #[command(name = "site:show")]
    SiteShow(commands::site_show::Arguments),
    /// Say what would make the next renewal fail, or keeps a certificate from being served
    #[command(name = "site:doctor")]
    SiteDoctor(commands::site_doctor::Arguments),
    /// Show what clpctl, nginx and the CA said about a site, merged by time
    #[command(name = "site:logs")]
    SiteLogs(commands::site_logs::Arguments),
    /// Serve an earlier certificate of a site again
    #[command(name = "site:rollback-certificate")]
    SiteRollback(commands::site_rollback::Arguments),
    /// Replace a site's certificate, and have its CA revoke the old one
    #[command(name = "site:revoke-certificate")]
    SiteRevoke(commands::site_revoke::Arguments),
    /// Say what on this machine endangers renewals
    #[command(name = "host:audit")]
    HostAudit(commands::host_audit::Arguments),
    /// Take over what another client manages here, without a new order
    #[command(name = "host:adopt")]
    HostAdopt(commands::host_adopt::Arguments),
    /// Show the account at the CA
    #[command(name = "account:show")]
    AccountShow(commands::account::Arguments),
    /// Give the account at the CA a new key
    #[command(name = "account:rollover")]
    AccountRollover(commands::account::Rollover),
    /// Deactivate the account at the CA, for good
    #[command(name = "account:deactivate")]
    AccountDeactivate(commands::account::Deactivate),
    /// Run the scheduler in the foreground
    #[command(name = "service:run")]
    ServiceRun(ServiceRun),
    /// Say how the scheduler fares
    #[command(name = "service:status")]
    ServiceStatus(commands::service_status::Arguments),
    /// Write the systemd units that renew certificates by themselves
    #[command(name = "service:install")]
    ServiceInstall(commands::service_install::Arguments),
    /// Simulate a year of a fleet: would a certificate expire, or a limit be burnt?
    #[command(name = "fleet:simulate")]
    FleetSimulate(commands::fleet_simulate::Arguments),
    /// Print the page of the manual about one finding
    Explain(commands::explain::Arguments),
    /// Show the whole thing at work, with a CA and an nginx of its own
    Demo(Demo),
    /// Show every setting with its value and where it came from
    #[command(name = "config:show")]
    ConfigShow(commands::config_show::Arguments),
    /// Print completions for a shell
    Completions(commands::completions::Arguments),
    /// Print the manual pages, or write them to a folder
    Man(commands::man::Arguments),
}

/// The options of `service:run`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  clpctl service:run       what the unit of service:install starts"
)]
pub struct ServiceRun {}

/// The options of `demo`.
#[derive(Args, Debug)]
#[command(
    after_help = "Nothing outside a temporary folder is touched.\n\nExamples:\n  clpctl demo"
)]
pub struct Demo {}

impl Command {
    /// Returns what the options of the command lay over the configuration.
    #[must_use]
    pub fn flags(&self) -> Flags {
        match self {
            Self::RenewCertificates(arguments) => arguments.flags(),
            Self::InstallCertificate(arguments) => arguments.flags(),
            Self::RenewAll(arguments) => arguments.flags(),
            Self::AccountShow(arguments) => Flags::new(arguments.staging),
            Self::AccountRollover(arguments) => Flags::new(arguments.staging),
            Self::AccountDeactivate(arguments) => Flags::new(arguments.staging),
            Self::HostAdopt(_)
            | Self::HostAudit(_)
            | Self::SiteInstall(_)
            | Self::SiteRollback(_)
            | Self::SiteRevoke(_)
            | Self::SiteList(_)
            | Self::SiteShow(_)
            | Self::SiteDoctor(_)
            | Self::SiteLogs(_)
            | Self::ServiceRun(_)
            | Self::ServiceStatus(_)
            | Self::ServiceInstall(_)
            | Self::FleetSimulate(_)
            | Self::Explain(_)
            | Self::Demo(_)
            | Self::ConfigShow(_)
            | Self::Completions(_)
            | Self::Man(_) => Flags::default(),
        }
    }
}

/// Reads the name of a site that exists, for `--domain`.
///
/// # Errors
///
/// Says which rule of host names the text breaks.
pub(crate) fn site_name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|error| error.to_string())
}

/// Reads a name that a CA shall put into a certificate.
///
/// # Errors
///
/// Says why it is no host name, or why no CA would issue for it.
pub(crate) fn public_name(text: &str) -> Result<Name, String> {
    let name = site_name(text)?;
    name.public()
        .map_err(|why| format!("no CA can issue for it: {why}"))?;
    Ok(name)
}

/// Returns the words that a command line can begin with.
pub(crate) fn command_names() -> Vec<String> {
    let command = <Cli as clap::CommandFactory>::command();
    command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect()
}

const EVERYWHERE: &str = "Options that every command takes";
