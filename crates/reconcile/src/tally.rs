//! How does what happened to one site become its line in the report?

use jiff::Timestamp;
use renewal::finding::{Finding, FindingName};
use renewal::plan::Item;
use renewal::ports::{HostFailure, Staged};
use renewal::report::{Outcome, Served, SiteReport};
use renewal::retry::Blame;
use renewal::site::Site;

/// Why a site did not get its certificate.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// Whose fault it is.
    pub(crate) blame: Blame,
    /// Whether the CA saw the failure, so that trying again at once would cost something.
    pub(crate) asked_ca: bool,
    /// Whether our ledger said no, so that nothing was tried and nothing failed.
    pub(crate) from_ledger: bool,
    /// The moment the CA or the ledger named.
    pub(crate) retry_at: Option<Timestamp>,
    /// What went wrong; the first is the cause.
    pub(crate) findings: Vec<Finding>,
}

impl Failure {
    /// A failure of this host's.
    pub(crate) fn host(failure: HostFailure) -> Self {
        Self {
            blame: Blame::Host,
            asked_ca: false,
            from_ledger: false,
            retry_at: None,
            findings: vec![failure.0],
        }
    }

    /// Returns the cause in one line, to be remembered.
    pub(crate) fn cause(&self) -> String {
        self.findings.first().map_or_else(String::new, |cause| {
            format!("{}: {}", cause.name, cause.explanation)
        })
    }
}

/// Starts a site's report from its place in the plan.
pub(crate) fn planned(item: &Item<'_>, outcome: Outcome, reason: String) -> SiteReport {
    let mut report = of_site(item.site, outcome, reason);
    report.due_at = Some(item.due.at);
    report
}

/// Starts a site's report from what was seen of it.
pub(crate) fn of_site(site: &Site, outcome: Outcome, reason: String) -> SiteReport {
    SiteReport {
        names: site.wanted.clone(),
        outcome,
        reason,
        due_at: None,
        retry_at: None,
        certificate: site
            .current
            .as_ref()
            .map(|current| (current.certificate.clone(), current.path.clone())),
        served: Vec::new(),
        findings: site.findings.clone(),
    }
}

/// Turns a site's report into one of success: this certificate was deployed and seen.
pub(crate) fn served(report: &mut SiteReport, first: bool, staged: &Staged, served: Vec<Served>) {
    report.outcome = if first {
        Outcome::Issued
    } else {
        Outcome::Renewed
    };
    report.certificate = Some((staged.certificate.clone().into(), staged.path.clone()));
    report.served = served;
    // What was wrong with the certificate before is not wrong with this one.
    report.findings.retain(|finding| {
        !matches!(
            finding.name,
            FindingName::LiveLinksBroken
                | FindingName::KeyDoesNotFit
                | FindingName::FileNotUsable
                | FindingName::PanelDrift
                | FindingName::CertificateNotServed
        )
    });
}

/// Turns a site's report into one of failure.
pub(crate) fn failed(report: &mut SiteReport, findings: Vec<Finding>) {
    report.outcome = Outcome::Failed;
    // The cause goes first: people read the first line.
    report.findings.splice(0..0, findings);
}
