//! Which site of nginx's configuration is which of the panel's record, and what does not fit together?

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::finding::{Finding, FindingName, Severity};
use crate::name::Name;
use crate::panel::{Inventory, OnPanel, PanelSite, Record, RowKind, Stand, stand};
use crate::plan::SkipReason;
use crate::ports::Look;
use crate::site::{Pair, Server, Site, Source};

/// Adds what the panel says to what was seen of this host.
pub fn join(look: &mut Look, inventory: Inventory, now: Timestamp) {
    match inventory {
        Inventory::Absent => {}
        Inventory::Unknown(finding) => look.findings.push(finding),
        Inventory::Unreadable { finding, folder } => {
            look.findings.push(finding);
            for site in &mut look.sites {
                let is_the_panels =
                    |pair: &Pair| pair.certificate.parent() == Some(folder.as_path());
                if pairs(site).any(is_the_panels) {
                    site.source = Source::Cloudpanel;
                    site.panel = OnPanel::Unreadable;
                }
            }
        }
        Inventory::Known(record) => join_record(look, record, now),
    }
}

fn join_record(look: &mut Look, record: Record, now: Timestamp) {
    look.findings.extend(record.findings);
    look.read.extend(record.read);
    let places = Places::of(&look.sites);
    let mut missing = Vec::new();
    let mut joined: HashMap<usize, Arc<PanelSite>> = HashMap::with_capacity(record.sites.len());
    for entry in record.sites {
        match places.find(&entry) {
            // Two entries of one vhost: the first one's it is.
            Some(index) if !joined.contains_key(&index) => {
                joined.insert(index, Arc::new(entry));
            }
            Some(_) | None => missing.push(vhost_missing(&entry)),
        }
    }
    drop(places);
    look.findings.extend(missing);
    for (index, site) in look.sites.iter_mut().enumerate() {
        if let Some(entry) = joined.remove(&index) {
            complete(site, entry, now);
        }
    }
}

/// Takes the panel's word into one site, and says what differs.
fn complete(site: &mut Site, entry: Arc<PanelSite>, now: Timestamp) {
    site.source = Source::Cloudpanel;
    site.findings.extend(entry.findings.iter().cloned());
    site.panel = OnPanel::Yes(Arc::clone(&entry));
    if let Some(undeployed) = &mut site.undeployed {
        // The file that nginx will read is the panel's, not the lineage's.
        undeployed.path.clone_from(&entry.files.certificate);
    }
    let elsewhere = pairs(site)
        .find(|pair| pair.certificate != entry.files.certificate || pair.key != entry.files.key);
    if let Some(pair) = elsewhere {
        let finding = names_other_files(&entry, pair);
        site.findings.push(finding);
    }
    match stand(site, now) {
        Stand::Same => {}
        Stand::RecordBehind(what) => site.findings.push(drift(
            &entry,
            "CloudPanel's record of the site's certificate is behind what is served.",
            what,
            "Nothing: the next run writes it there.",
        )),
        Stand::FilesBehind(what) => site.findings.push(drift(
            &entry,
            "CloudPanel's record has a better certificate for the site than its files.",
            what,
            "Nothing: the next run takes it over, without a new order.",
        )),
        Stand::Apart(what) => site.findings.push(drift(
            &entry,
            "CloudPanel's record and the site's files are not of one certificate.",
            what,
            "The next renewal writes both; until then, what CloudPanel writes into the vhost may bring the recorded one back. \
             clpctl site:renew-certificates --force --domain=DOMAIN does it now.",
        )),
    }
    if watched(site) == Some(SkipReason::Imported) {
        site.findings.extend(ends_soon(site, now));
    }
}

/// Says why the panel has the site only watched, if it does.
#[must_use]
pub(crate) fn watched(site: &Site) -> Option<SkipReason> {
    let panel = match &site.panel {
        OnPanel::No => return None,
        OnPanel::Unreadable => return Some(SkipReason::PanelUnreadable),
        OnPanel::Yes(panel) => panel,
    };
    let imported = (panel.row.as_ref()).is_some_and(|row| row.kind == RowKind::Imported);
    // One of our own lineage was only recorded as imported, for the panel's own command knows no other way.
    let ours = site
        .current
        .as_ref()
        .is_some_and(|current| current.version.is_some());
    (imported && !ours && !site.policy.listed).then_some(SkipReason::Imported)
}

