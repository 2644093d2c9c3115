//! Does every address of a site serve the certificate that is on disk?

use renewal::finding::{Finding, FindingName};
use renewal::name::Name;
use renewal::report::Served;
use serde::{Deserialize, Serialize};

/// What the addresses of a site serve.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ServedSeen {
    /// The site.
    pub domain: Name,
    /// One look per address.
    pub addresses: Vec<Served>,
}

/// Finds the addresses that serve another certificate, or none.
#[must_use]
pub fn judge(seen: &ServedSeen) -> Vec<Finding> {
    let domain = &seen.domain;
    let (silent, other): (Vec<_>, Vec<_>) = seen
        .addresses
        .iter()
        .filter(|served| !served.ok)
        .partition(|served| served.sha256.is_none());
    let mut findings = Vec::new();
    if !other.is_empty() {
        let lines = other.iter().map(|served| {
            let by = served.answered_by.as_ref();
            let by = by.map(|by| format!(", from {by}")).unwrap_or_default();
            let leaf = served
                .sha256
                .map(|leaf| leaf.to_string())
                .unwrap_or_default();
            format!("{} serves the certificate {leaf}{by}", served.address)
        });
        let foreign = other.iter().any(|served| served.answered_by.is_some());
        let fix = if foreign {
            "Take the name out of the other server block, or let the site's own block listen on that address."
        } else {
            "Let nginx take up its files: nginx -t && systemctl reload nginx"
        };
        findings.push(
            Finding::new(
                FindingName::CertificateNotServed,
                format!("nginx serves another certificate for {domain} than the one on disk."),
            )
            .detail(lines.collect::<Vec<_>>().join("\n"))
            .fix(fix),
        );
    }
    if !silent.is_empty() {
        let lines = silent.iter().map(|served| {
            let error = served.error.as_deref().unwrap_or("no certificate");
            format!("{}: {error}", served.address)
        });
        findings.push(
            Finding::new(
                FindingName::Port443Refused,
                format!("{domain} cannot be visited by TLS where nginx should listen."),
            )
            .detail(lines.collect::<Vec<_>>().join("\n"))
            .fix("See that nginx listens there: ss -ltnp; then nginx -t && systemctl reload nginx"),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{ServedSeen, judge};
    use crate::testing::told;
    use expect_test::{Expect, expect};

    fn check(addresses: &str, expect: Expect) {
        let recorded = format!(r#"{{"domain": "a.test", "addresses": [{addresses}]}}"#);
        let seen: ServedSeen = serde_json::from_str(&recorded).unwrap();
        expect.assert_eq(&told(&judge(&seen)));
    }

    #[test]
    fn another_certificate_and_none_are_told_apart() {
        let leaf = "ab".repeat(32);
        check(
            &format!(r#"{{"address": "127.0.0.1:443", "sha256": "{leaf}", "ok": true}}"#),
            expect![""],
        );
        check(
            &format!(
                r#"{{"address": "127.0.0.1:443", "sha256": "{leaf}", "ok": false, "answered_by": "/etc/nginx/b.conf:1"}},
                   {{"address": "[::1]:443", "sha256": null, "ok": false, "error": "connection refused"}}"#
            ),
            expect![[r#"
                certificate-not-served: 127.0.0.1:443 serves the certificate abababababababababababababababababababababababababababababababab, from /etc/nginx/b.conf:1
                port-443-refused: [::1]:443: connection refused"#]],
        );
    }
}
