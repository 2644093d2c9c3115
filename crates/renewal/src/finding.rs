//! What can be wrong, under which name, and how bad is it?
//!
//! A finding has a name that stays the same in every release, an explanation for people, the evidence, and a
//! fix. [`FindingName`] lists them all; `clpctl explain NAME` prints the manual's page about one.

use serde::{Deserialize, Serialize};

pub use self::names::{FindingName, UnknownFinding};

mod names;

/// Something wrong or risky.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The stable name to look up.
    pub name: FindingName,
    /// How bad it is.
    pub severity: Severity,
    /// What it means, in one sentence.
    pub explanation: String,
    /// The evidence: the record, the rule, file and line, the CA's own text.
    pub detail: String,
    /// What to do.
    pub fix: String,
}

impl Finding {
    /// Starts a finding with the severity that is usual for its name.
    #[must_use]
    pub fn new(name: FindingName, explanation: impl Into<String>) -> Self {
        Self {
            name,
            severity: name.usual_severity(),
            explanation: explanation.into(),
            detail: String::new(),
            fix: String::new(),
        }
    }

    /// Adds the evidence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }

    /// Changes the severity.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

impl FindingName {
    /// Says whether a line in the vhost that answers the challenge could cure it: the request reached a web
    /// server, and that gave the wrong answer.
    #[must_use]
    pub fn line_may_cure(self) -> bool {
        matches!(
            self,
            Self::ChallengeForbidden
                | Self::ChallengeNotFound
                | Self::ChallengeServerError
                | Self::ChallengeWrongAnswer
                | Self::ChallengeRedirectLoop
                | Self::ChallengeRedirectElsewhere
                | Self::ChallengeRedirectPort
                | Self::ChallengeRedirectMalformed
                | Self::ChallengeBlockedByRule
                | Self::ChallengeConnectionClosed
                | Self::WebrootNotWritable
                | Self::WebrootMissing
                | Self::WebrootSymlinkOwner
        )
    }
}

/// How bad a finding is; the worst first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A renewal now would fail.
    Fatal,
    /// Broken now, or will be when the certificate ends.
    Error,
    /// A risk.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// Returns the word people read.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}
