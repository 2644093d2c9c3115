//! How do new certificates become the served ones, many at once and with one reload?
//!
//! A batch is switched and tested as a whole. When nginx refuses it, all of it is undone and the configuration
//! is tested as it was: if that is refused too, the fault is not ours and nothing is deployed; else the batch
//! is halved until the site at fault is alone, so that it delays nobody.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::SignedDuration;
use renewal::certificate::Fingerprint;
use renewal::deployment::{Deployment, Phase, Step, Switch};
use renewal::finding::{Finding, FindingName};
use renewal::name::Name;
use renewal::ports::{
    Change, Clock as _, Event, Host as _, HostFailure, Known, Memory as _, MemoryFailure,
    Observer as _,
};
use renewal::report::Served;
use renewal::site::Site;

use crate::world::World;

/// A change to make for one site.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) site: Arc<Site>,
    pub(crate) kind: JobKind,
}

/// What to change.
#[derive(Clone, Debug)]
pub(crate) enum JobKind {
    /// Serve this version.
    Serve { version: u32, serves: Fingerprint },
    /// Put the stateless line in.
    Line { thumbprint: String },
}

impl Job {
    fn change(&self) -> Change<'_> {
        match &self.kind {
            JobKind::Serve { version, serves } => Change::Serve {
                site: &self.site,
                version: *version,
                serves: *serves,
            },
            JobKind::Line { thumbprint } => Change::Stateless {
                site: &self.site,
                thumbprint,
            },
        }
    }
}

/// What came of a batch.
#[derive(Debug, Default)]
pub(crate) struct Deployed {
    /// What was switched, is accepted by nginx and was reloaded.
    pub(crate) batches: Vec<Batch>,
    /// What was not, by domain, and why.
    pub(crate) refused: HashMap<Name, Vec<Finding>>,
    /// How often nginx was reloaded: once, or not at all.
    pub(crate) reloads: u32,
}

/// Switches that went through together.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) number: i64,
    pub(crate) jobs: Vec<Job>,
    pub(crate) deployment: Deployment,
    /// How long nginx took to test it; zero when that was not seen.
    pub(crate) tested_in: SignedDuration,
}

impl Batch {
    /// Writes down that `step` was done.
    pub(crate) fn done<W: World>(&mut self, world: &W, step: Step) -> Result<(), MemoryFailure> {
        match self.deployment.phase.after(step) {
            Ok(phase) => {
                self.deployment.phase = phase;
                world.memory().advance(self.number, phase)
            }
            Err(error) => Err(MemoryFailure {
                what: "the journal of deployments".into(),
                cause: error.to_string(),
            }),
        }
    }
}

/// Makes the changes and reloads nginx once; does not look at what is served yet.
pub(crate) async fn deploy<W: World>(world: &W, jobs: Vec<Job>) -> Deployed {
    let mut deployed = Deployed::default();
    let mut queue = vec![jobs];
    let mut base_is_good = false;
    while let Some(jobs) = queue.pop() {
        if jobs.is_empty() {
            continue;
        }
        let refusal = match switch_and_test(world, &jobs, &mut deployed).await {
            Ok(()) => continue,
            Err(refusal) => refusal,
        };
        if !base_is_good && deployed.batches.is_empty() {
            if let Err(fault) = world.host().test().await {
                refuse(&mut deployed, &jobs, &configuration_was_broken(fault));
                refuse(&mut deployed, &queue.concat(), &refusal);
                break;
            }
            base_is_good = true;
        }
        if jobs.len() == 1 {
            refuse(&mut deployed, &jobs, &refusal);
        } else {
            let mut first = jobs;
            let second = first.split_off(first.len() / 2);
            queue.push(second);
            queue.push(first);
        }
    }
    if !deployed.batches.is_empty() {
        reload(world, &mut deployed).await;
    }
    deployed
}

