//! How long does a run take to remember 10,000 sites? Prints two lines.

#![expect(clippy::unwrap_used, reason = "a failure ends the measurement")]

use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use renewal::certificate::{Certificate, CertificateId, Fingerprint};
use renewal::name::Name;
use renewal::ports::{Memory, Seen, Stamp};
use renewal::suggestion::{Chosen, Suggestion};
use renewal::window::Window;
use store::Database;

#[expect(clippy::print_stdout, reason = "its one result")]
fn main() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clpctl.db");
    let now: Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
    let database = Database::open(&path, now).unwrap();
    let (suggestions, seen) = fleet(now);
    database.remember_suggestions(&suggestions).unwrap();
    database.remember_seen(&seen).unwrap();
    drop(database);

    let (mut first, mut best) = (None, [Duration::MAX; 3]);
    for _ in 0..20 {
        let start = own_cpu();
        let database = Database::open(&path, now).unwrap();
        let opened = own_cpu();
        let remembered = database.remembered().unwrap();
        let schedule = own_cpu();
        let known = database.known().unwrap();
        let files = own_cpu();
        assert_eq!((remembered.len(), known.len()), (seen.len(), seen.len()));
        let parts = [opened - start, schedule - opened, files - schedule];
        first.get_or_insert(parts);
        best = std::array::from_fn(|part| best[part].min(parts[part]));
    }
    for (which, [opened, schedule, files]) in [("first", first.unwrap()), ("best of 20", best)] {
        println!(
            "{SITES} sites, {which}: open {opened:.1?}, remembered {schedule:.1?}, known {files:.1?} of CPU"
        );
    }
}

type Fleet = (Vec<(Name, Suggestion)>, Vec<(PathBuf, Seen)>);

/// Makes what is remembered of a fleet.
fn fleet(now: Timestamp) -> Fleet {
    let later = now.checked_add(SignedDuration::from_hours(900)).unwrap();
    let window = Window::new(now, later).unwrap();
    let (mut suggestions, mut seen) = (Vec::new(), Vec::new());
    for number in 0..SITES {
        let domain = Name::parse(&format!("customer-{number}.example.com")).unwrap();
        let www = Name::parse(&format!("www.{domain}")).unwrap();
        let id = CertificateId(format!("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE{number:032x}"));
        let path = PathBuf::from(format!("/etc/letsencrypt/live/{domain}/fullchain.pem"));
        let stamp = Stamp {
            inode: number,
            modified_ns: now.as_nanosecond(),
            size: 3_000,
        };
        seen.push((
            path,
            Seen {
                stamp,
                key_stamp: Some(stamp),
                certificate: std::sync::Arc::new(Certificate {
                    names: vec![domain.clone(), www],
                    valid: window,
                    issuer: "R12".to_owned(),
                    serial: format!("{number:036x}"),
                    sha256: Fingerprint([9; 32]),
                    id: Some(id.clone()),
                    self_signed: false,
                }),
                key_fits: true,
            },
        ));
        let chosen = Some(Chosen {
            window,
            at: now,
            explanation: None,
        });
        let suggestion = Suggestion {
            id,
            chosen,
            poll_at: later,
            failures: 0,
        };
        suggestions.push((domain, suggestion));
    }
    (suggestions, seen)
}

/// Returns the CPU time of this thread: wall time says little on a busy machine.
fn own_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.try_into().unwrap()
}

const SITES: u64 = 10_000;
