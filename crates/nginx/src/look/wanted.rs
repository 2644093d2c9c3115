//! Which names does a site want a certificate for?
//!
//! Those that clpctl's configuration lists for it; else those of its present certificate, when a CA issued it; else
//! the public ones of its `server_name`s. The first is its domain: by the order of the block that people visit, not
//! of one that only redirects.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use renewal::finding::{Finding, FindingName, Severity};
use renewal::name::Name;
use renewal::names::Names;

use super::Listed;
use super::gather::Block;

/// Returns the names in the certificate of a file when a CA issued it; none for a self-signed one,
/// or where there is none that can be read.
pub type CaIssued<'a> = dyn Fn(&Path) -> Option<Vec<Name>> + 'a;

/// The names of CA-issued certificates; a file that several blocks name is asked about once.
pub(super) struct Certificates<'a> {
    ask: &'a CaIssued<'a>,
    known: HashMap<OsString, Option<Vec<Name>>>,
}

impl<'a> Certificates<'a> {
    pub(super) fn new(ask: &'a CaIssued<'a>) -> Self {
        Certificates {
            ask,
            known: HashMap::new(),
        }
    }

    /// Returns the names in this file, and keeps them: several blocks name it.
    pub(super) fn issued_to_several(&mut self, file: &Path) -> Option<&[Name]> {
        let names = (self.ask)(file);
        self.known.entry(file.into()).or_insert(names).as_deref()
    }

    fn issued(&self, file: &Path) -> Option<Cow<'_, [Name]>> {
        match self.known.get(file.as_os_str()) {
            Some(names) => names.as_deref().map(Cow::Borrowed),
            None => (self.ask)(file).map(Cow::Owned),
        }
    }
}

/// The public names of a server block, and what is wrong with others.
pub(super) fn claims(block: &Block, is_lost: impl Fn(&str) -> bool) -> (Vec<Name>, Vec<Finding>) {
    let mut names = Vec::new();
    let mut findings = Vec::new();
    for written in &block.server.names {
        let text = written.strip_prefix('.').unwrap_or(written);
        let pattern = text.is_empty() || text.starts_with(['~', '$']) || text.ends_with(".*");
        if pattern || is_lost(written) {
            continue;
        }
        match Name::parse(text) {
            Ok(name) if name.public().is_ok() => names.push(name),
            Ok(_) => {} // `_`, `localhost`, `www1.…`: on purpose, and no name of a certificate
            Err(error) => findings.push(
                Finding::new(FindingName::NameNotPublic, format!("{error}."))
                    .severity(Severity::Warning)
                    .detail(format!("server_name {written} in the server block at {}", block.server.place))
                    .fix("Correct the name in server_name: nginx compares it byte for byte with what browsers send."),
            ),
        }
    }
    (names, findings)
}

/// Returns the names that the site of these blocks wants, and what is to be said about them.
pub(super) fn wanted(
    group: &[&Block],
    claims: &[&[Name]],
    certificates: &Certificates<'_>,
    listed: &HashMap<&Name, &Listed>,
    claimed_anywhere: impl Fn(&Name) -> bool,
) -> Option<(Names, Vec<Finding>)> {
    let main = main_block(group, claims);
    let others = (0..group.len()).filter(|&at| at != main);
    let order: Vec<usize> = std::iter::once(main).chain(others).collect();
    let claimed: Vec<&Name> = order.iter().flat_map(|&at| claims[at]).collect();

    let pair = order.iter().find_map(|&at| group[at].server.pair.as_ref());
    let covered = pair.and_then(|pair| certificates.issued(&pair.certificate));
    if claimed.is_empty() && covered.as_ref()?.iter().all(claimed_anywhere) {
        return None; // a catch-all that borrows the certificate of a site
    }
    let (mut names, findings) = match covered {
        Some(covered) if concerns(&covered, &claimed) => of_certificate(&covered, &claimed),
        _ => (claimed.iter().copied().cloned().collect(), Vec::new()),
    };
    let entry = claimed
        .iter()
        .copied()
        .chain(&names)
        .find_map(|name| listed.get(name));
    if let Some(Listed {
        domain,
        names: list,
    }) = entry
    {
        match list {
            Some(list) => return Some((list.clone(), Vec::new())),
            None => names.insert(0, domain.clone()),
        }
    }
    Some((Names::new(names)?, findings))
}

/// Returns the block that people visit: the first that does more than redirect.
fn main_block(group: &[&Block], claims: &[&[Name]]) -> usize {
    let named = |at: &usize| !claims[*at].is_empty();
    let visited = (0..group.len())
        .filter(named)
        .find(|&at| !group[at].redirects);
    visited
        .or_else(|| (0..group.len()).find(named))
        .unwrap_or(0)
}

/// Says whether a certificate is that of the site, and not one that was only named for want of another.
fn concerns(covered: &[Name], claimed: &[&Name]) -> bool {
    claimed.is_empty()
        || claimed
            .iter()
            .any(|name| covered.iter().any(|c| c.covers(name)))
}

fn of_certificate(covered: &[Name], claimed: &[&Name]) -> (Vec<Name>, Vec<Finding>) {
    let claimed = claimed
        .iter()
        .copied()
        .filter(|name| covered.iter().any(|c| c.covers(name)));
    let provable = covered.iter().filter(|name| name.public().is_ok());
    let names = claimed.chain(provable).cloned().collect();
    let unprovable: Vec<&Name> = covered
        .iter()
        .filter(|name| name.public().is_err())
        .collect();
    let findings = unprovable.iter().filter_map(|name| {
        let why = name.public().err()?;
        Some(
            Finding::new(
                FindingName::NameNotPublic,
                format!("{why}, so a renewal could not cover {name}."),
            )
            .severity(Severity::Warning)
            .detail(format!("The present certificate covers {name}."))
            .fix("Renew it where it was made, or list the names to cover in [[site]]."),
        )
    });
    (names, findings.collect())
}
