//! `service:status`: how the scheduler fares.

use std::path::Path;

use clap::Args;
use jiff::Timestamp;
use renewal::finding::Severity;
use renewal::plan::{Wish, plan};
use renewal::ports::HistoryEntry;
use serde::Serialize;

use crate::commands::Session;
use crate::config::Config;
use crate::console::{GOOD, LABEL, WARNING};
use crate::errors::{CommandError, Kind};
use crate::output::when;

/// The options of `service:status`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  clpctl service:status\n  clpctl service:status --json")]
pub struct Arguments {}

/// What is known about the scheduler.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// How it is started.
    pub schedule: Schedule,
    /// Whether the service runs now; `None` without systemd.
    pub running: Option<bool>,
    /// Who holds the lock, if anyone.
    pub lock: Option<String>,
    /// The last thing that happened.
    pub last: Option<HistoryEntry>,
    /// When something is to be done next.
    pub next_at: Option<Timestamp>,
}

/// How runs are started.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// By the service, which is enabled.
    Service,
    /// By the timer, which is enabled.
    Timer,
    /// By nothing: units are there, and not enabled.
    NotEnabled,
    /// By nothing: there are no units.
    NotInstalled,
    /// By nothing that we know: there is no systemd.
    NoSystemd,
}

/// Prints the status; 0 when runs happen by themselves, 1 when not.
///
/// # Errors
///
/// When the database cannot be read.
pub fn run(session: &Session, config: &Config) -> Result<u8, CommandError> {
    let (schedule, running) = schedule(Path::new("/"));
    let now = session.clock.now();
    let status = Status {
        schedule,
        running,
        lock: crate::wire::lock_holder(config)?,
        last: crate::wire::history(config, None, 1)?.into_iter().next(),
        next_at: next(session, config, now)?,
    };
    if session.console.json {
        session.console.document(&status)?;
    } else {
        session.console.result(&status.to_text(now))?;
    }
    Ok(status.exit_code())
}

fn next(
    session: &Session,
    config: &Config,
    now: Timestamp,
) -> Result<Option<Timestamp>, CommandError> {
    let look = crate::wire::look(config, session.clock)?;
    let blind = look
        .findings
        .iter()
        .find(|finding| finding.severity == Severity::Fatal);
    if let Some(finding) = blind.filter(|_| look.sites.is_empty()) {
        let error = "What is due next cannot be said, for no site is seen.";
        return Err(CommandError::from_finding(Kind::Mend, error, finding));
    }
    let remembered = crate::wire::remembered(config)?;
    let known = look
        .sites
        .iter()
        .map(|site| (site, remembered.get(site.domain())));
    Ok(plan(known, &Wish::default(), now).wake_at)
}

impl Status {
    /// Writes it for people.
    #[must_use]
    pub fn to_text(&self, now: Timestamp) -> String {
        let mut out = String::new();
        let mut line =
            |label: &str, text: &str| out.push_str(&format!("{LABEL}{label:<9}{LABEL:#} {text}\n"));
        let (style, schedule) = match self.schedule {
            Schedule::Service => (GOOD, "clpctl.service is enabled"),
            Schedule::Timer => (GOOD, "clpctl.timer is enabled"),
            Schedule::NotEnabled => (
                WARNING,
                "the units are installed and not enabled: systemctl enable --now clpctl.service (or clpctl.timer)",
            ),
            Schedule::NotInstalled => (WARNING, "nothing renews by itself: clpctl service:install"),
            Schedule::NoSystemd => (
                WARNING,
                "there is no systemd here: let cron run clpctl site:renew-certificates",
            ),
        };
        line("schedule", &format!("{style}{schedule}{style:#}"));
        match self.running {
            Some(true) => line("service", &format!("{GOOD}running{GOOD:#}")),
            Some(false) if self.schedule == Schedule::Service => line(
                "service",
                &format!("{WARNING}not running{WARNING:#}: journalctl -u clpctl.service"),
            ),
            Some(false) | None => {}
        }
        line(
            "lock",
            &self
                .lock
                .as_ref()
                .map_or_else(|| "free".to_owned(), |holder| format!("held by {holder}")),
        );
        match &self.last {
            Some(entry) => {
                let about = entry
                    .domain
                    .as_ref()
                    .map(|domain| format!(" {domain}"))
                    .unwrap_or_default();
                line(
                    "last",
                    &format!(
                        "{} ({} ago): {}{about} {}",
                        when::minute(entry.at),
                        when::between(now, entry.at),
                        entry.what,
                        entry.detail
                    ),
                );
            }
            None => line("last", "nothing has happened yet"),
        }
        match self.next_at {
            Some(at) if at <= now => line("next", "now"),
            Some(at) => line(
                "next",
                &format!("{} (in {})", when::minute(at), when::between(at, now)),
            ),
            None => line("next", "nothing is waited for"),
        }
        out
    }

