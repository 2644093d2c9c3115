//! How is what was seen in the configuration said to people?

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use renewal::finding::{Finding, FindingName, Severity};

use super::answering::Conflict;
use super::gather::Block;
use crate::conf::include::Trouble;

/// Returns the finding about a file that could not be used.
pub(super) fn of_trouble(trouble: &Trouble) -> Finding {
    match trouble {
        Trouble::Syntax(error) => Finding::new(
            FindingName::VhostNotUnderstood,
            "A configuration file makes no sense to nginx; what stands in it is not looked after.",
        )
        .detail(error.to_string())
        .fix(format!("Correct {} near line {}, then run nginx -t.", error.file.display(), error.line)),
        Trouble::Unreadable { file, dangling: true, .. } => Finding::new(
            FindingName::VhostSymlinkBroken,
            "A link in the nginx configuration leads nowhere, so nginx does not start and refuses to reload.",
        )
        .detail(trouble.to_string())
        .fix(format!("Remove the link {}, or restore what it leads to.", file.display())),
        Trouble::Unreadable { from: None, .. } => Finding::new(
            FindingName::NginxConfigInvalid,
            "The main configuration file of nginx can't be read, so no site is seen.",
        )
        .detail(trouble.to_string())
        .fix("Set nginx.config to the file that nginx uses, and run clpctl as root."),
        Trouble::Unreadable { .. } | Trouble::Unlistable { .. } => Finding::new(
            FindingName::NginxConfigInvalid,
            "A file that the nginx configuration includes can't be read.",
        )
        .detail(trouble.to_string())
        .fix("Restore the file or remove the include, then run nginx -t."),
        Trouble::Loop { .. }
        | Trouble::Arguments(_)
        | Trouble::TooDeep(_)
        | Trouble::TooMany(_) => Finding::new(
            FindingName::NginxConfigInvalid,
            "An include of the nginx configuration can't be followed.",
        )
        .detail(trouble.to_string())
        .fix("Correct the include, then run nginx -t."),
    }
}

/// Returns the link that leads nowhere, when that is the trouble.
pub(super) fn dangling(trouble: &Trouble) -> Option<std::path::PathBuf> {
    match trouble {
        Trouble::Unreadable {
            file,
            dangling: true,
            ..
        } => Some(file.clone()),
        Trouble::Unreadable { .. }
        | Trouble::Syntax(_)
        | Trouble::Unlistable { .. }
        | Trouble::Loop { .. }
        | Trouble::Arguments(_)
        | Trouble::TooDeep(_)
        | Trouble::TooMany(_) => None,
    }
}

/// Returns the findings about what nginx would refuse in a block.
pub(super) fn of_refused(block: &Block) -> impl Iterator<Item = Finding> {
    block.refused.iter().map(|(place, why)| {
        Finding::new(
            FindingName::VhostNotUnderstood,
            "A directive of the vhost is not understood.",
        )
        .detail(format!("{why} in {place}"))
        .fix("Correct the line, then run nginx -t.")
    })
}

/// The names that blocks claim in vain, because another block has them on every socket.
#[derive(Debug, Default)]
pub(super) struct Lost(HashSet<(usize, Arc<str>)>);

impl Lost {
    pub(super) fn new(blocks: &[Block], conflicts: &[Conflict]) -> Self {
        let mut times: HashMap<(usize, &Arc<str>), HashSet<std::net::SocketAddr>> = HashMap::new();
        for conflict in conflicts {
            times
                .entry((conflict.loses, &conflict.name))
                .or_default()
                .insert(conflict.on);
        }
        let everywhere = times.into_iter().filter(|((block, _), on)| {
            let listens = blocks[*block].server.listens.iter();
            listens
                .filter(|listen| !listen.quic)
                .all(|listen| on.contains(&listen.address))
        });
        Lost(
            everywhere
                .map(|((block, name), _)| (block, Arc::clone(name)))
                .collect(),
        )
    }

    pub(super) fn has(&self, block: usize, name: &str) -> bool {
        !self.0.is_empty() && self.0.contains(&(block, name.to_ascii_lowercase().into()))
    }
}

/// Returns a finding for each name that two sites claim, with the block that claims it in vain.
///
/// `group_of` tells the site of a block: within one site an overlap costs nothing, unless the name is lost everywhere.
pub(super) fn of_conflicts(
    blocks: &[Block],
    conflicts: &[Conflict],
    lost: &Lost,
    group_of: &[usize],
) -> Vec<(usize, Finding)> {
    let mut said = HashSet::new();
    let mut findings = Vec::new();
    for conflict in conflicts {
        let Conflict {
            name, keeps, loses, ..
        } = conflict;
        let harmless = group_of[*keeps] == group_of[*loses] && !lost.has(*loses, name);
        if harmless || !name.contains('.') || !said.insert((name, keeps, loses)) {
            continue;
        }
        let (keeping, losing) = (&blocks[*keeps].server.place, &blocks[*loses].server.place);
        let finding = Finding::new(
            FindingName::NamesOverlap,
            format!("Two server blocks claim {name}, and nginx answers with the first."),
        )
        .severity(Severity::Warning)
        .detail(format!(
            "{name} is a server_name of the blocks at {keeping} and {losing}; on {} nginx answers with the one at {keeping}.",
            conflict.on
        ))
        .fix(format!("Remove {name} from the server_name of the block at {losing}, or remove that block."));
        findings.push((*loses, finding));
    }
    findings
}
