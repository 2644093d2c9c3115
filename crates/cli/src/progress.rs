//! What is going on, while a run is at work?
//!
//! On a terminal: one line for each site in flight, with what it waits for, and a total. Elsewhere: plain lines.
//! With `--quiet`: nothing. In every case each event is also logged.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use renewal::finding::{Finding, Severity};
use renewal::name::Name;
use renewal::ports::{Event, Observer, Waiting};
use renewal::report::{Outcome, SiteReport};

use crate::commands::service_run::Pulse;
use crate::console::Console;
use crate::output::when;
use crate::output::wrap::clean;

/// Shows and logs the events of a run.
pub struct Progress {
    view: View,
    pulse: Option<Pulse>,
}

enum View {
    Drawn(Box<Drawn>),
    Lines(Console),
    Nothing,
}

struct Drawn {
    all: MultiProgress,
    total: ProgressBar,
    sites: Mutex<HashMap<Name, ProgressBar>>,
}

impl Progress {
    /// Chooses how to show progress on this console.
    #[must_use]
    pub fn new(console: &Console) -> Self {
        let view = if console.quiet {
            View::Nothing
        } else if console.draws {
            View::Drawn(Box::new(Drawn::new()))
        } else {
            View::Lines(console.clone())
        };
        Self { view, pulse: None }
    }

    /// Has every event felt as a beat besides.
    #[must_use]
    pub fn felt_by(self, pulse: &Pulse) -> Self {
        Self {
            pulse: Some(pulse.clone()),
            ..self
        }
    }
}

impl Observer for Progress {
    fn saw(&self, event: Event<'_>) {
        if let Some(pulse) = &self.pulse {
            pulse.saw(event);
        }
        log(&event);
        match &self.view {
            View::Drawn(drawn) => drawn.saw(&event),
            View::Lines(console) => {
                if let Some(line) = line(&event, console.verbose) {
                    console.say(&line);
                }
            }
            View::Nothing => {}
        }
    }
}

