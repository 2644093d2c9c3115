//! What is looked at for an audit, and by whom?

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use doctor::audit::disk::DiskSeen;
use doctor::audit::logs::LogSeen;
use doctor::audit::stapling::StaplingSeen;
use doctor::audit::timing::TimingSeen;
use doctor::audit::tls::VersionsSeen;
use doctor::audit::{Aspect, Audited, disk, logs, stapling, timing, tls};
use doctor::clients::Schedules;
use doctor::keys::KeySeen;
use doctor::limits::LimitsSeen;
use doctor::links::LinkSeen;
use nginx::Tuning;
use reconcile::world::World as _;
use renewal::finding::{Finding, FindingName};
use renewal::ports::{Host as _, HostFailure};
use renewal::site::Site;
use tokio::time::Instant;

use crate::commands::host_adopt::find_clients;
use crate::config::Config;
use crate::errors::CommandError;
use crate::wire::Wiring;

/// What was seen, as far as fixes need it, and what came of all.
pub(super) struct Looked {
    pub(super) audited: Vec<Audited>,
    pub(super) sites: Vec<Site>,
    pub(super) keys: Vec<KeySeen>,
    pub(super) links: Vec<LinkSeen>,
    pub(super) limits: LimitsSeen,
    pub(super) stapling: Vec<StaplingSeen>,
}

/// Looks at everything. nginx is reloaded only to be measured, when that is asked for.
pub(super) async fn look(
    config: &Config,
    world: &Wiring,
    home: Option<&str>,
    measure_reload: bool,
) -> Result<Looked, CommandError> {
    let host = world.host();
    let seen = crate::wire::look_with(world).await?;
    let (tuning, master) = (host.tuning().await, host.master().await);
    let limits = crate::commands::limits::of(&tuning, master);
    let test = test(world, &tuning).await;
    let reload = reload(world, &tuning, &test, measure_reload).await;
    let dangling = host.configuration().dangling.clone();
    let files = files(config, seen.sites.clone(), tuning.clone(), dangling);
    let files = tokio::task::spawn_blocking(files).await;
    let files = files.map_err(|cause| {
        CommandError::defect("The files of this host could not be looked at.").because(&cause)
    })?;
    let schedules = Schedules::observe(Path::new("/"));
    let found = find_clients(config, &schedules, home);
    let others = doctor::clients::judge(&found, &schedules, &seen.sites);
    let is_link = |finding: &&Finding| finding.name == FindingName::VhostSymlinkBroken;
    let broken = seen.findings.iter().filter(is_link).cloned().collect();
    let versions: Vec<VersionsSeen> = tuning.protocols.iter().map(versions).collect();
    let now = world.clock().now();
    let audited = vec![
        Audited::found(Aspect::OtherClient, others),
        panel_cron(config),
        Audited::found(Aspect::Keys, doctor::keys::judge(&files.keys)),
        Audited::found(Aspect::Links, broken),
        Audited::found(Aspect::Limits, doctor::limits::judge(&limits)),
        Audited::found(Aspect::Tls, tls::judge(&versions)),
        Audited::found(Aspect::Stapling, stapling::judge(&files.stapling)),
        Audited::found(Aspect::Logs, logs::judge(&files.logs, now)),
        Audited::found(Aspect::Space, doctor::space::judge(&files.space)),
        disk_speed(files.disk),
        test,
        reload,
    ];
    Ok(Looked {
        audited,
        sites: seen.sites,
        keys: files.keys,
        links: files.links,
        limits,
        stapling: files.stapling,
    })
}

/// What is seen of the file system.
struct Files {
    keys: Vec<KeySeen>,
    links: Vec<LinkSeen>,
    stapling: Vec<StaplingSeen>,
    logs: Vec<LogSeen>,
    space: Vec<doctor::space::SpaceSeen>,
    disk: std::io::Result<DiskSeen>,
}

/// Prepares the looks at files: they may hang on a network's file system, so they are made where that holds up nobody.
fn files(
    config: &Config,
    sites: Vec<Site>,
    tuning: Tuning,
    dangling: Vec<PathBuf>,
) -> impl FnOnce() -> Files + Send + 'static {
    let paths = config.paths.clone();
    move || {
        let mut keys = doctor::keys::observe_all(&paths.letsencrypt);
        let named: BTreeSet<PathBuf> = pairs(&sites).map(|pair| pair.key.clone()).collect();
        for key in named.iter().filter_map(|key| doctor::keys::observe(key)) {
            if keys.iter().all(|known| known.path != key.path) {
                keys.push(key);
            }
        }
        let own = [paths.log.clone(), paths.acme_log.clone()];
        let all: BTreeSet<PathBuf> = tuning.logs.iter().cloned().chain(own).collect();
        let mut folders = vec![paths.letsencrypt.clone(), paths.state.clone()];
        folders.extend(paths.log.parent().map(Path::to_owned));
        let state = paths.state.ancestors().find(|folder| folder.exists());
        Files {
            links: dangling
                .iter()
                .filter_map(|link| doctor::links::observe(link))
                .collect(),
            stapling: stapled(&sites, &tuning),
            logs: all.iter().filter_map(|log| logs::observe(log)).collect(),
            space: doctor::space::observe(&folders),
            disk: disk::observe(state.unwrap_or(Path::new("/")), DISK_TIME),
            keys,
        }
    }
}

