//! `site:doctor --fix`: what was found is mended where that is safe, and looked at again.
//!
//! One cause may hide another: a link that leads nowhere keeps nginx from being asked about anything else. So there are
//! rounds, each with a new look; what was tried once is not tried again.

use doctor::fixes::Ground;
use doctor::recorder::{Recorded, Recorder};
use doctor::{Examination, Observation, examine};
use reconcile::world::World as _;
use renewal::fix::{Fix, Remedy};
use renewal::ports::{Host as _, Lease as _, Memory as _};
use renewal::site::Site;

use super::eyes::HostEyes;
use super::gate::{Gate, Held};
use super::{Arguments, COMMAND, chosen};
use crate::commands::mending::{Mended, Mender, thumbprint};
use crate::commands::{Session, runtime};
use crate::config::Config;
use crate::errors::CommandError;
use crate::output::examination::{exit_code, to_text, with_fixes};
use crate::output::fixes;
use crate::wire::{Access, Wiring, challenge_owner};

/// Examines, mends, and examines again; the exit code is that of what is left.
///
/// # Errors
///
/// When another run is at work, there is no such site, or this host cannot be looked at.
pub(super) fn run(
    session: &Session,
    config: &Config,
    arguments: &Arguments,
) -> Result<u8, CommandError> {
    let access = if arguments.dry_run {
        Access::Look
    } else {
        session.start_logs(config);
        Access::Change
    };
    let world = Wiring::new(session, config, COMMAND, access, None)?;
    let runtime = runtime()?;
    let mended = runtime.block_on(mend(session, config, arguments, &world));
    // Whatever hangs on a dead file system must not hold up the end.
    runtime.shutdown_background();
    let (mended, examination) = mended?;
    let console = &session.console;
    if console.json {
        console.document(&with_fixes(COMMAND, &examination, &mended)?)?;
    } else {
        if mended.is_empty() {
            console.result("Nothing that was found can be mended without a person.\n")?;
        }
        console.result(&format!("\n{}", to_text(&examination, console.width)))?;
    }
    Ok(exit_code(&examination))
}

async fn mend(
    session: &Session,
    config: &Config,
    arguments: &Arguments,
    world: &Wiring,
) -> Result<(Vec<Mended>, Examination), CommandError> {
    let dry_run = arguments.dry_run;
    // A dry run changes nothing and needs no lock.
    let held = if dry_run {
        None
    } else {
        Some(world.lease().take()?)
    };
    if !dry_run {
        world.host().end_unfinished().await?;
    }
    let mut mended: Vec<Mended> = Vec::new();
    loop {
        let round = look(config, arguments, world, held.as_ref()).await?;
        let is_new = |fix: &Fix| mended.iter().all(|tried| tried.fix != *fix);
        let fresh: Vec<Fix> = round.fixes.into_iter().filter(is_new).collect();
        if fresh.is_empty() || mended.len() >= FIXES_MOST {
            return Ok((mended, round.examination));
        }
        let mender = Mender {
            world,
            dry_run,
            sites: &round.sites,
        };
        let mut broken = None;
        let made = mender
            .mend(fresh, |one| {
                if !session.console.json {
                    let text = fixes::to_text(one, session.console.width);
                    broken = session.console.result(&text).err();
                }
            })
            .await;
        mended.extend(made);
        if let Some(error) = broken {
            return Err(error);
        }
        if dry_run {
            return Ok((mended, round.examination));
        }
    }
}

/// One look at everything.
struct Round {
    examination: Examination,
    fixes: Vec<Fix>,
    sites: Vec<Site>,
}

async fn look(
    config: &Config,
    arguments: &Arguments,
    world: &Wiring,
    held: Option<&Held>,
) -> Result<Round, CommandError> {
    let known = world.memory().known().unwrap_or_default();
    let look = world.host().look(&known).await?;
    let sites = chosen(&look, &arguments.domain)?;
    let remembered = world.memory().remembered()?;
    let eyes = HostEyes::new(world, config, &look, &sites, &remembered);
    let recorder = Recorder::new(&eyes);
    let gate = Gate::open(world, config, held).await;
    let examination = examine(&recorder, &sites).await;
    world.host().tidy().await;
    gate.close(world).await;
    let recorded = recorder.into_recorded();
    let ground = ground(config, world, &sites, &recorded).await?;
    let mut fixes = doctor::fixes::fixes(&recorded, &ground);
    // Without an account there is no line that could answer; the first order makes one.
    fixes.retain(|fix| fix.remedy != Remedy::ChallengeLine || has_account(world, &sites, fix));
    Ok(Round {
        examination,
        fixes,
        sites,
    })
}

fn has_account(world: &Wiring, sites: &[Site], fix: &Fix) -> bool {
    let site = sites
        .iter()
        .find(|site| Some(site.domain()) == fix.site.as_ref());
    site.is_some_and(|site| thumbprint(world, site).is_some())
}

/// Looks at what a fix needs to know besides what a check saw.
async fn ground(
    config: &Config,
    world: &Wiring,
    sites: &[Site],
    recorded: &[Recorded],
) -> Result<Ground, CommandError> {
    let conf = world.host().configuration();
    let open = recorded
        .iter()
        .filter_map(|one| match (&one.seen, &one.site) {
            (Observation::Pair(pair), Some(site)) if pair.readable_by_all.is_some() => {
                Some((site.clone(), pair.key.clone()))
            }
            _ => None,
        });
    let (dangling, open) = (conf.dangling.clone(), open.collect::<Vec<_>>());
    let looked = tokio::task::spawn_blocking(move || {
        let links = dangling
            .iter()
            .filter_map(|link| doctor::links::observe(link));
        let keys = open
            .into_iter()
            .filter_map(|(site, key)| Some((site, doctor::keys::observe(&key)?)));
        (links.collect(), keys.collect())
    });
    let (links, keys) = looked.await.unwrap_or_default();
    Ok(Ground {
        sites: sites.to_vec(),
        port: config.http01.port.get(),
        owner: challenge_owner(config)?,
        edit: config.nginx.edit,
        listening: conf.addresses(),
        links,
        keys,
    })
}

/// More would mean that fixes chase each other.
const FIXES_MOST: usize = 10_000;
