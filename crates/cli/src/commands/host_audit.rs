//! `host:audit`: what on this machine, beyond any one site, endangers renewals, and how well it stands.
//!
//! Without `--fix` it looks and changes nothing, but for a token that it writes to measure the disk, and removes.

use clap::Args;
use doctor::audit::Audited;
use doctor::audit::stapling::StaplingSeen;
use doctor::fixes::{of_key, of_limits};
use reconcile::world::World as _;
use renewal::fix::Fix;
use renewal::policy::EditVhosts;
use renewal::ports::{Host as _, Lease as _};
use renewal::site::Site;

use self::looking::{Looked, look};
use crate::commands::mending::{Mended, Mender};
use crate::commands::{Session, runtime};
use crate::config::Config;
use crate::errors::CommandError;
use crate::output::audit::{AuditDocument, exit_code, to_text};
use crate::output::fixes;
use crate::wire::{Access, Wiring};

mod looking;

/// The options of `host:audit`.
#[derive(Args, Debug)]
#[command(
    after_help = "Without --fix nothing is changed.\n\nExamples:\n  clpctl host:audit\n  clpctl host:audit --fix --dry-run\n  clpctl host:audit --json | jq -r .score"
)]
pub struct Arguments {
    /// Mend what can be mended safely, one after the other; what nginx refuses is undone
    #[arg(long)]
    pub fix: bool,
    /// With --fix: only show what would be mended
    #[arg(long, requires = "fix")]
    pub dry_run: bool,
    /// Reload nginx once, to measure how long that takes
    #[arg(long)]
    pub measure_reload: bool,
}

/// Looks at the machine.
///
/// # Errors
///
/// When it cannot be looked at, or another run is at work and something shall be changed.
pub fn run(session: &Session, config: &Config, arguments: &Arguments) -> Result<u8, CommandError> {
    let changes = arguments.fix && !arguments.dry_run;
    let access = if changes {
        session.start_logs(config);
        Access::Change
    } else {
        Access::Look
    };
    let world = Wiring::new(session, config, COMMAND, access, None)?;
    let runtime = runtime()?;
    let audited = runtime.block_on(audit(session, config, arguments, &world));
    // Whatever hangs on a dead file system must not hold up the end.
    runtime.shutdown_background();
    let (mended, audited) = audited?;
    let console = &session.console;
    if console.json {
        let mended = arguments.fix.then_some(&mended[..]);
        console.document(&AuditDocument::new(&audited, mended))?;
    } else {
        let gap = if mended.is_empty() { "" } else { "\n" };
        let nothing = "Nothing that was found can be mended without a person.\n\n";
        let nothing = if arguments.fix && mended.is_empty() {
            nothing
        } else {
            ""
        };
        console.result(&format!(
            "{gap}{nothing}{}",
            to_text(&audited, console.width)
        ))?;
    }
    Ok(exit_code(&audited))
}

async fn audit(
    session: &Session,
    config: &Config,
    arguments: &Arguments,
    world: &Wiring,
) -> Result<(Vec<Mended>, Vec<Audited>), CommandError> {
    let changes = arguments.fix && !arguments.dry_run;
    let _held = if changes {
        Some(world.lease().take()?)
    } else {
        None
    };
    if changes {
        world.host().end_unfinished().await?;
    }
    let home = session.environment.get("HOME");
    let looked = look(config, world, home, arguments.measure_reload).await?;
    let fixes = if arguments.fix {
        fixes(config, &looked)
    } else {
        Vec::new()
    };
    if fixes.is_empty() {
        return Ok((Vec::new(), looked.audited));
    }
    let mender = Mender {
        world,
        dry_run: arguments.dry_run,
        sites: &looked.sites,
    };
    let mut broken = None;
    let mended = mender
        .mend(fixes, |one| {
            if !session.console.json {
                let text = fixes::to_text(one, session.console.width);
                broken = session.console.result(&text).err();
            }
        })
        .await;
    if let Some(error) = broken {
        return Err(error);
    }
    if arguments.dry_run {
        return Ok((mended, looked.audited));
    }
    let again = look(config, world, home, false).await?;
    Ok((mended, again.audited))
}

/// Decides what of it is mended.
fn fixes(config: &Config, looked: &Looked) -> Vec<Fix> {
    let mut fixes: Vec<Fix> = looked
        .links
        .iter()
        .filter_map(doctor::fixes::of_link)
        .collect();
    fixes.extend(looked.keys.iter().filter_map(|key| of_key(None, key)));
    let edit = config.nginx.edit;
    if edit != EditVhosts::None {
        fixes.extend(of_limits(&looked.limits));
        // A line may stand in a vhost that is the panel's to write.
        let is_ours = |line: &&StaplingSeen| {
            let in_vhost = |site: &&Site| {
                let mut servers = site.servers.iter();
                servers.any(|server| server.place.file == line.place.file)
            };
            looked
                .sites
                .iter()
                .filter(in_vhost)
                .all(|site| edit.allows(site))
        };
        let lines: Vec<StaplingSeen> = looked.stapling.iter().filter(is_ours).cloned().collect();
        fixes.extend(doctor::audit::stapling::fix(&lines));
    }
    fixes
}

const COMMAND: &str = "host:audit";
