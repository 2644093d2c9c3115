//! What would be taken over from CloudPanel's own client?
//!
//! Its sites and certificates are used where they are, so nothing of them is copied or written down. What there is to
//! take over is its account: the key stands in the panel's database, is read there, and stays.

use std::sync::Arc;

use doctor::clients::{Account, Found, Key};
use reconcile::world::World as _;
use renewal::adoption::{Client, Managed, Proof};
use renewal::panel::{OnPanel, PanelSite, RowKind};
use renewal::policy::Ca;
use renewal::ports::HostFailure;
use renewal::site::Site;

use crate::config::Config;
use crate::wire::Wiring;

/// Reads what CloudPanel's client has here; `None` where there is no panel, or its record has a form that is not known.
pub(super) fn find(
    world: &Arc<Wiring>,
    config: &Config,
    sites: &[Site],
) -> Result<Option<Found>, HostFailure> {
    let Some(database) = &config.host.cloudpanel_database else {
        return Ok(None);
    };
    let managed: Vec<Managed> = sites
        .iter()
        .filter_map(|site| match &site.panel {
            OnPanel::Yes(entry) => managed(site, entry, database),
            OnPanel::No | OnPanel::Unreadable => None,
        })
        .collect();
    let key = world.panel().account_key()?;
    if managed.is_empty() && key.is_none() {
        return Ok(None);
    }
    let accounts = key.into_iter().map(|key| Account {
        directory: DIRECTORY.to_owned(),
        id: ACCOUNT.to_owned(),
        place: database.clone(),
        key: Key::Pem(key),
        url: None,
        contact: Vec::new(),
        created_at: None,
    });
    Ok(Some(Found {
        client: Client::Cloudpanel,
        place: database.clone(),
        managed,
        accounts: accounts.collect(),
        hooks: Vec::new(),
        problems: Vec::new(),
    }))
}

/// Describes a site whose certificate the panel's client renews; imported and self-signed ones it leaves alone.
fn managed(site: &Site, entry: &PanelSite, database: &std::path::Path) -> Option<Managed> {
    let current = site.current.as_ref()?;
    let renews = match &entry.row {
        Some(row) => row.kind == RowKind::Issued,
        // The panel's own domain is in no table.
        None => entry.id.is_none() && !current.certificate.self_signed,
    };
    renews.then(|| Managed {
        name: entry.domain.to_string(),
        place: database.to_owned(),
        names: current.certificate.names.clone(),
        leaf: Some(current.certificate.sha256),
        ca: Some(Ca(DIRECTORY.into())),
        account: Some(ACCOUNT.to_owned()),
        // Its client knows one kind of key alone; nobody has chosen that.
        key_type: None,
        profile: None,
        before_expiry: None,
        proof: Proof::Http,
        renews: true,
        hooks: Vec::new(),
        notes: Vec::new(),
    })
}

/// The CA of the panel's client, which asks no other.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// What the panel calls its account's key.
const ACCOUNT: &str = "le_private_key";
