//! The part of a pass that costs something: everything that is due, carried out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use renewal::certificate::Certificate;
use renewal::finding::FindingName;
use renewal::name::Name;
use renewal::plan::{Action, Remembered};
use renewal::ports::{Clock as _, Event, Host as _, HostFailure, Known, Observer as _, Staged};
use renewal::report::SiteReport;
use renewal::retry::{Attempts, Blame};
use renewal::site::Site;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::deploying::{Job, JobKind, deploy, not_served, patience, verify};
use crate::ordering::Books;
use crate::pass::GATHER;
use crate::tally::{self, Failure};
use crate::turns::Turns;
use crate::unheard::{complaints, with_complaints};
use crate::world::{Ending, Stop, World};

use self::beside_panel::PanelWatch;
use self::gate::Gate;
use self::lines::{Lines, Need};
use self::task::{Progress, Task};

mod beside_panel;
mod gate;
mod lines;
mod outcome;
mod task;
mod without_nginx;

/// A site with something to do.
#[derive(Clone, Debug)]
pub(super) struct Due {
    /// Its place among the reports.
    pub(super) index: usize,
    /// The site.
    pub(super) site: Arc<Site>,
    /// What to do.
    pub(super) action: Action,
}

/// All that is due, while it is carried out.
pub(super) struct Work<W: World> {
    world: Arc<W>,
    books: Arc<Books>,
    known: Known,
    remembered: HashMap<Name, Remembered>,
    stop: Stop,
    checks: Arc<Semaphore>,
    desks: Arc<Semaphore>,
    orders: Arc<Semaphore>,
    turns: Arc<Turns>,
    panel: Arc<PanelWatch>,
    tasks: JoinSet<(Due, Progress)>,
    /// Which site each task is about, for the one that dies.
    running: HashMap<tokio::task::Id, usize>,
    lines: Lines,
    gate: Gate,
    obtained: Vec<(Due, Staged)>,
    /// When the obtained certificates must wait no longer.
    deploy_by: Timestamp,
    /// When orders in flight are broken off; set once the end is wished for.
    break_off_at: Option<Timestamp>,
    /// Whether nginx was told to reload a moment ago, so that old workers may still answer.
    just_reloaded: bool,
    /// The finding about the host that says why no nginx is there to answer and to deploy to.
    without_nginx: Option<FindingName>,
    reloads: u32,
}

impl<W: World> Work<W> {
    pub(super) fn new(
        world: Arc<W>,
        books: Books,
        known: Known,
        remembered: HashMap<Name, Remembered>,
        just_reloaded: bool,
        stop: Stop,
    ) -> Self {
        let jobs = world.settings().jobs.max(1);
        let turns = Turns::new(world.clock().now());
        Self {
            world,
            books: Arc::new(books),
            known,
            remembered,
            stop,
            checks: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
            desks: Arc::new(Semaphore::new((jobs * DESKS_PER_ORDER).max(DESKS_MIN))),
            orders: Arc::new(Semaphore::new(jobs)),
            turns: Arc::new(turns),
            panel: Arc::default(),
            tasks: JoinSet::new(),
            running: HashMap::new(),
            lines: Lines::default(),
            gate: Gate::default(),
            obtained: Vec::new(),
            deploy_by: Timestamp::MAX,
            break_off_at: None,
            just_reloaded,
            without_nginx: None,
            reloads: 0,
        }
    }

    /// Takes in that no nginx is there to answer and to deploy to, and which finding about the host says why.
    pub(super) fn without_nginx(self, why: Option<FindingName>) -> Self {
        Self {
            without_nginx: why,
            ..self
        }
    }

    /// Carries out what is due, and writes what came of it into the reports; returns how often nginx was
    /// reloaded. `refused` is why nothing that would be obtained could be deployed.
    pub(super) async fn carry_out_unless(
        mut self,
        refused: Option<HostFailure>,
        due: Vec<Due>,
        reports: &mut [SiteReport],
    ) -> u32 {
        let due = self.postpone_without_nginx(due, reports);
        let due = self.postpone_beside_panel(due, reports).await;
        match refused {
            Some(failure) => self.refuse(&due, &failure, reports),
            None => self.carry_out(due, reports).await,
        }
        self.reloads
    }

