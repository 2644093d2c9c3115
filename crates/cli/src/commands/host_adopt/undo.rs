//! How is what was taken over given back?
//!
//! What clpctl wrote for it goes, and the other client's timer runs again. Certificates that clpctl obtained since then
//! stay: they are members of the same lineages.

use std::path::PathBuf;
use std::sync::Arc;

use reconcile::world::World as _;
use renewal::adoption::Client;
use renewal::policy::Ca;
use renewal::ports::{Host as _, Known};

use super::Files;
use super::record::{Record, Taken};
use crate::errors::CommandError;
use crate::wire::Wiring;

/// What was given back, or would be.
#[derive(Debug, Default)]
pub(super) struct Undone {
    /// The clients.
    pub(super) clients: Vec<Client>,
    /// Each change, as a phrase.
    pub(super) done: Vec<String>,
    /// What a person has to do, or to know.
    pub(super) left: Vec<String>,
}

/// Gives back what was taken over from all clients, or from one; only says so when `apply` is false.
pub(super) async fn undo(
    world: &Arc<Wiring>,
    files: &Files,
    only: Option<Client>,
    apply: bool,
) -> Result<Undone, CommandError> {
    let mut record = files.read()?;
    let mut undone = Undone::default();
    let untouched = settings_untouched(files, &record, &mut undone);
    let clients: Vec<Client> = record.clients.keys().copied().collect();
    for client in clients {
        if only.is_some_and(|only| only != client) {
            continue;
        }
        let Some(taken) = record.clients.remove(&client) else {
            continue;
        };
        undone.clients.push(client);
        accounts(world, &taken, apply, &mut undone)?;
        for stopped in &taken.stopped {
            if apply {
                stopped.start().await?;
            }
            undone
                .done
                .push(format!("{} starts {client} again", stopped.name()));
        }
        vhosts(world, client, &taken, &mut undone).await?;
    }
    if undone.clients.is_empty() {
        return Ok(undone);
    }
    if untouched && files.settings.exists() {
        undone.done.push(format!(
            "{} is taken away or shortened",
            files.settings.display()
        ));
    }
    if apply {
        if untouched {
            files.write_settings(&record)?;
        }
        files.write(&record)?;
    }
    Ok(undone)
}

/// Says whether the settings' file is still what clpctl wrote; somebody's own lines are not thrown away.
fn settings_untouched(files: &Files, record: &Record, undone: &mut Undone) -> bool {
    let present = std::fs::read_to_string(&files.settings).unwrap_or_default();
    let untouched = present.is_empty() || present == record.settings();
    if !untouched {
        undone.left.push(format!(
            "{} was changed by somebody, and stays: take it away when it is of no more use",
            files.settings.display()
        ));
    }
    untouched
}

fn accounts(
    world: &Arc<Wiring>,
    taken: &Taken,
    apply: bool,
    undone: &mut Undone,
) -> Result<(), CommandError> {
    for account in &taken.accounts {
        let ca = Ca(account.directory.as_str().into());
        let summary = world.authority().account(&ca).ok().flatten();
        let changed = summary.is_some_and(|summary| summary.thumbprint != account.thumbprint);
        let given = !changed
            && (!apply
                || world
                    .authority()
                    .give_back(&ca, &account.thumbprint)
                    .map_err(|error| {
                        CommandError::mend("The account could not be given back.").because(&error)
                    })?);
        if given {
            undone.done.push(format!(
                "the account at {ca} is the other client's alone again"
            ));
        } else {
            undone.left.push(format!(
                "the account at {ca} has another key since then, which the other client does not know: it will need a new account"
            ));
        }
    }
    Ok(())
}

/// Names the vhosts that name other files now than those that the other client writes.
async fn vhosts(
    world: &Arc<Wiring>,
    client: Client,
    taken: &Taken,
    undone: &mut Undone,
) -> Result<(), CommandError> {
    let look = world.host().look(&Known::new()).await?;
    for site in &look.sites {
        let before: Option<&PathBuf> = taken
            .sites
            .get(site.domain())
            .and_then(|known| known.certificate.as_ref());
        let pair = site.servers.iter().find_map(|server| server.pair.as_ref());
        if let (Some(before), Some(pair)) = (before, pair)
            && pair.certificate != *before
        {
            undone.left.push(format!(
                "{} names {}; {client} writes {}: name that again before you take clpctl away",
                pair.place,
                pair.certificate.display(),
                before.display()
            ));
        }
    }
    Ok(())
}
