//! Will a log fill its disk before somebody looks?
//!
//! A log that is rotated begins anew, so its age and its size tell how fast it grows.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use renewal::finding::{Finding, FindingName};
use serde::{Deserialize, Serialize};

/// A log file.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LogSeen {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it began, where the file system tells.
    pub began: Option<Timestamp>,
    /// What is left of its disk, in bytes.
    pub free: u64,
}

/// Looks at a log; `None` when it is not there.
#[must_use]
pub fn observe(path: &Path) -> Option<LogSeen> {
    let meta = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let left = rustix::fs::statvfs(path).ok()?;
    Some(LogSeen {
        path: path.to_owned(),
        bytes: meta.len(),
        began: meta.created().ok().and_then(|began| began.try_into().ok()),
        free: left.f_bavail.saturating_mul(left.f_frsize),
    })
}

/// Finds logs that will fill their disk within a month, or are too large for anybody to read.
#[must_use]
pub fn judge(seen: &[LogSeen], now: Timestamp) -> Vec<Finding> {
    let mut lines: Vec<String> = Vec::new();
    for log in seen {
        let (path, mib) = (log.path.display(), log.bytes >> 20);
        match full_in(log, now) {
            Some(days) if days <= DAYS_AHEAD => {
                lines.push(format!(
                    "{path} has {mib} MiB and fills its disk in {days} days"
                ));
            }
            _ if log.bytes >= BYTES_MOST => lines.push(format!("{path} has {mib} MiB")),
            Some(_) | None => {}
        }
    }
    if lines.is_empty() {
        return Vec::new();
    }
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    lines.extend((more > 0).then(|| format!("and {more} more")));
    vec![
        Finding::new(FindingName::LogGrows, "A log grows and nothing rotates it.")
            .detail(lines.join("\n"))
            .fix("Have logrotate take it: see /etc/logrotate.d/, and try it with logrotate --debug /etc/logrotate.conf"),
    ]
}

/// Returns in how many days the disk is full if the log grows as it did; small ones are not reckoned.
fn full_in(log: &LogSeen, now: Timestamp) -> Option<u64> {
    let age = now.duration_since(log.began?).max(AGE_LEAST);
    if log.bytes < BYTES_LEAST {
        return None;
    }
    let seconds = u64::try_from(age.as_secs()).ok()?;
    let per_day = log.bytes.saturating_mul(SECONDS_A_DAY) / seconds;
    log.free.checked_div(per_day)
}

/// Growth within less than this says little of a day.
const AGE_LEAST: SignedDuration = SignedDuration::from_hours(6);

/// A log of a quiet week.
const BYTES_LEAST: u64 = 16 << 20;

/// Nobody opens a larger one in an editor.
const BYTES_MOST: u64 = 1 << 30;

/// A renewal is due once in two months; a month is time to mend.
const DAYS_AHEAD: u64 = 30;

const SECONDS_A_DAY: u64 = 86_400;

/// More lines say no more.
const SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use super::{LogSeen, judge};
    use crate::testing::told;
    use expect_test::{Expect, expect};

    fn check(mib: u64, free_mib: u64, began: Option<&str>, expect: Expect) {
        let seen = [LogSeen {
            path: "/var/log/nginx/access.log".into(),
            bytes: mib << 20,
            began: began.map(|day| format!("2026-02-{day}T00:00:00Z").parse().unwrap()),
            free: free_mib << 20,
        }];
        let now = "2026-02-11T00:00:00Z".parse().unwrap();
        expect.assert_eq(&told(&judge(&seen, now)));
    }

    #[test]
    fn a_log_is_judged_by_how_fast_it_grows_and_by_its_size() {
        check(10, 100, Some("10"), expect![""]);
        check(100, 100_000, Some("01"), expect![""]);
        check(
            100,
            200,
            Some("01"),
            expect![
                "log-grows: /var/log/nginx/access.log has 100 MiB and fills its disk in 20 days"
            ],
        );
        check(100, 100, None, expect![""]);
        check(
            2000,
            1_000_000,
            Some("01"),
            expect!["log-grows: /var/log/nginx/access.log has 2000 MiB"],
        );
    }
}
