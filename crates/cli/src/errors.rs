//! What is said, and which code is returned, when a command cannot do what was asked?
//!
//! Inside, every operation has its own error type. Here, at the edge, each becomes one [`CommandError`]: what
//! happened and what it costs, the chain of causes, hints, and the name of the finding to look up. Its
//! [`Kind`] alone sets the exit code.

use std::error::Error;
use std::fmt::Write as _;

use renewal::finding::{Finding, FindingName};
use renewal::ports::{HostFailure, LeaseHeld, MemoryFailure, OrderFailure};
use renewal::retry::Blame;

/// A command that did not do what was asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CommandError {
    /// Who can do something about it, and when.
    pub kind: Kind,
    /// What happened and what it costs, in one or two sentences.
    pub error: String,
    /// Why, the nearest cause first.
    pub causes: Vec<String>,
    /// What to do.
    pub hints: Vec<String>,
    /// The name to look up.
    pub finding: Option<FindingName>,
}

/// Who can do something about an error, and when; sets the exit code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Nobody need do anything: whoever read our output went away (`clpctl site:list | head`).
    ReaderGone,
    /// A person must mend something.
    Mend,
    /// The command line or the configuration is wrong.
    Usage,
    /// It may work later: network, CA, rate limit, another run.
    Later,
    /// clpctl itself is wrong.
    Defect,
}

impl Kind {
    /// Returns the exit code of the contract.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Mend => 1,
            Self::Usage => 2,
            Self::Later => 3,
            Self::Defect => 101,
        }
    }

    /// Returns the word that JSON documents use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReaderGone => "reader-gone",
            Self::Mend => "mend",
            Self::Usage => "usage",
            Self::Later => "later",
            Self::Defect => "defect",
        }
    }
}

impl CommandError {
    fn new(kind: Kind, error: impl Into<String>) -> Self {
        Self {
            kind,
            error: error.into(),
            causes: Vec::new(),
            hints: Vec::new(),
            finding: None,
        }
    }

    /// Makes an error that a person must mend.
    pub fn mend(error: impl Into<String>) -> Self {
        Self::new(Kind::Mend, error)
    }

    /// Makes an error about the command line or the configuration.
    pub fn usage(error: impl Into<String>) -> Self {
        Self::new(Kind::Usage, error)
    }

    /// Makes an error that may go away by itself.
    pub fn later(error: impl Into<String>) -> Self {
        Self::new(Kind::Later, error)
    }

    /// Makes an error about clpctl itself.
    pub fn defect(error: impl Into<String>) -> Self {
        Self::new(Kind::Defect, error).hint(REPORT)
    }

    /// Adds an error and everything behind it to the causes.
    #[must_use]
    pub fn because(mut self, cause: &dyn Error) -> Self {
        let mut next = Some(cause);
        while let Some(cause) = next {
            let text = cause.to_string();
            // Many error types repeat their source in their own text.
            let said = self.causes.last().is_some_and(|last| last.contains(&text));
            if !said {
                self.causes.push(text);
            }
            next = cause.source();
        }
        self
    }

    /// Adds a cause in words.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Names the finding to look up.
    #[must_use]
    pub fn finding(mut self, name: FindingName) -> Self {
        self.finding = Some(name);
        self
    }

    /// Says what the failure of a file operation means; adds what to do where that is plain.
    pub fn file(error: impl Into<String>, cause: &std::io::Error) -> Self {
        let made = Self::mend(error).because(cause);
        match cause.kind() {
            std::io::ErrorKind::PermissionDenied => made.hint(AS_ROOT),
            std::io::ErrorKind::StorageFull => made.finding(FindingName::DiskFull),
            _ => made,
        }
    }

    /// Takes a finding as the reason why a command could not do its work.
    #[must_use]
    pub fn from_finding(kind: Kind, error: impl Into<String>, finding: &Finding) -> Self {
        let mut made = Self::new(kind, error).finding(finding.name);
        made.causes.push(finding.explanation.clone());
        if !finding.detail.is_empty() {
            made.causes.push(finding.detail.clone());
        }
        if !finding.fix.is_empty() {
            made.hints.push(finding.fix.clone());
        }
        made
    }

    /// Writes the error for people, without colour: one labelled line after the other.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (label, line) in self.lines() {
            let mut parts = line.lines();
            let _ = writeln!(text, "{label}: {}", parts.next().unwrap_or_default());
            for more in parts {
                let _ = writeln!(text, "  {more}");
            }
        }
        text
    }

    /// Returns the labelled lines in the order in which people read them.
    #[must_use]
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![("error", self.error.clone())];
        lines.extend(self.causes.iter().map(|cause| ("cause", cause.clone())));
        lines.extend(self.hints.iter().map(|hint| ("hint", hint.clone())));
        if let Some(name) = self.finding {
            lines.push(("finding", format!("{name} (clpctl explain {name})")));
        }
        lines
    }

    /// Returns the document that `--json` prints instead of a result.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({"error": {
            "kind": self.kind.as_str(),
            "exit_code": self.kind.exit_code(),
            "message": self.error,
            "causes": self.causes,
            "hints": self.hints,
            "finding": self.finding.map(FindingName::as_str),
        }})
    }
}

