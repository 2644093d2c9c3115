//! What endangers renewals beyond any one site, and how well does this host stand?
//!
//! As in an [`examination`](crate::examination), each look hands over what it saw as a value, and is judged elsewhere. What
//! comes of all is a score: each aspect has points that say how much depends on it, [`Aspect::points`]. One that is in order
//! gets all of them, one with a risk half, one that is broken none; one that could not be looked at does not count at all.
//! The score is what was got of what could be got, in percent, rounded down, so that 100 means that nothing was found.

use std::fmt;

use renewal::finding::{Finding, Severity};
use serde::Serialize;

use crate::examination::{Status, Verdict};

pub mod disk;
pub mod logs;
pub mod stapling;
pub mod timing;
pub mod tls;

/// What is looked at.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Aspect {
    /// Who may read keys, and change what lies beside them.
    Keys,
    /// Other clients that renew the same names.
    OtherClient,
    /// CloudPanel's nightly jobs.
    PanelCron,
    /// Links among the vhosts that lead nowhere.
    Links,
    /// Connections and open files.
    Limits,
    /// Versions of TLS.
    Tls,
    /// Stapling for CAs that answer no more.
    Stapling,
    /// Logs that grow.
    Logs,
    /// Room on the disks.
    Space,
    /// How fast the disk is.
    Disk,
    /// How long nginx takes to read its configuration.
    Test,
    /// How long it takes to take it up.
    Reload,
}

impl Aspect {
    /// All, in the order in which people read them.
    pub const ALL: &'static [Self] = &[
        Self::OtherClient,
        Self::PanelCron,
        Self::Keys,
        Self::Links,
        Self::Limits,
        Self::Tls,
        Self::Stapling,
        Self::Logs,
        Self::Space,
        Self::Disk,
        Self::Test,
        Self::Reload,
    ];

    /// Returns the name that documents use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.facts().0
    }

    /// Returns how much depends on it: 20 where visitors or keys are lost, 10 where renewals are, 5 where it is slow.
    #[must_use]
    pub fn points(self) -> u32 {
        self.facts().1
    }

    fn facts(self) -> (&'static str, u32) {
        match self {
            Self::Keys => ("keys", 20),
            Self::OtherClient => ("other-client", 10),
            Self::PanelCron => ("panel-cron", 10),
            Self::Links => ("links", 20),
            Self::Limits => ("limits", 10),
            Self::Tls => ("tls-versions", 10),
            Self::Stapling => ("stapling", 5),
            Self::Logs => ("logs", 10),
            Self::Space => ("space", 10),
            Self::Disk => ("disk-speed", 5),
            Self::Test => ("nginx-test", 5),
            Self::Reload => ("nginx-reload", 5),
        }
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Aspect {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What came of one aspect.
#[derive(Clone, Debug, PartialEq)]
pub struct Audited {
    /// Which.
    pub aspect: Aspect,
    /// What was found; nothing when all is well.
    pub findings: Vec<Finding>,
    /// What was measured, or why nothing was looked at.
    pub note: Option<String>,
    /// Whether it was looked at.
    pub looked: bool,
}

impl Audited {
    /// Takes in what was found.
    #[must_use]
    pub fn found(aspect: Aspect, findings: Vec<Finding>) -> Self {
        Self {
            aspect,
            findings,
            note: None,
            looked: true,
        }
    }

    /// Says why it was not looked at.
    #[must_use]
    pub fn skipped(aspect: Aspect, why: impl Into<String>) -> Self {
        Self {
            aspect,
            findings: Vec::new(),
            note: Some(why.into()),
            looked: false,
        }
    }

    /// Adds what was measured.
    #[must_use]
    pub fn noting(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Returns what came of it, by the worst of its findings.
    #[must_use]
    pub fn status(&self) -> Status {
        let worst = self.findings.iter().map(|finding| finding.severity).min();
        match worst {
            _ if !self.looked => Status::Skipped,
            Some(Severity::Fatal | Severity::Error) => Status::Failed,
            Some(Severity::Warning) => Status::Warning,
            Some(Severity::Info) | None => Status::Passed,
        }
    }
}

/// Returns the score, from 0 to 100; 100 where nothing could be looked at.
#[must_use]
pub fn score(audited: &[Audited]) -> u32 {
    let (mut got, mut all) = (0, 0);
    for one in audited {
        // Halves have to be whole.
        let points = one.aspect.points() * 2;
        let (kept, counts) = match one.status() {
            Status::Passed => (points, points),
            Status::Warning => (points / 2, points),
            Status::Failed => (0, points),
            Status::Skipped => (0, 0),
        };
        got += kept;
        all += counts;
    }
    (got * 100).checked_div(all).unwrap_or(100)
}

/// Returns what the findings come to.
#[must_use]
pub fn verdict(audited: &[Audited]) -> Verdict {
    let findings = audited.iter().flat_map(|one| &one.findings);
    let verdicts = findings.map(|finding| match finding.severity {
        Severity::Fatal => Verdict::WillFail,
        Severity::Error | Severity::Warning => Verdict::AtRisk,
        Severity::Info => Verdict::Ready,
    });
    verdicts.max().unwrap_or(Verdict::Ready)
}

#[cfg(test)]
mod tests {
    use super::{Aspect, Audited, score, verdict};
    use crate::examination::Verdict;
    use renewal::finding::{Finding, FindingName};

    #[test]
    fn a_risk_costs_half_and_what_was_not_looked_at_nothing() {
        let well = |aspect| Audited::found(aspect, Vec::new());
        let with = |aspect, name| Audited::found(aspect, vec![Finding::new(name, "…")]);
        let skipped = Audited::skipped(Aspect::PanelCron, "there is none");
        assert_eq!(score(&[]), 100);
        assert_eq!(score(&[well(Aspect::Keys), skipped.clone()]), 100);
        // 20 and 10 of which 5 are lost.
        let risky = with(Aspect::Tls, FindingName::TlsTooOld);
        assert_eq!(score(&[well(Aspect::Keys), risky.clone(), skipped]), 83);
        let broken = with(Aspect::Keys, FindingName::KeyReadableByOthers);
        assert_eq!(score(&[broken.clone(), risky.clone()]), 16);
        assert_eq!(verdict(&[broken, risky]), Verdict::AtRisk);
        let all: u32 = Aspect::ALL.iter().map(|aspect| aspect.points()).sum();
        assert_eq!(all, 120);
    }
}
