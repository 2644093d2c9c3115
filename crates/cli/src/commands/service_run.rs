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
use crate::config::{ADOPTED, Config, FILE_USUAL, Flags};
use crate::errors::CommandError;
use crate::output::when;
use crate::wire::{Access, Wiring};

use self::watching::Watching;

pub use self::pulse::Pulse;

mod pulse;
mod watching;

/// Runs the scheduler until it is told to end.
///
/// # Errors
///
/// When it could not begin.
pub fn run(session: &Session, config: &Config) -> Result<u8, CommandError> {
    session.start_logs(config);
    let pulse = Pulse::new();
    let mut present = Present::new(session, config, &pulse)?;
    runtime()?.block_on(async {
        let (sender, stop) = Stop::channel();
        tokio::spawn(stop_on_signal(sender));
        if let Some(limit) = sd_notify::watchdog_enabled() {
            tokio::spawn(pulse::feed(pulse.clone(), limit, || {
                tell(&[NotifyState::Watchdog]);
            }));
        }
        let mut watching = Watching::new(files(config).to_vec());
        let teller = Teller {
            session: session.clone(),
            pulse: pulse.clone(),
        };
        serve(
            || {
                pulse.begin();
                present.world()
            },
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
    pulse: Pulse,
    /// The files that it was made from, and what stood in them.
    sources: Vec<(PathBuf, Option<Vec<u8>>)>,
}

impl<'a> Present<'a> {
    fn new(session: &'a Session, config: &Config, pulse: &Pulse) -> Result<Self, CommandError> {
        // Read first: a change in the meantime is then seen as one.
        let sources = sources(config);
        let wiring = Wiring::new(session, config, "service:run", Access::Change, None)?;
        Ok(Self {
            session,
            world: Arc::new(wiring.felt_by(pulse)),
            pulse: pulse.clone(),
            sources,
        })
    }

    /// Returns the world; made anew when the configuration changed, and kept when that is wrong now.
    fn world(&mut self) -> Arc<Wiring> {
        if changed(&self.sources) {
            let config = self.session.config(&Flags::default());
            match config.and_then(|config| Self::new(self.session, &config, &self.pulse)) {
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

/// Returns the configuration file, which may not be there yet.
fn file(config: &Config) -> PathBuf {
    let file = config.file.clone();
    file.unwrap_or_else(|| FILE_USUAL.into())
}

/// Returns that file and the one that `host:adopt` keeps beside it.
fn files(config: &Config) -> [PathBuf; 2] {
    let own = file(config);
    let adopted = own.with_file_name(ADOPTED);
    [own, adopted]
}

fn sources(config: &Config) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let files = files(config).into_iter();
    let paths = files.chain(config.acme.ca_bundle.clone());
    paths
        .map(|path| (path.clone(), std::fs::read(path).ok()))
        .collect()
}

fn changed(sources: &[(PathBuf, Option<Vec<u8>>)]) -> bool {
    let mut sources = sources.iter();
    sources.any(|(path, before)| std::fs::read(path).ok() != *before)
}

/// Tells systemd and the log how it fares.
struct Teller {
    session: Session,
    pulse: Pulse,
}

impl Supervisor for Teller {
    fn passed(&self, report: &Result<Report, RunError>, next: Timestamp) {
        self.pulse.rest();
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

/// Without systemd there is nobody to tell, and that is no error.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}

#[cfg(test)]
mod tests {
    use super::{changed, file, sources};
    use std::path::Path;

    use crate::config::{FILE_USUAL, Flags, load};
    use crate::environment::Environment;

    #[test]
    fn a_file_that_comes_later_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let (there, later) = (folder.path().join("a.toml"), folder.path().join("b.toml"));
        std::fs::File::create(&there).unwrap();
        let environment = Environment::new([]);
        let mut config = load(Some(&there), &environment, &Flags::default()).unwrap();
        assert_eq!(file(&config), there);
        config.file = None;
        assert_eq!(file(&config), Path::new(FILE_USUAL), "where it would be");
        config.file = Some(later.clone());
        let before = sources(&config);
        assert!(!changed(&before));
        std::fs::File::create(&later).unwrap();
        assert!(changed(&before), "an empty file is one too");
        let before = sources(&config);
        std::fs::File::create(folder.path().join("adopted.toml")).unwrap();
        assert!(changed(&before), "what host:adopt writes as well");
    }
}
