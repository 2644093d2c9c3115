//! How are safe fixes made, one after the other, and how is each told?
//!
//! Nobody is asked: whoever wrote `--fix` wants them, and `--dry-run` shows them before. What nginx refuses is undone at
//! once; what it accepts and then does not take up is taken back after the reload, which all fixes share.

use nginx::{Draft, Made};
use reconcile::world::World as _;
use renewal::finding::Finding;
use renewal::fix::{Fix, Remedy, Shown};
use renewal::ports::{Host as _, HostFailure};
use renewal::site::Site;
use serde::Serialize;

use crate::wire::Wiring;

/// What came of one fix.
#[derive(Clone, Debug, PartialEq)]
pub struct Mended {
    /// The fix.
    pub fix: Fix,
    /// What it changes.
    pub shown: Vec<Shown>,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it was not made.
    pub why: Option<Finding>,
}

/// What came of a fix.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is made.
    Done,
    /// It would be made.
    WouldFix,
    /// nginx did not accept it, and all is as it was.
    Undone,
    /// It could not be made, and all is as it was.
    Failed,
}

/// Makes fixes on one host.
pub(super) struct Mender<'a> {
    pub(super) world: &'a Wiring,
    pub(super) dry_run: bool,
    pub(super) sites: &'a [Site],
}

impl Mender<'_> {
    /// Makes the fixes, and reloads nginx once for all that want it; `told` hears of each as it is done.
    pub(super) async fn mend(&self, fixes: Vec<Fix>, mut told: impl FnMut(&Mended)) -> Vec<Mended> {
        let mut mended: Vec<Mended> = Vec::new();
        let (mut lines, mut reloads) = (Vec::new(), Vec::new());
        for fix in fixes {
            if fix.remedy == Remedy::Reload {
                reloads.push(fix);
                continue;
            }
            let (one, draft) = self.one(fix).await;
            told(&one);
            if one.outcome == Outcome::Done && one.fix.remedy.wants_reload() {
                lines.push((mended.len(), draft));
            }
            mended.push(one);
        }
        let dry_run = self.dry_run;
        let refused = match (dry_run, lines.is_empty() && reloads.is_empty()) {
            (false, false) => self.reload(&lines).await.err(),
            (true, _) | (false, true) => None,
        };
        if let Some(HostFailure(finding)) = &refused {
            for (at, _) in &lines {
                mended[*at].outcome = Outcome::Undone;
                mended[*at].why = Some(finding.clone());
                told(&mended[*at]);
            }
        }
        for fix in reloads {
            let one = Mended {
                fix,
                shown: Vec::new(),
                outcome: match &refused {
                    _ if dry_run => Outcome::WouldFix,
                    Some(_) => Outcome::Failed,
                    None => Outcome::Done,
                },
                why: refused.as_ref().map(|failure| failure.0.clone()),
            };
            told(&one);
            mended.push(one);
        }
        mended
    }

    async fn one(&self, fix: Fix) -> (Mended, Draft) {
        let host = self.world.host();
        let site = self
            .sites
            .iter()
            .find(|site| Some(site.domain()) == fix.site.as_ref());
        let thumbprint = site.and_then(|site| thumbprint(self.world, site));
        let drafted = host.draft(&fix.remedy, site, thumbprint.as_deref()).await;
        let draft = drafted.as_ref().cloned().unwrap_or_default();
        let made = match drafted {
            Err(failure) => Err(failure),
            Ok(_) if self.dry_run => Ok(None),
            Ok(draft) => host.make(&draft).await.map(Some),
        };
        let (outcome, why) = match made {
            Ok(None) => (Outcome::WouldFix, None),
            Ok(Some(Made::Kept)) => (Outcome::Done, None),
            Ok(Some(Made::Undone(said))) => (Outcome::Undone, Some(said)),
            Err(HostFailure(finding)) => (Outcome::Failed, Some(finding)),
        };
        let (what, outcome_word) = (&fix.what, format!("{outcome:?}"));
        tracing::info!(finding = %fix.cures, what, outcome = outcome_word, "a fix");
        let shown = draft.shown.clone();
        (
            Mended {
                fix,
                shown,
                outcome,
                why,
            },
            draft,
        )
    }

    /// Reloads nginx and looks whether it took that up; takes the lines back when it did not.
    async fn reload(&self, lines: &[(usize, Draft)]) -> Result<(), HostFailure> {
        let host = self.world.host();
        // A configuration that is refused for another cause is not loaded, and what was mended stays for when it is.
        if host.test().await.is_err() || host.running().await.is_err() {
            return Ok(());
        }
        let told = host.reload().await;
        let (_, complaints) = host.taken_up().await;
        let Some(complaint) = complaints.into_iter().find(|line| line.starts_with(FATAL)) else {
            return told;
        };
        let drafts: Vec<Draft> = lines.iter().map(|(_, draft)| draft.clone()).collect();
        host.take_back(&drafts).await?;
        host.reload().await?;
        let finding = Finding::new(
            renewal::finding::FindingName::NginxReloadFailed,
            "nginx accepted the fix in its test and did not take it up, so it was taken back.",
        );
        Err(HostFailure(
            finding
                .detail(complaint)
                .fix("Mend what nginx names, and run again."),
        ))
    }
}

/// Returns the thumbprint of the account at the site's CA, where there is an account.
pub(super) fn thumbprint(world: &Wiring, site: &Site) -> Option<String> {
    let account = world.authority().account(&site.policy.ca).ok().flatten()?;
    Some(account.thumbprint)
}

/// What ends a reload.
const FATAL: &str = "[emerg]";
