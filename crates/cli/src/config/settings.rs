//! Which settings are there?
//!
//! The one table: each setting with its type, default and meaning. The configuration file, the environment,
//! `config:show` and `docs/reference/configuration.md` all follow it, so none can know a key that another does not.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;

use jiff::SignedDuration;
use renewal::certificate::KeyType;
use renewal::policy::{Ca, DeadNames, EditVhosts, Http01Mode};

use super::read::{Reader, SiteReader};
use super::values::{
    Challenge, Contact, FirewallMode, Jobs, Manage, OpenFor, Owner, Reload, Size, Value,
};

/// One setting, as documents show it.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The table it stands in.
    pub section: &'static str,
    /// Its key there.
    pub key: &'static str,
    /// Which values it takes, as a phrase.
    pub kind: &'static str,
    /// Its default, as TOML.
    pub default: &'static str,
    /// Whether it may stand in a `[[site]]` too.
    pub per_site: bool,
    /// What it is for.
    pub meaning: &'static str,
}

impl Setting {
    /// Returns `section.key`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    /// Returns the environment variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        let name = format!(
            "{}{}_{}",
            crate::environment::PREFIX,
            self.section,
            self.key
        );
        name.to_ascii_uppercase()
    }
}

/// Declares a struct per table of the file, and the list of all settings.
macro_rules! settings {
    ($(
        $(#[doc = $about:literal])+
        [$section:literal] $Section:ident, per site: $per_site:literal {
            $($key:ident: $type:ty = $default:literal, $meaning:literal;)+
        }
    )+) => {
        $(
            $(#[doc = $about])+
            #[derive(Clone, Debug, Eq, PartialEq)]
            pub struct $Section {
                $(#[doc = $meaning] pub $key: $type,)+
            }

            impl $Section {
                /// Reads the table from all layers.
                pub(super) fn read(reader: &mut Reader<'_>) -> Self {
                    Self { $($key: reader.value($section, stringify!($key), $default),)+ }
                }

                /// Reads what a `[[site]]` says differently.
                #[expect(clippy::allow_attributes, reason = "only some tables have a per-site form")]
                #[allow(dead_code, reason = "as above")]
                pub(super) fn read_site(&self, site: &mut SiteReader<'_>) -> Self {
                    Self { $($key: site.value(stringify!($key)).unwrap_or_else(|| self.$key.clone()),)+ }
                }
            }
        )+

        /// All settings, in the order of the manual.
        pub const SETTINGS: &[Setting] = &[$($(Setting {
            section: $section,
            key: stringify!($key),
            kind: <$type as Value>::KIND,
            default: $default,
            per_site: $per_site,
            meaning: $meaning,
        },)+)+];
    };
}

settings! {
    /// Where things are kept.
    ["paths"] Paths, per site: false {
        letsencrypt: PathBuf = r#""/etc/letsencrypt""#, "certificates and keys, in certbot's layout: live/, archive/, renewal/, accounts/";
        state: PathBuf = r#""/var/lib/clpctl""#, "what is remembered between runs: database, journal, lock";
        log: PathBuf = r#""/home/cloudpanel/logs/clpctl.log""#, "every event, one line each; rotated";
        acme_log: PathBuf = r#""/var/log/letsencrypt/letsencrypt.log""#, "the conversation with the CA, secrets left out; rotated";
    }

    /// The CA, and what is ordered there.
    ["acme"] Acme, per site: true {
        directory: Ca = r#""https://acme-v02.api.letsencrypt.org/directory""#, "the CA's directory (RFC 8555 section 7.1.1)";
        staging_directory: Ca = r#""https://acme-staging-v02.api.letsencrypt.org/directory""#, "the directory that --staging uses instead";
        contact: Vec<Contact> = "[]", "e-mail addresses that the CA gets with the account";
        ca_bundle: Option<PathBuf> = r#""""#, "PEM file with more root certificates to trust, for a private CA";
        profile: Option<String> = r#""""#, "the CA's name for the kind of certificate, such as classic, tlsserver or shortlived; empty leaves it to the CA";
        key_type: KeyType = r#""ecdsa-p256""#, "the kind of key that new certificates get";
        jobs: Jobs = "16", "how many orders are in flight at once";
        challenge: Challenge = r#""auto""#, "how control over a name is proved; this release answers http-01";
    }

    /// How HTTP-01 challenges are answered (RFC 8555 section 8.3).
    ["http01"] Http01, per site: true {
        mode: Http01Mode = r#""auto""#, "by which way the CA gets the answer: a line in the vhost, a file below the document root, a listener of clpctl's own, or whichever works";
        port: NonZeroU16 = "80", "where the CA knocks; other than 80 only for a private CA";
        owner: Owner = r#""auto""#, "who owns token files; auto is the owner of the document root";
    }

    /// When certificates are renewed, and whose.
    ["renewal"] Renewal, per site: true {
        before_expiry: Option<SignedDuration> = r#""auto""#, "how long before its end a certificate is renewed; auto follows the CA's window, else a third of the life (30 days of 90)";
        dead_names: DeadNames = r#""drop""#, "what becomes of an alias that leads elsewhere by now: drop leaves it out of the next certificate and says so, fail lets the renewal fail; the names that the file lists for a site are never left out";
        manage: Manage = r#""all""#, "which sites are renewed: all, only those that the file lists, or none (they are only watched)";
    }

    /// The firewall of this host.
    ["firewall"] Firewall, per site: false {
        mode: FirewallMode = r#""off""#, "off leaves the firewall alone; open-during-validation opens the CA's port in nftables, iptables or ufw while validations run, for hosts that keep it closed";
        open_for: OpenFor = r#""10m""#, "after which time the kernel closes such an opening by itself, should clpctl die; put off while validations go on";
    }

    /// The web server.
    ["nginx"] Nginx, per site: false {
        binary: PathBuf = r#""/usr/sbin/nginx""#, "the program that tests the configuration";
        config: PathBuf = r#""/etc/nginx/nginx.conf""#, "the file that nginx starts reading at";
        prefix: Option<PathBuf> = r#""""#, "what nginx was started with as -p; empty when with nothing";
        reload: Reload = r#""auto""#, "how nginx is told to take up its configuration; auto signals its master process";
        edit: EditVhosts = r#""auto""#, "whether clpctl may insert its challenge line and the lines for TLS into vhosts: true, false, or auto, which leaves alone the vhosts that CloudPanel writes";
        https_port: NonZeroU16 = "443", "where the served certificate is looked at, besides each listen directive";
    }

    /// Where names are looked up.
    ["dns"] Dns, per site: false {
        servers: Vec<SocketAddr> = "[]", "resolvers to ask, with or without a port; empty asks the system's";
    }

    /// This machine.
    ["host"] Host, per site: false {
        public_addresses: Vec<IpAddr> = "[]", "the addresses under which the world sees this host; empty finds them out";
        cloudpanel_database: Option<PathBuf> = r#""/home/clp/htdocs/app/data/db.sq3""#, "CloudPanel's database; it may be missing, and empty means that there is none";
    }

    /// How logs grow.
    ["log"] Log, per site: false {
        rotate_at: Size = r#""10MiB""#, "the size at which a log file is put aside";
        keep: u8 = "5", "how many log files that were put aside are kept";
    }
}
