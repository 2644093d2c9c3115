//! What would be taken over from each client?

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use acme::{ForeignAccount, Takeover};
use doctor::clients::{Account, Found, Key, Schedule, Schedules, acme_sh, certbot};
use reconcile::world::World as _;
use renewal::adoption::{Client, Settings, Stays, decide};
use renewal::policy::Ca;
use renewal::site::Site;

use super::panel;
use crate::config::Config;
use crate::errors::CommandError;
use crate::wire::Wiring;

/// What would be taken over from one client.
pub(super) struct ClientPlan {
    pub(super) found: Found,
    pub(super) lineages: Vec<Lineage>,
    pub(super) accounts: Vec<AccountPlan>,
    pub(super) schedules: Vec<Schedule>,
}

/// What becomes of one lineage; `index` is its place in what was found.
pub(super) struct Lineage {
    pub(super) index: usize,
    pub(super) outcome: Result<Vec<(Site, Settings)>, Stays>,
}

/// What becomes of one account.
pub(super) struct AccountPlan {
    pub(super) account: Account,
    /// As our client keeps it; else why it cannot.
    pub(super) key: Result<(ForeignAccount, String), String>,
    pub(super) outcome: Result<Takeover, String>,
}

/// Looks at all clients, or at one.
pub(super) fn plan(
    world: &Arc<Wiring>,
    config: &Config,
    sites: &[Site],
    home: Option<&str>,
    only: Option<Client>,
) -> Result<Vec<ClientPlan>, CommandError> {
    let schedules = Schedules::observe(Path::new("/"));
    let mut found = find(config, &schedules, home);
    if only.is_none_or(|only| only == Client::Cloudpanel) {
        found.extend(panel::find(world, config, sites)?);
    }
    let found = found
        .into_iter()
        .filter(|found| only.is_none_or(|only| found.client == only));
    let mut plans: Vec<ClientPlan> = found
        .map(|found| plan_one(world, found, sites, &schedules))
        .collect();
    one_account_each(&mut plans);
    Ok(plans)
}

/// Reads what the other clients wrote down about themselves.
pub(in crate::commands) fn find(
    config: &Config,
    schedules: &Schedules,
    home: Option<&str>,
) -> Vec<Found> {
    let mut homes: Vec<PathBuf> = schedules.homes();
    homes.extend(home.map(|home| Path::new(home).join(".acme.sh")));
    homes.sort();
    homes.dedup();
    let mut found: Vec<Found> = certbot::read(&config.paths.letsencrypt)
        .into_iter()
        .collect();
    found.extend(homes.iter().filter_map(|home| acme_sh::read(home)));
    found
}

/// Lets one account of each CA become ours, where several clients have one: the first one's.
fn one_account_each(plans: &mut [ClientPlan]) {
    let mut taken: HashMap<String, String> = HashMap::new();
    for plan in plans.iter_mut().flat_map(|plan| &mut plan.accounts) {
        let (Ok(Takeover::Taken(path)), Ok((_, thumbprint))) = (&plan.outcome, &plan.key) else {
            continue;
        };
        let first = taken.entry(plan.account.directory.clone());
        if first.or_insert_with(|| thumbprint.clone()) != thumbprint {
            plan.outcome = Ok(Takeover::Another(path.clone()));
        }
    }
}

fn plan_one(
    world: &Arc<Wiring>,
    found: Found,
    sites: &[Site],
    schedules: &Schedules,
) -> ClientPlan {
    let decisions = decide(sites, &found.managed);
    let lineages: Vec<Lineage> = decisions
        .into_iter()
        .enumerate()
        .map(|(index, decision)| Lineage {
            index,
            outcome: decision.outcome.map(|sites| {
                let sites = sites.into_iter();
                sites
                    .map(|(site, settings)| (site.clone(), settings))
                    .collect()
            }),
        })
        .collect();
    let accounts = accounts(world, &found, &lineages);
    let schedules = schedules.of(found.client).cloned().collect();
    ClientPlan {
        found,
        lineages,
        accounts,
        schedules,
    }
}