fn pairs(sites: &[Site]) -> impl Iterator<Item = &renewal::site::Pair> {
    let servers = sites.iter().flat_map(|site| &site.servers);
    servers.filter_map(|server| server.pair.as_ref())
}

/// Counts for each line that turns stapling on the certificates that are answered for, and those that are not.
fn stapled(sites: &[Site], tuning: &Tuning) -> Vec<StaplingSeen> {
    let on = tuning.stapling.iter().filter(|line| line.on);
    on.map(|line| {
        let servers = sites.iter().flat_map(|site| &site.servers);
        let meant = servers.filter(|server| {
            line.server
                .as_ref()
                .is_none_or(|place| server.place == *place)
        });
        let files: BTreeSet<&PathBuf> = meant
            .filter_map(|server| Some(&server.pair.as_ref()?.certificate))
            .collect();
        let named = files.iter().filter_map(|file| {
            let pem = std::fs::read(file).ok()?;
            x509::chain::names_ocsp(&pem)
        });
        let named: Vec<bool> = named.collect();
        StaplingSeen {
            place: line.place.clone(),
            answered: named.iter().filter(|answered| **answered).count(),
            unanswered: named.iter().filter(|answered| !**answered).count(),
        }
    })
    .collect()
}

fn versions(line: &nginx::Protocols) -> VersionsSeen {
    VersionsSeen {
        place: line.place.clone(),
        versions: line.versions.clone(),
    }
}

fn disk_speed(seen: std::io::Result<DiskSeen>) -> Audited {
    match seen {
        Ok(seen) => Audited::found(Aspect::Disk, disk::judge(&seen)).noting(seen.to_string()),
        Err(cause) => Audited::skipped(Aspect::Disk, format!("no token could be written: {cause}")),
    }
}

async fn test(world: &Wiring, tuning: &Tuning) -> Audited {
    let begun = Instant::now();
    match world.host().test().await {
        Ok(()) => timed(Aspect::Test, begun.elapsed(), tuning),
        Err(HostFailure(refusal)) => Audited::found(Aspect::Test, vec![refusal]),
    }
}

async fn reload(world: &Wiring, tuning: &Tuning, test: &Audited, wanted: bool) -> Audited {
    if !wanted {
        return Audited::skipped(Aspect::Reload, "--measure-reload measures it");
    }
    if !test.findings.is_empty() {
        return Audited::skipped(
            Aspect::Reload,
            "nginx does not accept its configuration as it should",
        );
    }
    match world.host().reload().await {
        Ok(()) => {
            let (took, _) = world.host().taken_up().await;
            timed(Aspect::Reload, took, tuning)
        }
        Err(HostFailure(failed)) => Audited::found(Aspect::Reload, vec![failed]),
    }
}

fn timed(aspect: Aspect, took: Duration, tuning: &Tuning) -> Audited {
    let seen = TimingSeen {
        took,
        servers: tuning.servers,
    };
    Audited::found(aspect, timing::judge(&seen)).noting(seen.to_string())
}

/// CloudPanel's cron file has been lost in updates, and with it the nightly run that renews.
fn panel_cron(config: &Config) -> Audited {
    let database = config.host.cloudpanel_database.as_ref();
    if !database.is_some_and(|database| database.exists()) {
        return Audited::skipped(Aspect::PanelCron, "there is no CloudPanel here");
    }
    let missing = !Path::new(PANEL_CRON).exists();
    let finding = missing.then(|| {
        Finding::new(
            FindingName::PanelCronMissing,
            "CloudPanel's cron file is missing, so none of its nightly jobs run: no renewal, no backup, no clean-up",
        )
        .detail(format!("{PANEL_CRON} does not exist"))
        .fix("install CloudPanel's package again (apt-get install --reinstall cloudpanel), or copy the file from another host")
    });
    Audited::found(Aspect::PanelCron, finding.into_iter().collect())
}

/// Where the package puts it.
const PANEL_CRON: &str = "/etc/cron.d/clp";

/// Long enough for a median, and short enough to disturb nobody.
const DISK_TIME: Duration = Duration::from_millis(300);
