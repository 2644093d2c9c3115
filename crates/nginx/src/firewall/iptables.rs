//! How is a port opened in iptables, and in ufw which stands on it?
//!
//! By a rule first in `INPUT`: it comes before all chains of ufw, whose own files stay as they are. The kernel lets it hold
//! until a moment (`xt_time`); where the kernel cannot, the rule goes at the end of the run, or with the next one.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{FirewallError, Wanted, run};

/// A rule of ours.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(super) struct Rule {
    /// For which family.
    six: bool,
    port: u16,
    /// Until when it holds, in UTC.
    until: String,
}

/// Returns the rules that open the port in each family that is filtered by iptables.
pub(super) async fn rules(wanted: &Wanted) -> Result<Vec<Rule>, FirewallError> {
    let mut rules = Vec::new();
    for six in [false, true] {
        let listed = run(program(six), &["-w", WAIT, "-S", "INPUT"]).await;
        // A family that the kernel has not is not filtered.
        let listed = listed.ok().flatten().unwrap_or_default();
        if filters(&listed) {
            rules.push(Rule {
                six,
                port: wanted.port,
                until: moment(wanted),
            });
        }
    }
    Ok(rules)
}

/// Puts the rule first.
pub(super) async fn open(rule: &Rule) -> Result<(), FirewallError> {
    let insert = |timed| change(rule, &["-I", "INPUT", "1"], timed);
    match insert(true).await {
        Ok(()) => Ok(()),
        Err(FirewallError::Refused { said, .. }) => {
            tracing::warn!(
                said,
                "the firewall cannot end an opening by itself; it is closed after the run"
            );
            insert(false).await
        }
        Err(error) => Err(error),
    }
}

/// Takes the rule out, in whichever form it is there. What is gone already is no fault.
pub(super) async fn close(rule: &Rule) -> Result<(), FirewallError> {
    for timed in [true, false] {
        // Each delete takes one; a run that was repeated may have put it there twice.
        for _ in 0..TIMES_MOST {
            match change(rule, &["-D", "INPUT"], timed).await {
                Ok(()) => {}
                Err(FirewallError::Refused { said, .. }) if !said.contains(LOCKED) => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

async fn change(rule: &Rule, how: &[&str], timed: bool) -> Result<(), FirewallError> {
    let port = rule.port.to_string();
    let mut words = vec!["-w", WAIT];
    words.extend(how);
    words.extend(["-p", "tcp", "--dport", &port]);
    if timed {
        words.extend(["-m", "time", "--datestop", &rule.until]);
    }
    words.extend(["-m", "comment", "--comment", COMMENT, "-j", "ACCEPT"]);
    run(program(rule.six), &words).await.map(drop)
}

fn program(six: bool) -> &'static str {
    if six { "ip6tables" } else { "iptables" }
}

/// Says whether anything but an open policy stands in `INPUT`; our own rules are nothing.
fn filters(listed: &str) -> bool {
    let mut lines = listed
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    lines.any(|line| line != "-P INPUT ACCEPT" && !line.contains(COMMENT))
}

/// Returns the end as `--datestop` reads it.
fn moment(wanted: &Wanted) -> String {
    let until = wanted.until.to_zoned(TimeZone::UTC);
    until.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// Seconds to wait for another iptables.
const WAIT: &str = "10";

/// How it says that another one was at work all that time.
const LOCKED: &str = "xtables lock";

const COMMENT: &str = "clpctl-validation";

/// More than any run inserts.
const TIMES_MOST: usize = 8;

#[cfg(test)]
mod tests {
    use super::{Wanted, filters, moment};
    use jiff::SignedDuration;

    #[test]
    fn an_open_policy_alone_filters_nothing() {
        assert!(!filters(""));
        assert!(!filters("-P INPUT ACCEPT\n"));
        assert!(filters("-P INPUT DROP\n"));
        assert!(filters("-P INPUT ACCEPT\n-A INPUT -j ufw-before-input\n"));
        assert!(!filters(
            "-P INPUT ACCEPT\n-A INPUT -p tcp -m comment --comment clpctl-validation -j ACCEPT\n"
        ));
    }

    #[test]
    fn the_end_is_written_in_utc() {
        let wanted = Wanted {
            port: 80,
            open_for: SignedDuration::from_mins(10),
            until: "2026-11-24T16:30:00.7Z".parse().unwrap(),
        };
        assert_eq!(moment(&wanted), "2026-11-24T16:30:00");
    }
}
