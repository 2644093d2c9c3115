//! How does the doctor look at this host?
//!
//! It knows neither nginx nor the CA's client, so what they have to tell comes to it here.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use doctor::addresses::AddressesSeen;
use doctor::caa::CaaSeen;
use doctor::clock::ClockSeen;
use doctor::name_servers::NameServersSeen;
use doctor::own::Own;
use doctor::port::PortSeen;
use doctor::schedule::ScheduleSeen;
use doctor::served::ServedSeen;
use doctor::way_in::{End, WayInSeen};
use doctor::{Check, Eyes, Observation};
use futures_util::future::{join, join_all};
use jiff::Timestamp;
use reconcile::rehearsal::{self, Rehearsed};
use reconcile::world::World as _;
use renewal::challenge::listens_on;
use renewal::finding::{Finding, FindingName, Severity};
use renewal::name::Name;
use renewal::plan::Remembered;
use renewal::policy::{Ca, DeadNames, Http01Mode};
use renewal::ports::{Host as _, Look, OrderFailure};
use renewal::retry::{Attempts, Blame};
use renewal::site::{ChallengeFolder, Pair, Site};
use tokio::sync::OnceCell;

use crate::commands::service_status::{Schedule, schedule};
use crate::config::Config;
use crate::wire::{Wiring, worker};

/// Looks at this host, and at the CA and DNS from here.
pub(super) struct HostEyes<'a> {
    world: &'a Wiring,
    config: &'a Config,
    look: &'a Look,
    sites: &'a [Site],
    remembered: &'a HashMap<Name, Remembered>,
    own: Own,
    /// What nginx says, asked once for several checks.
    running: OnceCell<Result<(), Finding>>,
    /// What the CAs of the sites say, likewise.
    clocks: OnceCell<Vec<Heard>>,
}

/// What a CA answered: its clock, when it tells, and ours at that moment.
type Heard = Result<(Ca, Option<Timestamp>, Timestamp), OrderFailure>;

impl<'a> HostEyes<'a> {
    /// Looks at nothing yet.
    pub(super) fn new(
        world: &'a Wiring,
        config: &'a Config,
        look: &'a Look,
        sites: &'a [Site],
        remembered: &'a HashMap<Name, Remembered>,
    ) -> Self {
        Self {
            world,
            config,
            look,
            sites,
            remembered,
            own: doctor::own::observe(&config.host.public_addresses, Path::new(PROC)),
            running: OnceCell::new(),
            clocks: OnceCell::new(),
        }
    }
}

impl Eyes for HostEyes<'_> {
    async fn observe(&self, check: Check, site: Option<&Site>) -> Observation {
        match (check, site) {
            (Check::Nginx, _) => Observation::Told(self.installed()),
            (Check::Configuration, _) => self.configuration().await,
            (Check::Running, _) => {
                Observation::Told(self.running().await.err().into_iter().collect())
            }
            (Check::Limits, _) => Observation::Limits(Box::new(
                crate::commands::limits::observe(self.world.host()).await,
            )),
            (Check::Vhosts, _) => Observation::Told(self.vhosts()),
            (Check::HttpPort, _) => self.http_port().await,
            (Check::Firewall, _) => self.firewall().await,
            (Check::Space, _) => self.space().await,
            (Check::Authority, _) => self.authority().await,
            (Check::Clock, _) => self.clock().await,
            (Check::Schedule, _) => Observation::Schedule(seen_schedule()),
            (Check::Vhost, Some(site)) => Observation::Told(site.findings.clone()),
            (Check::Certificate, Some(site)) => self.certificate(site).await,
            (Check::Served, Some(site)) => self.served(site).await,
            (Check::NameServers, Some(site)) => self.name_servers(site).await,
            (Check::Dns, Some(site)) => Observation::Addresses(self.addresses(site).await),
            (Check::Caa, Some(site)) => self.caa(site).await,
            (Check::DocumentRoot, Some(site)) => self.folders(site).await,
            (Check::Challenge, Some(site)) => self.way_in(site).await,
            (Check::Order, Some(site)) => self.order(site),
            (
                Check::Vhost
                | Check::Certificate
                | Check::Served
                | Check::NameServers
                | Check::Dns
                | Check::Caa
                | Check::DocumentRoot
                | Check::Challenge
                | Check::Order,
                None,
            ) => Observation::Unknown("it is about a site, and there is none".to_owned()),
        }
    }
}

