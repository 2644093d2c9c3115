//! Which exit code does a run end with?

use renewal::finding::{Finding, FindingName, Severity};
use renewal::report::{Outcome, Report, SiteReport};

use crate::errors::Kind;

/// Returns the smallest of the codes that are not 0, over the host and all sites.
#[must_use]
pub fn exit_code(report: &Report) -> u8 {
    let host = of_findings(&report.findings);
    let sites = report.sites.iter().filter_map(of_site);
    host.into_iter()
        .chain(sites)
        .map(Kind::exit_code)
        .min()
        .unwrap_or(0)
}

/// Says who must do something about the site, if anyone.
#[must_use]
pub fn of_site(site: &SiteReport) -> Option<Kind> {
    let by_findings = of_findings(&site.findings);
    let by_outcome = match site.outcome {
        Outcome::Failed => by_findings.or(Some(Kind::Mend)),
        Outcome::Postponed => Some(Kind::Later),
        Outcome::Issued
        | Outcome::Renewed
        | Outcome::Installed
        | Outcome::NotDue
        | Outcome::WouldRenew
        | Outcome::Skipped => None,
    };
    [by_findings, by_outcome]
        .into_iter()
        .flatten()
        .min_by_key(|kind| kind.exit_code())
}

/// Says who must do something about the findings, if anyone.
pub(super) fn of_findings<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> Option<Kind> {
    let standing = findings
        .into_iter()
        .filter(|finding| finding.severity <= Severity::Error);
    let kinds = standing.map(|finding| {
        if passes(finding.name) {
            Kind::Later
        } else {
            Kind::Mend
        }
    });
    kinds.min_by_key(|kind| kind.exit_code())
}

/// Says whether a finding goes away without anyone doing anything.
fn passes(name: FindingName) -> bool {
    matches!(
        name,
        FindingName::CaUnreachable
            | FindingName::CaBusy
            | FindingName::RateLimited
            | FindingName::DnsTimeout
            | FindingName::AnotherRunHoldsTheLock
    )
}

#[cfg(test)]
mod tests {
    use super::exit_code;
    use crate::testing::{report, site_report};
    use renewal::finding::{Finding, FindingName, Severity};
    use renewal::report::Outcome;

    fn check(sites: &[(Outcome, &[FindingName])], code: u8) {
        let sites = sites.iter().map(|(outcome, names)| {
            let mut site = site_report("a.test", *outcome);
            site.findings = names.iter().map(|name| Finding::new(*name, "x")).collect();
            site
        });
        assert_eq!(exit_code(&report(sites.collect())), code);
    }

    #[test]
    fn the_smallest_code_that_is_not_zero_wins() {
        check(&[], 0);
        check(&[(Outcome::Renewed, &[]), (Outcome::NotDue, &[])], 0);
        check(&[(Outcome::Failed, &[])], 1);
        check(&[(Outcome::Failed, &[FindingName::CaBusy])], 3);
        check(&[(Outcome::Postponed, &[])], 3);
        check(
            &[
                (Outcome::Failed, &[FindingName::CaBusy]),
                (Outcome::Failed, &[FindingName::Port80Refused]),
            ],
            1,
        );
        check(
            &[(Outcome::Postponed, &[FindingName::ChallengeNotFound])],
            1,
        );
        check(&[(Outcome::Renewed, &[FindingName::NamesOverlap])], 0);
        check(&[(Outcome::NotDue, &[FindingName::KeyReadableByOthers])], 1);
    }

    #[test]
    fn a_finding_about_the_host_counts_too() {
        let mut run = report(Vec::new());
        run.findings
            .push(Finding::new(FindingName::VhostNotUnderstood, "x"));
        assert_eq!(exit_code(&run), 1);
        run.findings[0].severity = Severity::Info;
        assert_eq!(exit_code(&run), 0);
    }
}