/// Switches and tests one batch; undoes it when nginx refuses.
async fn switch_and_test<W: World>(
    world: &W,
    jobs: &[Job],
    deployed: &mut Deployed,
) -> Result<(), Finding> {
    let changes: Vec<Change<'_>> = jobs.iter().map(Job::change).collect();
    let prepared = world.host().prepare(&changes).await;
    let mut kept = Vec::new();
    let mut switches = Vec::new();
    for (job, switch) in jobs.iter().zip(prepared) {
        match switch {
            Ok(switch) => {
                kept.push(job.clone());
                switches.push(switch);
            }
            Err(failure) => refuse(deployed, std::slice::from_ref(job), &failure.0),
        }
    }
    if kept.is_empty() {
        return Ok(());
    }
    let deployment = Deployment {
        switches,
        phase: Phase::Begun,
        begun_at: world.clock().now(),
    };
    let number = world
        .memory()
        .begin(&deployment)
        .map_err(|failure| forgot(&failure))?;
    let mut batch = Batch {
        number,
        jobs: kept,
        deployment,
        tested_in: SignedDuration::ZERO,
    };
    let went = advance_to_tested(world, &mut batch).await;
    match went {
        Ok(()) => {
            deployed.batches.push(batch);
            Ok(())
        }
        Err(finding) => {
            revert(world, &batch.deployment.switches).await?;
            world
                .memory()
                .advance(number, Phase::Reverted)
                .map_err(|failure| forgot(&failure))?;
            Err(finding)
        }
    }
}

async fn advance_to_tested<W: World>(world: &W, batch: &mut Batch) -> Result<(), Finding> {
    world
        .host()
        .switch(&batch.deployment.switches)
        .await
        .map_err(|failure| failure.0)?;
    batch
        .done(world, Step::Switch)
        .map_err(|failure| forgot(&failure))?;
    test(world, batch).await?;
    batch
        .done(world, Step::Test)
        .map_err(|failure| forgot(&failure))
}

/// Tests the configuration, and takes note of how long that took.
pub(crate) async fn test<W: World>(world: &W, batch: &mut Batch) -> Result<(), Finding> {
    let began = world.clock().now();
    let tested = world.host().test().await;
    world.observer().saw(Event::Tested);
    tested.map_err(|failure| failure.0)?;
    batch.tested_in = world.clock().now().duration_since(began);
    Ok(())
}

/// Undoes every switch; goes on after a failure and reports the first.
pub(crate) async fn revert<W: World>(world: &W, switches: &[Switch]) -> Result<(), Finding> {
    let undone = world.host().revert(switches).await;
    if let Err(failure) = &undone {
        tracing::error!(%failure, "a switch could not be undone");
    }
    undone.map_err(|failure| failure.0)
}

async fn reload<W: World>(world: &W, deployed: &mut Deployed) {
    let told = world.host().reload().await;
    match told {
        Ok(()) => {
            deployed.reloads = 1;
            world.observer().saw(Event::Reloaded);
            for batch in &mut deployed.batches {
                if let Err(failure) = batch.done(world, Step::Reload) {
                    tracing::warn!(%failure, "the reload could not be written down; the next run looks again");
                }
            }
        }
        Err(failure) => {
            // nginx never heard of the new files. They are good and stay: it reads them when it next starts,
            // and the open journal makes the next run reload and look.
            for batch in std::mem::take(&mut deployed.batches) {
                refuse(deployed, &batch.jobs, &failure.0);
            }
        }
    }
}

/// What was seen of one site after a deployment.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) site: Arc<Site>,
    pub(crate) served: Vec<Served>,
}

/// Returns how long nginx may take until what it was told to reload is served.
///
/// A reload reads what a test reads, and ends old workers and starts new ones besides: 18 s against 9 s at 10,000
/// virtual hosts with nginx 1.22.
pub(crate) fn patience(batches: &[Batch]) -> Duration {
    let tested_in = batches.iter().map(|batch| batch.tested_in).max();
    let tested_in = Duration::try_from(tested_in.unwrap_or_default()).unwrap_or_default();
    (tested_in * TESTS_PER_RELOAD).clamp(PATIENCE_SHORTEST, PATIENCE_LONGEST)
}

