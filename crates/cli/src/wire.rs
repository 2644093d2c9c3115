//! How are the adapters joined?
//!
//! The one place that knows them all: which CA client, which nginx, which database stands behind each port of
//! the driver. [`Wiring`] is the driver's world; the functions below it answer commands that only look.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cloudpanel::CloudPanel;
use nginx::NginxHost;
use reconcile::world::{Settings, World};
use renewal::finding::FindingName;
use renewal::name::Name;
use renewal::names::Names;
use renewal::panel::join;
use renewal::plan::Remembered;
use renewal::ports::{
    HistoryEntry, Host as _, HostFailure, Lease as _, LeaseHeld, Look, Memory as _, Panel as _,
};
use renewal::report::Served;
use renewal::site::Site;
use rustls::pki_types::CertificateDer;
use store::{Database, OpenError, RunLock};

use crate::clock::SystemClock;
use crate::commands::service_run::Pulse;
use crate::commands::site_show::Version;
use crate::commands::{Session, runtime};
use crate::config::Config;
use crate::errors::{AS_ROOT, CommandError};
use crate::progress::Progress;

mod firewall;
mod settings;
pub(crate) mod users;

/// The driver's world, made of the real adapters.
pub struct Wiring {
    host: NginxHost,
    panel: CloudPanel,
    authority: acme::Authorities,
    preflight: doctor::Preflight,
    memory: Database,
    lease: RunLock<SystemClock>,
    clock: SystemClock,
    observer: Progress,
    settings: Settings,
    roots: Vec<CertificateDer<'static>>,
    letsencrypt: PathBuf,
}

/// What a command does with what it is wired to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// It may change things.
    Change,
    /// It only looks: not even the database is made where there is none.
    Look,
}

impl Wiring {
    /// Joins the adapters for a command; nothing is asked of anyone yet.
    ///
    /// `names` are the names that one site's certificate shall have, where the command line says so.
    ///
    /// # Errors
    ///
    /// When the state folder or the extra root certificates cannot be used.
    pub fn new(
        session: &Session,
        config: &Config,
        command: &str,
        access: Access,
        names: Option<&Names>,
    ) -> Result<Self, CommandError> {
        let roots = settings::roots(config)?;
        let clock = session.clock;
        let port = config.http01.port.get();
        let authority =
            acme::Authorities::new(settings::authority(config, roots.clone()), move || {
                clock.now()
            })
            .map_err(|error| {
                CommandError::usage("The CA's root certificates cannot be used.").because(&error)
            })?;
        Ok(Self {
            host: NginxHost::new(settings::host(config, roots.clone(), names)?),
            panel: CloudPanel::new(settings::panel(config)),
            authority,
            preflight: doctor::Preflight::new(settings::preflight(config))
                .with_firewall(Box::new(move || Box::pin(firewall::read(port)))),
            memory: open(config, clock, access)?,
            lease: RunLock::new(config.paths.state.join(LOCK), command, clock),
            clock,
            observer: Progress::new(&session.console),
            settings: settings::driver(config),
            roots,
            letsencrypt: config.paths.letsencrypt.clone(),
        })
    }
}

impl Wiring {
    /// Returns the root certificates that are known besides the public ones.
    #[must_use]
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// Returns the file by which a vhost names a lineage's chain.
    #[must_use]
    pub fn live(&self, lineage: &str) -> PathBuf {
        self.letsencrypt
            .join("live")
            .join(lineage)
            .join("fullchain.pem")
    }
}

impl Wiring {
    /// Has every event felt as a beat.
    #[must_use]
    pub fn felt_by(self, pulse: &Pulse) -> Self {
        Self {
            observer: self.observer.felt_by(pulse),
            ..self
        }
    }
}

/// Returns the user as whom nginx serves files, with its groups, where all of that is known.
#[must_use]
pub fn worker(host: &NginxHost) -> Option<doctor::document_root::Reader> {
    let name = host.worker_user()?;
    let (user, groups) = users::with_groups(&name)?;
    Some(doctor::document_root::Reader { name, user, groups })
}

impl World for Wiring {
    type Host = NginxHost;
    type Panel = CloudPanel;
    type Authority = acme::Authorities;
    type Preflight = doctor::Preflight;
    type Memory = Database;
    type Lease = RunLock<SystemClock>;
    type Clock = SystemClock;
    type Observer = Progress;

    fn host(&self) -> &NginxHost {
        &self.host
    }

    fn panel(&self) -> &CloudPanel {
        &self.panel
    }

    fn authority(&self) -> &acme::Authorities {
        &self.authority
    }

    fn preflight(&self) -> &doctor::Preflight {
        &self.preflight
    }

    fn memory(&self) -> &Database {
        &self.memory
    }

    fn lease(&self) -> &RunLock<SystemClock> {
        &self.lease
    }

    fn clock(&self) -> &SystemClock {
        &self.clock
    }

