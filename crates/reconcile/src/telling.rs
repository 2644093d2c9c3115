//! Do the panel's users know what concerns them?
//!
//! What they were told is in the history, so that it is told once, whatever they do with the notice.

use std::collections::HashMap;

use renewal::finding::Finding;
use renewal::name::Name;
use renewal::notice;
use renewal::panel::Notice;
use renewal::plan::Remembered;
use renewal::ports::{
    Clock as _, HistoryEntry, HostFailure, Memory as _, MemoryFailure, Note, Panel as _,
};
use renewal::report::{Outcome, SiteReport};

use crate::world::World;

/// What was remembered of the sites before a run, and what is after it.
pub(crate) struct Times<'a> {
    pub(crate) before: &'a HashMap<Name, Remembered>,
    pub(crate) after: &'a HashMap<Name, Remembered>,
}

/// Tells the panel's users what is new of its sites; returns what stood in the way.
pub(crate) async fn tell<W: World>(
    world: &W,
    reports: impl Iterator<Item = &SiteReport>,
    times: &Times<'_>,
) -> Result<Option<Finding>, MemoryFailure> {
    let mut news: Vec<(&Name, Notice)> = Vec::new();
    for report in reports {
        for notice in about(world, report, times)? {
            news.push((report.domain(), notice));
        }
    }
    if news.is_empty() {
        return Ok(None);
    }
    let now = world.clock().now();
    let notices = news.iter().map(|(_, notice)| notice.clone()).collect();
    if let Err(HostFailure(finding)) = world.panel().notify(notices, now).await {
        return Ok(Some(finding));
    }
    let entries: Vec<HistoryEntry> = news
        .into_iter()
        .map(|(domain, notice)| HistoryEntry {
            at: now,
            domain: Some(domain.clone()),
            what: NOTICED.to_owned(),
            detail: notice.subject,
        })
        .collect();
    let notes: Vec<Note<'_>> = entries.iter().map(Note::History).collect();
    world.memory().note(&notes)?;
    Ok(None)
}

/// Returns what is to be told about one site, and was not yet.
fn about<W: World>(
    world: &W,
    report: &SiteReport,
    times: &Times<'_>,
) -> Result<Vec<Notice>, MemoryFailure> {
    let domain = report.domain();
    let mut news = Vec::new();
    let attempts = |times: &'_ HashMap<Name, Remembered>| times.get(domain)?.attempts.clone();
    let failure = notice::failure_subject(domain);
    match report.outcome {
        Outcome::Failed => {
            let failed = attempts(times.after)
                .and_then(|attempts| notice::of_failure(report, &attempts, world.clock().now()));
            if let Some(notice) = failed
                && !told(world, domain, &failure, Since::LastSuccess)?
            {
                news.push(notice);
            }
        }
        Outcome::Issued | Outcome::Renewed | Outcome::Installed => {
            let had_failed = attempts(times.before).is_some();
            if had_failed && told(world, domain, &failure, Since::SuccessBefore)? {
                news.push(notice::of_recovery(report));
            }
        }
        Outcome::NotDue | Outcome::WouldRenew | Outcome::Postponed | Outcome::Skipped => {}
    }
    let others = report.findings.iter();
    for notice in others.filter_map(|finding| notice::of_finding(report, finding)) {
        if !told(world, domain, &notice.subject, Since::Ever)? {
            news.push(notice);
        }
    }
    Ok(news)
}

/// How far to look back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Since {
    /// The last success.
    LastSuccess,
    /// The success before the one of this run.
    SuccessBefore,
    /// As far as is remembered.
    Ever,
}

/// Says whether the site's users were told this.
fn told<W: World>(
    world: &W,
    domain: &Name,
    subject: &str,
    since: Since,
) -> Result<bool, MemoryFailure> {
    let mut successes_left = match since {
        Since::LastSuccess => 0,
        Since::SuccessBefore => 1,
        Since::Ever => usize::MAX,
    };
    for entry in world.memory().history(Some(domain), LOOKED_BACK)? {
        if entry.what == NOTICED && entry.detail == subject {
            return Ok(true);
        }
        let success = [Outcome::Issued, Outcome::Renewed]
            .iter()
            .any(|outcome| entry.what == outcome.as_str());
        if success {
            if successes_left == 0 {
                return Ok(false);
            }
            successes_left -= 1;
        }
    }
    Ok(false)
}

/// What the history calls it.
const NOTICED: &str = "noticed";

/// More than a site that fails four times a day gathers in a month.
const LOOKED_BACK: usize = 200;
