//! How is the panel's record kept true, and how do the files follow it?
//!
//! The record is written last, when a certificate was seen to be served. Whatever happens before that is mended by the
//! next run, which sees that the record is behind; and what the panel renewed by itself is taken into the archive, from
//! where it is deployed like any other.

use std::collections::HashSet;
use std::sync::Arc;

use renewal::certificate::Certificate;
use renewal::choice::How;
use renewal::finding::{Finding, FindingName};
use renewal::name::Name;
use renewal::panel::{OnPanel, Stand, is_news, stand};
use renewal::ports::{
    Clock as _, Host as _, HostFailure, Issued, Memory as _, MemoryFailure, Panel as _,
    RecordChange,
};
use renewal::site::Site;

use crate::world::World;

/// A site and the version that it serves.
pub(crate) type Served<'a> = (&'a Site, u32, &'a Certificate);

/// Records what sites serve; returns what is to be said of each, in order.
pub(crate) async fn record<W: World>(world: &W, served: &[Served<'_>]) -> Vec<Vec<Finding>> {
    let mut answers: Vec<Vec<Finding>> = vec![Vec::new(); served.len()];
    let (mut changes, mut places) = (Vec::new(), Vec::new());
    for (place, (site, version, certificate)) in served.iter().enumerate() {
        let OnPanel::Yes(panel) = &site.panel else {
            continue;
        };
        let certificate = Certificate::clone(certificate);
        if !is_news(panel, &Arc::new(certificate.clone())) {
            continue;
        }
        match world.host().pair(site, *version).await {
            Ok(pair) => {
                places.push(place);
                changes.push(RecordChange {
                    site: Arc::clone(panel),
                    imported: is_imported(site, &certificate),
                    certificate,
                    pair,
                });
            }
            Err(HostFailure(finding)) => answers[place].push(finding),
        }
    }
    if changes.is_empty() {
        return answers;
    }
    let said = world.panel().record(changes, world.clock().now()).await;
    for (place, finding) in places.into_iter().zip(said) {
        answers[place].extend(finding);
    }
    answers
}

/// Says whether a person brought the certificate, and had it served here.
fn is_imported(site: &Site, certificate: &Certificate) -> bool {
    let choice = site.choice.as_ref();
    choice.is_some_and(|choice| choice.leaf == certificate.sha256 && choice.how == How::Imported)
}

/// What came of mending what a crash or the panel left apart.
#[derive(Debug, Default)]
pub(crate) struct Mended {
    /// Whether anything was changed, so that the host must be looked at again.
    pub(crate) changed: bool,
    /// What stands in the way.
    pub(crate) findings: Vec<Finding>,
}

/// Writes the records that are behind, and takes over what the panel's record has that is better than the files.
pub(crate) async fn mend<W: World>(
    world: &W,
    sites: &[Arc<Site>],
) -> Result<Mended, MemoryFailure> {
    let mut mended = Mended::default();
    let now = world.clock().now();
    let mut behind = Vec::new();
    for site in sites.iter().filter(|site| site.policy.managed) {
        match stand(site, now) {
            Stand::Same | Stand::Apart(_) => {}
            Stand::RecordBehind(_) => behind.push(&**site),
            Stand::FilesBehind(_) => match take_over(world, site).await {
                Ok(()) => mended.changed = true,
                Err(HostFailure(finding)) => mended.findings.push(not_taken_over(site, finding)),
            },
        }
    }
    if behind.is_empty() {
        return Ok(mended);
    }
    // What is not seen to be served yet is not recorded yet.
    let open = in_open_deployments(world)?;
    let served: Vec<Served<'_>> = behind
        .into_iter()
        .filter(|site| !open.contains(site.domain()))
        .filter_map(|site| {
            let current = site.current.as_ref()?;
            Some((site, current.version?, &*current.certificate))
        })
        .collect();
    for findings in record(world, &served).await {
        mended.changed |= findings.is_empty();
        for finding in findings {
            if !mended.findings.contains(&finding) {
                mended.findings.push(finding);
            }
        }
    }
    Ok(mended)
}

fn in_open_deployments<W: World>(world: &W) -> Result<HashSet<Name>, MemoryFailure> {
    let open = world.memory().open_deployments()?;
    let switches = open.into_iter().flat_map(|(_, open)| open.switches);
    Ok(switches.map(|switch| switch.domain).collect())
}

/// Takes the recorded pair into the archive, checked like what a CA sends.
async fn take_over<W: World>(world: &W, site: &Site) -> Result<(), HostFailure> {
    let OnPanel::Yes(panel) = &site.panel else {
        return Ok(());
    };
    let pair = world.panel().pair(panel).await?;
    let issued = Issued {
        chains: vec![format!("{}{}", pair.leaf, pair.issuers)],
    };
    let now = world.clock().now();
    world
        .host()
        .stage(site, &pair.key, &issued, now)
        .await
        .map(|_| ())
}

fn not_taken_over(site: &Site, why: Finding) -> Finding {
    Finding::new(
        FindingName::PanelDrift,
        format!(
            "CloudPanel's record has a newer certificate for {} than its files, which may not be deployed.",
            site.domain()
        ),
    )
    .detail(format!("{} {}", why.explanation, why.detail))
    .fix("Nothing: the next renewal replaces both.")
}
