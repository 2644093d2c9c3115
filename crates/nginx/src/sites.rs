//! Which sites does this host have, with their certificates, lineages and policies?
//!
//! [`crate::look`] says what nginx's configuration says; here the files on disk and the settings are added.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use renewal::finding::{Finding, FindingName, Severity};
use renewal::name::Name;
use renewal::panel::OnPanel;
use renewal::ports::{Known, Look};
use renewal::site::{Current, Pair, Server, Site, Source, Undeployed};

use crate::conf::read::{Disk, Reader, read_at};
use crate::current::{Certificates, Unreadable};
use crate::decided::Decisions;
use crate::lineage::{Lineages, Links, Part, choice};
use crate::look::{self, FoundSite};
use crate::near::Near;
use crate::settings::Settings;

/// What was seen: for the rules, and for the rest of this crate.
pub(crate) struct Seen {
    /// What the rules get.
    pub(crate) look: Look,
    /// What the configuration says.
    pub(crate) conf: look::Look,
}

/// Looks at everything. `prefix` is nginx's own, unless the settings have another.
pub(crate) fn see(settings: &Settings, lineages: &Lineages, prefix: &Path, known: &Known) -> Seen {
    let reader = Recording::default();
    let lineages = &lineages.opened();
    let certificates = RefCell::new(Certificates::new(known).near(lineages.near()));
    let ask = |path: &Path| ca_issued(&certificates, path);
    let mut conf = look::look(&reader, &conf_settings(settings, prefix), &ask);
    let mut certificates = certificates.into_inner();
    let decisions = Decisions::new(&settings.letsencrypt);
    let listed = decisions.list();
    let mut look = Look {
        sites: Vec::with_capacity(conf.sites.len()),
        findings: std::mem::take(&mut conf.findings),
        ..Look::default()
    };
    let named: Vec<Option<&str>> = conf
        .sites
        .iter()
        .map(|site| named(lineages, site))
        .collect();
    let mut users: HashMap<&str, usize> = HashMap::with_capacity(named.len());
    for name in named.iter().flatten() {
        *users.entry(name).or_default() += 1;
    }
    look.findings.extend(conf.unknown.iter().map(unknown));
    for (found, named) in conf.sites.iter().zip(&named) {
        let users = |name: &str| users.get(name).copied().unwrap_or(0);
        let mut site = complete(found, *named, users, settings, lineages, &mut certificates);
        if let Some(current) = &site.current {
            let leaf = current.certificate.sha256;
            site.choice = decisions.choice(&listed, &site.lineage, leaf, &mut site.findings);
        }
        look.sites.push(site);
    }
    look.watched = watched(reader, lineages, &look.sites);
    look.read = certificates.into_read();
    Seen { look, conf }
}

fn conf_settings(settings: &Settings, prefix: &Path) -> look::Settings {
    let hostname = std::fs::read_to_string(HOSTNAME).unwrap_or_default();
    let listed = settings.sites.listed.iter().map(|listed| look::Listed {
        domain: listed.domain.clone(),
        names: listed.names.clone(),
    });
    look::Settings {
        config: settings.config.clone(),
        prefix: settings.prefix.as_deref().unwrap_or(prefix).to_owned(),
        hostname: hostname.trim().to_owned(),
        listed: listed.collect(),
    }
}

/// Returns the names of the certificate in a file, if a CA issued it.
fn ca_issued(certificates: &RefCell<Certificates<'_>>, path: &Path) -> Option<Vec<Name>> {
    let certificate = certificates.borrow_mut().leaf(path).ok()?;
    (!certificate.self_signed).then(|| certificate.names.clone())
}

/// Returns the pair that visitors of the site get: that of its first block that speaks TLS.
fn served_pair(servers: &[Arc<Server>]) -> Option<&Pair> {
    let mut tls = servers
        .iter()
        .filter(|server| server.listens.iter().any(|listen| listen.tls));
    tls.find_map(|server| server.pair.as_ref())
}

fn named<'f>(lineages: &Lineages, site: &'f FoundSite) -> Option<&'f str> {
    lineages.named_by(&served_pair(&site.servers)?.certificate)
}

