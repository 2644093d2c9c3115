//! How long does a run take to remember 10,000 sites? Prints one line.

#![expect(clippy::unwrap_used, reason = "a failure ends the measurement")]

use std::path::PathBuf;
use std::time::Instant;

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
    let later = now.checked_add(SignedDuration::from_hours(900)).unwrap();
    let window = Window::new(now, later).unwrap();
    let database = Database::open(&path, now).unwrap();
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
                certificate: Certificate {
                    names: vec![domain.clone(), www],
                    valid: window,
                    issuer: "R12".to_owned(),
                    serial: format!("{number:036x}"),
                    sha256: Fingerprint([9; 32]),
                    id: Some(id.clone()),
                    self_signed: false,
                },
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
    database.remember_suggestions(&suggestions).unwrap();
    database.remember_seen(&seen).unwrap();
    drop(database);

    let mut best = [f64::MAX; 3];
    for _ in 0..20 {
        let start = Instant::now();
        let database = Database::open(&path, now).unwrap();
        let opened = start.elapsed();
        let remembered = database.remembered().unwrap();
        let schedule = start.elapsed() - opened;
        let known = database.known().unwrap();
        let files = start.elapsed() - opened - schedule;
        assert_eq!((remembered.len(), known.len()), (seen.len(), seen.len()));
        for (best, part) in best.iter_mut().zip([opened, schedule, files]) {
            *best = best.min(part.as_secs_f64() * 1000.0);
        }
    }
    let [opened, schedule, files] = best;
    println!(
        "{SITES} sites, best of 20: open {opened:.1} ms, remembered {schedule:.1} ms, known {files:.1} ms"
    );
}

const SITES: u64 = 10_000;
