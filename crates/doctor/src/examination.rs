//! How are all checks made, and what do they come to?
//!
//! Everything that depends on nothing else is looked at at once; a check whose ground is gone is skipped, and says
//! why. [`Eyes`] looks, [`judge`] says what it means, so that a recorded [`Observation`] can stand in for the
//! world.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, Shared, join, join_all};
use futures_util::{FutureExt as _, StreamExt as _};
use renewal::finding::{Finding, Severity};
use renewal::name::Name;
use renewal::site::Site;
use serde::{Deserialize, Serialize};

use crate::check::{About, Check};
use crate::judge::judge;
use crate::observation::Observation;

/// Looks at the world for one check at a time.
pub trait Eyes {
    /// Returns what is seen; about `site`, when the check is about one.
    fn observe(&self, check: Check, site: Option<&Site>) -> impl Future<Output = Observation>;
}

/// What came of all checks.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The worst of the host and the sites.
    pub verdict: Verdict,
    /// What came of the checks of this host, in the order of [`Check::ALL`].
    pub host: Vec<Checked>,
    /// What came of those of each site, in the order of the sites.
    pub sites: Vec<SiteExamined>,
}

/// What came of the checks of one site.
#[derive(Clone, Debug)]
pub struct SiteExamined {
    /// The site.
    pub domain: Name,
    /// What its checks and the fatal findings about the host come to.
    pub verdict: Verdict,
    /// What came of each.
    pub checks: Vec<Checked>,
}

/// What came of one check. One that found several things stands here once for each.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// The check.
    pub check: Check,
    /// What came of it.
    pub status: Status,
    /// What was found.
    pub finding: Option<Finding>,
    /// Why nothing can be said, or what else there is to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What came of one check.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// All is well.
    Passed,
    /// Something is fatal, or broken.
    Failed,
    /// There is a risk.
    Warning,
    /// Nothing can be said.
    Skipped,
}

/// Would the next renewal work, and is what there is served?
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing stands in the way.
    Ready,
    /// Something is broken or risky, and a renewal may still work.
    AtRisk,
    /// A renewal now would fail.
    WillFail,
}

impl Verdict {
    /// Returns the word that the contract uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::AtRisk => "at-risk",
            Self::WillFail => "will-fail",
        }
    }

    fn of(checks: &[Checked]) -> Self {
        let findings = checks.iter().filter_map(|checked| checked.finding.as_ref());
        let verdicts = findings.map(|finding| match finding.severity {
            Severity::Fatal => Self::WillFail,
            Severity::Error | Severity::Warning => Self::AtRisk,
            Severity::Info => Self::Ready,
        });
        verdicts.max().unwrap_or(Self::Ready)
    }
}

impl Checked {
    /// Says whether what depends on this check has lost its ground.
    fn stops(&self) -> bool {
        self.status == Status::Failed || self.status == Status::Skipped
    }
}

/// Makes all checks of the host and of `sites`.
pub async fn examine(eyes: &impl Eyes, sites: &[Site]) -> Examination {
    let host = Begun::new(eyes, None, None);
    let each = sites.iter().map(|site| {
        let begun = Begun::new(eyes, Some(site), Some(&host));
        async move { (site, begun.finish().await) }
    });
    let each: Vec<_> = each.collect();
    let all = futures_util::stream::iter(each)
        .buffered(SITES_AT_ONCE)
        .collect::<Vec<_>>();
    let (host, sites) = join(host.finish(), all).await;
    // Broken is what the host's own line says; a site is lost only with what is fatal to all.
    let of_host = Verdict::of(&host);
    let shared = Some(of_host).filter(|verdict| *verdict == Verdict::WillFail);
    let sites: Vec<SiteExamined> = sites
        .into_iter()
        .map(|(site, checks)| SiteExamined {
            domain: site.domain().clone(),
            verdict: Verdict::of(&checks).max(shared.unwrap_or(Verdict::Ready)),
            checks,
        })
        .collect();
    let worst = sites.iter().map(|site| site.verdict).max();
    Examination {
        verdict: of_host.max(worst.unwrap_or(Verdict::Ready)),
        host,
        sites,
    }
}

/// The checks of the host or of one site, under way.
struct Begun<'a>(Vec<(Check, Running<'a>)>);

/// One check under way; whoever depends on it waits for the same.
type Running<'a> = Shared<LocalBoxFuture<'a, Rc<[Checked]>>>;

impl<'a> Begun<'a> {
    fn new(eyes: &'a impl Eyes, site: Option<&'a Site>, before: Option<&Self>) -> Self {
        let about = if site.is_some() {
            About::Site
        } else {
            About::Host
        };
        let mut begun = Self(Vec::new());
        for check in Check::ALL.iter().filter(|check| check.about() == about) {
            let ground = check.after().iter().filter_map(|needed| {
                let running = begun.of(*needed);
                running.or_else(|| before.and_then(|before| before.of(*needed)))
            });
            let running = run(eyes, *check, site, ground.collect())
                .boxed_local()
                .shared();
            begun.0.push((*check, running));
        }
        begun
    }

    fn of(&self, check: Check) -> Option<Running<'a>> {
        let found = self.0.iter().find(|(begun, _)| *begun == check);
        found.map(|(_, running)| running.clone())
    }

    async fn finish(&self) -> Vec<Checked> {
        let all = join_all(self.0.iter().map(|(_, running)| running.clone())).await;
        all.iter().flat_map(|checked| checked.to_vec()).collect()
    }
}

async fn run<'a>(
    eyes: &'a impl Eyes,
    check: Check,
    site: Option<&'a Site>,
    ground: Vec<Running<'a>>,
) -> Rc<[Checked]> {
    for running in ground {
        let checked = running.await;
        if let Some(gone) = checked.iter().find(|checked| checked.stops()) {
            return skipped(check, format!("“{}” comes first", gone.check));
        }
    }
    let seen = tokio::time::timeout(PATIENCE, eyes.observe(check, site)).await;
    let seen = seen.unwrap_or_else(|_| {
        Observation::Unknown(format!("it was not seen within {} s", PATIENCE.as_secs()))
    });
    tracing::debug!(
        %check,
        site = site.map(|site| tracing::field::display(site.domain())),
        observation = serde_json::to_string(&seen).unwrap_or_default(),
        "observed"
    );
    judged(check, seen)
}

/// Judges what was seen for a check.
fn judged(check: Check, seen: Observation) -> Rc<[Checked]> {
    let findings = match judge(&seen) {
        Ok(findings) => findings,
        Err(why) => return skipped(check, why),
    };
    if findings.is_empty() {
        return Rc::new([Checked {
            check,
            status: Status::Passed,
            finding: None,
            note: None,
        }]);
    }
    let each = findings.into_iter().map(|finding| Checked {
        check,
        status: match finding.severity {
            Severity::Fatal | Severity::Error => Status::Failed,
            Severity::Warning => Status::Warning,
            Severity::Info => Status::Passed,
        },
        finding: Some(finding),
        note: None,
    });
    each.collect()
}

fn skipped(check: Check, why: String) -> Rc<[Checked]> {
    Rc::new([Checked {
        check,
        status: Status::Skipped,
        finding: None,
        note: Some(why),
    }])
}

/// How long one check may look: the longest of them is a fetch that a CA would give up after that time.
const PATIENCE: Duration = Duration::from_secs(14);

/// Sites side by side; each has a few connections and questions under way.
const SITES_AT_ONCE: usize = 32;

#[cfg(test)]
mod tests;
