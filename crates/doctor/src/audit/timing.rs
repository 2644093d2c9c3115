//! Does nginx take so long to read its configuration that runs and reloads suffer?

use std::time::Duration;

use renewal::finding::{Finding, FindingName};
use serde::{Deserialize, Serialize};

/// What was measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct TimingSeen {
    /// How long it took.
    pub took: Duration,
    /// How many server blocks there are.
    pub servers: usize,
}

impl std::fmt::Display for TimingSeen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.2} s with {} server blocks",
            self.took.as_secs_f64(),
            self.servers
        )
    }
}

/// Finds that it takes long.
#[must_use]
pub fn judge(seen: &TimingSeen) -> Vec<Finding> {
    if seen.took < LONGEST {
        return Vec::new();
    }
    vec![
        Finding::new(
            FindingName::NginxTestSlow,
            "nginx takes long to read its configuration, and a run waits for it twice.",
        )
        .detail(seen.to_string())
        .fix("See whether names in proxy_pass wait for DNS (nginx -t at a quiet time), and whether all vhosts are still wanted."),
    ]
}

/// Ten thousand virtual hosts take nine seconds; with fewer, something else is wrong.
const LONGEST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::{TimingSeen, judge};
    use crate::testing::told;
    use expect_test::expect;
    use std::time::Duration;

    #[test]
    fn ten_seconds_are_long() {
        let seen = |seconds| TimingSeen {
            took: Duration::from_secs(seconds),
            servers: 12,
        };
        assert!(judge(&seen(9)).is_empty());
        expect!["nginx-test-slow: 12.00 s with 12 server blocks"]
            .assert_eq(&told(&judge(&seen(12))));
    }
}
