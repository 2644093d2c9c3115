//! Do the rules keep up with a million lineages, and does their cost grow in a straight line?
//!
//! [`renewal::plan::plan`] alone: no file is read, nothing is remembered but what is made here. One lineage in a
//! hundred is due, one in a thousand has failed lately, and for half of them the CA has suggested a window.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use renewal::certificate::{Certificate, CertificateId, Fingerprint};
use renewal::name::Name;
use renewal::names::Names;
use renewal::plan::{Action, Remembered, Wish, plan};
use renewal::retry::{Attempts, Blame};
use renewal::site::{Current, Server, Site};
use renewal::suggestion::{Answer, Suggestion};
use renewal::window::Window;

use crate::arguments::Arguments;
use crate::measure::{median, own_cpu};
use crate::table::{Table, number};

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let now: Timestamp = "2026-11-24T00:00:00Z".parse()?;
    let most = arguments.choose(1_000_000, 100_000);
    let fleet: Vec<_> = (0..most).map(|index| lineage(index, now)).collect();
    let mut table = Table::new([
        "lineages",
        "s",
        "CPU, s",
        "CPU per lineage, ns",
        "due",
        "to reach",
    ]);
    let mut each = Vec::new();
    for count in [most / 10, most] {
        let mut rounds = Vec::new();
        let mut due = 0;
        for _ in 0..ROUNDS {
            let (start, spent) = (Instant::now(), own_cpu());
            let sites = fleet[..count]
                .iter()
                .map(|(site, known)| (site, Some(known)));
            let plan = black_box(plan(sites, &Wish::default(), now));
            rounds.push((start.elapsed().as_secs_f64(), own_cpu() - spent));
            let ordered = plan
                .items
                .iter()
                .filter(|item| matches!(item.action, Action::Order { .. }));
            due = ordered.count();
        }
        // What else runs here is in the time on the clock, but not in the processor's.
        let (wall, cpu) = median(rounds, |(_, cpu)| *cpu).ok_or("no round was asked for")?;
        #[expect(clippy::cast_precision_loss, reason = "a million is far below 2^52")]
        let nanoseconds = cpu * 1e9 / count as f64;
        let target = if count == 1_000_000 { "≤ 1 s" } else { "" };
        table.line([
            count.to_string(),
            number(wall),
            number(cpu),
            number(nanoseconds),
            due.to_string(),
            target.to_owned(),
        ]);
        each.push(nanoseconds);
    }
    println!("Medians of {ROUNDS} rounds.\n\n{table}");
    if let [fewer, more] = each[..] {
        println!(
            "Ten times the lineages cost {} times as much for each; a straight line is 1.",
            number(more / fewer)
        );
    }
    Ok(())
}

fn lineage(index: usize, now: Timestamp) -> (Site, Remembered) {
    let domain = Name::parse(&format!("www.site-{index}.example.com")).expect("the name is plain");
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    let left = match index % 100 {
        0 => 5,
        other => 31 + i64::try_from(other % 59).expect("a remainder is small"),
    };
    let (start, end) = (now + days(left - 90), now + days(left));
    let valid = Window::new(start, end).expect("ninety days are some");
    let id = CertificateId(format!("aYhba4dGQEHhs3uEe6CuLN4ByNQ.{index:016x}"));
    let mut sha256 = [0; 32];
    sha256[..8].copy_from_slice(&index.to_le_bytes());
    let certificate = Certificate {
        names: vec![domain.clone()],
        valid,
        issuer: "R10".to_owned(),
        serial: format!("04{index:032x}"),
        sha256: Fingerprint(sha256),
        id: Some(id.clone()),
        self_signed: false,
    };
    let lineage = domain.as_str().to_owned();
    let path = format!("/etc/letsencrypt/live/{lineage}/fullchain.pem").into();
    let site = Site {
        servers: vec![Server::default().into()],
        current: Some(Current {
            certificate: certificate.into(),
            path,
            version: Some(1),
            key_fits: true,
        }),
        ..Site::new(Names::from(domain))
    };
    (site, remembered(index, &id, end - days(30), now))
}

fn remembered(
    index: usize,
    id: &CertificateId,
    third_left: Timestamp,
    now: Timestamp,
) -> Remembered {
    let window = Window::new(third_left, third_left + SignedDuration::from_hours(48))
        .expect("two days are some");
    let answer = Answer {
        window,
        explanation: None,
        retry_after: None,
    };
    let suggested = index
        .is_multiple_of(2)
        .then(|| Suggestion::answered(None, id, answer, now));
    let failed = index.is_multiple_of(1000).then(|| {
        let cause = "the CA could not fetch the token".to_owned();
        Attempts::failed(None, Blame::Site, true, None, cause, now)
    });
    Remembered {
        suggestion: suggested,
        attempts: failed,
        line_at: None,
    }
}

/// How often each size is planned.
const ROUNDS: usize = 5;
