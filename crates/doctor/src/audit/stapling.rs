//! Is stapling left on for certificates whose CA answers no OCSP?
//!
//! Let's Encrypt ended its OCSP service in 2025, and its certificates name none any more. nginx then warns at every test and
//! reload, for every such site, and the warnings hide others.

use renewal::finding::{Finding, FindingName};
use renewal::fix::{Amendment, Fix, Remedy};
use renewal::site::Place;
use serde::{Deserialize, Serialize};

/// A line that turns stapling on, and the certificates that it is about.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct StaplingSeen {
    /// Where it is.
    pub place: Place,
    /// How many of its certificates name a service that answers.
    pub answered: usize,
    /// How many name none.
    pub unanswered: usize,
}

impl StaplingSeen {
    fn is_useless(&self) -> bool {
        self.unanswered > 0
    }
}

/// Finds lines that do nothing but cause warnings.
#[must_use]
pub fn judge(seen: &[StaplingSeen]) -> Vec<Finding> {
    let useless: Vec<&StaplingSeen> = seen.iter().filter(|line| line.is_useless()).collect();
    if useless.is_empty() {
        return Vec::new();
    }
    let lines = useless.iter().map(|line| {
        format!(
            "{}: {} of {} certificates name no OCSP service",
            line.place,
            line.unanswered,
            line.unanswered + line.answered
        )
    });
    vec![
        Finding::new(
            FindingName::StaplingUseless,
            "Stapling is on for certificates whose CA answers no OCSP, so nginx warns with every test and reload.",
        )
        .detail(lines.collect::<Vec<_>>().join("\n"))
        .fix("Write “ssl_stapling off;” there, or take the line out; then nginx -t && systemctl reload nginx"),
    ]
}

/// Decides which lines are turned off: those about no certificate that is answered for.
#[must_use]
pub fn fix(seen: &[StaplingSeen]) -> Option<Fix> {
    let off = seen
        .iter()
        .filter(|line| line.is_useless() && line.answered == 0);
    let lines: Vec<Amendment> = off
        .map(|line| Amendment::Arguments {
            at: line.place.clone(),
            directive: "ssl_stapling".to_owned(),
            arguments: vec!["off".to_owned()],
        })
        .collect();
    (!lines.is_empty()).then(|| Fix {
        cures: FindingName::StaplingUseless,
        site: None,
        what: "Turn stapling off where no CA answers.".to_owned(),
        remedy: Remedy::Lines(lines),
    })
}

#[cfg(test)]
mod tests {
    use super::{StaplingSeen, fix, judge};
    use crate::testing::told;
    use expect_test::{Expect, expect};

    fn check(answered: usize, unanswered: usize, is_fixed: bool, expect: Expect) {
        let place = serde_json::from_str(r#"{"file": "/etc/nginx/a.conf", "line": 7}"#).unwrap();
        let seen = [StaplingSeen {
            place,
            answered,
            unanswered,
        }];
        expect.assert_eq(&told(&judge(&seen)));
        assert_eq!(fix(&seen).is_some(), is_fixed);
    }

    #[test]
    fn a_line_that_still_serves_one_certificate_stays() {
        check(2, 0, false, expect![""]);
        check(
            0,
            1,
            true,
            expect![
                "stapling-useless: /etc/nginx/a.conf:7: 1 of 1 certificates name no OCSP service"
            ],
        );
        check(
            1,
            1,
            false,
            expect![
                "stapling-useless: /etc/nginx/a.conf:7: 1 of 2 certificates name no OCSP service"
            ],
        );
    }
}
