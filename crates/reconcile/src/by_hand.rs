//! How does a site come to serve a certificate that a person chose?
//!
//! Imported or an earlier one of the lineage: either goes through the same deployment as one that was ordered, with the
//! journal, the test, the one reload and the look at what is served. Only who decides is another.
//!
//! What was decided is on disk before anything is switched. A decision is about one certificate and says nothing while
//! another one is served, so it need not be taken back when the switch is undone or never made.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use renewal::certificate::Fingerprint;
use renewal::choice::{Choice, How};
use renewal::name::Name;
use renewal::plan::Wish;
use renewal::ports::{
    Clock as _, Event, HistoryEntry, Host as _, HostFailure, Lease, Memory as _, Note,
    Observer as _, Staged,
};
use renewal::report::{Outcome, Report, Served};
use renewal::site::Site;

use crate::deploying::{Job, JobKind, deploy, not_served, patience, verify};
use crate::ordering::forgot;
use crate::pass::{RunError, Seen, lease, look, resolve};
use crate::recording::record;
use crate::tally;
use crate::unheard::{complaints, with_complaints};
use crate::world::{Stop, World};

/// A site that nobody else works on, until this is dropped.
pub struct ByHand<W: World> {
    world: Arc<W>,
    _held: <W::Lease as Lease>::Held,
    started_at: Timestamp,
    site: Arc<Site>,
    seen: Seen,
}

/// Takes the lease, finishes what an earlier run left unfinished, and finds the site with this name.
///
/// # Errors
///
/// As a pass: when the lease is held, the host cannot be looked at, or there is no such site.
pub async fn begin<W: World>(
    world: &Arc<W>,
    name: &Name,
    wait: bool,
    stop: &Stop,
) -> Result<ByHand<W>, RunError> {
    let started_at = world.clock().now();
    let held = lease(&**world, wait, stop).await?;
    let mut seen = look(&**world).await?;
    seen.finish_earlier_work(&**world).await?;
    let wish = Wish {
        only: Some(HashSet::from([name.clone()])),
        ..Wish::default()
    };
    let only = resolve(&wish, &seen.sites, &seen.findings)?
        .only
        .unwrap_or_default();
    let site = seen.sites.iter().find(|site| only.contains(site.domain()));
    let site = site.cloned().ok_or_else(|| RunError::NoSuchSite {
        name: name.clone(),
        known: Vec::new(),
        unread: Vec::new(),
    })?;
    Ok(ByHand {
        world: Arc::clone(world),
        _held: held,
        started_at,
        site,
        seen,
    })
}

impl<W: World> ByHand<W> {
    /// Returns the site as it was seen under the lease.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Serves a version of the site's lineage, and remembers that a person chose it. `newest` is the newest version
    /// there is.
    ///
    /// Does nothing when it is what the site has already, but for remembering.
    ///
    /// # Errors
    ///
    /// When the decision cannot be written down; nothing was changed then. What else goes wrong is in the report.
    pub async fn serve(self, how: How, staged: &Staged, newest: u32) -> Result<Report, RunError> {
        let leaf = staged.certificate.sha256;
        let reason = match how {
            How::Imported => format!("it was imported, as version {}", staged.version),
            How::RolledBack => format!("version {} was asked for", staged.version),
        };
        self.remember(how, leaf, newest).await?;
        let mut report = tally::of_site(&self.site, Outcome::Installed, reason);
        let mut reloads = self.seen.reloads;
        if let Some(served) = self.serves(leaf).await {
            report.reason = "it is the certificate that the site has already".to_owned();
            report.served = served;
        } else {
            let (served, failure, reloaded) = self.deploy(staged).await;
            reloads += reloaded;
            match failure {
                None => {
                    tally::served(&mut report, false, staged, served);
                    report.outcome = Outcome::Installed;
                }
                Some(findings) => {
                    report.served = served;
                    tally::failed(&mut report, findings);
                }
            }
            self.note(how, staged, &mut report);
            if report.outcome == Outcome::Installed {
                self.record(staged, newest, how, &mut report).await;
            }
        }
        let report = Report {
            started_at: self.started_at,
            finished_at: self.world.clock().now(),
            reloads,
            sites: vec![report],
            findings: self.seen.findings,
            wake_at: None,
        };
        for site in &report.sites {
            self.world.observer().saw(Event::Finished(site));
        }
        self.world.observer().saw(Event::Over(&report));
        Ok(report)
    }

    /// Returns what each address serves, when all is as it should be already.
    async fn serves(&self, leaf: Fingerprint) -> Option<Vec<Served>> {
        let current = self.site.current.as_ref()?;
        if current.certificate.sha256 != leaf || !current.key_fits {
            return None;
        }
        let host = self.world.host();
        let served = host.served(&self.site, Some(leaf), Duration::ZERO).await;
        served.iter().all(|served| served.ok).then_some(served)
    }

