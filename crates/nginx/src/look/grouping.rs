//! Which server blocks are one site?
//!
//! Blocks belong together when
//!
//! - they have a public name in common, and nginx lets each answer it (http and https are different sockets);
//! - they stand in one file, name the same certificate, and one has the `www.` name of the other (the
//!   redirect block of CloudPanel);
//! - they name the same certificate, a CA issued it, and it covers a name of each, or the block has none.
//!
//! A placeholder that many unrelated blocks name (Debian's snakeoil) joins nothing. Nothing is compared
//! pairwise: ten thousand vhosts cost ten thousand times as much as one.

use std::collections::HashMap;
use std::ffi::OsStr;

use renewal::name::Name;

use super::gather::Block;
use super::wanted::Certificates;

/// Returns the blocks of each site, by their positions, in the order of the configuration.
///
/// `claims` are the public names of each block.
pub(super) fn group(
    blocks: &[Block],
    claims: &[Vec<Name>],
    certificates: &mut Certificates<'_>,
) -> Vec<Vec<usize>> {
    let mut groups = Groups::new(blocks.len());
    join_by_name(&mut groups, claims);
    join_by_file(&mut groups, blocks, claims);
    join_by_certificate(&mut groups, blocks, claims, certificates);
    groups.members()
}

fn join_by_name(groups: &mut Groups, claims: &[Vec<Name>]) {
    let mut first: HashMap<&Name, usize> = HashMap::with_capacity(claims.len());
    for (block, names) in claims.iter().enumerate() {
        for name in names {
            groups.join(*first.entry(name).or_insert(block), block);
        }
    }
}

fn join_by_file(groups: &mut Groups, blocks: &[Block], claims: &[Vec<Name>]) {
    let mut start = 0;
    for run in blocks.chunk_by(in_one_file) {
        let mut first: HashMap<(&OsStr, &str), usize> = HashMap::new();
        for (at, block) in (start..).zip(run).filter(|_| run.len() > 1) {
            let Some(certificate) = certificate_of(block) else {
                continue;
            };
            for name in &claims[at] {
                let name = name.as_str();
                let apex = name.strip_prefix("www.").unwrap_or(name);
                groups.join(*first.entry((certificate, apex)).or_insert(at), at);
            }
        }
        start += run.len();
    }
}

fn join_by_certificate(
    groups: &mut Groups,
    blocks: &[Block],
    claims: &[Vec<Name>],
    certificates: &mut Certificates<'_>,
) {
    let mut sharing: HashMap<&OsStr, Vec<usize>> = HashMap::with_capacity(blocks.len());
    for (at, block) in blocks.iter().enumerate() {
        if let Some(certificate) = certificate_of(block) {
            sharing.entry(certificate).or_default().push(at);
        }
    }
    for (certificate, sharers) in sharing {
        let first = groups.of(sharers[0]);
        if sharers.iter().all(|&block| groups.of(block) == first) {
            continue; // nothing to join: the certificate need not be looked at
        }
        let Some(covered) = certificates.issued_to_several(certificate.as_ref()) else {
            continue;
        };
        let belongs = |block: &usize| {
            let names = &claims[*block];
            names.is_empty()
                || names
                    .iter()
                    .any(|name| covered.iter().any(|c| c.covers(name)))
        };
        let mut belonging = sharers.into_iter().filter(belongs);
        if let Some(first) = belonging.next() {
            belonging.for_each(|block| groups.join(first, block));
        }
    }
}

fn in_one_file(one: &Block, other: &Block) -> bool {
    one.server.place.file.as_os_str() == other.server.place.file.as_os_str()
}

fn certificate_of(block: &Block) -> Option<&OsStr> {
    let pair = block.server.pair.as_ref()?;
    Some(pair.certificate.as_os_str())
}

/// Disjoint sets of blocks.
struct Groups {
    parents: Vec<usize>,
}

impl Groups {
    fn new(count: usize) -> Self {
        Groups {
            parents: (0..count).collect(),
        }
    }

    /// Returns the first block of the group of this one.
    fn of(&mut self, block: usize) -> usize {
        let mut at = block;
        while self.parents[at] != at {
            self.parents[at] = self.parents[self.parents[at]];
            at = self.parents[at];
        }
        at
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.of(one), self.of(other));
        self.parents[one.max(other)] = one.min(other);
    }

    fn members(mut self) -> Vec<Vec<usize>> {
        let mut members: Vec<Vec<usize>> = Vec::new();
        let mut group_of = vec![usize::MAX; self.parents.len()];
        for block in 0..self.parents.len() {
            let first = self.of(block);
            if first == block {
                group_of[block] = members.len();
                members.push(Vec::new());
            }
            members[group_of[first]].push(block);
        }
        members
    }
}
