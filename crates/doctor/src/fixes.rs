//! Which of the things that were found can be mended without a person?
//!
//! Decided from what was seen, without touching anything. What is safe becomes a [`Fix`]; for the rest, the finding itself
//! says what a person should do.
//!
//! | seen | fix | left to people |
//! | --- | --- | --- |
//! | a link among the enabled vhosts leads nowhere | it leads to the vhost of its name, or goes | links elsewhere |
//! | a challenge folder is closed to nginx | owner and mode as the document root has them | the document root and what is above it |
//! | a key can be read by all | it is closed | replacing the certificate |
//! | too few connections or open files | limits that fit the sites and the memory | more memory |
//! | only IPv6 is missing on the CA's port | a `listen` beside those for IPv4 | DNS |
//! | a rule of the vhost answers the challenge | our line first in the block | the rule |
//! | nginx does not serve what is on disk | a reload | blocks that answer instead |

use std::net::{IpAddr, SocketAddr};

use renewal::challenge::listens_on;
use renewal::finding::FindingName;
use renewal::fix::{Access, Amendment, Fix, Grant, LinkChange, Remedy};
use renewal::name::Name;
use renewal::policy::EditVhosts;
use renewal::site::{Listen, Site};

use crate::document_root::{FolderSeen, Kind, Part};
use crate::keys::{self, KeySeen};
use crate::limits::{self, LimitsSeen};
use crate::links::LinkSeen;
use crate::observation::Observation;
use crate::port::PortSeen;
use crate::recorder::Recorded;
use crate::served::ServedSeen;
use crate::way_in::{self, End, WayInSeen};

/// What is known besides what was seen for the checks.
#[derive(Clone, Debug, Default)]
pub struct Ground {
    /// The sites.
    pub sites: Vec<Site>,
    /// The port on which the CA knocks.
    pub port: u16,
    /// Whose challenge folders shall be, where that is set; else they are the document root's owner's.
    pub owner: Option<(u32, u32)>,
    /// Which vhosts may be edited; limits stand in none, and may unless no file of nginx may be.
    pub edit: EditVhosts,
    /// The addresses that the configuration listens on.
    pub listening: Vec<SocketAddr>,
    /// The links of the configuration that lead nowhere.
    pub links: Vec<LinkSeen>,
    /// The keys of the sites.
    pub keys: Vec<(Name, KeySeen)>,
}

/// Decides all fixes, in the order in which they are to be made: what others depend on comes first.
#[must_use]
pub fn fixes(recorded: &[Recorded], ground: &Ground) -> Vec<Fix> {
    let mut fixes: Vec<Fix> = ground.links.iter().filter_map(of_link).collect();
    fixes.extend(
        ground
            .keys
            .iter()
            .filter_map(|(site, key)| of_key(Some(site), key)),
    );
    for one in recorded {
        let more = of_recorded(one, ground, &fixes);
        fixes.extend(more);
    }
    fixes.sort_by_key(|fix| rank(&fix.remedy));
    let mut once: Vec<Fix> = Vec::new();
    for fix in fixes {
        // Two blocks with one key, two looks at one folder.
        if once
            .iter()
            .all(|other| other.remedy != fix.remedy || fix.remedy == Remedy::ChallengeLine)
        {
            once.push(fix);
        }
    }
    once
}

/// Decides about one look; `before` is what was decided already.
fn of_recorded(one: &Recorded, ground: &Ground, before: &[Fix]) -> Vec<Fix> {
    match (&one.seen, &one.site) {
        (Observation::Limits(seen), _) if ground.edit != EditVhosts::None => {
            of_limits(seen).into_iter().collect()
        }
        (Observation::Folders(seen), Some(site)) => of_folders(site, seen, ground.owner),
        (Observation::WayIn(seen), Some(domain)) => {
            let is_mended = |fix: &Fix| {
                let elsewhere = fix.cures == FindingName::KeyReadableByOthers;
                fix.site.as_ref() == Some(domain) && !elsewhere
            };
            let site = ground.sites.iter().find(|site| site.domain() == domain);
            // One cause at a time: what is left after it is looked at again.
            let site =
                site.filter(|site| ground.edit.allows(site) && !before.iter().any(is_mended));
            let fix = site.and_then(|site| of_way_in(site, seen, ground));
            fix.into_iter().collect()
        }
        (Observation::Served(seen), _) => of_served(seen).into_iter().collect(),
        (Observation::Port(seen), _) => of_port(seen).into_iter().collect(),
        // Nothing of that kind is safe to mend, or it may not be.
        (_, _) => Vec::new(),
    }
}