/// This host.
impl HostEyes<'_> {
    fn installed(&self) -> Vec<Finding> {
        let missing = |finding: &&Finding| finding.name == FindingName::NginxNotInstalled;
        self.look.findings.iter().filter(missing).cloned().collect()
    }

    /// Asks nginx; what is known to be the cause of its refusal stands first.
    async fn configuration(&self) -> Observation {
        let mut findings: Vec<Finding> = self.broken_links().cloned().collect();
        let Err(refused) = self.world.host().test().await else {
            return Observation::Told(findings);
        };
        for finding in &mut findings {
            finding.severity = Severity::Fatal;
        }
        let mut refused = refused.0;
        // A certificate that nginx cannot use is what a renewal replaces.
        let of_pairs = self
            .look
            .sites
            .iter()
            .flat_map(|site| &site.findings)
            .filter(|finding| is_of_pair(finding.name));
        let of_pairs: Vec<Finding> = of_pairs.cloned().collect();
        if findings.is_empty() && !of_pairs.is_empty() {
            refused.severity = Severity::Error;
            findings = of_pairs;
        }
        findings.push(refused);
        Observation::Told(findings)
    }

    /// Returns what the look found beyond any one site, but for what other checks tell.
    fn vhosts(&self) -> Vec<Finding> {
        let told = [
            FindingName::NginxNotInstalled,
            FindingName::VhostSymlinkBroken,
        ];
        let rest = |finding: &&Finding| !told.contains(&finding.name);
        let found = self.look.findings.iter().filter(rest).cloned();
        found.chain(self.world.host().unreached()).collect()
    }

    fn broken_links(&self) -> impl Iterator<Item = &Finding> {
        let findings = self.look.findings.iter();
        findings.filter(|finding| finding.name == FindingName::VhostSymlinkBroken)
    }

    async fn running(&self) -> Result<(), Finding> {
        let ask = || async {
            self.world
                .host()
                .running()
                .await
                .map_err(|failure| failure.0)
        };
        self.running.get_or_init(ask).await.clone()
    }

    async fn http_port(&self) -> Observation {
        let port = self.config.http01.port.get();
        let listens = |site: &Site| site.servers.iter().any(|server| listens_on(server, port));
        let wanted = self.sites.iter().any(listens);
        let listeners = blocking(move || doctor::port::listeners(Path::new(PROC), port));
        let (running, listeners) = join(self.running(), listeners).await;
        let program = self.config.nginx.binary.file_name();
        Observation::Port(PortSeen {
            port,
            wanted,
            nginx_runs: Some(running.is_ok()),
            nginx: program.unwrap_or_default().to_string_lossy().into_owned(),
            listeners: listeners.flatten(),
        })
    }

    async fn firewall(&self) -> Observation {
        match self.world.preflight().firewall().await {
            Ok(seen) => Observation::Firewall((*seen).clone()),
            Err(why) => Observation::Unknown(why),
        }
    }

    async fn space(&self) -> Observation {
        let paths = &self.config.paths;
        let mut folders = vec![paths.letsencrypt.clone(), paths.state.clone()];
        folders.extend(paths.log.parent().map(PathBuf::from));
        let seen = blocking(move || doctor::space::observe(&folders)).await;
        seen.map_or_else(gone, Observation::Space)
    }

    async fn authority(&self) -> Observation {
        let mut findings: Vec<Finding> = Vec::new();
        let asked = tokio::time::timeout(CA_PATIENCE, self.clocks()).await;
        let Ok(heard) = asked else {
            let finding = Finding::new(FindingName::CaUnreachable, "the CA does not answer");
            let detail = format!("no answer within {} s", CA_PATIENCE.as_secs());
            let finding = finding.detail(detail);
            return Observation::Told(vec![finding.fix(
                "See that this host reaches the CA by HTTPS (outbound port 443); acme.directory says which CA it is.",
            )]);
        };
        for failure in heard.iter().filter_map(|heard| heard.as_ref().err()) {
            findings.extend(failure.findings.iter().cloned());
        }
        Observation::Told(findings)
    }

    async fn clock(&self) -> Observation {
        let heard = self.clocks().await.iter().flatten();
        let mut told = heard.filter_map(|(ca, there, here)| {
            let (here, there) = (*here, (*there)?);
            let ca = ca.to_string();
            Some(ClockSeen { here, there, ca })
        });
        match told.next() {
            Some(seen) => Observation::Clock(seen),
            None => Observation::Unknown("the CA does not say what time it is".to_owned()),
        }
    }

    /// Asks each CA of the sites once.
    async fn clocks(&self) -> &[Heard] {
        let ask = || async {
            let mut cas: Vec<&Ca> = Vec::new();
            for site in self.sites {
                if !cas.contains(&&site.policy.ca) {
                    cas.push(&site.policy.ca);
                }
            }
            let asked = cas.into_iter().map(|ca| async move {
                let there = self.world.authority().clock(ca).await?;
                Ok((
                    ca.clone(),
                    there,
                    renewal::ports::Clock::now(self.world.clock()),
                ))
            });
            join_all(asked).await
        };
        self.clocks.get_or_init(ask).await
    }
}

