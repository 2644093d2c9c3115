//! How is this host looked at and changed?
//!
//! [`NginxHost`] keeps the contract of [`renewal::ports::Host`] and hands each part to the module that does it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use renewal::certificate::Fingerprint;
use renewal::challenge::{Way, listens_on};
use renewal::choice::Decided;
use renewal::deployment::{LinkSwitch, Switch};
use renewal::name::Name;
use renewal::panel::PemPair;
use renewal::ports::{Change, Host, HostFailure, Issued, Known, Look, PresentError, Staged};
use renewal::report::Served;
use renewal::rollback::Version;
use renewal::secret::Secret;
use renewal::site::{Pair, Site};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::build::Build;
use crate::challenge::Challenges;
use crate::command::CommandError;
use crate::complaints::Complaints;
use crate::conf::include::Walk;
use crate::conf::read::Disk;
use crate::conf::tls::Files;
use crate::decided::Decisions;
use crate::edits::wanted::{self, HostPorts};
use crate::edits::{Batch, EditError};
use crate::firewall::Firewall;
use crate::lineage::archive::{self, Arrival};
use crate::lineage::versions::{self, Member};
use crate::lineage::{Lineages, Part};
use crate::served::{Looker, Target};
use crate::settings::Settings;
use crate::together::Together;
use crate::workers::OldWorkers;
use crate::{
    complaints, error_logs, keys, look, projection, reload, sites, switches, test, workers,
};

pub use self::mending::Made;

mod mending;

/// An nginx with its configuration and its certificates.
pub struct NginxHost {
    pub(crate) settings: Arc<Settings>,
    lineages: Arc<Lineages>,
    looker: Looker,
    old_workers: OldWorkers,
    complaints: Complaints,
    challenges: Challenges,
    pub(crate) firewall: Firewall,
    keys_kept: Together<(Name, Secret), Result<(), HostFailure>>,
    staged: Together<Arrival, Result<Staged, HostFailure>>,
    build: OnceCell<Build>,
    /// What the last look saw of the configuration.
    conf: Mutex<Arc<look::Look>>,
}

