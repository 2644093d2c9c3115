//! `demo`: the whole thing at work, on this machine alone.
//!
//! A practice CA, a DNS server and an nginx are started on free loopback ports, with all their files in one
//! temporary folder. The commands that are shown are really run, by this very program, and what is printed is
//! what they print. In the end everything is stopped and removed.

use crate::arguments::Demo;
use crate::commands::{Session, runtime};
use crate::errors::CommandError;

use self::play::play;
use self::stage::Stage;

mod play;
mod sites;
mod stage;

/// Shows the whole thing at work.
///
/// # Errors
///
/// When nginx is not installed, or a step does not end as it should.
pub fn run(session: &Session, _arguments: &Demo) -> Result<u8, CommandError> {
    runtime()?.block_on(async {
        // Struck when it is dropped, so nothing is left behind, however it ends.
        let stage = Stage::set(session).await?;
        tokio::select! {
            done = play(session, &stage) => done.map(|()| 0),
            _ = tokio::signal::ctrl_c() => {
                Err(CommandError::later("The demo was broken off. Nothing is left behind."))
            }
        }
    })
}
