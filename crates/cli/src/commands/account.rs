//! `account:show`, `account:rollover` and `account:deactivate`: the account at the CA.

use clap::Args;
use reconcile::world::World as _;
use renewal::policy::Ca;
use serde_json::json;

use super::by_hand::with_world;
use super::host_adopt::not_the_panels;
use crate::commands::Session;
use crate::config::Config;
use crate::console::LABEL;
use crate::errors::CommandError;
use crate::output::when;
use crate::wire::{Access, Wiring};

/// The options of `account:show`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  clpctl account:show\n  clpctl account:show --json | jq -r '.accounts[].url'"
)]
pub struct Arguments {
    /// The account at the CA's staging directory
    #[arg(long)]
    pub staging: bool,
}

/// The options of `account:rollover`.
#[derive(Args, Debug)]
#[command(
    after_help = "The account stays what it is, and with it the CAA records that name it. The lines that answer challenges hold\n\
    the key's thumbprint: the next renewal of each site puts the new one in.\n\n\
    Examples:\n  clpctl account:rollover"
)]
pub struct Rollover {
    /// The account at the CA's staging directory
    #[arg(long)]
    pub staging: bool,
}

/// The options of `account:deactivate`.
#[derive(Args, Debug)]
#[command(
    after_help = "It cannot be undone. Certificates stay valid; to renew them, another account is needed.\n\n\
    Examples:\n  clpctl account:deactivate --yes"
)]
pub struct Deactivate {
    /// The account at the CA's staging directory
    #[arg(long)]
    pub staging: bool,
    /// Yes, for good
    #[arg(long, required = true)]
    pub yes: bool,
}

/// Prints the accounts at all CAs that the configuration names.
///
/// # Errors
///
/// When a file of an account cannot be read.
pub fn show(session: &Session, config: &Config) -> Result<u8, CommandError> {
    let world = Wiring::new(session, config, "account:show", Access::Look, None)?;
    let mut accounts = Vec::new();
    let mut text = String::new();
    for ca in authorities(config) {
        let account = world
            .authority()
            .account(&ca)
            .map_err(|error| CommandError::mend("An account cannot be shown.").because(&error))?;
        let Some(account) = account else {
            text.push_str(&format!(
                "{LABEL}{ca}{LABEL:#}\n  no account; the first order makes one\n"
            ));
            accounts.push(json!({"directory": ca, "url": null}));
            continue;
        };
        let contact = if account.contact.is_empty() {
            "none".to_owned()
        } else {
            account.contact.join(", ")
        };
        text.push_str(&format!(
            "{LABEL}{ca}{LABEL:#}\n  account     {}\n  thumbprint  {}\n  contact     {contact}\n  made        {}\n  kept in     {}\n",
            account.url,
            account.thumbprint,
            when::minute(account.created_at),
            account.file.display()
        ));
        accounts.push(json!({
            "directory": account.directory,
            "url": account.url,
            "thumbprint": account.thumbprint,
            "contact": account.contact,
            "created_at": account.created_at,
            "file": account.file,
        }));
    }
    if session.console.json {
        session.console.document(&json!({"accounts": accounts}))?;
    } else {
        session.console.result(&text)?;
    }
    Ok(0)
}

/// Gives the account a new key.
///
/// # Errors
///
/// When the CA refuses, or another run is at work.
pub fn roll_over(session: &Session, config: &Config) -> Result<u8, CommandError> {
    let ca = config.usual_policy().ca;
    not_the_panels(config, &ca, "it keeps its key")?;
    let thumbprint = with_world(
        session,
        config,
        "account:rollover",
        Access::Change,
        async |world, _| {
            let _held = renewal::ports::Lease::take(world.lease())?;
            Ok(world.authority().roll_over(&ca).await?)
        },
    )?;
    if session.console.json {
        let document = json!({"directory": ca, "thumbprint": thumbprint});
        session.console.document(&document)?;
    } else {
        session.console.result(&format!(
            "The account at {ca} has a new key; its thumbprint is {thumbprint}.\n"
        ))?;
    }
    Ok(0)
}

/// Deactivates the account.
///
/// # Errors
///
/// When the CA refuses, or another run is at work.
pub fn deactivate(session: &Session, config: &Config) -> Result<u8, CommandError> {
    let ca = config.usual_policy().ca;
    not_the_panels(config, &ca, "it stays")?;
    with_world(
        session,
        config,
        "account:deactivate",
        Access::Change,
        async |world, _| {
            let _held = renewal::ports::Lease::take(world.lease())?;
            Ok(world.authority().deactivate(&ca).await?)
        },
    )?;
    if session.console.json {
        let document = json!({"directory": ca, "deactivated": true});
        session.console.document(&document)?;
    } else {
        let line = format!("The account at {ca} is deactivated, for good.\n");
        session.console.result(&line)?;
    }
    Ok(0)
}

/// Lists the CAs, the usual one first, each once.
fn authorities(config: &Config) -> Vec<Ca> {
    let mut all = vec![config.usual_policy().ca];
    for site in &config.sites {
        let ca = config.policy_for(&site.domain).ca;
        if !all.contains(&ca) {
            all.push(ca);
        }
    }
    all
}
