//! What did an earlier run leave unfinished, and how is it finished?

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use renewal::deployment::{Deployment, LinkSwitch, Phase, Step, Switch};
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

/// Finishes every deployment that an earlier run began, or undoes it when nginx refuses it. All of them together cost
/// one reload.
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
    let mut waiting = Vec::new();
    for (number, deployment) in still_wanted(open, sites) {
        if deployment.switches.is_empty() {
            world.memory().advance(number, Phase::Settled)?;
            continue;
        }
        let jobs = jobs_of(&deployment, sites);
        let mut batch = Batch {
            number,
            jobs,
            deployment,
            tested_in: SignedDuration::ZERO,
        };
        if batch.deployment.phase == Phase::Reloaded {
            // It may be served by now; if not, the reload went unheard and is repeated. An earlier run waited for it.
            let seen = look(world, &mut batch, known, Duration::ZERO).await;
            if seen.is_empty() {
                continue;
            }
        }
        waiting.push(batch);
    }
    let tested = test_all(world, waiting, &mut recovered).await?;
    reload_and_look(world, tested, known, &mut recovered).await?;
    Ok(recovered)
}

/// Switches and tests each, undoes those that nginx refuses, and returns those that it accepts.
async fn test_all<W: World>(
    world: &W,
    mut waiting: Vec<Batch>,
    recovered: &mut Recovered,
) -> Result<Vec<Batch>, MemoryFailure> {
    let mut tested = Vec::new();
    loop {
        let mut left = Vec::new();
        let mut undone = false;
        for mut batch in std::mem::take(&mut waiting) {
            // Whatever was tested once: the configuration may have been changed since.
            batch.deployment.phase = Phase::Begun;
            let Err(finding) = switch_and_test(world, &mut batch).await else {
                tested.push(batch);
                continue;
            };
            match give_up(world, &batch, &finding, recovered).await? {
                GivenUp::Undone => {
                    undone = true;
                    found(recovered, finding);
                }
                GivenUp::Stays => left.push((batch, finding)),
            }
        }
        if left.is_empty() || !undone {
            for (_, finding) in left {
                found(recovered, finding);
            }
            return Ok(tested);
        }
        // What stood in their way may be gone now.
        waiting = left.into_iter().map(|(batch, _)| batch).collect();
    }
}

/// Leaves out what a later deployment, or somebody else, has gone beyond: to switch back to it would serve an older
/// certificate, and what is not there any more can never be seen served.
fn still_wanted(open: Vec<(i64, Deployment)>, sites: &[Arc<Site>]) -> Vec<(i64, Deployment)> {
    let sites: HashMap<&str, &Site> = sites.iter().map(|site| (&*site.lineage, &**site)).collect();
    let mut later: HashSet<String> = HashSet::new();
    let mut wanted = Vec::new();
    for (number, mut deployment) in open.into_iter().rev() {
        for switch in &mut deployment.switches {
            let overtaken = switch.links.take_if(|links| {
                let repeated = !later.insert(links.lineage.clone());
                let site = sites.get(&*links.lineage);
                repeated || site.is_some_and(|site| is_overtaken(links, site))
            });
            if overtaken.is_some() {
                // The plain files hold the same certificate.
                switch.pair = None;
            }
        }
        deployment.switches.retain(|switch| {
            switch.links.is_some() || switch.pair.is_some() || !switch.edits.is_empty()
        });
        wanted.push((number, deployment));
    }
    wanted.reverse();
    wanted
}

/// Says whether somebody else linked another version meanwhile, or made the lineage anew.
fn is_overtaken(links: &LinkSwitch, site: &Site) -> bool {
    let current = site.current.as_ref();
    let linked = current.and_then(|current| Some((current.version?, current.certificate.sha256)));
    let undeployed = site
        .undeployed
        .as_ref()
        .map(|undeployed| (undeployed.version, undeployed.certificate.sha256));
    let moved =
        linked.is_some_and(|(version, _)| version != links.to && Some(version) != links.from);
    let another = [linked, undeployed]
        .into_iter()
        .flatten()
        .any(|(version, sha256)| version == links.to && sha256 != links.serves);
    moved || another
}

async fn switch_and_test<W: World>(world: &W, batch: &mut Batch) -> Result<(), Finding> {
    let switched = world.host().switch(&batch.deployment.switches).await;
    switched.map_err(|failure| failure.0)?;
    note(world, batch, Step::Switch);
    test(world, batch).await?;
    note(world, batch, Step::Test);
    Ok(())
}

async fn reload_and_look<W: World>(
    world: &W,
    mut tested: Vec<Batch>,
    known: &Known,
    recovered: &mut Recovered,
) -> Result<(), MemoryFailure> {
    if tested.is_empty() {
        return Ok(());
    }
    if let Err(failure) = world.host().reload().await {
        for batch in &tested {
            give_up(world, batch, &failure.0, recovered).await?;
        }
        found(recovered, failure.0);
        return Ok(());
    }
    recovered.reloads += 1;
    world.observer().saw(Event::Reloaded);
    let patience = patience(&tested);
    for batch in &mut tested {
        note(world, batch, Step::Reload);
    }
    for batch in &mut tested {
        let seen = look(world, batch, known, patience).await;
        recovered.findings.extend(seen);
    }
    Ok(())
}

/// What became of a deployment that nginx did not accept.
enum GivenUp {
    /// It is undone.
    Undone,
    /// It is in place, and the next run looks again.
    Stays,
}

/// Undoes what nginx refuses, if it was that.
async fn give_up<W: World>(
    world: &W,
    batch: &Batch,
    finding: &Finding,
    recovered: &mut Recovered,
) -> Result<GivenUp, MemoryFailure> {
    if finding.name == FindingName::NginxNotRunning {
        // What it never heard of is good and stays: it reads it when it is started.
        return Ok(GivenUp::Stays);
    }
    let switches = &batch.deployment.switches;
    if let Err(stuck) = revert(world, switches).await {
        recovered.findings.push(stuck);
        return Ok(GivenUp::Stays);
    }
    if world.host().test().await.is_ok() {
        world.memory().advance(batch.number, Phase::Reverted)?;
        return Ok(GivenUp::Undone);
    }
    // Something else is refused. nginx may have loaded ours before: whoever reloads it next must not serve what was
    // there earlier.
    if let Err(stuck) = world.host().switch(switches).await {
        recovered.findings.push(stuck.0);
    }
    Ok(GivenUp::Stays)
}

/// Takes in what stands in the way, once.
fn found(recovered: &mut Recovered, finding: Finding) {
    if !recovered.findings.contains(&finding) {
        recovered.findings.push(finding);
    }
}

fn note<W: World>(world: &W, batch: &mut Batch, step: Step) {
    if let Err(failure) = batch.done(world, step) {
        tracing::warn!(%failure, "a step could not be written down; it is repeated by the next run");
    }
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

#[cfg(test)]
mod tests;
