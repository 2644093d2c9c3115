//! `site:rollback-certificate`: serves an earlier certificate of the lineage again.

use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use reconcile::by_hand::ByHand;
use reconcile::world::World as _;
use renewal::choice::How;
use renewal::name::Name;
use renewal::ports::{Authority as _, Staged};
use renewal::report::Report;
use renewal::rollback::{Facts, Version, choose, fit, withdrawn};
use renewal::site::Site;

use super::by_hand::{begin, not_done, tell, unchanged, with_world};
use crate::arguments::site_name;
use crate::commands::Session;
use crate::commands::renew::could_not_begin;
use crate::config::Config;
use crate::errors::CommandError;
use crate::output::when;
use crate::wire::{Access, Wiring};

/// The options of `site:rollback-certificate`.
#[derive(Args, Clone, Debug)]
#[command(
    // --version is a version of the lineage here.
    disable_version_flag = true,
    after_help = "It must still be valid, not revoked, and cover all names of the one that is served. What is newer is left\n\
    alone until this one is due again: what was due already, when half of the time that is left now is over.\n\
    site:renew-certificates --domain=… --force goes forward at once.\n\n\
    Examples:\n  \
    clpctl site:rollback-certificate --domain=example.com\n  \
    clpctl site:rollback-certificate --domain=example.com --version=3"
)]
pub struct Arguments {
    /// The site, by any of its names
    #[arg(long, visible_alias = "domainName", value_name = "DOMAIN", value_parser = site_name)]
    pub domain: Name,
    /// Serve this version [default: the newest earlier one that is still valid]
    #[arg(long, value_name = "N")]
    pub version: Option<u32>,
    /// Wait while another run is at work, instead of giving up
    #[arg(long)]
    pub wait: bool,
}

/// Goes back.
///
/// # Errors
///
/// Says why no earlier one, or not this one, can be served; then nothing was changed.
pub fn run(session: &Session, config: &Config, arguments: &Arguments) -> Result<u8, CommandError> {
    let report = with_world(
        session,
        config,
        COMMAND,
        Access::Change,
        async |world, stop| {
            let by_hand = begin(&world, &arguments.domain, arguments.wait, &stop).await?;
            roll_back(&world, by_hand, arguments.version).await
        },
    )?;
    tell(session, COMMAND, &report)
}

async fn roll_back(
    world: &Arc<Wiring>,
    by_hand: ByHand<Wiring>,
    asked: Option<u32>,
) -> Result<Report, CommandError> {
    let now = world.clock().now();
    let site = by_hand.site();
    let versions = world
        .host()
        .versions(&site.lineage)
        .map_err(|failure| not_done(NOT_BACK, &failure))?;
    let refused = |why: String| {
        let made = CommandError::mend(unchanged(NOT_BACK)).cause(why);
        let lines = versions
            .iter()
            .rev()
            .map(|version| described(version, site, now));
        lines.fold(made, CommandError::hint)
    };
    let (number, facts) =
        choose(&versions, site, asked, now).map_err(|why| refused(why.to_string()))?;
    if is_withdrawn(world, site, facts, now).await {
        return Err(refused(format!(
            "the CA wants version {number} replaced at once, as it does with what is revoked"
        )));
    }
    let staged = Staged {
        version: number,
        certificate: facts.certificate.as_ref().clone(),
        path: world.live(&site.lineage),
    };
    let newest = versions.iter().map(|version| version.number).max();
    let served = by_hand
        .serve(How::RolledBack, &staged, newest.unwrap_or(number))
        .await;
    served.map_err(could_not_begin)
}

/// Asks the CA whether it has given the certificate up. At night, in trouble, a CA that does not answer holds up nobody.
async fn is_withdrawn(world: &Wiring, site: &Site, facts: &Facts, now: Timestamp) -> bool {
    let Some(id) = &facts.certificate.id else {
        return false;
    };
    match world.authority().suggestion(&site.policy.ca, id).await {
        Ok(Some(answer)) => withdrawn(&facts.certificate, answer.window, now),
        Ok(None) => false,
        Err(failure) => {
            tracing::info!(domain = %site.domain(), "the CA was not asked about the earlier certificate: {failure}");
            false
        }
    }
}

/// Describes a version in one line.
fn described(version: &Version, site: &Site, now: Timestamp) -> String {
    let number = version.number;
    let served = site.current.as_ref().and_then(|current| current.version) == Some(number);
    let facts = match &version.state {
        Ok(facts) => format!(
            "by {}, ends {}",
            facts.certificate.issuer,
            when::date_and_distance(facts.certificate.valid.end(), now)
        ),
        Err(why) => return format!("version {number} cannot be read: {why}"),
    };
    if served {
        return format!("version {number} is served: {facts}");
    }
    match fit(version, site, now) {
        Ok(_) => format!("version {number} could be served: {facts}"),
        Err(why) => format!("version {number} cannot be served, {facts}: {why}"),
    }
}

const COMMAND: &str = "site:rollback-certificate";

const NOT_BACK: &str = "The site did not go back";
