//! Does anything renew certificates by itself?

use renewal::finding::{Finding, FindingName};
use serde::{Deserialize, Serialize};

/// What starts runs on this host.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleSeen {
    /// The service or the timer is enabled, and what should run runs.
    Alive,
    /// The service is enabled and does not run.
    Stopped,
    /// There are units, and none is enabled.
    NotEnabled,
    /// There are no units.
    NotInstalled,
    /// There is no systemd, so whatever starts runs is not known.
    NotKnown,
}

/// Judges it.
///
/// # Errors
///
/// Without systemd nothing can be said.
pub fn judge(seen: ScheduleSeen) -> Result<Vec<Finding>, String> {
    let (explanation, detail, fix) = match seen {
        ScheduleSeen::Alive => return Ok(Vec::new()),
        ScheduleSeen::NotKnown => {
            return Err("there is no systemd, and cron is not asked".to_owned());
        }
        ScheduleSeen::Stopped => (
            "The service that renews certificates is enabled and does not run.",
            "clpctl.service has no process",
            "See why it ended, and start it: journalctl -u clpctl.service; systemctl start clpctl.service",
        ),
        ScheduleSeen::NotEnabled => (
            "Nothing renews certificates by itself: clpctl's units are installed and not enabled.",
            "neither clpctl.service nor clpctl.timer is enabled",
            "systemctl enable --now clpctl.service",
        ),
        ScheduleSeen::NotInstalled => (
            "Nothing renews certificates by itself, unless a line in cron does.",
            "there is no clpctl.service and no clpctl.timer",
            "clpctl service:install && systemctl daemon-reload && systemctl enable --now clpctl.service",
        ),
    };
    Ok(vec![
        Finding::new(FindingName::ServiceNotRunning, explanation)
            .detail(detail)
            .fix(fix),
    ])
}

#[cfg(test)]
mod tests {
    use super::{ScheduleSeen, judge};

    #[test]
    fn what_does_not_run_is_a_risk_and_what_is_unknown_is_none() {
        assert_eq!(judge(ScheduleSeen::Alive), Ok(Vec::new()));
        assert!(judge(ScheduleSeen::NotKnown).is_err());
        for seen in [
            ScheduleSeen::Stopped,
            ScheduleSeen::NotEnabled,
            ScheduleSeen::NotInstalled,
        ] {
            let findings = judge(seen).unwrap();
            assert_eq!(findings[0].name.as_str(), "service-not-running");
            assert_eq!(findings[0].severity.as_str(), "warning");
        }
    }
}