/// One site.
impl HostEyes<'_> {
    async fn certificate(&self, site: &Site) -> Observation {
        let Some(pair) = served_pair(site).cloned() else {
            return Observation::Unknown("nginx is told to serve none".to_owned());
        };
        let bundle = self.config.acme.ca_bundle.clone();
        let now = renewal::ports::Clock::now(self.world.clock());
        let seen = blocking(move || {
            let roots = bundle.and_then(|path| std::fs::read(path).ok());
            let roots = roots.unwrap_or_default();
            let place = pair.place.to_string();
            doctor::pair::observe(&pair.certificate, &pair.key, place, &roots, now)
        });
        seen.await
            .map_or_else(gone, |seen| Observation::Pair(Box::new(seen)))
    }

    async fn served(&self, site: &Site) -> Observation {
        let Some(current) = &site.current else {
            return Observation::Unknown("there is no certificate that could be served".to_owned());
        };
        let expected = Some(current.certificate.sha256);
        let patience = std::time::Duration::ZERO;
        Observation::Served(ServedSeen {
            domain: site.domain().clone(),
            addresses: self.world.host().served(site, expected, patience).await,
        })
    }

    async fn addresses(&self, site: &Site) -> AddressesSeen {
        let preflight = self.world.preflight();
        let private_ca = preflight.private_ca();
        let all_or_nothing = site.policy.dead_names == DeadNames::Fail;
        let names = doctor::addresses::observe(preflight.dns(), &site.wanted).await;
        AddressesSeen {
            names,
            private_ca,
            all_or_nothing,
        }
    }

    async fn name_servers(&self, site: &Site) -> Observation {
        let dns = self.world.preflight().dns();
        let names = doctor::name_servers::observe(dns, &site.wanted).await;
        let own = self.own.clone();
        Observation::NameServers(NameServersSeen { own, names })
    }

    async fn caa(&self, site: &Site) -> Observation {
        let authority = self.world.authority();
        let climbed = doctor::caa::observe(self.world.preflight().dns(), &site.wanted);
        let (about, names) = join(authority.about(&site.policy.ca), climbed).await;
        let Ok(about) = about else {
            return Observation::Unknown("the CA does not answer".to_owned());
        };
        let account = authority.account(&site.policy.ca).ok().flatten();
        Observation::Caa(CaaSeen {
            identities: about.caa_identities,
            account: account.map(|account| account.url),
            method: doctor::caa::HTTP_01.to_owned(),
            names,
        })
    }

    async fn folders(&self, site: &Site) -> Observation {
        let servers = site.servers.iter();
        let folders = servers.filter_map(|server| server.challenge_folder.clone());
        let folders: Vec<ChallengeFolder> = folders.collect();
        let needed = site.policy.http01 == Http01Mode::Webroot;
        let reader = worker(self.world.host());
        let seen = blocking(move || {
            let look = |folder| doctor::document_root::observe(folder, reader.as_ref(), needed);
            folders.iter().map(look).collect()
        });
        seen.await.map_or_else(gone, Observation::Folders)
    }

    async fn way_in(&self, site: &Site) -> Observation {
        let account = self.world.authority().account(&site.policy.ca);
        let thumbprint = account.ok().flatten().map(|account| account.thumbprint);
        let attempts = self.attempts(site);
        let nginx_runs = self.running().await.is_ok();
        let rehearsed = rehearsal::way_in(
            self.world,
            site,
            attempts,
            thumbprint.as_deref(),
            nginx_runs,
        )
        .await;
        let end = match rehearsed {
            Rehearsed::Answered(way, reached) => End::Answered {
                way,
                at: reached.into_iter().map(|reached| reached.address).collect(),
            },
            Rehearsed::AfterLine(findings) => End::AfterLine(findings),
            Rehearsed::WithoutNames(findings) => End::WithoutNames(findings),
            Rehearsed::Failed(findings) => End::Failed(findings),
        };
        let end = self.for_want_of_nginx(end).await;
        let stumbled = match &end {
            End::Answered { .. } | End::WithoutNames(_) => &[][..],
            End::AfterLine(findings) | End::Failed(findings) => findings,
        };
        let sent_away = stumbled.iter().any(|finding| is_sent_away(finding.name));
        let mut compared = Vec::new();
        if sent_away {
            compared = self.world.preflight().compare_agents(site.domain()).await;
        }
        let leads = self.leads(site).await;
        let (mut rules, mut instead) = (Vec::new(), Vec::new());
        let mut log = Vec::new();
        if !stumbled.is_empty() {
            log = self.world.host().said_of_challenges(site).await;
            rules = self.world.host().rules(site);
            instead = self.instead(site, &leads);
        }
        Observation::WayIn(Box::new(WayInSeen {
            own: self.own.clone(),
            leads,
            end,
            closed: self.world.preflight().closed_to(site.domain()).await,
            cloud: doctor::cloud::recognise(Path::new(DMI)),
            ca_met_silence: attempts.and_then(silence),
            log,
            instead,
            compared,
            rules,
        }))
    }

    /// Puts an nginx that does not run before what follows from it.
    async fn for_want_of_nginx(&self, end: End) -> End {
        match (end, self.running().await) {
            (End::Failed(mut findings), Err(finding)) => {
                findings.insert(0, finding.severity(Severity::Fatal));
                End::Failed(findings)
            }
            (end, _) => end,
        }
    }

    fn attempts(&self, site: &Site) -> Option<&Attempts> {
        self.remembered.get(site.domain())?.attempts.as_ref()
    }

    /// Returns where the site's names lead; DNS was asked before, and what it said is kept.
    async fn leads(&self, site: &Site) -> Vec<(Name, Vec<IpAddr>)> {
        let dns = self.world.preflight().dns();
        let each = site.wanted.iter().map(|name| async move {
            let resolution = dns.resolve(name).await;
            (name.clone(), resolution.addresses().collect())
        });
        join_all(each).await
    }

    /// Says which blocks answer the CA in place of the site's own, at those addresses that may be this host's.
    fn instead(&self, site: &Site, leads: &[(Name, Vec<IpAddr>)]) -> Vec<String> {
        let port = self.config.http01.port.get();
        let each = leads.iter().flat_map(|(name, addresses)| {
            let own = addresses.iter().filter(|ip| !self.own.excludes(**ip));
            own.filter_map(move |ip| {
                let address = SocketAddr::new(*ip, port);
                let block = self.world.host().answers_instead(site, name, address)?;
                Some(format!("{name} at {address} is answered by {block}"))
            })
        });
        each.collect()
    }

    fn order(&self, site: &Site) -> Observation {
        match rehearsal::may_order(self.world, site, self.attempts(site)) {
            Ok(findings) => Observation::Told(findings),
            Err(error) => Observation::Unknown(error.to_string()),
        }
    }
}

