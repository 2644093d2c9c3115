//! `service:run`: the scheduler in the foreground.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use reconcile::pass::RunError;
use reconcile::service::{ServiceSettings, Supervisor, serve};
use reconcile::world::Stop;
use renewal::report::{Outcome, Report};
use sd_notify::NotifyState;

use crate::commands::renew::stop_on_signal;
use crate::commands::{Session, runtime};
use crate::config::{Config, Flags};
use crate::errors::CommandError;
use crate::output::when;
use crate::wire::{Access, Wiring};

use self::watching::Watching;

mod watching;

/// Runs the scheduler until it is told to end.
///
/// # Errors
///
/// When it could not begin.
pub fn run(session: &Session, config: &Config) -> Result<u8, CommandError> {
    session.start_logs(config);
    let mut present = Present::new(session, config)?;
    let files = config.file.iter().cloned().collect::<Vec<PathBuf>>();
    runtime()?.block_on(async {
        let (sender, stop) = Stop::channel();
        tokio::spawn(stop_on_signal(sender));
        tokio::spawn(feed_the_watchdog());
        let mut watching = Watching::new(files);
        let teller = Teller {
            session: session.clone(),
        };
        serve(
            || present.world(),
            ServiceSettings::default(),
            &mut watching,
            &teller,
            stop,
        )
        .await;
    });
    tell(&[NotifyState::Stopping]);
    Ok(0)
}

/// What the service works with, as its configuration has it now.
struct Present<'a> {
    session: &'a Session,
    world: Arc<Wiring>,
    /// The files that it was made from, and what stood in them.
    sources: Vec<(PathBuf, Option<Vec<u8>>)>,
}

impl<'a> Present<'a> {
    fn new(session: &'a Session, config: &Config) -> Result<Self, CommandError> {
        // Read first: a change in the meantime is then seen as one.
        let sources = sources(config);
        let world = Arc::new(Wiring::new(
            session,
            config,
            "service:run",
            Access::Change,
            None,
        )?);
        Ok(Self {
            session,
            world,
            sources,
        })
    }

    /// Returns the world; made anew when the configuration changed, and kept when that is wrong now.
    fn world(&mut self) -> Arc<Wiring> {
        let changed = self
            .sources
            .iter()
            .any(|(path, before)| std::fs::read(path).ok() != *before);
        if changed {
            let config = self.session.config(&Flags::default());
            match config.and_then(|config| Self::new(self.session, &config)) {
                Ok(present) => {
                    tracing::info!("the configuration changed, and was read again");
                    *self = present;
                }
                Err(error) => {
                    let cause = error.causes.first().unwrap_or(&error.error);
                    let text = format!(
                        "the configuration changed and cannot be used; the one before stays in force: {cause}"
                    );
                    tracing::warn!("{text}");
                    self.session.console.warn(&text);
                }
            }
        }
        Arc::clone(&self.world)
    }
}

fn sources(config: &Config) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let paths = config.file.iter().chain(&config.acme.ca_bundle);
    paths
        .map(|path| (path.clone(), std::fs::read(path).ok()))
        .collect()
}

/// Tells systemd and the log how it fares.
struct Teller {
    session: Session,
}

impl Supervisor for Teller {
    fn passed(&self, report: &Result<Report, RunError>, next: Timestamp) {
        let status = match report {
            Ok(report) => {
                let count = |outcome| {
                    report
                        .sites
                        .iter()
                        .filter(|site| site.outcome == outcome)
                        .count()
                };
                format!(
                    "{} sites, {} renewed, {} failed; next at {}",
                    report.sites.len(),
                    count(Outcome::Renewed) + count(Outcome::Issued),
                    count(Outcome::Failed),
                    when::minute(next)
                )
            }
            Err(error) => format!(
                "the last pass could not begin: {error}; next at {}",
                when::minute(next)
            ),
        };
        tracing::info!("{status}");
        self.session.console.say(&status);
        // Ready only now: what is started after us may count on one pass having been made.
        tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }
}

/// Tells systemd that the runtime is alive, at half the time it allows.
async fn feed_the_watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut interval = tokio::time::interval(limit / 2);
    loop {
        interval.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

/// Without systemd there is nobody to tell, and that is no error.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}
