//! What does each adapter need to know of the configuration?

use std::net::SocketAddr;
use std::path::Path;

use renewal::names::Names;
use renewal::policy::DeadNames;
use rustls::pki_types::CertificateDer;

use crate::config::Config;
use crate::config::values::{FirewallMode, Owner, Reload};
use crate::errors::CommandError;

use super::users;

/// Reads the extra root certificates.
///
/// # Errors
///
/// When the file cannot be read, or has none in it.
pub(super) fn roots(config: &Config) -> Result<Vec<CertificateDer<'static>>, CommandError> {
    let Some(path) = &config.acme.ca_bundle else {
        return Ok(Vec::new());
    };
    let unusable = || {
        CommandError::usage(format!(
            "acme.ca_bundle: {} cannot be used, so nothing was done.",
            path.display()
        ))
    };
    let pem = std::fs::read(path).map_err(|error| unusable().because(&error))?;
    acme::roots(&pem).map_err(|error| {
        unusable()
            .because(&error)
            .hint("it must hold certificates in PEM: -----BEGIN CERTIFICATE-----")
    })
}

/// What the CAs' clients need to know.
pub(super) fn authority(config: &Config, roots: Vec<CertificateDer<'static>>) -> acme::Settings {
    acme::Settings {
        user_agent: concat!("clpctl/", env!("CARGO_PKG_VERSION")).to_owned(),
        roots,
        accounts: config.paths.letsencrypt.join("accounts"),
        contact: config
            .acme
            .contact
            .iter()
            .map(|contact| contact.0.clone())
            .collect(),
        own_addresses: config.host.public_addresses.clone(),
    }
}

/// What the host's adapter needs to know; `names` are those of one site that the command line gave.
///
/// # Errors
///
/// When the owner of token files is no user of this machine.
pub(super) fn host(
    config: &Config,
    roots: Vec<CertificateDer<'static>>,
    names: Option<&Names>,
) -> Result<nginx::Settings, CommandError> {
    Ok(nginx::Settings {
        binary: config.nginx.binary.clone(),
        config: config.nginx.config.clone(),
        prefix: config.nginx.prefix.clone(),
        reload: match &config.nginx.reload {
            Reload::Auto => nginx::Reload::Auto,
            Reload::Systemd => nginx::Reload::Systemd,
            Reload::Signal => nginx::Reload::Signal,
            Reload::Command(words) => nginx::Reload::Command(words.join(" ")),
        },
        edit: config.nginx.edit,
        https_port: config.nginx.https_port.get(),
        http01_port: config.http01.port.get(),
        http01_owner: owner(&config.http01.owner)?,
        open_for_validation: match config.firewall.mode {
            FirewallMode::Off => None,
            FirewallMode::OpenDuringValidation => Some(config.firewall.open_for.0),
        },
        letsencrypt: config.paths.letsencrypt.clone(),
        state: config.paths.state.clone(),
        roots,
        sites: sites(config, names),
    })
}

/// What the panel's adapter needs to know; `None` when there is no panel to be looked for.
pub(super) fn panel(config: &Config) -> Option<cloudpanel::Settings> {
    let nginx = config.nginx.config.parent();
    Some(cloudpanel::Settings::at(
        config.host.cloudpanel_database.clone()?,
        nginx.unwrap_or(Path::new("/etc/nginx")).to_owned(),
        config.paths.state.join("cloudpanel"),
    ))
}

fn owner(owner: &Owner) -> Result<nginx::Owner, CommandError> {
    match owner {
        Owner::Auto => Ok(nginx::Owner::DocumentRoot),
        Owner::Named { user, group } => {
            let ids = users::ids(user, group.as_deref());
            let (uid, gid) = ids.map_err(|what| {
                CommandError::usage(format!("http01.owner: {what}, so nothing was done."))
            })?;
            Ok(nginx::Owner::Ids(uid, gid))
        }
    }
}

fn sites(config: &Config, names: Option<&Names>) -> nginx::Sites {
    let mut listed: Vec<nginx::Listed> = config
        .sites
        .iter()
        .map(|site| nginx::Listed {
            domain: site.domain.clone(),
            names: site.names.clone(),
            policy: config.policy_for(&site.domain),
        })
        .collect();
    if let Some(names) = names {
        let domain = names.domain();
        listed.retain(|listed| listed.domain != *domain);
        let mut policy = config.policy_for(domain);
        // Whoever names a name wants it.
        policy.dead_names = DeadNames::Fail;
        listed.push(nginx::Listed {
            domain: domain.clone(),
            names: Some(names.clone()),
            policy,
        });
    }
    nginx::Sites {
        policy: config.usual_policy(),
        listed,
    }
}

/// What the preflight needs to know.
pub(super) fn preflight(config: &Config) -> doctor::Settings {
    let http_port = config.http01.port.get();
    doctor::Settings {
        servers: config.dns.servers.clone(),
        http_port,
        https_port: config.nginx.https_port.get(),
        private_ca: http_port != 80 || needs_roots_nearby(config),
        ..doctor::Settings::default()
    }
}

/// Says whether the CA is a private one: only such a one needs roots of its own, and one at a public address sees what
/// the world sees.
fn needs_roots_nearby(config: &Config) -> bool {
    let authority = config
        .acme
        .directory
        .0
        .split('/')
        .nth(2)
        .unwrap_or_default();
    let at = authority.parse::<SocketAddr>().map(|address| address.ip());
    let public = at.is_ok_and(doctor::is_public);
    config.acme.ca_bundle.is_some() && !public
}

/// What the driver needs to know.
pub(super) fn driver(config: &Config) -> reconcile::world::Settings {
    reconcile::world::Settings {
        jobs: usize::from(config.acme.jobs.0),
        http_port: config.http01.port.get(),
        edit: config.nginx.edit,
    }
}
