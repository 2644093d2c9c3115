//! One row of a table: a text of a CA, and what it means.

use std::net::IpAddr;

use renewal::finding::{Finding, FindingName};
use renewal::ledger::LimitKind;
use renewal::retry::Blame;

use super::Diagnosis;

/// When trying again makes sense.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retry {
    /// When the CA says: it was busy, or a limit is used up. The site is not at fault.
    WhenTold,
    /// Later: it may pass by itself.
    Later,
    /// When something was changed here, in DNS or on the way; until then each try is a failure more.
    AfterChange,
    /// Never, for this name.
    Never,
    /// When a person has done what the CA asks for.
    AfterPerson,
}

/// A text and its meaning. In `explanation` and `fix`, `{name}`, `{address}`, `{url}` and `{code}` stand for what
/// the CA saw.
pub(super) struct Row {
    /// The text; `*` stands for anything. What is not at an end may be anywhere.
    pub(super) pattern: &'static str,
    pub(super) class: &'static str,
    pub(super) finding: FindingName,
    /// The finding where the CA went to an IPv6 address.
    pub(super) over_ipv6: Option<FindingName>,
    pub(super) blame: Blame,
    pub(super) retry: Retry,
    /// The limit that it tells of, of those that the ledger keeps.
    pub(super) limit: Option<LimitKind>,
    /// Whether it tells of the host that answered, which may be another than this one.
    pub(super) about_host: bool,
    pub(super) explanation: &'static str,
    pub(super) fix: &'static str,
}

impl Row {
    /// What most rows have in common.
    pub(super) const SITE: Self = Self {
        pattern: "",
        class: "",
        finding: FindingName::OrderRejected,
        over_ipv6: None,
        blame: Blame::Site,
        retry: Retry::AfterChange,
        limit: None,
        about_host: true,
        explanation: "",
        fix: "",
    };

    /// What rows about the CA have in common.
    pub(super) const CA: Self = Self {
        blame: Blame::Ca,
        retry: Retry::WhenTold,
        about_host: false,
        ..Self::SITE
    };

    /// Fills the row in.
    pub(super) fn diagnose(&self, seen: &Seen<'_>) -> Diagnosis {
        let ipv6 = seen.address.is_some_and(|address| address.is_ipv6());
        let usual = self.over_ipv6.filter(|_| ipv6).unwrap_or(self.finding);
        let code = self.class == HTTP_STATUS;
        let finding = if code {
            by_code(seen.code()).unwrap_or(usual)
        } else {
            usual
        };
        Diagnosis {
            class: self.class,
            blame: self.blame,
            retry: self.retry,
            retry_at: None,
            limit: self.limit,
            limit_about: None,
            findings: vec![
                Finding::new(finding, seen.fill(self.explanation))
                    .detail(seen.evidence.clone())
                    .fix(seen.fill(self.fix)),
            ],
        }
    }
}

/// What the CA saw.
#[derive(Default)]
pub(super) struct Seen<'a> {
    pub(super) name: &'a str,
    pub(super) address: Option<IpAddr>,
    pub(super) url: Option<&'a str>,
    pub(super) core: &'a str,
    pub(super) evidence: String,
}

impl Seen<'_> {
    fn fill(&self, template: &str) -> String {
        let address = self
            .address
            .map_or_else(|| "its address".to_owned(), |address| address.to_string());
        let url = crate::problem::without_tokens(self.url.unwrap_or("the challenge's URL"));
        let code = self.code().map_or_else(
            || "another status than 200".to_owned(),
            |code| code.to_string(),
        );
        template
            .replace("{name}", self.name)
            .replace("{address}", &address)
            .replace("{url}", &url)
            .replace("{code}", &code)
    }

    /// Returns the HTTP status that the text ends with.
    fn code(&self) -> Option<u16> {
        let digits = self
            .core
            .rsplit(|c: char| !c.is_ascii_digit())
            .find(|digits| !digits.is_empty())?;
        digits.parse().ok().filter(|code| (100..600).contains(code))
    }
}

/// Finds the first row whose pattern fits.
pub(super) fn find<'a>(rows: impl IntoIterator<Item = &'a Row>, text: &str) -> Option<&'a Row> {
    rows.into_iter().find(|row| fits(row.pattern, text))
}

fn fits(pattern: &str, text: &str) -> bool {
    let mut rest = text;
    pattern
        .split('*')
        .all(|piece| match rest.split_once(piece) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
}

fn by_code(code: Option<u16>) -> Option<FindingName> {
    match code? {
        401 | 403 => Some(FindingName::ChallengeForbidden),
        404 | 410 => Some(FindingName::ChallengeNotFound),
        500..600 => Some(FindingName::ChallengeServerError),
        _ => None,
    }
}

/// The class whose finding depends on the status.
pub(super) const HTTP_STATUS: &str = "HTTP_STATUS";
