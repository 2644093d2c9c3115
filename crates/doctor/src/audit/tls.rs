//! Does any line of nginx allow versions of TLS that are broken?
//!
//! TLS 1.0 and 1.1 were given up in 2021 (RFC 8996), SSL 3 in 2015 (RFC 7568). To take them away may lock visitors with very old
//! programs out, so that is left to people.

use renewal::finding::{Finding, FindingName};
use renewal::site::Place;
use serde::{Deserialize, Serialize};

/// A line that says which versions are spoken.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct VersionsSeen {
    /// Where it is.
    pub place: Place,
    /// What it allows.
    pub versions: Vec<String>,
}

/// Finds those that allow too much.
#[must_use]
pub fn judge(seen: &[VersionsSeen]) -> Vec<Finding> {
    let is_old = |version: &&String| OLD.contains(&version.as_str());
    let old: Vec<&VersionsSeen> = seen
        .iter()
        .filter(|line| line.versions.iter().any(|version| is_old(&version)))
        .collect();
    let Some(first) = old.first() else {
        return Vec::new();
    };
    let lines = old.iter().take(SHOWN).map(|line| {
        let versions: Vec<&str> = line
            .versions
            .iter()
            .filter(is_old)
            .map(String::as_str)
            .collect();
        format!("{}: {}", line.place, versions.join(", "))
    });
    let more = old.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("and {more} more"));
    let lines: Vec<String> = lines.chain(more).collect();
    vec![
        Finding::new(
            FindingName::TlsTooOld,
            "nginx speaks versions of TLS that are broken, and that no browser has used for years.",
        )
        .detail(lines.join("\n"))
        .fix(format!(
            "In {} write: ssl_protocols TLSv1.2 TLSv1.3; then nginx -t && systemctl reload nginx",
            first.place
        )),
    ]
}

/// As nginx calls them.
const OLD: [&str; 4] = ["SSLv2", "SSLv3", "TLSv1", "TLSv1.1"];

/// More lines say no more.
const SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use super::{VersionsSeen, judge};
    use crate::testing::told;
    use expect_test::{Expect, expect};

    fn check(versions: &str, expect: Expect) {
        let place = serde_json::from_str(r#"{"file": "/etc/nginx/a.conf", "line": 7}"#).unwrap();
        let versions = versions.split(' ').map(str::to_owned).collect();
        expect.assert_eq(&told(&judge(&[VersionsSeen { place, versions }])));
    }

    #[test]
    fn versions_below_1_2_are_named() {
        check("TLSv1.2 TLSv1.3", expect![""]);
        check(
            "TLSv1 TLSv1.1 TLSv1.2",
            expect!["tls-too-old: /etc/nginx/a.conf:7: TLSv1, TLSv1.1"],
        );
    }
}