    async fn carry_out(&mut self, due: Vec<Due>, reports: &mut [SiteReport]) {
        for due in self.open_gate(due, reports).await {
            match due.action {
                Action::Deploy(version) => {
                    if let Some(staged) = staged_earlier(&due.site, version) {
                        self.obtained(due, staged);
                    }
                }
                Action::Order { .. } => self.spawn(due, None),
                Action::Leave | Action::Skip(_) | Action::Postpone(_) => {}
            }
        }
        while self.gather(reports).await {
            if self.tasks.is_empty() && self.lines.anyone_waits() {
                self.insert_lines(reports).await;
            }
            if self.tasks.is_empty() {
                self.gate.close(&*self.world).await;
            }
            if self.tasks.is_empty() || self.world.clock().now() >= self.deploy_by {
                self.deploy_obtained(reports).await;
            }
        }
        self.withdraw_left_behind(reports).await;
        self.world.host().tidy().await;
        self.reloads += self.lines.close(&*self.world).await;
    }

    /// Takes in that this host could not take up what would be obtained; no CA is asked.
    fn refuse(&self, due: &[Due], failure: &HostFailure, reports: &mut [SiteReport]) {
        for due in due {
            self.failed(due, Failure::host(failure.clone()), reports);
        }
    }

    fn spawn(&mut self, due: Due, inserted: Option<Need>) {
        let attempts = self
            .remembered
            .get(due.site.domain())
            .and_then(|known| known.attempts.as_ref());
        let task = Task {
            line_may_help: Attempts::line_may_help(attempts, self.world.clock().now()),
            world: Arc::clone(&self.world),
            books: Arc::clone(&self.books),
            stop: self.stop.clone(),
            just_reloaded: self.just_reloaded,
            checks: Arc::clone(&self.checks),
            desks: Arc::clone(&self.desks),
            orders: Arc::clone(&self.orders),
            turns: Arc::clone(&self.turns),
            panel: Arc::clone(&self.panel),
            nginx_runs: self.without_nginx.is_none(),
        };
        let index = due.index;
        let checking = self.turns.check();
        let handle = self.tasks.spawn(async move {
            let progress = task.run(&due, inserted, checking).await;
            (due, progress)
        });
        self.running.insert(handle.id(), index);
    }

    /// Waits for the next task to end, or for a moment at which something else is to be done; says whether
    /// anything is left.
    async fn gather(&mut self, reports: &mut [SiteReport]) -> bool {
        if self.tasks.is_empty() {
            return self.lines.anyone_waits() || !self.obtained.is_empty();
        }
        let clock = self.world.clock();
        let break_off_at = self.break_off_at.unwrap_or(Timestamp::MAX);
        let broken_off = break_off_at <= clock.now();
        if broken_off {
            self.tasks.abort_all();
        }
        let wish = async {
            match self.break_off_at {
                None => self.stop.wait().await,
                Some(_) if broken_off => std::future::pending().await,
                Some(_) => self.stop.wait_for(Ending::Now).await,
            }
        };
        tokio::select! {
            done = self.tasks.join_next_with_id() => match done {
                Some(Ok((id, (due, progress)))) => {
                    self.running.remove(&id);
                    self.take_in(due, progress, reports);
                }
                Some(Err(error)) => self.task_died(&error, reports),
                None => {}
            },
            () = clock.wait_until(self.deploy_by) => {}
            () = clock.wait_until(self.gate.ends_at()) => self.gate.open_longer(&*self.world).await,
            () = clock.wait_until(break_off_at), if !broken_off => {}
            () = wish => {
                let patience = if self.break_off_at.is_none() { STOP_PATIENCE } else { SignedDuration::ZERO };
                self.break_off_at = clock.now().checked_add(patience).ok();
            }
        }
        true
    }

    fn take_in(&mut self, due: Due, progress: Progress, reports: &mut [SiteReport]) {
        match progress {
            Progress::NeedsLine(need) => self.lines.wait(due, need),
            Progress::Obtained(staged, findings) => {
                for finding in &findings {
                    let about = Some(due.site.domain());
                    self.world.observer().saw(Event::Found(about, finding));
                }
                reports[due.index].findings.extend(findings);
                self.obtained(due, staged);
            }
            Progress::Useless(failure) => {
                self.lines.useless(due.site.domain());
                let known = self
                    .remembered
                    .entry(due.site.domain().clone())
                    .or_default();
                let now = self.world.clock().now();
                let tried = Attempts::failed(
                    known.attempts.as_ref(),
                    failure.blame,
                    false,
                    None,
                    failure.cause(),
                    now,
                );
                known.attempts = Some(Attempts {
                    line_tried_at: Some(now),
                    ..tried
                });
                self.failed(&due, failure, reports);
            }
            Progress::Failed(failure) => self.failed(&due, failure, reports),
            Progress::Stopped => self.interrupted(due.index, reports),
            Progress::BesidePanel(at_work) => {
                let now = self.world.clock().now();
                beside_panel::postpone(&mut reports[due.index], &at_work, now);
            }
        }
    }

