//! The options of the commands that obtain certificates.

use clap::Args;
use renewal::name::Name;

use crate::arguments::public_name;
use crate::config::Flags;

/// The options of `site:renew-certificates`.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "A named site that has no certificate of a CA gets its first one.\n\n\
    Examples:\n  \
    clpctl site:renew-certificates\n  \
    clpctl site:renew-certificates --domain=example.com --domain=example.org\n  \
    clpctl site:renew-certificates --dry-run --json\n  \
    clpctl site:renew-certificates --domain=example.com --force"
)]
pub struct RenewCertificates {
    /// Only this site; may be given several times
    #[arg(long = "domain", visible_alias = "domainName", value_name = "DOMAIN", value_parser = public_name)]
    pub domains: Vec<Name>,
    /// Renew now, even what is not due; the CA's rate limits are still kept
    #[arg(long)]
    pub force: bool,
    /// Say what would be done, and ask the CA for nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Use the CA's staging directory, whose certificates no browser trusts
    #[arg(long)]
    pub staging: bool,
    /// Have so many orders in flight [default: acme.jobs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// Wait while another run is at work, instead of giving up
    #[arg(long)]
    pub wait: bool,
}

impl RenewCertificates {
    pub(super) fn flags(&self) -> Flags {
        let mut flags = Flags::new(self.staging);
        if let Some(jobs) = self.jobs {
            flags.set("acme.jobs", "--jobs", jobs.to_string());
        }
        flags
    }
}

/// The options of `lets-encrypt:install:certificate`; their spelling is CloudPanel's.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "The vhost gets the lines for TLS where they are missing; nothing else in it changes.\n\n\
    Examples:\n  \
    clpctl lets-encrypt:install:certificate --domainName=www.example.com\n  \
    clpctl lets-encrypt:install:certificate --domainName=www.example.com --subjectAlternativeName=example.com"
)]
pub struct InstallCertificate {
    /// The site
    #[arg(long = "domainName", visible_alias = "domain", value_name = "DOMAIN", value_parser = public_name)]
    pub domain: Name,
    /// More names for the certificate, separated by commas
    #[arg(long = "subjectAlternativeName", value_name = "NAMES", value_delimiter = ',', value_parser = public_name)]
    pub names: Vec<Name>,
    /// Use the CA's staging directory, whose certificates no browser trusts
    #[arg(long)]
    pub staging: bool,
    /// Wait while another run is at work, instead of giving up
    #[arg(long)]
    pub wait: bool,
}

impl InstallCertificate {
    pub(super) fn flags(&self) -> Flags {
        Flags::new(self.staging)
    }
}

/// The options of `lets-encrypt:renew:certificates`.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "The same as site:renew-certificates without options.\n\n\
    Examples:\n  clpctl lets-encrypt:renew:certificates"
)]
pub struct RenewAll {
    /// Use the CA's staging directory, whose certificates no browser trusts
    #[arg(long)]
    pub staging: bool,
    /// Wait while another run is at work, instead of giving up
    #[arg(long)]
    pub wait: bool,
}

impl RenewAll {
    pub(super) fn flags(&self) -> Flags {
        Flags::new(self.staging)
    }
}

impl From<&RenewAll> for RenewCertificates {
    fn from(all: &RenewAll) -> Self {
        Self {
            staging: all.staging,
            wait: all.wait,
            ..Self::default()
        }
    }
}
