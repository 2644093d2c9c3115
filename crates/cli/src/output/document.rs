//! Which JSON documents are there?
//!
//! The names of the fields are stable; `docs/reference/json.md` lists them.

use std::path::Path;

use jiff::Timestamp;
use renewal::certificate::{Certificate, Fingerprint};
use renewal::finding::Finding;
use renewal::name::Name;
use renewal::names::Names;
use renewal::report::{Outcome, Report, Served, SiteReport};
use serde::Serialize;

/// What came of `site:renew-certificates` and the `lets-encrypt:` commands.
#[derive(Debug, Serialize)]
pub struct ReportDocument<'a> {
    command: &'a str,
    started_at: Timestamp,
    finished_at: Timestamp,
    reloads: u32,
    wake_at: Option<Timestamp>,
    findings: &'a [Finding],
    sites: Vec<SiteDocument<'a>>,
}

#[derive(Debug, Serialize)]
struct SiteDocument<'a> {
    domain: &'a Name,
    names: &'a Names,
    outcome: Outcome,
    reason: &'a str,
    due_at: Option<Timestamp>,
    retry_at: Option<Timestamp>,
    certificate: Option<CertificateDocument<'a>>,
    served: &'a [Served],
    findings: &'a [Finding],
}

/// A certificate.
#[derive(Debug, Serialize)]
pub struct CertificateDocument<'a> {
    serial: &'a str,
    issuer: &'a str,
    not_before: Timestamp,
    not_after: Timestamp,
    sha256: Fingerprint,
    names: &'a [Name],
    path: String,
}

impl<'a> ReportDocument<'a> {
    /// Makes the document about a run of `command`.
    #[must_use]
    pub fn new(command: &'a str, report: &'a Report) -> Self {
        Self {
            command,
            started_at: report.started_at,
            finished_at: report.finished_at,
            reloads: report.reloads,
            wake_at: report.wake_at,
            findings: &report.findings,
            sites: report.sites.iter().map(SiteDocument::new).collect(),
        }
    }
}

impl<'a> SiteDocument<'a> {
    fn new(site: &'a SiteReport) -> Self {
        let certificate = site.certificate.as_ref();
        Self {
            domain: site.domain(),
            names: &site.names,
            outcome: site.outcome,
            reason: &site.reason,
            due_at: site.due_at,
            retry_at: site.retry_at,
            certificate: certificate.map(|(facts, path)| CertificateDocument::new(facts, path)),
            served: &site.served,
            findings: &site.findings,
        }
    }
}

impl<'a> CertificateDocument<'a> {
    /// Makes the part about a certificate that lies at `path`.
    #[must_use]
    pub fn new(certificate: &'a Certificate, path: &Path) -> Self {
        Self {
            serial: &certificate.serial,
            issuer: &certificate.issuer,
            not_before: certificate.valid.start(),
            not_after: certificate.valid.end(),
            sha256: certificate.sha256,
            names: &certificate.names,
            path: path.display().to_string(),
        }
    }

    /// Returns the first moment at which it is no longer valid.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.not_after
    }

    /// Returns who issued it.
    #[must_use]
    pub fn issuer(&self) -> &'a str {
        self.issuer
    }
}

#[cfg(test)]
mod tests {
    use super::ReportDocument;
    use crate::testing::{certificate, not_served, report, site_report};
    use expect_test::expect;
    use renewal::finding::{Finding, FindingName};
    use renewal::report::Outcome;

    #[test]
    fn the_document_of_the_contract() {
        let mut site = site_report("a.test www.a.test", Outcome::Renewed);
        site.certificate = Some((
            certificate("a.test www.a.test", "2026-05-02").into(),
            "/etc/letsencrypt/live/a.test/fullchain.pem".into(),
        ));
        site.served.push(not_served("127.0.0.1:443", "refused"));
        site.findings.push(
            Finding::new(FindingName::Port80Refused, "e")
                .detail("d")
                .fix("f"),
        );
        let run = report(vec![site]);
        let text =
            serde_json::to_string_pretty(&ReportDocument::new("site:renew-certificates", &run))
                .unwrap();
        expect![[r#"
            {
              "command": "site:renew-certificates",
              "started_at": "2026-02-01T12:00:00Z",
              "finished_at": "2026-02-01T12:00:03Z",
              "reloads": 0,
              "wake_at": null,
              "findings": [],
              "sites": [
                {
                  "domain": "a.test",
                  "names": [
                    "a.test",
                    "www.a.test"
                  ],
                  "outcome": "renewed",
                  "reason": "a third of its life is left",
                  "due_at": null,
                  "retry_at": null,
                  "certificate": {
                    "serial": "04ab12",
                    "issuer": "R11",
                    "not_before": "2026-02-01T00:00:00Z",
                    "not_after": "2026-05-02T00:00:00Z",
                    "sha256": "abababababababababababababababababababababababababababababababab",
                    "names": [
                      "a.test",
                      "www.a.test"
                    ],
                    "path": "/etc/letsencrypt/live/a.test/fullchain.pem"
                  },
                  "served": [
                    {
                      "address": "127.0.0.1:443",
                      "sha256": null,
                      "ok": false,
                      "error": "refused"
                    }
                  ],
                  "findings": [
                    {
                      "name": "port-80-refused",
                      "severity": "fatal",
                      "explanation": "e",
                      "detail": "d",
                      "fix": "f"
                    }
                  ]
                }
              ]
            }"#]]
        .assert_eq(&text);
    }
}
