//! One pass: look, plan, check, order, deploy, record.
//!
//! Sites go through checking and ordering side by side, each on its own; they meet again when certificates are
//! deployed, for that is where one test and one reload serve many. Nobody waits for a slow site longer than
//! [`GATHER`].

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use renewal::challenge::line_lost;
use renewal::ending;
use renewal::finding::{Finding, FindingName};
use renewal::name::Name;
use renewal::plan::{Action, Item, Plan, Remembered, SkipReason, Wish, plan};
use renewal::ports::{
    Clock as _, Event, Host as _, HostFailure, Known, Lease as _, LeaseHeld, Look, Memory as _,
    MemoryFailure, Observer as _,
};
use renewal::report::{Outcome, Report, SiteReport};
use renewal::site::Site;

use crate::looking;
use crate::ordering::Books;
use crate::polling;
use crate::recording;
use crate::recovering;
use crate::tally;
use crate::telling::{self, Times};
use crate::unserved;
use crate::world::{Stop, World};

use self::work::{Due, Work};

mod work;

/// What a run is asked to do.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Which sites, and how urgently.
    pub wish: Wish,
    /// Whether only to say what would be done. Nothing is written and no CA is asked.
    pub dry_run: bool,
    /// Whether to wait while another run is at work.
    pub wait: bool,
}