    async fn remember(&self, how: How, leaf: Fingerprint, newest: u32) -> Result<(), HostFailure> {
        let lineage = &self.site.lineage;
        let before = self.world.host().decided(lineage).await?;
        let mut decided = before.clone();
        decided.choose(Choice {
            how,
            leaf,
            at: self.world.clock().now(),
            newest,
        });
        if decided == before {
            return Ok(());
        }
        self.world.host().decide(lineage, &decided).await
    }

    async fn deploy(
        &self,
        staged: &Staged,
    ) -> (Vec<Served>, Option<Vec<renewal::finding::Finding>>, u32) {
        let world = &*self.world;
        let job = Job {
            site: Arc::clone(&self.site),
            kind: JobKind::Serve {
                version: staged.version,
                serves: staged.certificate.sha256,
            },
        };
        world.observer().saw(Event::Deploying(1));
        let mut deployed = deploy(world, vec![job]).await;
        if let Some(findings) = deployed.refused.remove(self.site.domain()) {
            return (Vec::new(), Some(findings), deployed.reloads);
        }
        let patience = patience(&deployed.batches);
        let mut seen = verify(world, &mut deployed.batches, &self.seen.known, patience).await;
        let complaints = complaints(world, seen.values()).await;
        let verified = seen.remove(self.site.domain());
        let wrong = verified
            .as_ref()
            .and_then(|verified| not_served(&verified.site, &verified.served))
            .map(|finding| vec![with_complaints(finding, &complaints)]);
        let served = verified.map(|verified| verified.served).unwrap_or_default();
        (served, wrong, deployed.reloads)
    }

    /// Has the panel record what is served now, where there is one.
    async fn record(
        &self,
        staged: &Staged,
        newest: u32,
        how: How,
        report: &mut renewal::report::SiteReport,
    ) {
        let mut site = Site::clone(&self.site);
        site.choice = Some(Choice {
            how,
            leaf: staged.certificate.sha256,
            at: self.world.clock().now(),
            newest,
        });
        let served = [(&site, staged.version, &staged.certificate)];
        let said = record(&*self.world, &served).await;
        report.findings.extend(said.into_iter().flatten());
    }

