//! Which sites does nginx serve on this host?
//!
//! [`look`] reads the configuration from the main file down and answers with the sites: their names, where
//! they listen, their document root, the certificate they name; and with what is wrong. A vhost that can't be
//! understood is a finding, and the others go on. Nothing is remembered: the configuration is the truth.
//!
//! # Invariants
//!
//! - No public name belongs to two sites by their `server_name`s: nginx answers with one of them.
//! - Names that no CA could issue for are never wanted.
//! - Memory holds the facts of all vhosts, but the text of one at a time.

mod pattern;
pub(crate) mod rules;
pub(crate) mod unreached;
mod challenge_path;
mod gather;
mod answering;
mod grouping;
mod wanted;
mod finding;

use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use renewal::finding::Finding;
use renewal::name::Name;
use renewal::names::Names;
use renewal::site::Server;

pub use self::wanted::CaIssued;

use self::answering::{Answer, Sockets};
use self::gather::{Block, Gathered};
use crate::conf::read::Reader;

/// Where to look, and what is known besides the configuration of nginx.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// nginx's main configuration file, absolute; certificates and includes are relative to its folder.
    pub config: PathBuf,
    /// nginx's prefix, which document roots are relative to (`nginx -V`, `--prefix`).
    pub prefix: PathBuf,
    /// The name of the host, which `$hostname` stands for in `server_name`.
    pub hostname: String,
    /// The sites that clpctl's own configuration lists.
    pub listed: Vec<Listed>,
}

/// A `[[site]]` of clpctl's configuration.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The domain by which the site is known.
    pub domain: Name,
    /// The names it should have, where they are said.
    pub names: Option<Names>,
}

/// A site, as the configuration tells it.
#[derive(Clone, Debug)]
pub struct FoundSite {
    /// The names it wants; the first is its domain.
    pub wanted: Names,
    /// Its server blocks, in the order of the configuration; never none.
    pub servers: Vec<Arc<Server>>,
    /// Whether variables or code choose its certificate, so that it must not be given lines with a file.
    pub by_variable: bool,
    /// What is wrong or risky about it.
    pub findings: Vec<Finding>,
}

/// What there is to see.
#[derive(Debug, Default)]
pub struct Look {
    /// The sites, in the order of the configuration.
    pub sites: Vec<FoundSite>,
    /// The server blocks that are no site: catch-alls, and those that only the local network can name.
    pub others: Vec<Server>,
    /// What is wrong and belongs to no site.
    pub findings: Vec<Finding>,
    /// The links of the configuration that lead nowhere.
    pub dangling: Vec<PathBuf>,
    /// The domains of `[[site]]`s that no site here has.
    pub unknown: Vec<Name>,
    sockets: Sockets,
    /// Where the blocks in the order of the configuration are now.
    owners: Vec<Owner>,
}

/// Where a server block is, in a [`Look`].
#[derive(Clone, Copy, Debug)]
enum Owner {
    Site { site: usize, server: usize },
    Nobody { other: usize },
}

/// The server block that answers.
#[derive(Clone, Copy, Debug)]
pub struct Answering<'l> {
    /// The block.
    pub server: &'l Server,
    /// The site it belongs to; none for a block that is no site.
    pub site: Option<&'l FoundSite>,
    /// By which rule it answers.
    pub how: How,
}

/// By which rule a server block answers a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// One of its names fits.
    Named,
    /// No name fits anywhere, and it is the default of the socket.
    Default,
    /// It has a regular expression of which only nginx can tell whether it fits.
    Perhaps,
}

/// Looks at the sites of this host.
pub fn look(reader: &dyn Reader, settings: &Settings, ca_issued: &CaIssued<'_>) -> Look {
    let Gathered { blocks, troubles } = gather::gather(reader, &settings.config, &settings.prefix);
    let sockets = Sockets::new(&blocks, &settings.hostname);
    let mut look = Look {
        findings: troubles.iter().map(finding::of_trouble).collect(),
        dangling: troubles.iter().filter_map(finding::dangling).collect(),
        ..Look::default()
    };
    look.sort(blocks, &sockets, &settings.listed, ca_issued);
    look.sockets = sockets;
    look
}