/// Warns in good time about a certificate that nobody renews.
fn ends_soon(site: &Site, now: Timestamp) -> Option<Finding> {
    let end = site.current.as_ref()?.certificate.valid.end();
    let left = end.duration_since(now);
    let (name, severity) = if left <= SignedDuration::ZERO {
        (FindingName::CertificateExpired, Severity::Error)
    } else if left <= ENDS_NOW {
        (FindingName::CertificateEndsSoon, Severity::Error)
    } else if left <= ENDS_SOON {
        (FindingName::CertificateEndsSoon, Severity::Warning)
    } else {
        return None;
    };
    Some(
        Finding::new(
            name,
            "The site's certificate was imported, so nobody renews it.",
        )
        .severity(severity)
        .detail(format!("It ends on {end}."))
        .fix(format!(
            "Import its successor, or let clpctl renew the site from now on: [[site]] domain = \"{}\".",
            site.domain()
        )),
    )
}

/// Where the sites of nginx's configuration can be found.
struct Places<'a> {
    by_certificate: HashMap<&'a OsStr, usize>,
    by_vhost: HashMap<&'a OsStr, usize>,
    by_name: HashMap<&'a Name, usize>,
}

impl<'a> Places<'a> {
    fn of(sites: &'a [Site]) -> Self {
        let mut places = Self {
            by_certificate: HashMap::with_capacity(sites.len()),
            by_vhost: HashMap::with_capacity(sites.len()),
            by_name: HashMap::with_capacity(sites.len()),
        };
        for (index, site) in sites.iter().enumerate() {
            for pair in pairs(site) {
                let path = pair.certificate.as_os_str();
                places.by_certificate.entry(path).or_insert(index);
            }
            for server in &site.servers {
                let path = server.place.file.as_os_str();
                places.by_vhost.entry(path).or_insert(index);
            }
            for name in &site.wanted {
                places.by_name.entry(name).or_insert(index);
            }
        }
        places
    }

    /// Finds the site of an entry: by what it serves, else by its vhost, else by its name.
    fn find(&self, entry: &PanelSite) -> Option<usize> {
        self.by_certificate
            .get(entry.files.certificate.as_os_str())
            .or_else(|| self.by_vhost.get(entry.vhost.as_os_str()))
            .or_else(|| self.by_name.get(&entry.domain))
            .copied()
    }
}

/// Returns the pairs that blocks of the site that speak TLS name.
fn pairs(site: &Site) -> impl Iterator<Item = &Pair> {
    let tls = |server: &&Arc<Server>| server.listens.iter().any(|listen| listen.tls);
    let servers = site.servers.iter().filter(tls);
    servers.filter_map(|server| server.pair.as_ref())
}

fn vhost_missing(entry: &PanelSite) -> Finding {
    Finding::new(
        FindingName::VhostMissing,
        format!(
            "CloudPanel knows the site {}, and nginx has no server block for it.",
            entry.domain
        ),
    )
    .detail(format!("expected in {}", entry.vhost.display()))
    .fix("Save the site's vhost in CloudPanel, which writes the file anew; or delete the site there.")
}

fn names_other_files(entry: &PanelSite, pair: &Pair) -> Finding {
    Finding::new(
        FindingName::PanelDrift,
        "The site's vhost names other files than those that CloudPanel writes its certificate to.",
    )
    .detail(format!(
        "{} in {}, not {}",
        pair.certificate.display(),
        pair.place,
        entry.files.certificate.display()
    ))
    .fix("Save the site's vhost in CloudPanel, which writes the lines anew; the next renewal does it otherwise.")
}

fn drift(entry: &PanelSite, explanation: &str, what: String, fix: &str) -> Finding {
    Finding::new(FindingName::PanelDrift, explanation)
        .detail(what)
        .fix(fix.replace("DOMAIN", entry.domain.as_str()))
}

/// Time enough to buy a certificate, prove whom it is for, and import it.
const ENDS_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// From here on every day counts.
const ENDS_NOW: SignedDuration = SignedDuration::from_hours(7 * 24);

#[cfg(test)]
mod tests;
