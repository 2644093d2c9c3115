//! Sites whose challenges can be answered only once our line is in their vhost.
//!
//! They wait until every other site is checked, and are then edited together: one test, one reload. A line
//! that turns out not to help is taken out again.

use std::collections::HashSet;
use std::sync::Arc;

use renewal::finding::Finding;
use renewal::name::Name;
use renewal::ports::{Clock as _, Event, Host as _, Memory as _, Note, Observer as _};
use renewal::report::SiteReport;
use renewal::retry::Blame;

use super::{Due, Work};
use crate::deploying::{Batch, Job, JobKind, deploy, settle};
use crate::tally::Failure;
use crate::world::World;

/// What a site needs, and why.
pub(super) struct Need {
    /// The thumbprint to answer with.
    pub(super) thumbprint: String,
    /// What the other ways stumbled over.
    pub(super) stumbled: Vec<Finding>,
}

/// All such sites of a run.
#[derive(Default)]
pub(super) struct Lines {
    waiting: Vec<(Due, Need)>,
    inserted: Vec<Batch>,
    useless: HashSet<Name>,
}

impl Lines {
    /// Takes in a site that needs the line.
    pub(super) fn wait(&mut self, due: Due, need: Need) {
        self.waiting.push((due, need));
    }

    /// Says whether any site waits.
    pub(super) fn anyone_waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes in that the line did not help this site.
    pub(super) fn useless(&mut self, domain: &Name) {
        self.useless.insert(domain.clone());
    }

    /// Takes the lines that did not help out again, and closes the journal; returns how often nginx was
    /// reloaded for it.
    pub(super) async fn close<W: World>(&mut self, world: &W) -> u32 {
        self.write_down_kept(world);
        let mut reverted = 0;
        for batch in &mut self.inserted {
            for switch in batch.deployment.switches.iter().rev() {
                if !self.useless.contains(&switch.domain) {
                    continue;
                }
                match world.host().revert(std::slice::from_ref(switch)).await {
                    Ok(()) => reverted += 1,
                    // Somebody edited the file since. The line does no harm; it stays.
                    Err(failure) => {
                        tracing::warn!(domain = %switch.domain, %failure, "our line stays in the vhost");
                    }
                }
            }
            settle(world, batch).await;
        }
        self.inserted.clear();
        if reverted == 0 {
            return 0;
        }
        let reloaded = match world.host().test().await {
            Ok(()) => world.host().reload().await,
            Err(failure) => Err(failure),
        };
        match reloaded {
            Ok(()) => 1,
            Err(failure) => {
                tracing::warn!(%failure, "nginx was not reloaded after our lines were taken out");
                0
            }
        }
    }
}

impl Lines {
    /// Remembers which vhosts have needed the line: whoever writes them anew takes it away.
    fn write_down_kept<W: World>(&self, world: &W) {
        let now = world.clock().now();
        let switches = self
            .inserted
            .iter()
            .flat_map(|batch| &batch.deployment.switches);
        let notes: Vec<Note<'_>> = switches
            .filter(|switch| !self.useless.contains(&switch.domain))
            .map(|switch| Note::Line(&switch.domain, Some(now)))
            .collect();
        if let Err(failure) = world.memory().note(&notes) {
            tracing::warn!(%failure, "it is not remembered which vhosts have our line");
        }
    }
}

impl<W: World> Work<W> {
    /// Inserts the lines that are waited for, and lets their sites go on.
    pub(super) async fn insert_lines(&mut self, reports: &mut [SiteReport]) {
        let waiting = std::mem::take(&mut self.lines.waiting);
        let jobs = waiting.iter().map(|(due, need)| Job {
            site: Arc::clone(&due.site),
            kind: JobKind::Line {
                thumbprint: need.thumbprint.clone(),
            },
        });
        self.world.observer().saw(Event::Inserting(waiting.len()));
        let mut deployed = deploy(&*self.world, jobs.collect()).await;
        self.reloads += deployed.reloads;
        for (due, need) in waiting {
            if let Some(refused) = deployed.refused.remove(due.site.domain()) {
                let mut findings = need.stumbled;
                findings.extend(refused);
                let failure = Failure {
                    blame: Blame::Site,
                    asked_ca: false,
                    from_ledger: false,
                    retry_at: None,
                    findings,
                };
                self.failed(&due, failure, reports);
            } else {
                self.spawn(due, Some(need));
            }
        }
        self.lines.inserted.append(&mut deployed.batches);
    }
}
