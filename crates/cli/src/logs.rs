//! Where does everything that happens get written down, and how is it found again?

use crate::clock::SystemClock;
use crate::config::Config;
use crate::console::Console;

pub mod files;
pub mod follow;
pub mod merge;
pub mod line;
pub mod redact;
pub mod tail;
mod layer;

/// Starts writing logs: every event to `paths.log`, and the conversation with the CA to `paths.acme_log` alone.
///
/// A log that cannot be written is a warning: renewing certificates is more important than writing about it.
/// Called once per process; later calls change nothing.
pub fn start(config: &Config, clock: SystemClock, console: &Console, verbosity: u8) {
    let size = config.log.rotate_at.0;
    let open = |path: &std::path::Path, mode| match files::LogFile::open(
        path,
        mode,
        size,
        config.log.keep,
    ) {
        Ok(file) => Some(file),
        Err(cause) => {
            console.warn(&format!(
                "{} cannot be written, so nothing is logged there: {cause}",
                path.display()
            ));
            None
        }
    };
    let all = open(&config.paths.log, MODE_OF_EVENTS);
    let acme = open(&config.paths.acme_log, MODE_OF_CONVERSATION);
    let level = match verbosity {
        0 => tracing::Level::INFO,
        1 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    layer::install(layer::LogLayer::new(all, acme, clock, level));
}

/// Readable by the group that reads logs on Debian, once an admin gives it that group.
const MODE_OF_EVENTS: u32 = 0o640;

/// Names accounts and orders; nobody else's business.
const MODE_OF_CONVERSATION: u32 = 0o600;