/// A run that could not even begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Another run is at work, or the lock cannot be used.
    #[error(transparent)]
    Lease(#[from] LeaseHeld),
    /// Nothing can be said about this host.
    #[error(transparent)]
    Host(#[from] HostFailure),
    /// What is remembered cannot be read or written.
    #[error(transparent)]
    Memory(#[from] MemoryFailure),
    /// A name was asked for that no site here has.
    #[error("no site here is called {name}")]
    NoSuchSite {
        /// What was asked for.
        name: Name,
        /// The names of the sites that there are.
        known: Vec<Name>,
        /// What kept parts of the configuration from being read, where it may be.
        unread: Vec<Finding>,
    },
}

/// A pass and what it saw, for those who plan the next one.
#[derive(Debug)]
pub struct Pass {
    /// What came of it.
    pub report: Report,
    /// The sites as they were seen at its beginning.
    pub sites: Vec<Arc<Site>>,
    /// What is remembered of them at its end.
    pub remembered: HashMap<Name, Remembered>,
    /// Every file and folder whose change would change what was seen.
    pub watched: Vec<PathBuf>,
}

/// Makes one pass.
///
/// # Errors
///
/// When it could not begin. What goes wrong with one site is in the report.
pub async fn run<W: World>(
    world: &Arc<W>,
    request: &Request,
    stop: &Stop,
) -> Result<Pass, RunError> {
    let started_at = world.clock().now();
    // Held until the end; a dry run changes nothing and needs no lock.
    let _held = if request.dry_run {
        None
    } else {
        Some(lease(&**world, request.wait, stop).await?)
    };
    let mut seen = look(&**world).await?;
    let without_nginx = seen.ask_whether_nginx_runs(&**world).await;
    let wish = resolve(&request.wish, &seen.sites, &seen.findings)?;
    let mut remembered = world.memory().remembered()?;
    if !request.dry_run {
        seen.finish_earlier_work(&**world).await?;
        seen.ask_for_windows(&**world, &wish, &mut remembered)
            .await?;
    }
    seen.ask_what_is_served(&**world, &wish, without_nginx)
        .await;
    let known = std::mem::take(&mut seen.known);
    let now = world.clock().now();
    let question = (seen.sites.iter()).map(|site| (&**site, remembered.get(site.domain())));
    let plan = plan(question, &wish, now);
    announce(&**world, &plan, &seen.findings);
    let mut reports: Vec<SiteReport> = plan
        .items
        .iter()
        .map(|item| at_rest(item, request.dry_run, now))
        .collect();
    say_lost_lines(&**world, &plan, &remembered, &mut reports);
    let due = due_items(&plan, &seen.sites);
    let works = !request.dry_run && !due.is_empty();
    let mut reloads = seen.reloads;
    if works {
        let books = Books::open(&**world)?;
        let (before, reloaded) = (remembered.clone(), reloads > 0);
        let world = Arc::clone(world);
        let refusal = seen.refusal(&*world).await;
        let work = Work::new(world, books, known, before, reloaded, stop.clone())
            .without_nginx(without_nginx);
        reloads += work.carry_out_unless(refusal, due, &mut reports).await;
    }
    for report in &reports {
        world.observer().saw(Event::Finished(report));
    }
    let wake_at = next_wake(&plan, &reports, now);
    drop(plan);
    if !request.dry_run {
        remembered = seen.tell(&**world, &reports, remembered, works).await?;
    }
    let report = Report {
        started_at,
        finished_at: world.clock().now(),
        reloads,
        sites: reports,
        findings: seen.findings,
        wake_at,
    };
    world.observer().saw(Event::Over(&report));
    Ok(Pass {
        report,
        sites: seen.sites,
        remembered,
        watched: seen.watched,
    })
}

/// What a pass sees of the host before it plans.
pub(crate) struct Seen {
    pub(crate) sites: Vec<Arc<Site>>,
    pub(crate) findings: Vec<Finding>,
    watched: Vec<PathBuf>,
    pub(crate) known: Known,
    fresh: Vec<(PathBuf, renewal::ports::Seen)>,
    pub(crate) reloads: u32,
}

pub(crate) async fn look<W: World>(world: &W) -> Result<Seen, RunError> {
    let known = world.memory().known()?;
    let Look {
        sites,
        findings,
        read,
        watched,
    } = looking::look(world, &known).await?;
    let sites = sites.into_iter().map(Arc::new).collect();
    Ok(Seen {
        sites,
        findings,
        watched,
        known,
        fresh: read,
        reloads: 0,
    })
}

impl Seen {
    /// Tells the panel's users what is new; returns what is remembered after the run.
    async fn tell<W: World>(
        &mut self,
        world: &W,
        reports: &[SiteReport],
        before: HashMap<Name, Remembered>,
        worked: bool,
    ) -> Result<HashMap<Name, Remembered>, MemoryFailure> {
        let after = match worked {
            true => Some(world.memory().remembered()?),
            false => None,
        };
        let times = Times {
            before: &before,
            after: after.as_ref().unwrap_or(&before),
        };
        // Elsewhere there is nobody to tell.
        let on_panel = self.sites.iter().filter(|site| site.panel.site().is_some());
        let domains: HashSet<&Name> = on_panel.map(|site| site.domain()).collect();
        let concerned = reports
            .iter()
            .filter(|report| domains.contains(report.domain()));
        if let Some(finding) = telling::tell(world, concerned, &times).await? {
            self.found(finding);
        }
        Ok(after.unwrap_or(before))
    }

    /// Asks the CAs of the sites that the wish is about, where it is time to.
    async fn ask_for_windows<W: World>(
        &self,
        world: &W,
        wish: &Wish,
        remembered: &mut HashMap<Name, Remembered>,
    ) -> Result<(), MemoryFailure> {
        let about = self
            .sites
            .iter()
            .filter(|site| wish.includes(site.domain()));
        let asked: Vec<_> = about.cloned().collect();
        polling::poll(world, &asked, remembered).await
    }

    /// Asks whether nginx runs; when it does not, that is a finding about the host, and its name is returned.
    async fn ask_whether_nginx_runs<W: World>(&mut self, world: &W) -> Option<FindingName> {
        let HostFailure(finding) = world.host().running().await.err()?;
        let name = finding.name;
        self.found(finding);
        Some(name)
    }

    /// Says of which sites nginx did not take up what the panel wrote; nothing while there is no nginx.
    async fn ask_what_is_served<W: World>(
        &mut self,
        world: &W,
        wish: &Wish,
        without_nginx: Option<FindingName>,
    ) {
        if without_nginx.is_some() {
            return;
        }
        for (place, finding) in unserved::find(world, &self.sites, wish).await {
            Arc::make_mut(&mut self.sites[place]).findings.push(finding);
        }
    }

    /// Takes in a finding about the host. That nginx is missing or dead is said once.
    fn found(&mut self, finding: Finding) {
        let once = [FindingName::NginxNotInstalled, FindingName::NginxNotRunning];
        let said = self.findings.iter().any(|other| {
            *other == finding || (other.name == finding.name && once.contains(&finding.name))
        });
        if !said {
            self.findings.push(finding);
        }
    }

    /// Asks nginx about its configuration when that looked wrong: what it would not take up need not be ordered.
    async fn refusal<W: World>(&self, world: &W) -> Option<HostFailure> {
        let looks_wrong = self.findings.iter().any(|finding| {
            [
                FindingName::NginxConfigInvalid,
                FindingName::VhostNotUnderstood,
                FindingName::VhostSymlinkBroken,
            ]
            .contains(&finding.name)
        });
        if looks_wrong {
            world.host().test().await.err()
        } else {
            None
        }
    }

    /// Writes down what was read, and finishes what an earlier run left unfinished.
    pub(crate) async fn finish_earlier_work<W: World>(
        &mut self,
        world: &W,
    ) -> Result<(), RunError> {
        if !self.fresh.is_empty() {
            world.memory().remember_seen(&self.fresh)?;
        }
        match world.host().end_unfinished().await {
            Ok(true) => self.look_afresh(world).await?,
            Ok(false) => {}
            Err(failure) => self.found(failure.0),
        }
        let recovered = recovering::recover(world, &self.sites, &self.known).await?;
        self.reloads += recovered.reloads;
        for finding in recovered.findings {
            self.found(finding);
        }
        if recovered.changed {
            self.look_again(world).await?;
        }
        let mended = recording::mend(world, &self.sites).await?;
        for finding in mended.findings {
            self.found(finding);
        }
        if mended.changed {
            self.look_again(world).await?;
        }
        Ok(())
    }

    /// Looks again after the configuration itself was changed: what was wrong before may be right, and the reverse.
    async fn look_afresh<W: World>(&mut self, world: &W) -> Result<(), RunError> {
        let about_nginx = [FindingName::NginxNotInstalled, FindingName::NginxNotRunning];
        self.findings
            .retain(|finding| about_nginx.contains(&finding.name));
        for finding in self.look_again(world).await? {
            self.found(finding);
        }
        Ok(())
    }

    /// Looks again after something was changed, or the plan would be about yesterday; returns what is wrong beyond any
    /// one site now.
    async fn look_again<W: World>(&mut self, world: &W) -> Result<Vec<Finding>, RunError> {
        let again = looking::look(world, &self.known).await?;
        world.memory().remember_seen(&again.read)?;
        self.sites = again.sites.into_iter().map(Arc::new).collect();
        self.watched = again.watched;
        Ok(again.findings)
    }
}

pub(crate) async fn lease<W: World>(
    world: &W,
    wait: bool,
    stop: &Stop,
) -> Result<<W::Lease as renewal::ports::Lease>::Held, LeaseHeld> {
    loop {
        match world.lease().take() {
            Ok(held) => return Ok(held),
            Err(LeaseHeld::By(_)) if wait && !stop.wished() => {
                let again = world
                    .clock()
                    .now()
                    .checked_add(LEASE_POLL)
                    .unwrap_or(Timestamp::MAX);
                world.clock().wait_until(again).await;
            }
            Err(held) => return Err(held),
        }
    }
}

/// Replaces each name that was asked for by the domain of the site that has it.
pub(crate) fn resolve(
    wish: &Wish,
    sites: &[Arc<Site>],
    findings: &[Finding],
) -> Result<Wish, RunError> {
    let Some(asked) = &wish.only else {
        return Ok(wish.clone());
    };
    let mut by_name: HashMap<&str, &Name> = HashMap::new();
    for site in sites {
        let written = site
            .servers
            .iter()
            .flat_map(|server| server.names.iter().map(String::as_str));
        for name in written.chain(site.wanted.iter().map(Name::as_str)) {
            by_name.entry(name).or_insert(site.domain());
        }
    }
    // A domain goes before the same name as another site's alias.
    for site in sites {
        by_name.insert(site.domain().as_str(), site.domain());
    }
    let mut only = HashSet::new();
    for name in asked {
        let Some(domain) = by_name.get(name.as_str()) else {
            let known = sites
                .iter()
                .flat_map(|site| &site.wanted)
                .cloned()
                .collect();
            return Err(RunError::NoSuchSite {
                name: name.clone(),
                known,
                unread: unread(findings),
            });
        };
        only.insert((*domain).clone());
    }
    Ok(Wish {
        only: Some(only),
        ..wish.clone()
    })
}

/// Returns why sites may be missing.
pub(crate) fn unread(findings: &[Finding]) -> Vec<Finding> {
    let hides = [
        FindingName::NginxConfigInvalid,
        FindingName::VhostNotUnderstood,
        FindingName::VhostSymlinkBroken,
    ];
    let hiding = findings
        .iter()
        .filter(|finding| hides.contains(&finding.name));
    hiding.cloned().collect()
}

fn announce<W: World>(world: &W, plan: &Plan<'_>, findings: &[Finding]) {
    let due = plan
        .items
        .iter()
        .filter(|item| matches!(item.action, Action::Order { .. } | Action::Deploy(_)))
        .count();
    world.observer().saw(Event::Planned {
        sites: plan.items.len(),
        due,
    });
    for finding in findings {
        world.observer().saw(Event::Found(None, finding));
    }
}

/// Says of one site what the plan says; what is to be done is filled in when it was.
fn at_rest(item: &Item<'_>, dry_run: bool, now: Timestamp) -> SiteReport {
    let reason = || item.due.reason.to_string();
    match &item.action {
        Action::Leave => tally::planned(item, Outcome::NotDue, item.due.ahead()),
        Action::Skip(why) => {
            let mut report = tally::planned(item, Outcome::Skipped, why.to_string());
            if *why == SkipReason::MadeElsewhere {
                report.due_at = None;
            }
            report.findings.extend(ending::warning(item.site, now));
            report
        }
        Action::Postpone(until) => {
            let mut report = tally::planned(item, Outcome::Postponed, reason());
            report.retry_at = Some(*until);
            report
        }
        Action::Deploy(_) | Action::Order { .. } if dry_run => {
            tally::planned(item, Outcome::WouldRenew, reason())
        }
        // Until it is done, it is not: a run that stops early reports it so.
        Action::Deploy(_) | Action::Order { .. } => {
            tally::planned(item, Outcome::Postponed, reason())
        }
    }
}

/// Says of which vhosts somebody took the line that they need.
fn say_lost_lines<W: World>(
    world: &W,
    plan: &Plan<'_>,
    remembered: &HashMap<Name, Remembered>,
    reports: &mut [SiteReport],
) {
    // Hardly any vhost needs one, and a fleet is not gone through for nothing.
    if remembered.values().all(|known| known.line_at.is_none()) {
        return;
    }
    let edit = world.settings().edit;
    for (item, report) in plan.items.iter().zip(reports) {
        let known = remembered.get(item.site.domain());
        let line_at = known.and_then(|known| known.line_at);
        let lost = line_lost(item.site, line_at, edit.allows(item.site));
        report.findings.extend(lost);
    }
}

fn due_items(plan: &Plan<'_>, sites: &[Arc<Site>]) -> Vec<Due> {
    let by_domain: HashMap<&Name, &Arc<Site>> =
        sites.iter().map(|site| (site.domain(), site)).collect();
    let items = plan.items.iter().enumerate();
    items
        .filter(|(_, item)| matches!(item.action, Action::Deploy(_) | Action::Order { .. }))
        .filter_map(|(index, item)| {
            let site = Arc::clone(by_domain.get(item.site.domain())?);
            Some(Due {
                index,
                site,
                action: item.action.clone(),
            })
        })
        .collect()
}

/// Returns the first moment at which there may be something to do.
fn next_wake(plan: &Plan<'_>, reports: &[SiteReport], now: Timestamp) -> Option<Timestamp> {
    let worked = reports.iter().filter_map(|report| match report.outcome {
        Outcome::Failed | Outcome::Postponed => Some(report.retry_at.unwrap_or(now)),
        // Its window is asked for soon, and its due moment is worked out then.
        Outcome::Issued | Outcome::Renewed | Outcome::Installed => Some(now),
        Outcome::NotDue | Outcome::WouldRenew | Outcome::Skipped => None,
    });
    let rest = plan.wake_at.filter(|at| *at > now);
    let resting = plan
        .items
        .iter()
        .filter(|item| matches!(item.action, Action::Leave))
        .map(|item| item.due.at)
        .min();
    worked.chain(rest).chain(resting).min()
}

/// How long an obtained certificate may wait for the others of its batch.
pub const GATHER: SignedDuration = SignedDuration::from_secs(30);

/// How often a waiting run looks whether the lock is free.
const LEASE_POLL: SignedDuration = SignedDuration::from_millis(200);

#[cfg(test)]
mod tests;
