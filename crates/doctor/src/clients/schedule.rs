//! What starts another client by itself?
//!
//! systemd's timers, and cron's tables in all the places where cron looks. A timer counts when it is enabled, a cron
//! job when cron would run it: Debian's job for certbot does nothing where systemd runs, and says so in its line.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use renewal::adoption::Client;

use crate::reading;

/// Everything that starts other clients.
#[derive(Clone, Debug, Default)]
pub struct Schedules {
    all: Vec<Schedule>,
}

/// One thing that starts a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Schedule {
    /// Whom it starts.
    pub client: Client,
    /// What it is.
    pub kind: Kind,
    /// Where it is written down.
    pub place: PathBuf,
}

/// What starts a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A timer of systemd, by its unit's name.
    Timer(String),
    /// A file in `/etc/cron.d` that starts nothing else.
    CronFile,
    /// A line among others.
    CronLine(usize),
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Timer(unit) => f.write_str(unit),
            Kind::CronFile => write!(f, "{}", self.place.display()),
            Kind::CronLine(line) => write!(f, "{}:{line}", self.place.display()),
        }
    }
}

impl Schedules {
    /// Looks at this host, whose file system begins at `root`.
    #[must_use]
    pub fn observe(root: &Path) -> Self {
        let systemd = root.join("run/systemd/system").exists();
        let mut all = Vec::new();
        if systemd {
            all.extend(timers(root));
        }
        let table = |all: &mut Vec<Schedule>, path: &Path, own_file: bool| {
            if let Ok(text) = reading::text(path) {
                all.extend(jobs(path, &text, systemd, own_file));
            }
        };
        table(&mut all, &root.join("etc/crontab"), false);
        for path in files(&root.join("etc/cron.d")).filter(|path| is_read(path)) {
            table(&mut all, &path, true);
        }
        for folder in ["hourly", "daily", "weekly", "monthly"] {
            for path in files(&root.join(format!("etc/cron.{folder}"))).filter(|path| is_read(path))
            {
                table(&mut all, &path, false);
            }
        }
        for folder in ["var/spool/cron/crontabs", "var/spool/cron"] {
            for path in files(&root.join(folder)) {
                table(&mut all, &path, false);
            }
        }
        Self { all }
    }

    /// Returns what starts this client.
    pub fn of(&self, client: Client) -> impl Iterator<Item = &Schedule> {
        self.all
            .iter()
            .filter(move |schedule| schedule.client == client)
    }

    /// Returns the folders that jobs of acme.sh name as its home.
    #[must_use]
    pub fn homes(&self) -> Vec<PathBuf> {
        let mut homes = Vec::new();
        for schedule in self.of(Client::AcmeSh) {
            let text = reading::text(&schedule.place).unwrap_or_default();
            for line in text
                .lines()
                .filter(|line| starts(line) == Some(Client::AcmeSh))
            {
                let Some((_, rest)) = line.split_once("--home") else {
                    continue;
                };
                let word = rest.split_whitespace().next().unwrap_or_default();
                homes.push(PathBuf::from(word.trim_matches(['"', '\''])));
            }
        }
        homes.dedup();
        homes
    }
}

fn timers(root: &Path) -> Vec<Schedule> {
    let enabled = files(&root.join("etc/systemd/system/timers.target.wants"));
    enabled
        .filter_map(|path| {
            let unit = path.file_name()?.to_str()?.to_owned();
            let known = TIMERS.iter().find(|(name, _)| *name == unit)?;
            Some(Schedule {
                client: known.1,
                kind: Kind::Timer(unit),
                place: path,
            })
        })
        .collect()
}

pub(crate) fn jobs(path: &Path, text: &str, systemd: bool, own_file: bool) -> Vec<Schedule> {
    let lines = || (1..).zip(text.lines().map(str::trim));
    let is_job = |line: &str| {
        let assigns = line
            .split_once('=')
            .is_some_and(|(name, _)| !name.contains(char::is_whitespace));
        !line.is_empty() && !line.starts_with('#') && !assigns
    };
    let found: Vec<(usize, Client)> = lines()
        .filter(|(_, line)| !(systemd && line.contains(NOT_UNDER_SYSTEMD)))
        .filter_map(|(number, line)| Some((number, starts(line)?)))
        .collect();
    let alone = own_file && lines().filter(|(_, line)| is_job(line)).count() == found.len();
    let schedule = |(number, client)| Schedule {
        client,
        kind: if alone {
            Kind::CronFile
        } else {
            Kind::CronLine(number)
        },
        place: path.to_owned(),
    };
    found.into_iter().map(schedule).collect()
}