impl NginxHost {
    /// Takes the settings; nothing is touched yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let settings = Arc::new(settings);
        Self {
            lineages: Arc::new(Lineages::new(&settings.letsencrypt)),
            looker: Looker::new(),
            old_workers: OldWorkers::default(),
            complaints: Complaints::default(),
            challenges: Challenges::new(Arc::clone(&settings)),
            firewall: Firewall::default(),
            keys_kept: Together::default(),
            staged: Together::default(),
            build: OnceCell::new(),
            conf: Mutex::default(),
            settings,
        }
    }

    /// Returns what the last look saw of the configuration.
    #[must_use]
    pub fn configuration(&self) -> Arc<look::Look> {
        let conf = self.conf.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&conf)
    }

    /// Returns the error logs that the configuration names for the site; without a site, those of nginx as a whole.
    pub async fn error_logs(&self, site: Option<&Site>) -> Vec<PathBuf> {
        let build = self.build().await.unwrap_or_default();
        let servers = site.into_iter().flat_map(|site| &site.servers);
        error_logs::error_logs(
            self.log_source(&build),
            &servers.map(|server| &server.place).collect::<Vec<_>>(),
        )
    }

    /// Returns the certificates of a lineage on disk, the first one first, with what keeps each from being served.
    ///
    /// # Errors
    ///
    /// When what was decided about lineages cannot be read.
    pub fn versions(&self, lineage: &str) -> Result<Vec<Version>, HostFailure> {
        let decisions = self.decisions();
        let (decided, burnt) = (decisions.read(lineage)?, decisions.burnt_keys()?);
        let roots = &self.settings.roots;
        Ok(versions::versions(
            &self.lineages,
            lineage,
            &decided,
            &burnt,
            roots,
        ))
    }

    /// Returns one certificate of a lineage, with its key.
    ///
    /// # Errors
    ///
    /// Says which file cannot be used, and why.
    pub fn member(&self, lineage: &str, version: u32) -> Result<Member, String> {
        versions::member(&self.lineages, lineage, version)
    }

    /// Returns the keys that must never be used again: their SubjectPublicKeyInfo's SHA-256.
    ///
    /// # Errors
    ///
    /// When what was decided about lineages cannot be read.
    pub fn burnt_keys(&self) -> Result<HashSet<Fingerprint>, HostFailure> {
        Ok(self.decisions().burnt_keys()?)
    }

    fn decisions(&self) -> Decisions {
        Decisions::new(&self.settings.letsencrypt)
    }

    /// Returns what in the site's server blocks could stop a challenge, as `FILE:LINE: DIRECTIVE`, the likeliest first.
    #[must_use]
    pub fn rules(&self, site: &Site) -> Vec<String> {
        let servers: Vec<_> = site.servers.iter().map(|server| &server.place).collect();
        look::rules::rules(&Disk, &self.settings.config, &servers)
    }

    /// Finds vhost files that no include reaches.
    #[must_use]
    pub fn unreached(&self) -> Vec<renewal::finding::Finding> {
        look::unreached::unreached(&Disk, &self.settings.config)
    }

    /// Returns the last that nginx's error logs say of challenges of the site, and of limits that nginx ran into.
    pub async fn said_of_challenges(&self, site: &Site) -> Vec<String> {
        let logs = self.error_logs(Some(site)).await;
        complaints::of_challenges(&logs, site.wanted.as_slice())
    }

    /// Returns the user as whom nginx serves files, where its configuration says so.
    #[must_use]
    pub fn worker_user(&self) -> Option<String> {
        let (main, mut user) = (&self.settings.config, None);
        Walk::new(&Disk, main).main(main, &mut |_, _, directive| {
            if directive.is("user") {
                user = directive
                    .argument()
                    .map(|name| String::from_utf8_lossy(&name).into_owned());
            }
        });
        user
    }

    /// Returns how nginx was built; it is asked once.
    async fn build(&self) -> Result<Build, CommandError> {
        let asked = self
            .build
            .get_or_try_init(|| Build::ask(&self.settings))
            .await;
        asked.cloned()
    }

    fn log_source<'a>(&'a self, build: &'a Build) -> error_logs::Source<'a> {
        error_logs::Source {
            reader: &Disk,
            main: &self.settings.config,
            prefix: self.settings.prefix.as_deref().unwrap_or(&build.prefix),
            built_in: &build.error_log,
        }
    }

    /// Works out the links and edits of one change.
    fn plan<'a>(
        &self,
        batch: &mut Batch<'a>,
        change: &Change<'a>,
        files: Option<&'a (PathBuf, PathBuf)>,
    ) -> Result<Switch, EditError> {
        let may_edit = |site: &Site| self.settings.edit.allows(site);
        let ports = HostPorts {
            http: self.settings.http01_port,
            https: self.settings.https_port,
        };
        match (*change, files) {
            (
                Change::Serve {
                    site,
                    version,
                    serves,
                },
                Some((certificate, key)),
            ) => {
                let files = Files { certificate, key };
                let projected = site.panel.site().map(|panel| &panel.files);
                let changes = if self.chooses_by_variable(site) {
                    Vec::new()
                } else {
                    let is_ours = |pair: &Pair| {
                        if let Some(files) = projected {
                            return pair.certificate == files.certificate && pair.key == files.key;
                        }
                        let named = [&pair.certificate, &pair.key];
                        named
                            .iter()
                            .all(|path| self.lineages.named_by(path) == Some(&site.lineage))
                    };
                    wanted::serve(batch, site, is_ours, files, ports, may_edit(site))?
                };
                Ok(Switch {
                    domain: site.domain().clone(),
                    links: Some(LinkSwitch {
                        lineage: site.lineage.clone(),
                        from: self.lineages.links(&site.lineage).version(),
                        to: version,
                        serves,
                    }),
                    pair: projected
                        .map(|files| {
                            projection::plan(&self.lineages, &site.lineage, version, files)
                        })
                        .transpose()?,
                    edits: batch.add(&changes, CERTIFICATE_LINES)?,
                })
            }
            (Change::Stateless { site, thumbprint }, _) => {
                let port = self.settings.http01_port;
                let changes = wanted::stateless(batch, site, thumbprint, port, may_edit(site))?;
                Ok(Switch {
                    domain: site.domain().clone(),
                    links: None,
                    pair: None,
                    edits: batch.add(&changes, CHALLENGE_LINE)?,
                })
            }
            (Change::Serve { site, .. }, None) => Ok(Switch {
                domain: site.domain().clone(),
                links: None,
                pair: None,
                edits: Vec::new(),
            }),
        }
    }

    /// Says whether variables or code choose the site's certificate, so that lines with a file would change that.
    fn chooses_by_variable(&self, site: &Site) -> bool {
        let conf = self.configuration();
        conf.site(site.domain())
            .is_some_and(|found| found.by_variable)
    }

    /// Returns where the site's certificate is looked at.
    fn targets(&self, site: &Site) -> Vec<Target> {
        let mut targets: Vec<Target> = Vec::new();
        for listen in site.servers.iter().flat_map(|server| &server.listens) {
            let target = Target {
                address: listen.reachable(),
                proxy_protocol: listen.proxy_protocol,
            };
            let known = targets.iter().any(|other| other.address == target.address);
            if listen.tls && !listen.quic && !known {
                targets.push(target);
            }
        }
        if targets.is_empty() {
            targets = self.future_targets(site);
        }
        targets
    }

    /// Returns where a site that did not speak TLS at the last look does so after [`Change::Serve`].
    fn future_targets(&self, site: &Site) -> Vec<Target> {
        let on_port = |server| listens_on(server, self.settings.http01_port);
        let any_on_port = site.servers.iter().any(|server| on_port(server));
        let mut targets: Vec<Target> = Vec::new();
        for listen in site.servers.iter().flat_map(|server| &server.listens) {
            if any_on_port && listen.address.port() != self.settings.http01_port {
                continue;
            }
            let mut address = listen.reachable();
            address.set_port(self.settings.https_port);
            if targets.iter().all(|other| other.address != address) {
                targets.push(Target {
                    address,
                    proxy_protocol: false,
                });
            }
        }
        targets
    }

    /// Says which server block answers `name` at `address`, when it is none of the site's own.
    #[must_use]
    pub fn answers_instead(&self, site: &Site, name: &Name, address: SocketAddr) -> Option<String> {
        let conf = self.configuration();
        let answering = conf.answering(address, name.as_str())?;
        let place = &answering.server.place;
        if site.servers.iter().any(|server| server.place == *place) {
            return None;
        }
        let names = answering.server.names.join(" ");
        Some(match answering.how {
            look::How::Named => format!("{place} (server_name {names})"),
            look::How::Default => {
                format!("{place}, the default of {address}, for no block there has the name")
            }
            look::How::Perhaps => format!("perhaps {place} (server_name {names})"),
        })
    }
}

