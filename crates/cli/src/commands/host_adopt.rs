//! `host:adopt`: takes over what another client manages here, without a new order.
//!
//! What is taken over: the account (the same key is the same account), and the parameters of each lineage that differ
//! from the configuration. Files stay where vhosts expect them, and the other client's own files stay as they are, so
//! that it works on after `--undo`.
//!
//! | file | has |
//! | --- | --- |
//! | `plan` | what would change |
//! | `panel` | what CloudPanel's own client has |
//! | `record` | what was changed, and the settings of the sites that were taken over |
//! | `undo` | how it is given back |
//! | `tell` | how it is told |

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use reconcile::world::World as _;
use renewal::adoption::Client;
use renewal::panel::join;
use renewal::policy::Ca;
use renewal::ports::{Host as _, Known, Lease as _, Panel as _};

use self::plan::ClientPlan;
use self::record::{Record, Stopped, Taken, TakenAccount};
use super::by_hand::with_world;
use crate::commands::Session;
use crate::config::{ADOPTED, Config, FILE_USUAL};
use crate::errors::CommandError;
use crate::wire::{Access, Wiring};

mod panel;
mod plan;
mod record;
mod tell;
mod undo;

/// The options of `host:adopt`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Nothing is ordered. The other client's files are read and left as they are; its certificates are renewed by clpctl\n\
    when they are due. Programs that it runs around renewals are listed: clpctl runs none.\n\n\
    Examples:\n  \
    clpctl host:adopt --dry-run                        show what would change\n  \
    clpctl host:adopt --from=certbot\n  \
    clpctl host:adopt --from=certbot --disable-other-client\n  \
    clpctl host:adopt --from=cloudpanel                order with the account that CloudPanel has\n  \
    clpctl host:adopt --undo"
)]
pub struct Arguments {
    /// Only from this client [default: all that are found]
    #[arg(long, value_name = "CLIENT")]
    pub from: Option<FromClient>,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Give back what was taken over
    #[arg(long, conflicts_with = "disable_other_client")]
    pub undo: bool,
    /// Stop the timer or cron file that starts the other client
    #[arg(long)]
    pub disable_other_client: bool,
}

/// The clients from which can be taken over.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum FromClient {
    /// certbot
    Certbot,
    /// acme.sh
    #[value(name = "acme.sh", alias = "acme-sh")]
    AcmeSh,
    /// CloudPanel's own client
    Cloudpanel,
}

impl FromClient {
    fn client(self) -> Client {
        match self {
            Self::Certbot => Client::Certbot,
            Self::AcmeSh => Client::AcmeSh,
            Self::Cloudpanel => Client::Cloudpanel,
        }
    }
}

/// Takes over, or gives back.
///
/// # Errors
///
/// When nothing is found, or something stands in the way; then nothing was changed.
pub fn run(session: &Session, config: &Config, arguments: &Arguments) -> Result<u8, CommandError> {
    let only = arguments.from.map(FromClient::client);
    let access = if arguments.dry_run {
        Access::Look
    } else {
        Access::Change
    };
    with_world(session, config, COMMAND, access, async |world, _| {
        let _held = if arguments.dry_run {
            None
        } else {
            Some(world.lease().take()?)
        };
        let files = Files::new(config);
        if arguments.undo {
            let undone = undo::undo(&world, &files, only, !arguments.dry_run).await?;
            return tell::undone(session, arguments.dry_run, &undone);
        }
        let mut look = world.host().look(&Known::new()).await?;
        let inventory = world.panel().inventory(&Known::new()).await;
        join(&mut look, inventory, world.clock().now());
        let home = session.environment.get("HOME");
        let plans = plan::plan(&world, config, &look.sites, home, only)?;
        if plans.is_empty() {
            return tell::nothing(session, only);
        }
        if arguments.disable_other_client {
            may_stop(&plans)?;
        }
        let mut record = files.read()?;
        let before = record.clone();
        enter(&plans, arguments, &mut record, &world);
        let changes = record != before;
        if !arguments.dry_run {
            apply(&world, &files, &plans, &record, changes).await?;
        }
        tell::plans(session, arguments, &files, &plans, &record, &before)
    })
}

pub(super) use self::plan::find as find_clients;

/// Refuses to change an account at `ca` that is CloudPanel's as well: its client could not use it any more.
///
/// # Errors
///
/// When it is, or what was taken over cannot be read.
pub(super) fn not_the_panels(config: &Config, ca: &Ca, change: &str) -> Result<(), CommandError> {
    let record = Files::new(config).read()?;
    let taken = record.clients.get(&Client::Cloudpanel);
    let shared = taken.is_some_and(|taken| {
        let mut accounts = taken.accounts.iter();
        accounts.any(|account| *account.directory == *ca.0)
    });
    if !shared {
        return Ok(());
    }
    Err(CommandError::mend(format!("The account at {ca} is CloudPanel's as well, so {change}."))
        .cause("CloudPanel's own client would be locked out of it: its database keeps the only key it knows")
        .hint("give it back first, so that clpctl gets an account of its own: clpctl host:adopt --undo --from=cloudpanel"))
}

/// Where the record and the settings are kept.
struct Files {
    record: PathBuf,
    settings: PathBuf,
}

impl Files {
    fn new(config: &Config) -> Self {
        let file = config.file.as_deref().unwrap_or(Path::new(FILE_USUAL));
        Self {
            record: config.paths.state.join("adopted.json"),
            settings: file.with_file_name(ADOPTED),
        }
    }
}

/// Says whether the other clients may be stopped: nothing may end because of that.
fn may_stop(plans: &[ClientPlan]) -> Result<(), CommandError> {
    let needed: Vec<String> = plans.iter().flat_map(ClientPlan::needed).collect();
    if needed.is_empty() {
        return Ok(());
    }
    let made = CommandError::mend(
        "The other client is still needed, so it is not stopped, and nothing was done.",
    );
    let made = needed.into_iter().fold(made, CommandError::cause);
    Err(made.hint("without --disable-other-client, what can be taken over is taken over"))
}

/// Enters into the record what is taken over.
fn enter(plans: &[ClientPlan], arguments: &Arguments, record: &mut Record, world: &Wiring) {
    for plan in plans {
        let taken = record.clients.entry(plan.found.client);
        let taken = taken.or_insert_with(|| Taken::new(world.clock().now()));
        for (account, thumbprint) in plan.taken_accounts() {
            let entry = TakenAccount {
                directory: account.directory.clone(),
                thumbprint,
            };
            if !taken.accounts.contains(&entry) {
                taken.accounts.push(entry);
            }
        }
        for (site, settings) in plan.sites() {
            let known = taken.sites.entry(site.domain().clone()).or_default();
            known.add(settings, site);
        }
        if arguments.disable_other_client {
            for stopped in plan.schedules.iter().filter_map(Stopped::of) {
                if !taken.stopped.contains(&stopped) {
                    taken.stopped.push(stopped);
                }
            }
        }
    }
}

/// Makes the changes: first the record, so that an undo knows of all that may have been done.
async fn apply(
    world: &Arc<Wiring>,
    files: &Files,
    plans: &[ClientPlan],
    record: &Record,
    changes: bool,
) -> Result<(), CommandError> {
    if changes {
        files.write(record)?;
    }
    for plan in plans {
        plan.take_accounts(world)?;
    }
    files.write_settings(record)?;
    for taken in record.clients.values() {
        for stopped in &taken.stopped {
            stopped.stop().await?;
        }
    }
    Ok(())
}

const COMMAND: &str = "host:adopt";