    fn obtained(&mut self, due: Due, staged: Staged) {
        if self.obtained.is_empty() {
            self.deploy_by = self
                .world
                .clock()
                .now()
                .checked_add(GATHER)
                .unwrap_or(Timestamp::MAX);
        }
        self.obtained.push((due, staged));
    }

    fn task_died(&mut self, error: &tokio::task::JoinError, reports: &mut [SiteReport]) {
        let Some(index) = self.running.remove(&error.id()) else {
            return;
        };
        if error.is_cancelled() {
            self.interrupted(index, reports);
            return;
        }
        tracing::error!(domain = %reports[index].domain(), %error, "a defect of clpctl");
        tally::failed(&mut reports[index], Vec::new());
        reports[index].reason =
            "clpctl has a defect, which ended the work on this site; see its log".into();
    }

    /// Says of a site that nothing failed: it was only not come to, or broken off.
    fn interrupted(&self, index: usize, reports: &mut [SiteReport]) {
        let report = &mut reports[index];
        report.reason = "the run was asked to end; the next one goes on with it".to_owned();
        report.retry_at = Some(self.world.clock().now());
    }

    async fn deploy_obtained(&mut self, reports: &mut [SiteReport]) {
        let obtained = std::mem::take(&mut self.obtained);
        self.deploy_by = Timestamp::MAX;
        if obtained.is_empty() {
            return;
        }
        let jobs = obtained.iter().map(|(due, staged)| Job {
            site: Arc::clone(&due.site),
            kind: JobKind::Serve {
                version: staged.version,
                serves: staged.certificate.sha256,
            },
        });
        self.world.observer().saw(Event::Deploying(obtained.len()));
        let mut deployed = deploy(&*self.world, jobs.collect()).await;
        self.reloads += deployed.reloads;
        let patience = patience(&deployed.batches);
        let mut seen = verify(&*self.world, &mut deployed.batches, &self.known, patience).await;
        let mut succeeded = Vec::new();
        let complaints = complaints(&*self.world, seen.values()).await;
        for (due, staged) in obtained {
            let domain = due.site.domain();
            if let Some(findings) = deployed.refused.remove(domain) {
                if self.waits_for_nginx(&findings) {
                    self.in_place(&due, &staged, reports);
                    continue;
                }
                let failure = Failure {
                    blame: Blame::Host,
                    asked_ca: false,
                    from_ledger: false,
                    retry_at: None,
                    findings,
                };
                self.failed(&due, failure, reports);
                continue;
            }
            let verified = seen.remove(domain);
            let served = verified
                .as_ref()
                .map(|verified| verified.served.clone())
                .unwrap_or_default();
            if let Some(finding) =
                verified.and_then(|verified| not_served(&verified.site, &verified.served))
            {
                let failure = Failure {
                    blame: Blame::Host,
                    asked_ca: false,
                    from_ledger: false,
                    retry_at: None,
                    findings: vec![with_complaints(finding, &complaints)],
                };
                reports[due.index].served = served;
                self.failed(&due, failure, reports);
                continue;
            }
            succeeded.push((due, staged, served));
        }
        self.succeeded(&succeeded, reports);
        // Last of all: what is served is the truth, and a record that is behind is mended by the next run.
        self.record(&succeeded, reports).await;
    }

    async fn withdraw_left_behind(&self, reports: &[SiteReport]) {
        let left = self.books.answers.left_behind();
        if left.is_empty() {
            return;
        }
        let domains: HashSet<&Name> = reports.iter().map(SiteReport::domain).collect();
        let look = self.world.host().look(&self.known).await;
        let sites = look.map(|look| look.sites).unwrap_or_default();
        for (domain, way, token) in left {
            if let Some(site) = sites
                .iter()
                .find(|site| *site.domain() == domain && domains.contains(&domain))
            {
                self.world.host().withdraw(site, way, &token).await;
            }
        }
    }
}

/// Returns what the look saw of a version that was obtained by an earlier run.
fn staged_earlier(site: &Site, version: u32) -> Option<Staged> {
    let undeployed = site.undeployed.as_ref()?;
    (undeployed.version == version).then(|| Staged {
        version,
        certificate: Certificate::clone(&undeployed.certificate),
        path: undeployed.path.clone(),
    })
}

/// Checks are a DNS question and a request to our own nginx each.
const CHECKS_AT_ONCE: usize = 32;

/// While one order is at the CA, the next ones' keys are made and the last ones' certificates written.
const DESKS_PER_ORDER: usize = 8;

/// So many sites are prepared before the first order, and written after the last, whatever the number of orders.
const DESKS_MIN: usize = 256;

/// How long orders in flight may go on once the end is wished for. Well below systemd's 90 s, so that what
/// they lead to is still deployed.
const STOP_PATIENCE: SignedDuration = SignedDuration::from_secs(20);