/// Looks at what is served for each site of the batches, until it is what it should be or the patience is over;
/// settles the batches that are served whole.
///
/// Sites whose vhost was edited are looked up anew, for their listeners may be.
pub(crate) async fn verify<W: World>(
    world: &W,
    batches: &mut [Batch],
    known: &Known,
    patience: Duration,
) -> HashMap<Name, Verified> {
    let edited = batches.iter().any(|batch| {
        batch
            .deployment
            .switches
            .iter()
            .any(|switch| !switch.edits.is_empty())
    });
    let fresh: HashMap<Name, Arc<Site>> = if edited {
        let look = world.host().look(known).await;
        let sites = look.map(|look| look.sites).unwrap_or_default();
        sites
            .into_iter()
            .map(|site| (site.domain().clone(), Arc::new(site)))
            .collect()
    } else {
        HashMap::new()
    };
    let wanted: Vec<(Arc<Site>, Fingerprint)> = batches
        .iter()
        .flat_map(|batch| &batch.jobs)
        .filter_map(|job| match job.kind {
            JobKind::Serve { serves, .. } => {
                let site = fresh.get(job.site.domain()).unwrap_or(&job.site);
                Some((Arc::clone(site), serves))
            }
            JobKind::Line { .. } => None,
        })
        .collect();
    let looks: Vec<_> = wanted
        .into_iter()
        .map(|(site, serves)| async move {
            let served = world.host().served(&site, Some(serves), patience).await;
            world.observer().saw(Event::Looked(site.domain()));
            Verified { site, served }
        })
        .collect();
    let seen: Vec<Verified> = futures_util::stream::iter(looks)
        .buffer_unordered(SITES_VERIFIED_AT_ONCE)
        .collect()
        .await;
    let seen: HashMap<Name, Verified> = seen
        .into_iter()
        .map(|verified| (verified.site.domain().clone(), verified))
        .collect();
    for batch in batches {
        let whole = batch.jobs.iter().all(|job| {
            let looked = seen.get(job.site.domain());
            looked.is_none_or(|verified| verified.served.iter().all(|served| served.ok))
        });
        if whole {
            settle(world, batch).await;
        }
    }
    seen
}

pub(crate) async fn settle<W: World>(world: &W, batch: &mut Batch) {
    // On record first: a crash between the two leaves copies behind, never a batch that cannot be undone.
    if let Err(failure) = batch.done(world, Step::Verify) {
        tracing::warn!(%failure, "the deployment could not be closed; the next run looks again");
        return;
    }
    world.host().settle(&batch.deployment.switches).await;
}

/// Says what is wrong when something else is served than what was deployed.
pub(crate) fn not_served(site: &Site, served: &[Served]) -> Option<Finding> {
    let wrong = served.iter().find(|served| !served.ok)?;
    let seen = match (&wrong.sha256, &wrong.error, &wrong.answered_by) {
        (Some(sha256), _, Some(block)) => format!(
            "{} serves the certificate {sha256}, from {block}",
            wrong.address
        ),
        (Some(sha256), _, None) => format!("{} serves the certificate {sha256}", wrong.address),
        (None, Some(error), _) => format!("{}: {error}", wrong.address),
        (None, None, _) => format!("{} does not speak TLS", wrong.address),
    };
    Some(
        Finding::new(
            FindingName::CertificateNotServed,
            format!("the new certificate of {} is in place, and nginx does not serve it", site.domain()),
        )
        .detail(seen)
        .fix("look at nginx's error log for why the reload was not taken up; the next run reloads and looks again"),
    )
}

fn configuration_was_broken(fault: HostFailure) -> Finding {
    let mut finding = fault.0;
    if finding.fix.is_empty() {
        finding.fix = "mend the line that nginx names, then run clpctl again".into();
    }
    let said = finding.explanation.trim_end_matches('.').to_owned();
    finding.explanation = format!(
        "{said}; it did so before clpctl changed anything. What was obtained is kept, and the next run deploys it \
         without a new order"
    );
    finding
}

fn refuse(deployed: &mut Deployed, jobs: &[Job], finding: &Finding) {
    for job in jobs {
        deployed
            .refused
            .entry(job.site.domain().clone())
            .or_default()
            .push(finding.clone());
    }
}

fn forgot(failure: &MemoryFailure) -> Finding {
    Finding::new(FindingName::DiskFull, failure.what.clone())
        .detail(failure.cause.clone())
        .fix("make room or mend the rights of the state folder")
}

/// Each is a handshake per address.
const SITES_VERIFIED_AT_ONCE: usize = 32;

/// A reload may take so many times as long as the test before it.
const TESTS_PER_RELOAD: u32 = 8;

/// A host that is busy for a moment is not one that did not reload.
const PATIENCE_SHORTEST: Duration = Duration::from_secs(20);

/// Nobody learns more by waiting longer.
const PATIENCE_LONGEST: Duration = Duration::from_secs(120);
