//! What do the commands have in common with which a person chooses a certificate?

use std::sync::Arc;

use reconcile::by_hand::{self, ByHand};
use reconcile::world::Stop;
use renewal::name::Name;
use renewal::ports::HostFailure;
use renewal::report::Report;

use crate::commands::renew::{could_not_begin, stop_on_signal};
use crate::commands::{Session, runtime};
use crate::config::Config;
use crate::errors::{CommandError, Kind};
use crate::output::document::ReportDocument;
use crate::output::report::{Manner, to_text};
use crate::output::verdict::exit_code;
use crate::wire::{Access, Wiring};

/// Joins the adapters and lets `work` go on with them, until it is done or a signal comes.
///
/// # Errors
///
/// What `work` says, and when it could not begin.
pub(super) fn with_world<T>(
    session: &Session,
    config: &Config,
    command: &str,
    access: Access,
    work: impl AsyncFnOnce(Arc<Wiring>, Stop) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    if access == Access::Change {
        session.start_logs(config);
    }
    let world = Wiring::new(session, config, command, access, None)?;
    let world = Arc::new(world);
    runtime()?.block_on(async {
        let (sender, stop) = Stop::channel();
        tokio::spawn(stop_on_signal(sender));
        work(world, stop).await
    })
}

/// Takes the lease and finds the site.
///
/// # Errors
///
/// As a run that cannot begin; names the nearest site when there is none with this name.
pub(super) async fn begin(
    world: &Arc<Wiring>,
    domain: &Name,
    wait: bool,
    stop: &Stop,
) -> Result<ByHand<Wiring>, CommandError> {
    by_hand::begin(world, domain, wait, stop)
        .await
        .map_err(could_not_begin)
}

/// Prints what came of it; returns the exit code.
///
/// # Errors
///
/// When it cannot be printed.
pub(super) fn tell(session: &Session, command: &str, report: &Report) -> Result<u8, CommandError> {
    let console = &session.console;
    let code = exit_code(report);
    if console.json {
        console.document(&ReportDocument::new(command, report))?;
    } else if !console.quiet || code != 0 {
        let width = console.width;
        console.result(&to_text(report, Manner { all: true, width }))?;
    }
    Ok(code)
}

/// Says that something was not done because of a finding; what is served is as it was.
pub(super) fn not_done(what: &str, failure: &HostFailure) -> CommandError {
    CommandError::from_finding(Kind::Mend, unchanged(what), &failure.0)
}

/// Makes the first line of an error after which everything is as it was.
pub(super) fn unchanged(what: &str) -> String {
    format!("{what}, and what is served stays served.")
}