/// Says whom a line of a table starts.
fn starts(line: &str) -> Option<Client> {
    if line.starts_with('#') {
        return None;
    }
    if line.contains("certbot") && line.contains("renew") {
        return Some(Client::Certbot);
    }
    (line.contains("acme.sh") && line.contains("--cron")).then_some(Client::AcmeSh)
}

/// Debian's cron reads only files with plain names, so that what editors and packages leave beside them is no job.
fn is_read(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn files(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| !path.is_dir())
        .collect();
    paths.sort();
    paths.into_iter()
}

/// The timers under which distributions, snaps and people start clients.
const TIMERS: [(&str, Client); 5] = [
    ("certbot.timer", Client::Certbot),
    ("certbot-renew.timer", Client::Certbot),
    ("snap.certbot.renew.timer", Client::Certbot),
    ("acme.sh.timer", Client::AcmeSh),
    ("acme_letsencrypt.timer", Client::AcmeSh),
];

/// By this a job says that a timer does its work.
const NOT_UNDER_SYSTEMD: &str = r"\! -d /run/systemd/system";

#[cfg(test)]
mod tests {
    use super::Schedules;
    use expect_test::{Expect, expect};
    use renewal::adoption::Client;

    /// Debian's, shortened.
    const DEBIAN: &str = "SHELL=/bin/sh\nPATH=/usr/bin:/bin\n\n# renew\n0 */12 * * * root test -x /usr/bin/certbot -a \\! -d /run/systemd/system && certbot -q renew\n";

    #[track_caller]
    fn check(files: &[(&str, &str)], expect: Expect) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            crate::testing::put(&path, text);
        }
        let schedules = Schedules::observe(root.path());
        let mut lines = Vec::new();
        for client in [Client::Certbot, Client::AcmeSh] {
            lines.extend(schedules.of(client).map(|one| format!("{client}: {one}")));
        }
        let homes = schedules.homes();
        lines.extend(homes.iter().map(|home| format!("home {}", home.display())));
        let text = lines.join("\n").replace(root.path().to_str().unwrap(), "");
        expect.assert_eq(&text);
    }

    #[test]
    fn a_timer_counts_where_systemd_runs_and_the_job_elsewhere() {
        let timer = "etc/systemd/system/timers.target.wants/certbot.timer";
        let files = [(timer, ""), ("etc/cron.d/certbot", DEBIAN)];
        check(&files, expect!["certbot: /etc/cron.d/certbot"]);
        let under_systemd = [&files[..], &[("run/systemd/system/x", "")]].concat();
        check(&under_systemd, expect!["certbot: certbot.timer"]);
    }

    #[test]
    fn jobs_are_found_wherever_cron_looks() {
        check(
            &[
                (
                    "etc/crontab",
                    "17 * * * * root cd / && run-parts /etc/cron.hourly\n1 2 * * * root certbot renew\n",
                ),
                (
                    "etc/cron.daily/renew",
                    "#!/bin/sh\n/snap/bin/certbot renew --quiet\n",
                ),
                (
                    "var/spool/cron/crontabs/root",
                    "41 0 * * * \"/home/x/.acme.sh\"/acme.sh --cron --home \"/home/x/.acme.sh\" > /dev/null\n",
                ),
            ],
            expect![[r#"
                certbot: /etc/crontab:2
                certbot: /etc/cron.daily/renew:2
                acme.sh: /var/spool/cron/crontabs/root:1
                home /home/x/.acme.sh"#]],
        );
    }

    #[test]
    fn what_starts_nothing_is_none() {
        check(
            &[
                ("etc/cron.d/.certbot.disabled-by-clpctl", DEBIAN),
                ("etc/cron.d/certbot.dpkg-old", DEBIAN),
                (
                    "etc/cron.d/backup",
                    "1 2 * * * root tar c /etc/letsencrypt # certbot\n",
                ),
                ("etc/cron.d/off", "# 1 2 * * * root certbot renew\n"),
                ("etc/cron.d/two", "1 2 * * * root certbot certificates\n"),
            ],
            expect![""],
        );
    }
}
