//! One site, from the check to the archive, on its own.

use std::sync::Arc;

use futures_util::future::join;
use jiff::{SignedDuration, Timestamp};
use renewal::challenge::Way;
use renewal::dead_names::{Narrowed, Stumbled, leave_out};
use renewal::finding::Finding;
use renewal::plan::Action;
use renewal::ports::{Authority as _, Clock as _, Event, Observer as _, Staged};
use renewal::retry::Blame;
use renewal::site::Site;
use tokio::sync::Semaphore;

use super::Due;
use super::beside_panel::PanelWatch;
use super::lines::Need;
use crate::checking::{Checked, Possible, all, check, forbidden, probe};
use crate::ordering::{Books, Terms, order, prepare, stage, told};
use crate::tally::Failure;
use crate::turns::{Turn, Turns};
use crate::world::{Stop, World};

/// What a site's task shares with the others.
pub(super) struct Task<W: World> {
    pub(super) world: Arc<W>,
    pub(super) books: Arc<Books>,
    pub(super) stop: Stop,
    pub(super) checks: Arc<Semaphore>,
    /// How many sites may be on their way from the key to the archive.
    pub(super) desks: Arc<Semaphore>,
    /// How many of them may have an order at the CA.
    pub(super) orders: Arc<Semaphore>,
    pub(super) turns: Arc<Turns>,
    pub(super) panel: Arc<PanelWatch>,
    pub(super) line_may_help: bool,
    pub(super) just_reloaded: bool,
    pub(super) nginx_runs: bool,
}

/// How far a site's task came.
pub(super) enum Progress {
    /// No way works until our line is in the vhost.
    NeedsLine(Need),
    /// The certificate is in the archive; holds what is to be said of it.
    Obtained(Staged, Vec<Finding>),
    /// Our line is in the vhost and did not help.
    Useless(Failure),
    /// It went wrong.
    Failed(Failure),
    /// The end was wished for before it began.
    Stopped,
    /// The panel began to obtain certificates itself, by this process.
    BesidePanel(String),
}

/// How challenges are answered, and for which names of the site.
struct Found {
    way: Way,
    site: Arc<Site>,
    /// What is to be said of names that are left out.
    findings: Vec<Finding>,
}

impl Found {
    fn whole(way: Way, site: &Arc<Site>) -> Self {
        Self {
            way,
            site: Arc::clone(site),
            findings: Vec::new(),
        }
    }
}

impl<W: World> Task<W> {
    /// Takes the site from the check to the archive. `inserted` is what it needed and has got; `checking` ends with
    /// the check.
    pub(super) async fn run(&self, due: &Due, inserted: Option<Need>, checking: Turn) -> Progress {
        if self.stop.wished() {
            return Progress::Stopped;
        }
        let site = &due.site;
        let terms = match &due.action {
            Action::Order { replaces, urgent } => Terms {
                replaces: replaces.clone(),
                urgent: *urgent,
            },
            Action::Leave | Action::Skip(_) | Action::Postpone(_) | Action::Deploy(_) => {
                Terms::default()
            }
        };
        // Asked first: a site that must wait is not even looked at from outside.
        if let Err(failure) = self.books.allows(&*self.world, site, &terms) {
            return Progress::Failed(failure);
        }
        let found = match self.find_way(site, inserted).await {
            Ok(found) => found,
            Err(progress) => return progress,
        };
        drop(checking);
        // No semaphore is ever closed.
        let _desk = self.desks.acquire().await;
        if self.stop.wished() {
            return Progress::Stopped;
        }
        match self.obtain(&found.site, found.way, terms).await {
            Ok(staged) => Progress::Obtained(staged, found.findings),
            Err(progress) => progress,
        }
    }

    /// Takes the site from the key to the archive.
    async fn obtain(&self, site: &Arc<Site>, way: Way, terms: Terms) -> Result<Staged, Progress> {
        let clock = self.world.clock();
        loop {
            let preparing = self.turns.check();
            let prepared = prepare(&*self.world, site)
                .await
                .map_err(Progress::Failed)?;
            let taken_up = prepared.is_taken_up();
            drop(preparing);
            self.turns.after_checks(clock).await;
            // Held while the CA works, and not while our disk does.
            let ordering = self.turns.order();
            let order_permit = self.orders.acquire().await;
            if self.stop.wished() {
                return Err(Progress::Stopped);
            }
            if let Some(at_work) = self.panel.stands_before(&*self.world, site).await {
                return Err(Progress::BesidePanel(at_work));
            }
            let terms = terms.clone();
            let obtained = order(&self.world, &self.books, site, way, terms, prepared);
            let obtained = obtained.await.map_err(Progress::Failed)?;
            drop((order_permit, ordering));
            // One that keeps others from beginning does not wait.
            if self.desks.available_permits() > 0 {
                self.turns.after_orders(clock).await;
            }
            let staged = stage(&self.world, &self.books, site, &obtained);
            let staged = staged.await.map_err(Progress::Failed)?;
            // A run that died before it could close its order leaves one that leads to what is linked already. It is
            // closed now, and a new one can be placed.
            if !(taken_up && is_linked(site, &staged)) {
                return Ok(staged);
            }
        }
    }

