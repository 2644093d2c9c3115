//! Has nginx connections and open files enough for what it serves?
//!
//! A worker needs a connection for each visitor and each address it listens on, and an open file for each connection and
//! each log. Where there are too few, visitors and the CA wait or are refused, or the next reload fails.

use std::path::Path;

use renewal::finding::{Finding, FindingName};
use renewal::fix::Amendment;
use renewal::site::Place;
use serde::{Deserialize, Serialize};

/// What nginx may use, and what it serves.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct LimitsSeen {
    /// How many workers there are.
    pub workers: u64,
    /// How many connections each may have, and where that is said; nginx's own number where it is not.
    pub connections: (u64, Option<Place>),
    /// How many files each may have open, and where that is said.
    pub files: Option<(u64, Place)>,
    /// The `events` block.
    pub events: Option<Place>,
    /// How many files the master may have open, which is what workers get without a line; `None` when nobody knows.
    pub inherited: Option<u64>,
    /// How many server blocks there are.
    pub servers: u64,
    /// How many addresses are listened on.
    pub listens: u64,
    /// How many log files are open.
    pub logs: u64,
    /// The memory that is free, in bytes, when it is known.
    pub memory: Option<u64>,
}

/// Returns how many files a process may have open, as `proc`, the folder `/proc`, tells.
#[must_use]
pub fn files_of(proc: &Path, process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(proc.join(process.to_string()).join("limits")).ok()?;
    let line = text
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    match line.split_whitespace().nth(3)? {
        "unlimited" => Some(u64::MAX),
        soft => soft.parse().ok(),
    }
}

/// Returns the memory that is free, in bytes, as `proc` tells.
#[must_use]
pub fn free_memory(proc: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(proc.join("meminfo")).ok()?;
    let line = text
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

impl LimitsSeen {
    /// Returns the connections that all workers together have for visitors.
    fn usable(&self) -> u64 {
        self.workers * self.connections.0.saturating_sub(self.listens)
    }

    /// Returns how many there should be at least: one for each server block.
    fn needed(&self) -> u64 {
        self.servers.max(CONNECTIONS_LEAST)
    }

    /// Returns how many files a worker with so many connections has open when all are used.
    fn files_for(&self, connections: u64) -> u64 {
        connections + self.logs + self.listens + FILES_BESIDE
    }

    fn limit(&self) -> Option<u64> {
        self.files
            .as_ref()
            .map(|(files, _)| *files)
            .or(self.inherited)
    }
}

/// Finds that there are too few.
#[must_use]
pub fn judge(seen: &LimitsSeen) -> Vec<Finding> {
    let (usable, needed) = (seen.usable(), seen.needed());
    let mut lines = Vec::new();
    if usable < needed {
        lines.push(format!(
            "{} workers with {} connections each, of which {} are for listening, leave {usable} for {} server blocks",
            seen.workers, seen.connections.0, seen.listens, seen.servers
        ));
    }
    let files = seen.files_for(seen.connections.0);
    if let Some(limit) = seen.limit().filter(|limit| *limit < files) {
        lines.push(format!(
            "{} connections, {} logs and {} listening sockets need {files} open files in each worker, and {limit} are allowed",
            seen.connections.0, seen.logs, seen.listens
        ));
    }
    if lines.is_empty() {
        return Vec::new();
    }
    let raised = match raised(seen) {
        Raised {
            connections: None,
            files: None,
        } => "Give the host more memory, or fewer sites.".to_owned(),
        Raised { connections, files } => {
            let connections =
                connections.map(|to| format!("worker_connections {to} in the events block"));
            let files = files.map(|to| format!("worker_rlimit_nofile {to} outside of it"));
            let both: Vec<String> = connections.into_iter().chain(files).collect();
            format!(
                "In nginx.conf set {}; then nginx -t && systemctl reload nginx",
                both.join(" and ")
            )
        }
    };
    vec![
        Finding::new(
            FindingName::WorkerConnectionsLow,
            "nginx may run out of connections or open files, and then refuses visitors and the CA.",
        )
        .detail(lines.join("\n"))
        .fix(raised),
    ]
}

/// What should stand in the configuration instead; `None` for what is enough.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Raised {
    /// The connections of each worker.
    pub connections: Option<u64>,
    /// The open files of each worker.
    pub files: Option<u64>,
}

/// Works out limits that fit the sites and the memory: four connections for each server block, two files for each
/// connection.
#[must_use]
pub fn raised(seen: &LimitsSeen) -> Raised {
    let now = seen.connections.0;
    let connections = (seen.usable() < seen.needed()).then(|| {
        let wanted = (seen.needed() * PER_SERVER).div_ceil(seen.workers.max(1)) + seen.listens;
        let most = seen.memory.map_or(u64::MAX, |memory| {
            memory / MEMORY_SHARE / seen.workers.max(1) / BYTES_PER_CONNECTION
        });
        wanted.next_power_of_two().max(CONNECTIONS_USUAL).min(most)
    });
    let connections = connections.filter(|to| *to > now);
    let after = connections.unwrap_or(now);
    let too_few = seen
        .limit()
        .is_some_and(|limit| limit < seen.files_for(after));
    let files = too_few.then(|| (after + seen.files_for(after)).next_power_of_two());
    Raised {
        connections,
        // The kernel lets no process have more, root's neither (fs.nr_open).
        files: files.map(|files| files.min(FILES_MOST)),
    }
}