/// Chooses one account for each CA: the one that most of the lineages use that are taken over.
fn accounts(world: &Arc<Wiring>, found: &Found, lineages: &[Lineage]) -> Vec<AccountPlan> {
    let mut uses: HashMap<(&str, Option<&str>), usize> = HashMap::new();
    for lineage in lineages.iter().filter(|lineage| lineage.outcome.is_ok()) {
        let managed = &found.managed[lineage.index];
        if let Some(ca) = managed.ca.as_ref().filter(|ca| !ca.is_staging()) {
            *uses.entry((&ca.0, managed.account.as_deref())).or_default() += 1;
        }
    }
    let used = |account: &Account| {
        let by_id = uses.get(&(&account.directory, Some(account.id.as_str())));
        let by_ca = || uses.get(&(&account.directory, None));
        by_id.or_else(by_ca).copied().unwrap_or(0)
    };
    let mut chosen: Vec<&Account> = Vec::new();
    for account in found.accounts.iter().filter(|account| used(account) > 0) {
        let same = |other: &&Account| other.directory == account.directory;
        match chosen.iter().position(same) {
            Some(index) if used(chosen[index]) < used(account) => chosen[index] = account,
            Some(_) => {}
            None => chosen.push(account),
        }
    }
    chosen
        .into_iter()
        .map(|account| account_plan(world, account))
        .collect()
}

fn account_plan(world: &Arc<Wiring>, account: &Account) -> AccountPlan {
    let pem = match &account.key {
        Key::Jwk(jwk) => acme::pem_of_jwk(jwk).map_err(|error| error.to_string()),
        Key::Pem(pem) => Ok(pem.clone()),
    };
    let key = pem.and_then(|key| {
        let thumbprint = acme::thumbprint_of(&key)
            .ok_or_else(|| "its key is of a kind that no CA takes from clpctl".to_owned())?;
        let foreign = ForeignAccount {
            key,
            url: account.url.clone(),
            contact: account.contact.clone(),
            created_at: account.created_at.unwrap_or_else(|| world.clock().now()),
        };
        Ok((foreign, thumbprint))
    });
    let ca = Ca(account.directory.as_str().into());
    let outcome = match &key {
        Ok((foreign, _)) => {
            let would = world.authority().take_over(&ca, foreign, false);
            would.map_err(|error| error.to_string())
        }
        Err(why) => Err(why.clone()),
    };
    AccountPlan {
        account: account.clone(),
        key,
        outcome,
    }
}

impl ClientPlan {
    /// Returns the sites that are taken over, with the settings that differ.
    pub(super) fn sites(&self) -> impl Iterator<Item = (&Site, &Settings)> {
        let adopted = self
            .lineages
            .iter()
            .filter_map(|one| one.outcome.as_ref().ok());
        adopted.flatten().map(|(site, settings)| (site, settings))
    }

    /// Returns the accounts that become ours, with their keys' thumbprints.
    pub(super) fn taken_accounts(&self) -> impl Iterator<Item = (&Account, String)> {
        self.accounts
            .iter()
            .filter_map(|plan| match (&plan.outcome, &plan.key) {
                (Ok(Takeover::Taken(_)), Ok((_, thumbprint))) => {
                    Some((&plan.account, thumbprint.clone()))
                }
                _ => None,
            })
    }

    /// Makes those accounts ours.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub(super) fn take_accounts(&self, world: &Arc<Wiring>) -> Result<(), CommandError> {
        for plan in &self.accounts {
            if let (Ok(Takeover::Taken(_)), Ok((foreign, _))) = (&plan.outcome, &plan.key) {
                let ca = Ca(plan.account.directory.as_str().into());
                let taken = world.authority().take_over(&ca, foreign, true);
                taken.map_err(|error| {
                    CommandError::mend("The account could not be taken over.").because(&error)
                })?;
            }
        }
        Ok(())
    }

    /// Lists what the client is still needed for, each as a sentence.
    pub(super) fn needed(&self) -> Vec<String> {
        let client = self.found.client;
        let needed = self.lineages.iter().filter_map(|lineage| {
            let managed = &self.found.managed[lineage.index];
            let stays = lineage.outcome.as_ref().err()?;
            stays
                .needs_client(managed)
                .then(|| format!("{client} renews {}: {stays}", managed.name))
        });
        needed.chain(self.found.problems.iter().cloned()).collect()
    }
}