impl From<HostFailure> for CommandError {
    fn from(failure: HostFailure) -> Self {
        Self::from_finding(
            Kind::Mend,
            "This host could not be looked at or changed, and nothing was done.",
            &failure.0,
        )
    }
}

impl From<OrderFailure> for CommandError {
    fn from(failure: OrderFailure) -> Self {
        let kind = match failure.blame {
            Blame::Site | Blame::Host => Kind::Mend,
            Blame::Ca | Blame::Network => Kind::Later,
        };
        let error = match failure.retry_at {
            Some(at) => format!("The CA gave no certificate. It may be asked again at {at}."),
            None => "The CA gave no certificate.".to_owned(),
        };
        match failure.findings.first() {
            Some(finding) => Self::from_finding(kind, error, finding),
            None => Self::new(kind, error),
        }
    }
}

impl From<MemoryFailure> for CommandError {
    fn from(failure: MemoryFailure) -> Self {
        Self::mend("What clpctl remembers between runs could not be used, and nothing was done.")
            .because(&failure)
    }
}

impl From<LeaseHeld> for CommandError {
    fn from(held: LeaseHeld) -> Self {
        match &held {
            LeaseHeld::By(_) => {
                Self::later("Nothing was done, for two runs must not work at the same time.")
                    .because(&held)
                    .hint("run it again in a few minutes, or add --wait to wait for the other run")
                    .finding(FindingName::AnotherRunHoldsTheLock)
            }
            LeaseHeld::Unusable(_) => {
                Self::mend("Nothing was done: without its lock clpctl does not work.")
                    .because(&held)
                    .hint(AS_ROOT)
            }
            // `LeaseHeld` may grow; what it says is still true.
            _ => Self::later("Nothing was done, for the lock could not be had.").because(&held),
        }
    }
}

/// What a user can do about a defect.
pub(crate) const REPORT: &str =
    "this is a defect of clpctl; please report it with the lines above and `clpctl --version`";

/// What most refusals of the kernel mean here.
pub(crate) const AS_ROOT: &str = "run it as root: sudo clpctl …";

#[cfg(test)]
mod tests {
    use super::{CommandError, Kind};
    use expect_test::{Expect, expect};
    use renewal::finding::{Finding, FindingName};
    use renewal::ports::{LeaseHeld, MemoryFailure, OrderFailure};
    use renewal::retry::Blame;

    fn check(error: &CommandError, expect: Expect) {
        expect.assert_eq(&format!(
            "{}exit {}\n",
            error.to_text(),
            error.kind.exit_code()
        ));
    }

    #[test]
    fn another_run_is_at_work() {
        check(
            &LeaseHeld::By("process 4711 since 2026-02-01T00:00:00Z".into()).into(),
            expect![[r#"
                error: Nothing was done, for two runs must not work at the same time.
                cause: another run is at work: process 4711 since 2026-02-01T00:00:00Z
                hint: run it again in a few minutes, or add --wait to wait for the other run
                finding: another-run-holds-the-lock (clpctl explain another-run-holds-the-lock)
                exit 3
            "#]],
        );
    }

    #[test]
    fn a_rate_limit_is_used_up() {
        let finding = Finding::new(FindingName::RateLimited, "the CA's limit is used up")
            .detail("too many certificates (5) already issued")
            .fix("wait");
        let mut failure = OrderFailure::new(Blame::Ca, finding);
        failure.retry_at = Some("2026-02-01T00:00:00Z".parse().unwrap());
        check(
            &failure.into(),
            expect![[r#"
            error: The CA gave no certificate. It may be asked again at 2026-02-01T00:00:00Z.
            cause: the CA's limit is used up
            cause: too many certificates (5) already issued
            hint: wait
            finding: rate-limited (clpctl explain rate-limited)
            exit 3
        "#]],
        );
    }

    #[test]
    fn a_database_is_from_a_newer_release() {
        let failure = MemoryFailure {
            what: "/var/lib/clpctl/clpctl.db cannot be opened".into(),
            cause: "it has schema 7,\nand this clpctl knows 3".into(),
        };
        check(
            &failure.into(),
            expect![[r#"
            error: What clpctl remembers between runs could not be used, and nothing was done.
            cause: /var/lib/clpctl/clpctl.db cannot be opened: it has schema 7,
              and this clpctl knows 3
            exit 1
        "#]],
        );
    }

    #[test]
    fn the_smallest_code_that_is_not_zero_is_the_most_urgent() {
        let codes = [
            Kind::ReaderGone,
            Kind::Mend,
            Kind::Usage,
            Kind::Later,
            Kind::Defect,
        ]
        .map(Kind::exit_code);
        assert_eq!(codes, [0, 1, 2, 3, 101]);
    }
}