impl Host for NginxHost {
    async fn look(&self, known: &Known) -> Result<Look, HostFailure> {
        let asked = self
            .build
            .get_or_try_init(|| Build::ask(&self.settings))
            .await;
        let missing = asked.as_ref().err().map(test::not_run);
        let build = asked.cloned().unwrap_or_default();
        // Nothing else is under way while a run looks, so it may take this thread for some milliseconds.
        let mut seen = sites::see(&self.settings, &self.lineages, &build.prefix, known);
        seen.look.findings.extend(missing.map(|failure| failure.0));
        *self.conf.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(seen.conf);
        Ok(seen.look)
    }

    async fn keep_key(&self, domain: &Name, key: &Secret) -> Result<(), HostFailure> {
        let settings = Arc::clone(&self.settings);
        let keep = move |keys: Vec<_>| keys::keep(&settings, &keys);
        self.keys_kept
            .run((domain.clone(), key.clone()), keep)
            .await
    }

    async fn kept_key(&self, domain: &Name) -> Result<Option<Secret>, HostFailure> {
        let (settings, domain) = (Arc::clone(&self.settings), domain.clone());
        blocking(move || keys::kept(&settings, &domain)).await
    }

    async fn stage(
        &self,
        site: &Site,
        key: &Secret,
        issued: &Issued,
        now: Timestamp,
    ) -> Result<Staged, HostFailure> {
        let (settings, lineages) = (Arc::clone(&self.settings), Arc::clone(&self.lineages));
        let arrival = Arrival {
            site: site.clone(),
            key: key.clone(),
            kept: keys::path(&self.settings, site.domain()),
            issued: issued.clone(),
            now,
        };
        let stage = move |arrivals: Vec<Arrival>| {
            let staged = archive::stage(&lineages, &settings.roots, &arrivals);
            let each = staged.into_iter().zip(&arrivals);
            each.map(|(staged, arrival)| {
                let staged = staged?;
                keys::forget(&settings, arrival.site.domain())?;
                Ok(staged)
            })
            .collect()
        };
        self.staged.run(arrival, stage).await
    }