fn rank(remedy: &Remedy) -> u8 {
    match remedy {
        Remedy::Link(_) => 0,
        Remedy::Access(_) => 1,
        Remedy::Lines(_) => 2,
        Remedy::ChallengeLine => 3,
        Remedy::Reload => 4,
    }
}

/// Decides what becomes of a link that leads nowhere; nothing where it does not enable a vhost.
#[must_use]
pub fn of_link(seen: &LinkSeen) -> Option<Fix> {
    let change = |after| LinkChange {
        link: seen.link.clone(),
        before: seen.leads_to.clone(),
        after,
    };
    let link = seen.link.display();
    let (what, change) = match &seen.target {
        Some(target) => (
            format!("Let the link {link} lead to {}.", target.display()),
            change(Some(target.clone())),
        ),
        None if seen.among_enabled => (
            format!("Take the link {link} away, and keep a copy of it."),
            change(None),
        ),
        None => return None,
    };
    Some(Fix {
        cures: FindingName::VhostSymlinkBroken,
        site: None,
        what,
        remedy: Remedy::Link(change),
    })
}

/// Decides how a key is closed; nothing when it is.
#[must_use]
pub fn of_key(site: Option<&Name>, seen: &KeySeen) -> Option<Fix> {
    let after = keys::closed(seen);
    let (is_open, is_wide) = (keys::is_open(seen), keys::is_wide(seen));
    if !is_open && !is_wide {
        return None;
    }
    let path = seen.path.display();
    let (cures, what) = if is_open {
        (
            FindingName::KeyReadableByOthers,
            format!("Close the private key {path} to others."),
        )
    } else {
        (
            FindingName::KeyFolderOpen,
            format!("Let nobody but its owner write to {path}."),
        )
    };
    Some(Fix {
        cures,
        site: site.cloned(),
        what,
        remedy: Remedy::Access(vec![Grant {
            base: seen.path.parent()?.to_owned(),
            inside: vec![seen.path.file_name()?.to_str()?.to_owned()],
            before: seen.access,
            after,
        }]),
    })
}

/// Decides how limits are raised; nothing when they are high enough, or nothing can be done.
#[must_use]
pub fn of_limits(seen: &LimitsSeen) -> Option<Fix> {
    if limits::judge(seen).is_empty() {
        return None;
    }
    let lines = limits::amendments(seen);
    (!lines.is_empty()).then(|| Fix {
        cures: FindingName::WorkerConnectionsLow,
        site: None,
        what: "Raise nginx's limits to fit its sites and the memory.".to_owned(),
        remedy: Remedy::Lines(lines),
    })
}

/// Only what lies below the document root is ours to open: above it, the admin closed it.
fn of_folders(site: &Name, seen: &[FolderSeen], owner: Option<(u32, u32)>) -> Vec<Fix> {
    let each = seen.iter().filter_map(|folder| of_folder(folder, owner));
    each.map(|grants| Fix {
        cures: FindingName::ChallengeForbidden,
        site: Some(site.clone()),
        what: "Let nginx pass through the challenge folders.".to_owned(),
        remedy: Remedy::Access(grants),
    })
    .collect()
}

fn of_folder(seen: &FolderSeen, owner: Option<(u32, u32)>) -> Option<Vec<Grant>> {
    let reader = seen.reader.as_ref()?;
    if seen.read_only || seen.way.iter().any(|part| part.kind != Kind::Folder) {
        return None;
    }
    let at = seen.way.iter().position(|part| part.path == seen.folder)?;
    let (above, inner) = seen.way.split_at(at + 1);
    let root = above.last()?;
    let mode = if owner.is_some() {
        0o755
    } else {
        root.mode & 0o755 | 0o700
    };
    let (user, group) = owner.unwrap_or((root.owner, root.group));
    let shall = Access { user, group, mode };
    let as_part = |part: &Part| Part {
        owner: user,
        group,
        mode,
        ..part.clone()
    };
    let closed = inner.iter().any(|part| !reader.may_pass(part));
    let is_cured = above.iter().all(|part| reader.may_pass(part))
        && inner.iter().all(|part| reader.may_pass(&as_part(part)));
    let has = |part: &Part| Access {
        user: part.owner,
        group: part.group,
        mode: part.mode,
    };
    let mut inside = Vec::new();
    let mut grants = Vec::new();
    for part in inner {
        inside.push(part.path.file_name()?.to_str()?.to_owned());
        // Opened by whoever closed it, it would stay closed to the one who must write there.
        if !reader.may_pass(part) && has(part) != shall {
            grants.push(Grant {
                base: seen.folder.clone(),
                inside: inside.clone(),
                before: has(part),
                after: shall,
            });
        }
    }
    (closed && is_cured && !grants.is_empty()).then_some(grants)
}