impl Look {
    /// Returns the server block that answers `name` on a connection to `to`, by nginx's own rule; none when
    /// nginx does not listen there.
    #[must_use]
    pub fn answering(&self, to: SocketAddr, name: &str) -> Option<Answering<'_>> {
        let answer = self.sockets.answering(to, name)?;
        let how = match answer {
            Answer::Named(_) => How::Named,
            Answer::Default(_) => How::Default,
            Answer::Perhaps(_) => How::Perhaps,
        };
        Some(match self.owners[answer.block()] {
            Owner::Site { site, server } => Answering {
                server: &self.sites[site].servers[server],
                site: Some(&self.sites[site]),
                how,
            },
            Owner::Nobody { other } => Answering {
                server: &self.others[other],
                site: None,
                how,
            },
        })
    }

    /// Returns the addresses nginx listens on (TCP).
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.addresses()
    }

    /// Returns the site with this name among its wanted names or those of its server blocks.
    #[must_use]
    pub fn site(&self, name: &Name) -> Option<&FoundSite> {
        let wants = |site: &&FoundSite| site.wanted.iter().any(|wanted| wanted == name);
        let claims = |site: &&FoundSite| {
            let mut names = site.servers.iter().flat_map(|server| &server.names);
            names.any(|claimed| claimed.eq_ignore_ascii_case(name.as_str()))
        };
        self.sites
            .iter()
            .find(wants)
            .or_else(|| self.sites.iter().find(claims))
    }

    /// Sorts the blocks into sites and others.
    fn sort(
        &mut self,
        blocks: Vec<Block>,
        sockets: &Sockets,
        listed: &[Listed],
        ca_issued: &CaIssued<'_>,
    ) {
        let lost = finding::Lost::new(&blocks, sockets.conflicts());
        let mut notes: HashMap<usize, Vec<Finding>> = HashMap::new();
        let mut claims = Vec::with_capacity(blocks.len());
        for (at, block) in blocks.iter().enumerate() {
            let (names, mut findings) = wanted::claims(block, |name| lost.has(at, name));
            claims.push(names);
            findings.extend(finding::of_refused(block));
            if !findings.is_empty() {
                notes.insert(at, findings);
            }
        }
        let mut certificates = wanted::Certificates::new(ca_issued);
        let groups = grouping::group(&blocks, &claims, &mut certificates);
        let mut group_of = vec![0; blocks.len()];
        for (group, members) in groups.iter().enumerate() {
            members.iter().for_each(|&block| group_of[block] = group);
        }
        for (block, finding) in
            finding::of_conflicts(&blocks, sockets.conflicts(), &lost, &group_of)
        {
            notes.entry(block).or_default().push(finding);
        }
        let by_domain: HashMap<&Name, &Listed> =
            listed.iter().map(|entry| (&entry.domain, entry)).collect();
        let claimed = LazyCell::new(|| claims.iter().flatten().collect::<HashSet<&Name>>());
        let wanted: Vec<Option<(Names, Vec<Finding>)>> = groups
            .iter()
            .map(|members| {
                let of_group: Vec<&Block> = members.iter().map(|&block| &blocks[block]).collect();
                let names: Vec<&[Name]> = members.iter().map(|&block| &claims[block][..]).collect();
                wanted::wanted(&of_group, &names, &certificates, &by_domain, |name| {
                    claimed.contains(name)
                })
            })
            .collect();
        self.fill(blocks, &groups, wanted, notes);
        if !listed.is_empty() {
            let known: HashSet<&Name> = self.sites.iter().flat_map(|site| &site.wanted).collect();
            let domains = listed.iter().map(|entry| &entry.domain);
            self.unknown = domains
                .filter(|domain| !known.contains(domain))
                .cloned()
                .collect();
        }
    }

    /// Puts each block where it belongs, with what there is to say about it.
    fn fill(
        &mut self,
        blocks: Vec<Block>,
        groups: &[Vec<usize>],
        wanted: Vec<Option<(Names, Vec<Finding>)>>,
        mut notes: HashMap<usize, Vec<Finding>>,
    ) {
        self.owners = vec![Owner::Nobody { other: 0 }; blocks.len()];
        let mut blocks: Vec<Option<Block>> = blocks.into_iter().map(Some).collect();
        for (members, wanted) in groups.iter().zip(wanted) {
            let mut site = wanted.map(|(wanted, findings)| FoundSite {
                wanted,
                servers: Vec::with_capacity(members.len()),
                by_variable: false,
                findings,
            });
            for &at in members {
                let Some(block) = blocks[at].take() else {
                    continue;
                };
                let findings = notes.remove(&at).unwrap_or_default();
                if let Some(site) = &mut site {
                    let server = site.servers.len();
                    self.owners[at] = Owner::Site {
                        site: self.sites.len(),
                        server,
                    };
                    site.servers.push(Arc::new(block.server));
                    site.by_variable |= block.by_variable;
                    site.findings.extend(findings);
                } else {
                    self.owners[at] = Owner::Nobody {
                        other: self.others.len(),
                    };
                    self.others.push(block.server);
                    self.findings.extend(findings);
                }
            }
            self.sites.extend(site);
        }
    }
}

/// Returns the path that a value names, relative to `base`; none when it depends on a variable.
fn path_of(value: &[u8], base: &Path) -> Option<PathBuf> {
    if value.contains(&b'$') {
        return None;
    }
    let path = Path::new(OsStr::from_bytes(value));
    // Most are absolute, and need no room for the base.
    let is_whole = path.is_absolute();
    Some(if is_whole {
        path.into()
    } else {
        base.join(path)
    })
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod real;