    async fn pair(&self, site: &Site, version: u32) -> Result<PemPair, HostFailure> {
        let (lineages, lineage) = (Arc::clone(&self.lineages), site.lineage.clone());
        blocking(move || Ok(archive::pair(&lineages, &lineage, version)?)).await
    }

    async fn prepare(&self, changes: &[Change<'_>]) -> Vec<Result<Switch, HostFailure>> {
        let files: Vec<Option<(PathBuf, PathBuf)>> = changes
            .iter()
            .map(|change| match change {
                Change::Serve { site, .. } => Some(match site.panel.site() {
                    // What the panel's vhost names, and will name again whenever the panel writes it.
                    Some(panel) => (panel.files.certificate.clone(), panel.files.key.clone()),
                    None => (
                        self.lineages.link(&site.lineage, Part::Fullchain),
                        self.lineages.link(&site.lineage, Part::Privkey),
                    ),
                }),
                Change::Stateless { .. } => None,
            })
            .collect();
        let mut batch = Batch::default();
        changes
            .iter()
            .zip(&files)
            .map(|(change, files)| {
                let planned = self.plan(&mut batch, change, files.as_ref());
                planned.map_err(HostFailure::from)
            })
            .collect()
    }

    async fn switch(&self, made: &[Switch]) -> Result<(), HostFailure> {
        let (lineages, made) = (Arc::clone(&self.lineages), made.to_owned());
        blocking(move || switches::make(&lineages, &made)).await
    }

    async fn revert(&self, made: &[Switch]) -> Result<(), HostFailure> {
        let (lineages, made) = (Arc::clone(&self.lineages), made.to_owned());
        blocking(move || switches::unmake(&lineages, &made)).await
    }

    async fn settle(&self, made: &[Switch]) {
        let (lineages, made) = (Arc::clone(&self.lineages), made.to_owned());
        blocking(move || switches::settle(&lineages, &made)).await;
    }

    async fn test(&self) -> Result<(), HostFailure> {
        test::test(&self.settings).await
    }

    async fn reload(&self) -> Result<(), HostFailure> {
        self.looker.reload_began();
        // Who cannot be found is not waited for.
        let master = reload::master(&self.settings).await;
        self.old_workers.reload_begins(master.ok());
        let build = self.build().await.unwrap_or_default();
        self.complaints.begin(self.log_source(&build));
        let reloaded = reload::reload(&self.settings).await;
        reloaded.map_err(|error| self.complaints.added_to(error.into()))
    }

    async fn running(&self) -> Result<(), HostFailure> {
        self.build().await.map_err(|error| test::not_run(&error))?;
        let Err(error) = reload::running(&self.settings).await else {
            return Ok(());
        };
        let HostFailure(mut finding) = error.into();
        // What keeps it from being started is the cause, and is to be mended first.
        if let Err(HostFailure(refusal)) = self.test().await {
            finding.detail = format!("{}; nginx -t says: {}", finding.detail, refusal.detail);
            finding.fix = format!("{} Then start nginx: systemctl start nginx.", refusal.fix);
        }
        Err(HostFailure(finding))
    }

    async fn complaints(&self) -> Vec<String> {
        self.complaints.read()
    }

    async fn served(
        &self,
        site: &Site,
        expected: Option<Fingerprint>,
        patience: Duration,
    ) -> Vec<Served> {
        let targets = self.targets(site);
        let begun = Instant::now();
        if expected.is_some() {
            // While an old worker takes connections, one look at a new one says little about the next.
            self.old_workers.gone(patience).await;
        }
        let patience = patience.saturating_sub(begun.elapsed());
        let mut seen = self
            .looker
            .look(site.domain(), &targets, expected, patience)
            .await;
        for served in seen
            .iter_mut()
            .filter(|served| !served.ok && served.sha256.is_some())
        {
            served.answered_by = self.answers_instead(site, site.domain(), served.address);
        }
        seen
    }

    async fn changed_since_reload(&self, files: &[&Path], now: Timestamp) -> Vec<bool> {
        let master = reload::master(&self.settings).await;
        let age = master
            .ok()
            .and_then(|master| workers::age(Path::new("/proc"), master));
        // The kernel's time of a change is some milliseconds coarse.
        let since = age.and_then(|age| now.checked_sub(age + COARSE).ok());
        let is_younger = |file: &&Path| {
            // Not the time of the last write, which whoever brings a copy back may have kept.
            let facts = file.metadata().ok()?;
            let changed = Timestamp::new(facts.ctime(), facts.ctime_nsec().try_into().ok()?);
            Some(changed.ok()? > since?)
        };
        let younger = files.iter().map(|file| is_younger(file).unwrap_or(false));
        younger.collect()
    }

    async fn present(
        &self,
        site: &Site,
        way: Way,
        token: &str,
        answer: &str,
    ) -> Result<(), PresentError> {
        if way == Way::Stateless {
            // The answer is in place once every worker that takes requests knows the line.
            self.old_workers.gone(RELOAD_PATIENCE).await;
        }
        let presented = self.challenges.present(site, way, token, answer).await;
        presented.map_err(PresentError)
    }

    async fn withdraw(&self, site: &Site, way: Way, token: &str) {
        self.challenges.withdraw(site, way, token).await;
    }

    async fn decided(&self, lineage: &str) -> Result<Decided, HostFailure> {
        let (decisions, lineage) = (self.decisions(), lineage.to_owned());
        Ok(blocking(move || decisions.read(&lineage)).await?)
    }

    async fn decide(&self, lineage: &str, decided: &Decided) -> Result<(), HostFailure> {
        let (decisions, lineage) = (self.decisions(), lineage.to_owned());
        let decided = decided.clone();
        Ok(blocking(move || decisions.write(&lineage, &decided)).await?)
    }

    async fn end_unfinished(&self) -> Result<bool, HostFailure> {
        self.end_unfinished_opening().await;
        self.end_unfinished_fix().await
    }

    async fn open_for_validation(&self, now: Timestamp) -> Result<Option<Timestamp>, HostFailure> {
        self.open_port(now).await
    }

    async fn close_after_validation(&self) {
        self.close_port().await;
    }

    async fn tidy(&self) {
        self.challenges.tidy().await;
    }
}

/// Runs work on files where it holds up nobody.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// nginx 1.22 takes 18 s to take up 10,000 virtual hosts.
const RELOAD_PATIENCE: Duration = Duration::from_secs(30);

/// Files get the kernel's time of its last tick, at most 10 ms ago, and processes are as coarse.
const COARSE: Duration = Duration::from_millis(100);

/// What an edit changes, for people.
const CERTIFICATE_LINES: &str = "the lines that name its certificate";
const CHALLENGE_LINE: &str = "the line that answers challenges";

#[cfg(test)]
mod tests;