/// Returns the pair that visitors of the site get: that of its first block that speaks TLS.
fn served_pair(site: &Site) -> Option<&Pair> {
    let mut tls = site
        .servers
        .iter()
        .filter(|server| server.listens.iter().any(|listen| listen.tls));
    tls.find_map(|server| server.pair.as_ref())
}

fn is_of_pair(name: FindingName) -> bool {
    matches!(
        name,
        FindingName::KeyDoesNotFit | FindingName::FileNotUsable | FindingName::LiveLinksBroken
    )
}

/// Says whether a web server was reached, and sent the CA away.
fn is_sent_away(name: FindingName) -> bool {
    matches!(
        name,
        FindingName::ChallengeForbidden
            | FindingName::ChallengeConnectionClosed
            | FindingName::ChallengeServerError
            | FindingName::ChallengeWrongAnswer
    )
}

fn seen_schedule() -> ScheduleSeen {
    match schedule(Path::new("/")) {
        (Schedule::Service, Some(true)) | (Schedule::Timer, _) => ScheduleSeen::Alive,
        (Schedule::Service, Some(false) | None) => ScheduleSeen::Stopped,
        (Schedule::NotEnabled, _) => ScheduleSeen::NotEnabled,
        (Schedule::NotInstalled, _) => ScheduleSeen::NotInstalled,
        (Schedule::NoSystemd, _) => ScheduleSeen::NotKnown,
    }
}

/// Looks at files where that holds up nobody, for a network's file system may hang; `None` when it cannot.
async fn blocking<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(look).await.ok()
}

fn gone() -> Observation {
    Observation::Unknown("it could not be looked at".to_owned())
}

/// Returns what the CA met at the last attempt, when that was silence.
fn silence(attempts: &Attempts) -> Option<String> {
    let cause = attempts.cause.to_lowercase();
    let silent = cause.contains("timeout") || cause.contains("timed out");
    (silent && attempts.blame == Blame::Site).then(|| attempts.cause.clone())
}

/// What the machine says of itself.
const DMI: &str = "/sys/class/dmi/id";

/// Where the kernel tells.
const PROC: &str = "/proc";

/// A CA that takes longer is out of reach for a renewal as well.
const CA_PATIENCE: std::time::Duration = std::time::Duration::from_secs(12);