    fn observer(&self) -> &Progress {
        &self.observer
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// Returns whose challenge folders shall be, where that is set; else they are the document root's owner's.
///
/// # Errors
///
/// When there is no such user or group.
pub fn challenge_owner(config: &Config) -> Result<Option<(u32, u32)>, CommandError> {
    Ok(
        match settings::host(config, Vec::new(), None)?.http01_owner {
            nginx::Owner::DocumentRoot => None,
            nginx::Owner::Ids(user, group) => Some((user, group)),
        },
    )
}

/// Looks at this host.
///
/// # Errors
///
/// When nothing at all can be said about it.
pub fn look(config: &Config, clock: SystemClock) -> Result<Look, CommandError> {
    // Certificates read before need not be read again; a database that cannot be read only makes it slower.
    let known = open(config, clock, Access::Look)
        .and_then(|memory| Ok(memory.known()?))
        .unwrap_or_default();
    let host = host(config)?;
    let panel = CloudPanel::new(settings::panel(config));
    let seen = runtime()?.block_on(async {
        let look = host.look(&known).await?;
        Ok::<_, HostFailure>((look, panel.inventory(&known).await))
    });
    let (mut look, inventory) = seen?;
    join(&mut look, inventory, clock.now());
    Ok(look)
}

/// Looks at the host that `world` is wired to, and at what its panel says.
///
/// # Errors
///
/// As [`look`].
pub async fn look_with(world: &Wiring) -> Result<Look, CommandError> {
    let known = world.memory.known().unwrap_or_default();
    let mut look = world.host.look(&known).await?;
    join(
        &mut look,
        world.panel.inventory(&known).await,
        world.clock.now(),
    );
    Ok(look)
}

/// Returns what is remembered of all sites.
///
/// # Errors
///
/// When the database cannot be read; a missing one remembers nothing.
pub fn remembered(config: &Config) -> Result<HashMap<Name, Remembered>, CommandError> {
    Ok(open(config, SystemClock::default(), Access::Look)?.remembered()?)
}

/// Returns the newest entries of the history, newest first.
///
/// # Errors
///
/// As [`remembered`].
pub fn history(
    config: &Config,
    domain: Option<&Name>,
    limit: usize,
) -> Result<Vec<HistoryEntry>, CommandError> {
    Ok(open(config, SystemClock::default(), Access::Look)?.history(domain, limit)?)
}

/// Says who holds the lock, if anyone.
///
/// # Errors
///
/// When the lock file cannot be read.
pub fn lock_holder(config: &Config) -> Result<Option<String>, CommandError> {
    let path = config.paths.state.join(LOCK);
    // Looking must not make the file: without it nobody has ever held the lock.
    if !path.exists() {
        return Ok(None);
    }
    match RunLock::new(path, "service:status", SystemClock::default()).take() {
        Ok(_) => Ok(None),
        Err(LeaseHeld::By(holder)) => Ok(Some(holder)),
        Err(held) => Err(held.into()),
    }
}

/// Returns the versions of the site's lineage on disk, newest first.
///
/// # Errors
///
/// When the folder cannot be read.
pub fn versions(config: &Config, site: &Site) -> Result<Vec<Version>, CommandError> {
    let folder = config.paths.letsencrypt.join("archive").join(&site.lineage);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(CommandError::file(
                format!("{} cannot be read.", folder.display()),
                &error,
            ));
        }
    };
    let mut versions: Vec<Version> = entries
        .flatten()
        .filter_map(|entry| version(&entry.path()))
        .collect();
    versions.sort_by_key(|version| std::cmp::Reverse(version.number));
    Ok(versions)
}

/// Looks at what each TLS address of the site serves now.
///
/// # Errors
///
/// When nothing can be asked.
pub fn served(config: &Config, site: &Site) -> Result<Vec<Served>, CommandError> {
    let expected = site
        .current
        .as_ref()
        .map(|current| current.certificate.sha256);
    let host = host(config)?;
    let looked = host.served(site, expected, std::time::Duration::ZERO);
    let mut served = runtime()?.block_on(looked);
    // Where there is no certificate, whatever answers is not the site's.
    for served in served.iter_mut().filter(|_| expected.is_none()) {
        served.ok = false;
    }
    Ok(served)
}

/// Returns the error logs of nginx: those that its configuration names for the site, or for all.
///
/// # Errors
///
/// When the settings of this host cannot be used.
pub fn error_logs(config: &Config, site: Option<&Site>) -> Result<Vec<PathBuf>, CommandError> {
    let host = host(config)?;
    Ok(runtime()?.block_on(host.error_logs(site)))
}

fn host(config: &Config) -> Result<NginxHost, CommandError> {
    Ok(NginxHost::new(settings::host(
        config,
        settings::roots(config)?,
        None,
    )?))
}

fn open(config: &Config, clock: SystemClock, access: Access) -> Result<Database, CommandError> {
    let path = config.paths.state.join(DATABASE);
    let opened = match access {
        Access::Change => Database::open(&path, clock.now()),
        Access::Look => Database::open_read_only(&path),
    };
    opened.map_err(|error| {
        let made = CommandError::mend(
            "What clpctl remembers between runs cannot be used, so nothing was done.",
        )
        .because(&error);
        if access == Access::Look && denied(&path) {
            return made.hint(AS_ROOT);
        }
        match &error {
            OpenError::Directory { cause, .. } if cause.kind() == ErrorKind::PermissionDenied => {
                made.hint(AS_ROOT)
            }
            OpenError::NotWritable { .. } => made.hint(AS_ROOT),
            OpenError::Full { .. } => made.finding(FindingName::DiskFull),
            _ => made,
        }
    })
}

/// Says whether this user may not read the file; SQLite only says that it cannot open it.
fn denied(path: &Path) -> bool {
    std::fs::File::open(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// Reads `certN.pem`; any other file is none of the lineage's versions.
fn version(path: &Path) -> Option<Version> {
    let number = path
        .file_name()?
        .to_str()?
        .strip_prefix("cert")?
        .strip_suffix(".pem")?
        .parse()
        .ok()?;
    let certificate = std::fs::read(path)
        .ok()
        .and_then(|pem| x509::chain::leaf(&pem).ok());
    Some(Version {
        number,
        certificate,
        path: path.to_owned(),
    })
}

/// The files of the state folder.
const DATABASE: &str = "clpctl.db";
const LOCK: &str = "lock";