    async fn find_way(&self, site: &Arc<Site>, inserted: Option<Need>) -> Result<Found, Progress> {
        let _check = self.checks.acquire().await;
        self.world.observer().saw(Event::Checking(site.domain()));
        if let Some(need) = inserted {
            let way = self.wait_for_line(site, need).await?;
            return Ok(Found::whole(way, site));
        }
        let thumbprint = self
            .world
            .authority()
            .thumbprint(&site.policy.ca)
            .await
            .map_err(|failure| {
                // A limit of new accounts keeps every site of this CA waiting.
                Progress::Failed(told(&*self.world, &self.books, site, failure))
            })?;
        if self.just_reloaded && has_line(site, &thumbprint) {
            // The line of a run that died is there, and the workers that know it may not be yet.
            let need = Need {
                thumbprint: thumbprint.clone(),
                stumbled: Vec::new(),
            };
            if let Ok(way) = self.wait_for_line(site, need).await {
                return Ok(Found::whole(way, site));
            }
        }
        let possible = if self.nginx_runs {
            Possible::ByNginx {
                line_may_help: self.line_may_help,
            }
        } else {
            Possible::WithoutNginx
        };
        let (world, answers) = (&*self.world, &self.books.answers);
        let checks = check(world, answers, site, &thumbprint, possible);
        let (checked, refused) = join(checks, forbidden(world, site)).await;
        match checked {
            // Neither an order nor an edit is worth while for names that the CA must refuse.
            Checked::Works(..) | Checked::NeedsLine(_) if !refused.is_empty() => {
                Err(Progress::Failed(not_reachable(refused)))
            }
            Checked::Works(way, _) => Ok(Found::whole(way, site)),
            Checked::Partly(way, stumbled) => self.partly(site, way, &stumbled).await,
            Checked::NeedsLine(stumbled) => Err(Progress::NeedsLine(Need {
                thumbprint,
                stumbled,
            })),
            Checked::Hopeless(findings) => Err(Progress::Failed(not_reachable(findings))),
        }
    }

    /// Goes on without the names that do not come through, if the CA may issue for the others.
    async fn partly(
        &self,
        site: &Site,
        way: Way,
        stumbled: &[Stumbled],
    ) -> Result<Found, Progress> {
        let Some(found) = self.without(site, way, stumbled) else {
            return Err(Progress::Failed(not_reachable(all(stumbled))));
        };
        let refused = forbidden(&*self.world, &found.site).await;
        if refused.is_empty() {
            Ok(found)
        } else {
            Err(Progress::Failed(not_reachable(refused)))
        }
    }

    /// Leaves the names out that do not come through; `None` where that may not be.
    fn without(&self, site: &Site, way: Way, stumbled: &[Stumbled]) -> Option<Found> {
        let now = self.world.clock().now();
        let Narrowed { wanted, findings } = leave_out(site, stumbled, now)?;
        let site = Site {
            wanted,
            ..site.clone()
        };
        Some(Found {
            way,
            site: site.into(),
            findings,
        })
    }

    /// Probes until nginx's new workers answer with the inserted line, or the patience is over.
    async fn wait_for_line(&self, site: &Site, need: Need) -> Result<Way, Progress> {
        let clock = self.world.clock();
        let patience = clock
            .now()
            .checked_add(LINE_PATIENCE)
            .unwrap_or(Timestamp::MAX);
        loop {
            let Err(stumbled) = probe(
                &*self.world,
                &self.books.answers,
                site,
                Way::Stateless,
                &need.thumbprint,
            )
            .await
            else {
                return Ok(Way::Stateless);
            };
            if clock.now() >= patience || self.stop.wished() {
                let stumbled = if need.stumbled.is_empty() {
                    all(&stumbled)
                } else {
                    need.stumbled
                };
                return Err(Progress::Useless(not_reachable(stumbled)));
            }
            clock
                .wait_until(clock.now().checked_add(LINE_POLL).unwrap_or(patience))
                .await;
        }
    }
}

fn is_linked(site: &Site, staged: &Staged) -> bool {
    let current = site.current.as_ref();
    current.is_some_and(|current| current.certificate.sha256 == staged.certificate.sha256)
}

fn has_line(site: &Site, thumbprint: &str) -> bool {
    let mut servers = site.servers.iter();
    servers.any(|server| server.stateless.as_deref() == Some(thumbprint))
}

fn not_reachable(findings: Vec<Finding>) -> Failure {
    Failure {
        blame: Blame::Site,
        asked_ca: false,
        from_ledger: false,
        retry_at: None,
        findings,
    }
}

/// How long a reload may take until an inserted line answers.
const LINE_PATIENCE: SignedDuration = SignedDuration::from_secs(20);

/// How often it is looked for.
const LINE_POLL: SignedDuration = SignedDuration::from_millis(50);