/// Returns the lines to change for [`raised`] limits; none where nothing can be raised.
#[must_use]
pub fn amendments(seen: &LimitsSeen) -> Vec<Amendment> {
    let line = |directive: &str, number: u64, at: Option<&Place>, behind: bool| {
        let arguments = vec![number.to_string()];
        let directive = directive.to_owned();
        match (at, &seen.events) {
            (Some(at), _) => Some(Amendment::Arguments {
                at: at.clone(),
                directive,
                arguments,
            }),
            (None, Some(events)) if behind => Some(Amendment::Behind {
                at: events.clone(),
                directive: "events".to_owned(),
                statement: format!("{directive} {number};"),
            }),
            (None, Some(events)) => Some(Amendment::Inside {
                at: events.clone(),
                block: "events".to_owned(),
                behind: None,
                statement: format!("{directive} {number};"),
            }),
            (None, None) => None,
        }
    };
    let Raised { connections, files } = raised(seen);
    let connections = connections
        .and_then(|to| line("worker_connections", to, seen.connections.1.as_ref(), false));
    let at = seen.files.as_ref().map(|(_, at)| at);
    let files = files.and_then(|to| line("worker_rlimit_nofile", to, at, true));
    connections.into_iter().chain(files).collect()
}

/// Fewer would be too few for a single busy site.
const CONNECTIONS_LEAST: u64 = 64;

/// What a host that is not tuned at all can bear; nginx's own number is half of it.
const CONNECTIONS_USUAL: u64 = 1024;

/// A visitor of a proxied site takes two, and a page is fetched by several at once.
const PER_SERVER: u64 = 4;

/// What nginx sets aside for a connection and its two events on a 64-bit machine, rounded up.
const BYTES_PER_CONNECTION: u64 = 512;

/// So much of the free memory may be set aside for connections: one part in so many.
const MEMORY_SHARE: u64 = 16;

/// Channels to the master, the epoll instance, standard streams, and what modules open.
const FILES_BESIDE: u64 = 16;

/// The kernel's usual `fs.nr_open`.
const FILES_MOST: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::{LimitsSeen, amendments, judge, raised};
    use expect_test::{Expect, expect};
    use renewal::site::Place;

    fn check(change: impl Fn(&mut LimitsSeen), expect: Expect) {
        let at = |line| Place {
            file: "/etc/nginx/nginx.conf".into(),
            line,
        };
        let mut seen = LimitsSeen {
            workers: 2,
            connections: (768, Some(at(3))),
            files: None,
            events: Some(at(2)),
            inherited: Some(1024),
            servers: 20,
            listens: 4,
            logs: 4,
            memory: Some(1 << 30),
        };
        change(&mut seen);
        let found: Vec<String> = judge(&seen)
            .into_iter()
            .map(|finding| format!("{}\n{}", finding.detail, finding.fix))
            .collect();
        expect.assert_eq(&format!(
            "{}{} lines",
            found.concat(),
            amendments(&seen).len()
        ));
    }

    #[test]
    fn debians_own_limits_are_enough_for_a_few_sites() {
        check(|_| {}, expect!["0 lines"]);
        check(|seen| seen.inherited = None, expect!["0 lines"]);
    }

    #[test]
    fn more_sites_than_connections() {
        check(
            |seen| seen.servers = 3000,
            expect![[r#"
            2 workers with 768 connections each, of which 4 are for listening, leave 1528 for 3000 server blocks
            In nginx.conf set worker_connections 8192 in the events block and worker_rlimit_nofile 32768 outside of it; then nginx -t && systemctl reload nginx2 lines"#]],
        );
    }

    #[test]
    fn a_log_for_each_site_takes_the_files() {
        check(
            |seen| seen.logs = 2000,
            expect![[r#"
            768 connections, 2000 logs and 4 listening sockets need 2788 open files in each worker, and 1024 are allowed
            In nginx.conf set worker_rlimit_nofile 4096 outside of it; then nginx -t && systemctl reload nginx1 lines"#]],
        );
    }

    #[test]
    fn what_was_raised_is_enough_and_memory_bounds_it() {
        for servers in [0, 1, 100, 5000, 200_000] {
            let mut seen = LimitsSeen {
                workers: 4,
                connections: (16, None),
                inherited: Some(64),
                servers,
                listens: 2,
                memory: Some(8 << 30),
                ..LimitsSeen::default()
            };
            let to = raised(&seen);
            seen.connections.0 = to.connections.unwrap();
            seen.inherited = Some(to.files.unwrap());
            assert!(judge(&seen).is_empty(), "{servers}: {seen:?}");
        }
        check(
            |seen| {
                seen.servers = 5000;
                seen.memory = Some(1 << 20);
            },
            expect![[r#"
                2 workers with 768 connections each, of which 4 are for listening, leave 1528 for 5000 server blocks
                Give the host more memory, or fewer sites.0 lines"#]],
        );
    }
}