impl Drawn {
    fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let total = all.add(ProgressBar::new(0));
        total.set_style(style("{bar:24} {pos}/{len} {msg}"));
        Self {
            all,
            total,
            sites: Mutex::default(),
        }
    }

    fn saw(&self, event: &Event<'_>) {
        match event {
            Event::Planned { sites, due } => {
                self.total
                    .set_length(u64::try_from(*due).unwrap_or(u64::MAX));
                self.total.set_message(format!("due, of {sites} sites"));
            }
            Event::Checking(name) => self.show(name, "checking the way the CA will come"),
            Event::Ordering(name, waiting) => self.show(name, &waits_for(*waiting)),
            Event::Obtained(name) => self.show(name, "obtained; waiting for the deployment"),
            Event::Deploying(sites) => self.total.set_message(format!("deploying {sites}")),
            Event::Inserting(sites) => self
                .total
                .set_message(format!("putting the challenge line into {sites} vhosts")),
            Event::Reloaded => self
                .total
                .set_message("nginx reloads; looking at what it serves"),
            Event::Recovering(deployments) => self.total.set_message(format!(
                "finishing {deployments} deployments of an earlier run"
            )),
            Event::Found(name, finding) if finding.severity <= Severity::Warning => {
                let about = name.map(|name| format!("{name}: ")).unwrap_or_default();
                // A line above the bars; they are drawn again below it.
                let line = clean(&format!("{about}{}", finding.explanation));
                let _ = self.all.println(line);
            }
            Event::Finished(site) => self.finish(site),
            Event::Over(_) => {
                let _ = self.all.clear();
            }
            // Events that a later release adds are logged, and not drawn.
            _ => {}
        }
    }

    fn show(&self, name: &Name, what: &str) {
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        if !sites.contains_key(name) && sites.len() >= LINES_MAX {
            return;
        }
        let bar = sites.entry(name.clone()).or_insert_with(|| {
            let bar = self
                .all
                .insert_before(&self.total, ProgressBar::new_spinner());
            bar.set_style(style("{spinner} {prefix}  {wide_msg}"));
            bar.set_prefix(name.to_string());
            bar.enable_steady_tick(TICK);
            bar
        });
        bar.set_message(what.to_owned());
    }

    fn finish(&self, site: &SiteReport) {
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = sites.remove(site.domain()) {
            bar.finish_and_clear();
        }
        if counts(site.outcome) {
            self.total.inc(1);
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Says whether an outcome is one of those that the plan counted as due.
fn counts(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Issued | Outcome::Renewed | Outcome::Installed | Outcome::Failed => true,
        Outcome::NotDue | Outcome::WouldRenew | Outcome::Postponed | Outcome::Skipped => false,
    }
}

/// Writes an event as a line, if people want to read about it.
fn line(event: &Event<'_>, verbose: bool) -> Option<String> {
    let line = match event {
        Event::Planned { sites: 1, due } => format!("1 site, {due} to be done"),
        Event::Planned { sites, due } => format!("{sites} sites, {due} to be done"),
        Event::Recovering(deployments) => {
            format!("finishing {deployments} deployments of an earlier run")
        }
        Event::Checking(name) => format!("{name}: checking the way the CA will come"),
        Event::Ordering(name, Waiting::Until(moment)) => {
            format!("{name}: {}", waits_for(Waiting::Until(*moment)))
        }
        Event::Ordering(name, waiting) if verbose || *waiting == Waiting::Order => {
            format!("{name}: {}", waits_for(*waiting))
        }
        Event::Obtained(name) => format!("{name}: obtained"),
        Event::Inserting(1) => "putting the challenge line into a vhost".to_owned(),
        Event::Inserting(sites) => format!("putting the challenge line into {sites} vhosts"),
        Event::Deploying(1) => "deploying the certificate".to_owned(),
        Event::Deploying(sites) => format!("deploying {sites} certificates"),
        Event::Reloaded => "nginx was told to reload".to_owned(),
        Event::Finished(site) if counts(site.outcome) => {
            format!("{}: {}", site.domain(), site.outcome.as_str())
        }
        // Findings stand in the result, with their fixes.
        _ => return None,
    };
    Some(clean(&line))
}

fn waits_for(waiting: Waiting) -> String {
    match waiting {
        Waiting::Order => "ordering".to_owned(),
        Waiting::Validation => "waiting for the CA to look at the challenge".to_owned(),
        Waiting::Issuance => "waiting for the CA to sign".to_owned(),
        Waiting::Download => "fetching the certificate".to_owned(),
        Waiting::Until(moment) => {
            format!("the CA is busy; asking again at {}", when::minute(moment))
        }
    }
}

fn log(event: &Event<'_>) {
    match event {
        Event::Planned { sites, due } => tracing::info!(sites, due, "planned"),
        Event::Checking(domain) => tracing::info!(%domain, "checking"),
        Event::Ordering(domain, waiting) => tracing::info!(%domain, "{}", waits_for(*waiting)),
        Event::Obtained(domain) => tracing::info!(%domain, "obtained"),
        Event::Inserting(sites) => tracing::info!(sites, "putting the challenge line into vhosts"),
        Event::Deploying(sites) => tracing::info!(sites, "deploying"),
        Event::Reloaded => tracing::info!("told nginx to reload"),
        Event::Recovering(deployments) => {
            tracing::warn!(deployments, "finishing deployments of an earlier run");
        }
        Event::Found(domain, finding) => log_finding(*domain, finding),
        Event::Finished(site) => log_outcome(site),
        Event::Over(report) => {
            let (sites, reloads) = (report.sites.len(), report.reloads);
            tracing::info!(sites, reloads, "the run is over");
        }
        _ => tracing::debug!("{event:?}"),
    }
}

fn log_finding(domain: Option<&Name>, finding: &Finding) {
    let domain = domain.map(Name::as_str).unwrap_or_default();
    let (name, detail) = (finding.name.as_str(), finding.detail.as_str());
    let explanation = &finding.explanation;
    match finding.severity {
        Severity::Fatal | Severity::Error => {
            tracing::error!(domain, finding = name, detail, "{explanation}");
        }
        Severity::Warning => tracing::warn!(domain, finding = name, detail, "{explanation}"),
        Severity::Info => tracing::info!(domain, finding = name, detail, "{explanation}"),
    }
}

fn log_outcome(site: &SiteReport) {
    let (domain, outcome) = (site.domain(), site.outcome.as_str());
    let reason = site.reason.as_str();
    match site.outcome {
        Outcome::Failed => tracing::error!(%domain, reason, "{outcome}"),
        // A pass over ten thousand sites with nothing due is one line, not ten thousand.
        Outcome::NotDue | Outcome::Skipped => tracing::debug!(%domain, reason, "{outcome}"),
        Outcome::Issued
        | Outcome::Renewed
        | Outcome::Installed
        | Outcome::WouldRenew
        | Outcome::Postponed => {
            tracing::info!(%domain, reason, "{outcome}");
        }
    }
}

/// More lines would scroll a small terminal; the total still counts the others.
const LINES_MAX: usize = 16;

/// How often a waiting line moves.
const TICK: std::time::Duration = std::time::Duration::from_millis(120);

#[cfg(test)]
mod tests {
    use super::Progress;
    use crate::console::Console;
    use crate::testing::{name, report, site_report};
    use expect_test::expect;
    use renewal::ports::{Event, Observer, Waiting};
    use renewal::report::Outcome;

    fn run(progress: &Progress) {
        let a = name("a.test");
        let done = site_report("a.test", Outcome::Renewed);
        progress.saw(Event::Planned { sites: 3, due: 1 });
        progress.saw(Event::Checking(&a));
        progress.saw(Event::Ordering(&a, Waiting::Order));
        progress.saw(Event::Ordering(&a, Waiting::Validation));
        progress.saw(Event::Ordering(
            &a,
            Waiting::Until("2026-02-01T12:34:56Z".parse().unwrap()),
        ));
        progress.saw(Event::Obtained(&a));
        progress.saw(Event::Deploying(1));
        progress.saw(Event::Reloaded);
        progress.saw(Event::Finished(&done));
        progress.saw(Event::Finished(&site_report("b.test", Outcome::NotDue)));
        progress.saw(Event::Over(&report(vec![done])));
    }

    #[test]
    fn plain_lines_where_there_is_no_terminal() {
        let (console, out, err) = Console::captured(false);
        run(&Progress::new(&console));
        assert_eq!(out.text(), "");
        expect![[r#"
            3 sites, 1 to be done
            a.test: checking the way the CA will come
            a.test: ordering
            a.test: the CA is busy; asking again at 2026-02-01 12:34 UTC
            a.test: obtained
            deploying the certificate
            nginx was told to reload
            a.test: renewed
        "#]]
        .assert_eq(&err.text());
    }

    #[test]
    fn quiet_is_quiet() {
        let (mut console, _, err) = Console::captured(false);
        console.quiet = true;
        run(&Progress::new(&console));
        assert_eq!(err.text(), "");
    }

    #[test]
    fn drawing_survives_every_event_and_more_sites_than_lines() {
        let (mut console, _, _) = Console::captured(false);
        console.draws = true;
        let progress = Progress::new(&console);
        for number in 0..100 {
            progress.saw(Event::Checking(&name(&format!("s{number}.test"))));
        }
        run(&progress);
    }
}
