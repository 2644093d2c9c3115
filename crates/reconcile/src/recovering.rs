//! What did an earlier run leave unfinished, and how is it finished?

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use renewal::deployment::{Deployment, Phase, Step, Switch};
use renewal::finding::{Finding, FindingName};
use renewal::ports::{Event, Host as _, Known, Memory as _, MemoryFailure, Observer as _};
use renewal::site::Site;

use crate::deploying::{Batch, Job, JobKind, not_served, patience, revert, settle, test, verify};
use crate::unheard::{complaints, with_complaints};
use crate::world::World;

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// How often nginx was reloaded.
    pub(crate) reloads: u32,
    /// What still stands in the way.
    pub(crate) findings: Vec<Finding>,
    /// Whether anything was done, so that the host must be looked at again.
    pub(crate) changed: bool,
}

/// Finishes every deployment that an earlier run began, or undoes it when nginx refuses it.
pub(crate) async fn recover<W: World>(
    world: &W,
    sites: &[Arc<Site>],
    known: &Known,
) -> Result<Recovered, MemoryFailure> {
    let mut recovered = Recovered::default();
    let open = world.memory().open_deployments()?;
    if open.is_empty() {
        return Ok(recovered);
    }
    world.observer().saw(Event::Recovering(open.len()));
    recovered.changed = true;
    for (number, deployment) in open {
        let jobs = jobs_of(&deployment, sites);
        let mut batch = Batch {
            number,
            jobs,
            deployment,
            tested_in: SignedDuration::ZERO,
        };
        finish(world, &mut batch, known, &mut recovered).await?;
    }
    Ok(recovered)
}

async fn finish<W: World>(
    world: &W,
    batch: &mut Batch,
    known: &Known,
    recovered: &mut Recovered,
) -> Result<(), MemoryFailure> {
    if batch.deployment.phase == Phase::Reloaded {
        // It may be served by now; if not, the reload went unheard and is repeated. An earlier run waited for it.
        if look(world, batch, known, Duration::ZERO).await.is_empty() {
            return Ok(());
        }
        batch.deployment.phase = Phase::Begun;
    }
    if let Err(finding) = advance(world, batch, recovered).await {
        // What an nginx that does not run never heard of is good and stays: it reads it when it is started.
        let stays = finding.name == FindingName::NginxNotRunning;
        if batch.deployment.phase.can_revert() && !stays {
            if let Err(stuck) = revert(world, &batch.deployment.switches).await {
                recovered.findings.push(stuck);
            } else {
                world.memory().advance(batch.number, Phase::Reverted)?;
            }
        }
        recovered.findings.push(finding);
        return Ok(());
    }
    let patience = patience(std::slice::from_ref(batch));
    recovered
        .findings
        .extend(look(world, batch, known, patience).await);
    Ok(())
}

async fn advance<W: World>(
    world: &W,
    batch: &mut Batch,
    recovered: &mut Recovered,
) -> Result<(), Finding> {
    for step in batch.deployment.phase.remaining() {
        match step {
            Step::Switch => world
                .host()
                .switch(&batch.deployment.switches)
                .await
                .map_err(|failure| failure.0)?,
            Step::Test => test(world, batch).await?,
            Step::Reload => {
                world.host().reload().await.map_err(|failure| failure.0)?;
                recovered.reloads += 1;
                world.observer().saw(Event::Reloaded);
            }
            Step::Verify => return Ok(()),
        }
        if let Err(failure) = batch.done(world, *step) {
            tracing::warn!(%failure, "a step could not be written down; it is repeated by the next run");
        }
    }
    Ok(())
}

/// Looks at what is served, and says what is not as it should be.
async fn look<W: World>(
    world: &W,
    batch: &mut Batch,
    known: &Known,
    patience: Duration,
) -> Vec<Finding> {
    if batch.jobs.is_empty() {
        // The sites are gone: nobody is left to be served.
        settle(world, batch).await;
        return Vec::new();
    }
    let seen = verify(world, std::slice::from_mut(batch), known, patience).await;
    let complaints = complaints(world, seen.values()).await;
    seen.values()
        .filter_map(|verified| not_served(&verified.site, &verified.served))
        .map(|finding| with_complaints(finding, &complaints))
        .collect()
}

/// Finds the sites that the switches are about. One that is gone is left out.
fn jobs_of(deployment: &Deployment, sites: &[Arc<Site>]) -> Vec<Job> {
    let site_of = |switch: &Switch| {
        sites
            .iter()
            .find(|site| *site.domain() == switch.domain)
            .cloned()
    };
    let jobs = deployment.switches.iter().filter_map(|switch| {
        let links = switch.links.as_ref()?;
        let kind = JobKind::Serve {
            version: links.to,
            serves: links.serves,
        };
        Some(Job {
            site: site_of(switch)?,
            kind,
        })
    });
    jobs.collect()
}