fn complete(
    found: &FoundSite,
    named: Option<&str>,
    users: impl Fn(&str) -> usize,
    settings: &Settings,
    lineages: &Lineages,
    certificates: &mut Certificates<'_>,
) -> Site {
    let domain = found.wanted.domain();
    let mut covers = |path: &Path| {
        certificates
            .leaf(path)
            .is_ok_and(|leaf| leaf.covers(domain))
    };
    // Sites that want different certificates cannot have one lineage: it stays with the one that it covers.
    let named = named.filter(|name| users(name) == 1 || covers(&lineages.link(name, Part::Cert)));
    let taken = |name: &str| users(name) > 0;
    let (lineage, links) = choice::choose(lineages, domain, named, taken, covers);
    let mut findings = found.findings.clone();
    let is_named = named == Some(lineage.as_str());
    if let (true, Links::Broken(what)) = (is_named, &links) {
        findings.push(broken(what));
    }
    let mut current = served_pair(&found.servers).and_then(|pair| {
        let version = if is_named { links.version() } else { None };
        current(pair, version, certificates, &mut findings)
    });
    let copied = links.version().filter(|version| {
        !is_named && is_copy(&lineage, *version, current.as_ref(), lineages, certificates)
    });
    if let Some(current) = &mut current {
        current.version = current.version.or(copied);
    }
    // A copy whose key was lost or replaced is put back from the lineage, without an order.
    let is_whole = current.as_ref().is_some_and(|current| current.key_fits);
    let is_served = is_named || (copied.is_some() && is_whole);
    let undeployed = undeployed(
        &lineage,
        links.version(),
        is_served,
        lineages,
        certificates,
        &mut findings,
    )
    .filter(|undeployed| is_served || is_better(undeployed, current.as_ref()));
    Site {
        wanted: found.wanted.clone(),
        source: Source::Nginx,
        servers: found.servers.clone(),
        current,
        lineage,
        undeployed,
        panel: OnPanel::No,
        choice: None,
        policy: settings.sites.policy_for(domain).clone(),
        findings,
    }
}

fn current(
    pair: &Pair,
    version: Option<u32>,
    certificates: &mut Certificates<'_>,
    findings: &mut Vec<Finding>,
) -> Option<Current> {
    match certificates.pair(&pair.certificate, &pair.key) {
        Ok(read) => {
            if !read.key_fits {
                findings.push(key_does_not_fit(pair));
            }
            Some(Current {
                certificate: read.certificate,
                path: pair.certificate.clone(),
                version,
                key_fits: read.key_fits,
            })
        }
        Err(error) => {
            findings.push(unreadable(pair, &error));
            None
        }
    }
}

/// Says whether the files that the vhost names hold what the lineage links, as where a panel has it copied.
fn is_copy(
    lineage: &str,
    linked: u32,
    current: Option<&Current>,
    lineages: &Lineages,
    certificates: &mut Certificates<'_>,
) -> bool {
    let leaf = lineages.file(lineage, Part::Cert, linked);
    let key = lineages.file(lineage, Part::Privkey, linked);
    current.is_some_and(|current| {
        certificates
            .pair(&leaf, &key)
            .is_ok_and(|linked| linked.certificate.sha256 == current.certificate.sha256)
    })
}

/// Returns the newest certificate of the lineage that nginx is not told to serve.
fn undeployed(
    lineage: &str,
    linked: Option<u32>,
    is_served: bool,
    lineages: &Lineages,
    certificates: &mut Certificates<'_>,
    findings: &mut Vec<Finding>,
) -> Option<Undeployed> {
    let version = if is_served {
        lineages.newer(lineage, linked)?
    } else {
        // The vhost names another file, so even what is linked is not served.
        let versions = lineages.versions(lineage);
        let mut newest = versions.into_iter().rev();
        newest.find(|version| lineages.is_complete(lineage, *version))?
    };
    let leaf = lineages.file(lineage, Part::Cert, version);
    let key = lineages.file(lineage, Part::Privkey, version);
    let read = match certificates.pair(&leaf, &key) {
        Ok(read) => read,
        Err(error) => {
            findings.extend(error.says_nothing().then(|| not_read(&error.to_string())));
            return None;
        }
    };
    read.key_fits.then(|| Undeployed {
        certificate: read.certificate,
        path: lineages.link(lineage, Part::Fullchain),
        version,
    })
}