    fn exit_code(&self) -> u8 {
        match (self.schedule, self.running) {
            (Schedule::Service, Some(true)) | (Schedule::Timer, _) => 0,
            (Schedule::Service, Some(false) | None)
            | (Schedule::NotEnabled | Schedule::NotInstalled | Schedule::NoSystemd, _) => 1,
        }
    }
}

/// Asks the files that systemd itself goes by, below `root`: enabled units are links, running ones have a cgroup.
#[must_use]
pub fn schedule(root: &Path) -> (Schedule, Option<bool>) {
    if !root.join("run/systemd/system").is_dir() {
        return (Schedule::NoSystemd, None);
    }
    let units = |below: &str| {
        UNIT_FOLDERS
            .iter()
            .any(|folder| root.join(folder).join(below).symlink_metadata().is_ok())
    };
    let schedule = if units("multi-user.target.wants/clpctl.service") {
        Schedule::Service
    } else if units("timers.target.wants/clpctl.timer") {
        Schedule::Timer
    } else if units("clpctl.service") {
        Schedule::NotEnabled
    } else {
        Schedule::NotInstalled
    };
    let processes = CGROUPS
        .iter()
        .find_map(|folder| std::fs::read_to_string(root.join(folder)).ok());
    (
        schedule,
        Some(processes.is_some_and(|processes| !processes.trim().is_empty())),
    )
}

/// Where systemd looks for units, its own packages' last.
const UNIT_FOLDERS: [&str; 3] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/lib/systemd/system",
];

/// Where the kernel lists the processes of the service: cgroup v2, and v1.
const CGROUPS: [&str; 2] = [
    "sys/fs/cgroup/system.slice/clpctl.service/cgroup.procs",
    "sys/fs/cgroup/systemd/system.slice/clpctl.service/cgroup.procs",
];

#[cfg(test)]
mod tests {
    use super::{Schedule, Status, schedule};
    use crate::testing::{name, now, time};
    use expect_test::{Expect, expect};
    use renewal::ports::HistoryEntry;

    fn check(status: &Status, expect: Expect) {
        let text = anstream::adapter::strip_str(&status.to_text(now())).to_string();
        expect.assert_eq(&format!("{text}exit {}\n", status.exit_code()));
    }

    #[test]
    fn a_service_that_runs_and_a_host_without_anything() {
        let last = HistoryEntry {
            at: time("2026-02-01T06:00:00Z"),
            domain: Some(name("a.test")),
            what: "renewed".into(),
            detail: "version 4".into(),
        };
        let mut status = Status {
            schedule: Schedule::Service,
            running: Some(true),
            lock: Some("process 4711".to_owned()),
            last: Some(last),
            next_at: Some(time("2026-02-03T06:00:00Z")),
        };
        check(
            &status,
            expect![[r#"
            schedule  clpctl.service is enabled
            service   running
            lock      held by process 4711
            last      2026-02-01 06:00 UTC (6 hours ago): renewed a.test version 4
            next      2026-02-03 06:00 UTC (in 42 hours)
            exit 0
        "#]],
        );
        status.running = Some(false);
        check(
            &status,
            expect![[r#"
            schedule  clpctl.service is enabled
            service   not running: journalctl -u clpctl.service
            lock      held by process 4711
            last      2026-02-01 06:00 UTC (6 hours ago): renewed a.test version 4
            next      2026-02-03 06:00 UTC (in 42 hours)
            exit 1
        "#]],
        );
        check(
            &Status {
                schedule: Schedule::NotInstalled,
                running: Some(false),
                lock: None,
                last: None,
                next_at: None,
            },
            expect![[r#"
                schedule  nothing renews by itself: clpctl service:install
                lock      free
                last      nothing has happened yet
                next      nothing is waited for
                exit 1
            "#]],
        );
        check(
            &Status {
                schedule: Schedule::NoSystemd,
                running: None,
                lock: None,
                last: None,
                next_at: Some(now()),
            },
            expect![[r#"
                schedule  there is no systemd here: let cron run clpctl site:renew-certificates
                lock      free
                last      nothing has happened yet
                next      now
                exit 1
            "#]],
        );
    }

    #[test]
    fn files_tell_what_is_enabled_and_what_runs() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), text.as_bytes())
                .unwrap();
        };
        assert_eq!(schedule(root.path()), (Schedule::NoSystemd, None));
        std::fs::create_dir_all(root.path().join("run/systemd/system")).unwrap();
        assert_eq!(schedule(root.path()), (Schedule::NotInstalled, Some(false)));
        make("etc/systemd/system/clpctl.service", "");
        assert_eq!(schedule(root.path()), (Schedule::NotEnabled, Some(false)));
        make("etc/systemd/system/timers.target.wants/clpctl.timer", "");
        assert_eq!(schedule(root.path()), (Schedule::Timer, Some(false)));
        make(
            "etc/systemd/system/multi-user.target.wants/clpctl.service",
            "",
        );
        make(
            "sys/fs/cgroup/system.slice/clpctl.service/cgroup.procs",
            "4711\n",
        );
        assert_eq!(schedule(root.path()), (Schedule::Service, Some(true)));
    }
}