fn of_way_in(site: &Site, seen: &WayInSeen, ground: &Ground) -> Option<Fix> {
    let found = way_in::judge(seen);
    let is_broken = matches!(seen.end, End::Failed(_) | End::AfterLine(_));
    let cures = found.first().filter(|_| is_broken)?.name;
    if matches!(
        cures,
        FindingName::DnsPointsElsewhere | FindingName::Ipv6PointsElsewhere
    ) {
        return None;
    }
    if let Some(lines) = listens(site, seen, ground) {
        return Some(Fix {
            cures,
            site: Some(site.domain().clone()),
            what: format!(
                "Let nginx listen on port {} over IPv6 for {} too.",
                ground.port,
                site.domain()
            ),
            remedy: Remedy::Lines(lines),
        });
    }
    let line_helps = matches!(seen.end, End::AfterLine(_)) && cures.line_may_cure();
    line_helps.then(|| Fix {
        cures,
        site: Some(site.domain().clone()),
        what: "Let nginx answer challenges by itself, before any rule of the vhost.".to_owned(),
        remedy: Remedy::ChallengeLine,
    })
}

/// Returns the lines by which the site listens on those of its addresses that only its IPv6 visitors use.
fn listens(site: &Site, seen: &WayInSeen, ground: &Ground) -> Option<Vec<Amendment>> {
    let port = ground.port;
    let plain = |listen: &&Listen| listen.address.port() == port && !listen.tls && !listen.quic;
    let own = || {
        site.servers
            .iter()
            .flat_map(|server| server.listens.iter().filter(plain))
    };
    let takes = |listen: &Listen, ip: IpAddr| {
        let at = listen.address.ip();
        at == ip || (at.is_unspecified() && at.is_ipv4() == ip.is_ipv4())
    };
    if !own().any(|listen| listen.address.is_ipv4()) {
        return None;
    }
    let addresses = seen.leads.iter().flat_map(|(_, addresses)| addresses);
    let missed: Vec<IpAddr> = addresses
        .filter(|ip| {
            ip.is_ipv6() && !seen.own.excludes(**ip) && !own().any(|listen| takes(listen, **ip))
        })
        .copied()
        .collect();
    let mut statements: Vec<String> = Vec::new();
    for ip in missed {
        // A socket for this very address takes the connection from one for all addresses.
        let exact = ground.listening.contains(&SocketAddr::new(ip, port));
        let statement = if exact {
            format!("listen [{ip}]:{port};")
        } else {
            format!("listen [::]:{port};")
        };
        if !statements.contains(&statement) {
            statements.push(statement);
        }
    }
    let servers = site
        .servers
        .iter()
        .filter(|server| listens_on(server, port));
    let lines: Vec<Amendment> = servers
        .flat_map(|server| {
            statements.iter().map(|statement| Amendment::Inside {
                at: server.place.clone(),
                block: "server".to_owned(),
                behind: Some("listen".to_owned()),
                statement: statement.clone(),
            })
        })
        .collect();
    (!lines.is_empty()).then_some(lines)
}

fn of_served(seen: &ServedSeen) -> Option<Fix> {
    let mut wrong = seen.addresses.iter().filter(|served| !served.ok);
    // Where another block answers, the files are read already.
    let stale = wrong.find(|served| served.answered_by.is_none())?;
    let cures = match stale.sha256 {
        Some(_) => FindingName::CertificateNotServed,
        None => FindingName::Port443Refused,
    };
    Some(reload(cures))
}

fn of_port(seen: &PortSeen) -> Option<Fix> {
    let silent = seen.listeners.as_ref().is_some_and(Vec::is_empty);
    (seen.wanted && silent && seen.nginx_runs == Some(true))
        .then(|| reload(FindingName::Port80Refused))
}

fn reload(cures: FindingName) -> Fix {
    Fix {
        cures,
        site: None,
        what: "Let nginx take up what is on disk.".to_owned(),
        remedy: Remedy::Reload,
    }
}

#[cfg(test)]
mod tests;