/// Says whether the lineage has more to offer than the other file that the vhost names: one that somebody bought is
/// not replaced by what an earlier client left behind.
fn is_better(undeployed: &Undeployed, current: Option<&Current>) -> bool {
    let trusted = current.filter(|current| current.key_fits && !current.certificate.self_signed);
    trusted
        .is_none_or(|current| current.certificate.valid.end() < undeployed.certificate.valid.end())
}

/// Lists what to watch: what was read, the folders that patterns were looked up in, and the certificates.
fn watched(reader: Recording, lineages: &Lineages, sites: &[Site]) -> Vec<PathBuf> {
    let mut paths = reader.asked.into_inner();
    paths.push(lineages.live().to_owned());
    let foreign = sites
        .iter()
        .filter_map(|site| site.current.as_ref())
        .filter(|current| lineages.named_by(&current.path).is_none());
    paths.extend(foreign.map(|current| current.path.clone()));
    // By bytes: to compare ten thousand paths part by part takes longer than to read them. The stable sort takes the
    // folders' own order, which nearly all of them are in, as it is.
    paths.sort_by(|one, other| one.as_os_str().cmp(other.as_os_str()));
    paths.dedup_by(|one, other| one.as_os_str() == other.as_os_str());
    paths
}

fn unknown(domain: &Name) -> Finding {
    Finding::new(
        FindingName::NameNotServed,
        format!("The configuration lists the site {domain}, and nginx has no such site."),
    )
    .detail(format!("[[site]] domain = \"{domain}\""))
    .fix("Correct the name, or add a server block with this server_name.")
}

fn broken(what: &str) -> Finding {
    Finding::new(
        FindingName::LiveLinksBroken,
        "The links of the site's lineage do not lead to one certificate.",
    )
    .detail(what)
    .fix("The next renewal makes them anew; site:renew-certificates --force does it now.")
}

fn key_does_not_fit(pair: &Pair) -> Finding {
    Finding::new(
        FindingName::KeyDoesNotFit,
        "The private key does not belong to the certificate, so nginx cannot start with it.",
    )
    .detail(format!(
        "{} and {}, named in {}",
        pair.certificate.display(),
        pair.key.display(),
        pair.place
    ))
    .fix("The next renewal makes a new pair; site:renew-certificates --force does it now.")
}

fn unreadable(pair: &Pair, error: &Unreadable) -> Finding {
    if error.says_nothing() {
        return not_read(&format!("{error}, named in {}", pair.place));
    }
    Finding::new(
        FindingName::FileNotUsable,
        "The certificate that the vhost names cannot be read.",
    )
    .severity(Severity::Error)
    .detail(format!("{error}, named in {}", pair.place))
    .fix("Correct the line, or let clpctl obtain a certificate for the site.")
}

/// Fatal, so that no certificate is ordered to replace one of which nothing is known.
fn not_read(detail: &str) -> Finding {
    Finding::new(
        FindingName::FileNotUsable,
        "The certificate or its key cannot be read now.",
    )
    .detail(detail)
    .fix("Run it as root: sudo clpctl …. As root, look at the disk (dmesg) and at the limit of open files.")
}

/// The host's files, with a list of what was asked for.
#[derive(Default)]
struct Recording {
    asked: RefCell<Vec<PathBuf>>,
    /// The folders that were listed, for their files are read next.
    near: RefCell<Near>,
}

impl Recording {
    fn note(&self, path: &Path) {
        self.asked.borrow_mut().push(path.to_owned());
    }
}

impl Reader for Recording {
    fn read(&self, path: &Path, into: &mut Vec<u8>) -> io::Result<()> {
        self.note(path);
        let near = self.near.borrow();
        let (begin, way) = near.way(path.as_os_str().as_bytes());
        read_at(begin, way, into)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        self.note(folder);
        self.near.borrow_mut().add(folder);
        Disk.list(folder)
    }

    fn exists(&self, path: &Path) -> bool {
        Disk.exists(path)
    }
}

/// The host's name, as gethostname(2) gives it to nginx.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";