    fn note(&self, how: How, staged: &Staged, report: &mut renewal::report::SiteReport) {
        let certificate = &staged.certificate;
        let (domain, end) = (self.site.domain(), certificate.valid.end());
        let what = match report.outcome {
            Outcome::Failed => "failed",
            _ => how.as_str(),
        };
        let entry = HistoryEntry {
            at: self.world.clock().now(),
            domain: Some(domain.clone()),
            what: what.to_owned(),
            detail: format!(
                "version {}, serial {}, until {end}",
                staged.version, certificate.serial
            ),
        };
        let mut notes = vec![Note::History(&entry)];
        if report.outcome != Outcome::Failed {
            // What failed before was about another certificate.
            notes.push(Note::Attempts(domain, None));
        }
        if let Err(error) = self.world.memory().note(&notes) {
            report.findings.extend(forgot(error).findings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::begin;
    use crate::fakes::FakeWorld;
    use crate::pass::{Request, run};
    use crate::world::Stop;
    use expect_test::{Expect, expect};
    use renewal::choice::How;
    use renewal::name::Name;
    use renewal::panel::RowKind;
    use renewal::plan::Wish;
    use renewal::ports::{Memory as _, Staged};
    use std::sync::Arc;

    /// Serves this version of a.test by hand; shows what is reported, served, and still open.
    async fn serve(world: &Arc<FakeWorld>, how: How, version: u32, expect: Expect) {
        let (_sender, stop) = Stop::channel();
        let name = Name::parse("a.test").unwrap();
        let by_hand = begin(world, &name, false, &stop).await.unwrap();
        let (certificate, newest) = world.host.change(|state| {
            let versions = &state.lineages["a.test"].versions;
            (versions[&version].clone(), *versions.keys().last().unwrap())
        });
        let staged = Staged {
            version,
            certificate,
            path: "/live/a.test/fullchain.pem".into(),
        };
        let report = by_hand.serve(how, &staged, newest).await.unwrap();
        let site = &report.sites[0];
        let findings: Vec<&str> = site.findings.iter().map(|one| one.name.as_str()).collect();
        let open = world.memory.open_deployments().unwrap().len();
        expect.assert_eq(&format!(
            "{} ({}), serves {}, {} reloads, {open} open {findings:?}",
            site.outcome.as_str(),
            site.reason,
            world.host.serves("a.test"),
            report.reloads
        ));
    }

    async fn pass(world: &Arc<FakeWorld>, force: bool, expect: Expect) {
        let (_sender, stop) = Stop::channel();
        let request = Request {
            wish: Wish {
                force,
                only: force.then(|| [Name::parse("a.test").unwrap()].into()),
                ..Wish::default()
            },
            ..Request::default()
        };
        let report = run(world, &request, &stop).await.unwrap().report;
        let site = &report.sites[0];
        let served = world.host.serves("a.test");
        expect.assert_eq(&format!("{}, serves {served}", site.outcome.as_str()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_gone_back_to_stays_until_there_is_a_reason() {
        let world = FakeWorld::new(&["a.test/10"]);
        pass(&world, false, expect!["renewed, serves 2"]).await;
        serve(
            &world,
            How::RolledBack,
            1,
            expect!["installed (version 1 was asked for), serves 1, 1 reloads, 0 open []"],
        )
        .await;
        pass(&world, false, expect!["not-due, serves 1"]).await;
        serve(&world, How::RolledBack, 1, expect!["installed (it is the certificate that the site has already), serves 1, 0 reloads, 0 open []"]).await;
        // Five of the ten days that were left.
        tokio::time::sleep(std::time::Duration::from_hours(24 * 5)).await;
        pass(&world, false, expect!["renewed, serves 3"]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_imported_is_renewed_only_when_somebody_asks() {
        let world = FakeWorld::new(&["a.test/10"]);
        serve(&world, How::Imported, 1, expect!["installed (it is the certificate that the site has already), serves 1, 0 reloads, 0 open []"]).await;
        pass(&world, false, expect!["skipped, serves 1"]).await;
        pass(&world, true, expect!["renewed, serves 2"]).await;
        pass(&world, false, expect!["not-due, serves 2"]).await;
        serve(
            &world,
            How::RolledBack,
            1,
            expect!["installed (version 1 was asked for), serves 1, 1 reloads, 0 open []"],
        )
        .await;
        pass(&world, false, expect!["skipped, serves 1"]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_nginx_refuses_is_undone() {
        let world = FakeWorld::new(&["a.test/80"]);
        pass(&world, true, expect!["renewed, serves 2"]).await;
        serve(
            &world,
            How::RolledBack,
            1,
            expect!["installed (version 1 was asked for), serves 1, 1 reloads, 0 open []"],
        )
        .await;
        world
            .host
            .change(|state| state.poisoned.insert("a.test".into()));
        serve(&world, How::RolledBack, 2, expect![[r#"failed (version 2 was asked for), serves 1, 0 reloads, 0 open ["nginx-config-invalid"]"#]]).await;
        pass(&world, false, expect!["not-due, serves 1"]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_crash_on_the_way_is_finished_by_the_next_run() {
        let world = FakeWorld::new(&["a.test/10"]);
        pass(&world, false, expect!["renewed, serves 2"]).await;
        world.host.change(|state| state.deaf = true);
        serve(&world, How::RolledBack, 1, expect![[r#"failed (version 1 was asked for), serves 2, 1 reloads, 1 open ["certificate-not-served"]"#]]).await;
        world.host.change(|state| state.deaf = false);
        pass(&world, false, expect!["not-due, serves 1"]).await;
        assert!(world.memory.open_deployments().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_panel_records_what_was_chosen_and_what_was_imported_as_imported() {
        let world = FakeWorld::new(&["a.test/10"]);
        let first = world
            .host
            .change(|state| state.lineages["a.test"].versions[&1].clone());
        world.panel.has("a.test", first);
        let kind = || world.panel.state.lock().unwrap().rows["a.test"].kind;
        pass(&world, false, expect!["renewed, serves 2"]).await;
        let renewed = world.panel.records("a.test");
        serve(
            &world,
            How::RolledBack,
            1,
            expect!["installed (version 1 was asked for), serves 1, 1 reloads, 0 open []"],
        )
        .await;
        assert_ne!(world.panel.records("a.test"), renewed);
        assert_eq!(kind(), RowKind::Issued);
        pass(&world, false, expect!["not-due, serves 1"]).await;
        serve(
            &world,
            How::Imported,
            2,
            expect!["installed (it was imported, as version 2), serves 2, 1 reloads, 0 open []"],
        )
        .await;
        assert_eq!(
            (world.panel.records("a.test"), kind()),
            (renewed, RowKind::Imported)
        );
        pass(&world, false, expect!["skipped, serves 2"]).await;
        pass(&world, true, expect!["renewed, serves 3"]).await;
        assert_eq!(kind(), RowKind::Issued);
    }
}
