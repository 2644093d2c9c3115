//! The host: vhosts, lineages and an nginx, as the driver's port sees them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use renewal::acceptance::{Candidate, accept};
use renewal::certificate::{Certificate, CertificateId, Fingerprint};
use renewal::challenge::{Probe, Reached, Way};
use renewal::choice::Decided;
use renewal::deployment::{LinkSwitch, Switch};
use renewal::finding::{Finding, FindingName};
use renewal::name::Name;
use renewal::names::Names;
use renewal::panel::PemPair;
use renewal::policy::{DeadNames, Policy};
use renewal::ports::{
    Change, Host, HostFailure, Issued, Known, Look, Preflight, PresentError, Staged,
};
use renewal::report::Served;
use renewal::secret::Secret;
use renewal::site::{ChallengeFolder, Current, Listen, Place, Server, Site, Undeployed};
use renewal::window::Window;

use crate::world::ports::SimulatedClock;
use crate::world::pulse::Pulse;
use crate::world::truth::{Cert, Nginx, Reach, Shared, Truth, Vhost};

/// The host, and the checks before an order.
pub(crate) struct SimulatedHost {
    pub(crate) truth: Shared,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) clock: SimulatedClock,
}

fn certificate(cert: &Cert) -> Certificate {
    let names = cert.names.iter().map(|name| Name::parse(name).unwrap());
    Certificate {
        names: names.collect(),
        valid: Window::new(cert.begin, cert.end).unwrap(),
        issuer: "Simulated CA".to_owned(),
        serial: format!("{:x}", cert.number),
        sha256: cert.sha256(),
        id: Some(CertificateId(cert.id())),
        self_signed: false,
    }
}

fn site(number: u32, vhost: &Vhost) -> Site {
    let listen = |port, tls| Listen {
        address: ([0, 0, 0, 0], port).into(),
        tls,
        quic: false,
        default_server: false,
        proxy_protocol: false,
    };
    let parsed = vhost.names.iter().map(|name| Name::parse(name).unwrap());
    let newest = vhost.versions.last_key_value();
    let undeployed = newest.filter(|(version, _)| Some(**version) > vhost.linked);
    let path: std::path::PathBuf = format!("/live/lineage{number}/fullchain.pem").into();
    let root = ChallengeFolder::Root(format!("/srv/{number}").into());
    Site {
        servers: vec![Arc::new(Server {
            place: Place {
                file: format!("/etc/nginx/{number}.conf").into(),
                line: 1,
            },
            names: vhost.names.clone(),
            listens: vec![listen(80, false), listen(443, true)],
            challenge_folder: vhost.folder.then_some(root),
            stateless: vhost.line.then(|| THUMBPRINT.to_owned()),
            ..Server::default()
        })],
        current: vhost.linked_cert().map(|cert| Current {
            certificate: Arc::new(certificate(cert)),
            path: path.clone(),
            version: vhost.linked,
            key_fits: true,
        }),
        lineage: format!("lineage{number}"),
        undeployed: undeployed.map(|(version, cert)| Undeployed {
            certificate: Arc::new(certificate(cert)),
            path,
            version: *version,
        }),
        policy: Policy {
            listed: true,
            // Which names are left out is judged elsewhere.
            dead_names: DeadNames::Fail,
            ..Policy::default()
        },
        ..Site::new(Names::new(parsed).unwrap())
    }
}

/// Names an answer that is in place; what a probe's token has of the process is left out.
fn answer(site: &Site, token: &str) -> String {
    let own = token.strip_prefix("clpctl-probe-");
    let own = own.and_then(|own| own.splitn(3, '-').nth(2));
    let token = own.map_or_else(|| token.to_owned(), |name| format!("probe {name}"));
    format!("{} {token}", site.lineage)
}

fn number_of(lineage: &str) -> u32 {
    lineage.strip_prefix("lineage").unwrap().parse().unwrap()
}

fn failure(name: FindingName, text: &str) -> HostFailure {
    HostFailure(Finding::new(name, text))
}

impl Host for SimulatedHost {
    async fn look(&self, _known: &Known) -> Result<Look, HostFailure> {
        self.pulse.step().await;
        let truth = self.truth.lock();
        let sites = truth
            .vhosts
            .iter()
            .map(|(number, vhost)| site(*number, vhost));
        let findings = if truth.broken {
            vec![Finding::new(
                FindingName::NginxConfigInvalid,
                "it is broken",
            )]
        } else {
            Vec::new()
        };
        Ok(Look {
            sites: sites.collect(),
            findings,
            ..Look::default()
        })
    }

    async fn keep_key(&self, domain: &Name, key: &Secret) -> Result<(), HostFailure> {
        let (domain, key) = (domain.to_string(), key.reveal().to_owned());
        let keep = || _ = self.truth.lock().kept_keys.insert(domain, key);
        self.pulse.act("key kept", keep).await;
        Ok(())
    }

    async fn kept_key(&self, domain: &Name) -> Result<Option<Secret>, HostFailure> {
        self.pulse.step().await;
        let kept = self.truth.lock().kept_keys.get(domain.as_str()).cloned();
        Ok(kept.map(Secret::new))
    }

    async fn stage(
        &self,
        site: &Site,
        key: &Secret,
        issued: &Issued,
        now: Timestamp,
    ) -> Result<Staged, HostFailure> {
        self.pulse.step().await;
        let cert = {
            let truth = self.truth.lock();
            truth.certs[&issued.chains[0].parse::<u64>().unwrap()].clone()
        };
        let new = certificate(&cert);
        let candidate = Candidate {
            certificate: &new,
            key_fits: cert.key == key.reveal(),
            chain_fault: None,
        };
        let current = site.current.as_ref().map(|current| &*current.certificate);
        if let Err(rejection) = accept(&candidate, &site.wanted, current, now) {
            return Err(failure(
                FindingName::CertificateRejected,
                &rejection.to_string(),
            ));
        }
        let number = number_of(&site.lineage);
        let write = || {
            let mut truth = self.truth.lock();
            let versions = &mut truth.vhosts.entry(number).or_default().versions;
            let same = versions
                .iter()
                .find(|(_, known)| known.number == cert.number);
            let version = same.map(|(version, _)| *version);
            let version =
                version.unwrap_or_else(|| versions.keys().last().map_or(1, |last| last + 1));
            versions.insert(version, cert.clone());
            version
        };
        let version = self.pulse.act("version written", write).await;
        let domain = site.domain().to_string();
        let forget = || _ = self.truth.lock().kept_keys.remove(&domain);
        self.pulse.act("key forgotten", forget).await;
        Ok(Staged {
            version,
            certificate: new,
            path: format!("/live/{}/fullchain.pem", site.lineage).into(),
        })
    }

    async fn prepare(&self, changes: &[Change<'_>]) -> Vec<Result<Switch, HostFailure>> {
        self.pulse.step().await;
        let truth = self.truth.lock();
        let prepare = |change: &Change<'_>| match change {
            Change::Serve {
                site,
                version,
                serves,
            } => Switch {
                domain: site.domain().clone(),
                links: Some(LinkSwitch {
                    lineage: site.lineage.clone(),
                    from: truth.vhosts[&number_of(&site.lineage)].linked,
                    to: *version,
                    serves: *serves,
                }),
                pair: None,
                edits: Vec::new(),
            },
            Change::Stateless { site, .. } => Switch {
                domain: site.domain().clone(),
                links: None,
                pair: None,
                edits: Vec::new(),
            },
        };
        changes.iter().map(|change| Ok(prepare(change))).collect()
    }

    async fn switch(&self, switches: &[Switch]) -> Result<(), HostFailure> {
        for switch in switches {
            self.pulse
                .act("switched", || self.truth.lock().set(switch, true))
                .await?;
        }
        Ok(())
    }

    async fn revert(&self, switches: &[Switch]) -> Result<(), HostFailure> {
        let mut first = Ok(());
        for switch in switches.iter().rev() {
            let undone = self
                .pulse
                .act("reverted", || self.truth.lock().set(switch, false))
                .await;
            first = first.and(undone);
        }
        first
    }

    async fn settle(&self, _switches: &[Switch]) {
        self.pulse.act("settled", || ()).await;
    }

    async fn test(&self) -> Result<(), HostFailure> {
        self.pulse.step().await;
        if self.truth.lock().accepts() {
            Ok(())
        } else {
            Err(failure(
                FindingName::NginxConfigInvalid,
                "nginx refuses its configuration",
            ))
        }
    }

    async fn reload(&self) -> Result<(), HostFailure> {
        let now = self.clock.true_now();
        self.pulse
            .act("reloaded", || self.truth.lock().reload(now))
            .await
    }

    async fn running(&self) -> Result<(), HostFailure> {
        self.pulse.step().await;
        match self.truth.lock().nginx {
            Nginx::Runs => Ok(()),
            Nginx::Dead => Err(failure(FindingName::NginxNotRunning, "there is no nginx")),
        }
    }

    async fn complaints(&self) -> Vec<String> {
        Vec::new()
    }

    async fn served(
        &self,
        site: &Site,
        expected: Option<Fingerprint>,
        patience: Duration,
    ) -> Vec<Served> {
        self.pulse.step().await;
        let seen = {
            let truth = self.truth.lock();
            let runs = truth.nginx == Nginx::Runs;
            let served = truth.served(number_of(&site.lineage)).filter(|_| runs);
            served.map(Cert::sha256)
        };
        let ok = expected.is_none() || seen == expected;
        if !ok {
            self.pulse.wait(patience).await;
        }
        vec![Served {
            address: ([127, 0, 0, 1], 443).into(),
            sha256: seen,
            ok,
            error: seen.is_none().then(|| "no handshake".to_owned()),
            answered_by: None,
        }]
    }

    async fn present(
        &self,
        site: &Site,
        _way: Way,
        token: &str,
        _answer: &str,
    ) -> Result<(), PresentError> {
        let answer = answer(site, token);
        let present = || _ = self.truth.lock().presented.insert(answer);
        self.pulse.act("answer presented", present).await;
        Ok(())
    }

    async fn withdraw(&self, site: &Site, _way: Way, token: &str) {
        let answer = answer(site, token);
        let withdraw = || _ = self.truth.lock().presented.remove(&answer);
        self.pulse.act("answer withdrawn", withdraw).await;
    }

    async fn pair(&self, _site: &Site, _version: u32) -> Result<PemPair, HostFailure> {
        Err(failure(
            FindingName::FileNotUsable,
            "no panel asks for it here",
        ))
    }

    async fn decided(&self, _lineage: &str) -> Result<Decided, HostFailure> {
        Ok(Decided::default())
    }

    async fn decide(&self, _lineage: &str, _decided: &Decided) -> Result<(), HostFailure> {
        Ok(())
    }

    async fn tidy(&self) {}
}

impl Truth {
    /// Makes or undoes one switch.
    fn set(&mut self, switch: &Switch, make: bool) -> Result<(), HostFailure> {
        let Some(links) = &switch.links else {
            if let Some(number) = self.by_domain(switch.domain.as_str()) {
                let vhost = self.vhosts.entry(number).or_default();
                self.written |= vhost.line != make;
                vhost.line = make;
            }
            return Ok(());
        };
        let number = number_of(&links.lineage);
        let Some(vhost) = self.vhosts.get_mut(&number) else {
            return Ok(());
        };
        if make && !vhost.versions.contains_key(&links.to) {
            let text = "the files of the certificate are not all there";
            return Err(failure(FindingName::LiveLinksBroken, text));
        }
        let undoes = vhost.linked == Some(links.to) && links.from != vhost.linked;
        let wanted = match (make, undoes) {
            (true, _) => Some(links.to),
            (false, true) => links.from,
            // It was never made, or somebody else moved the links since.
            (false, false) => vhost.linked,
        };
        if vhost.linked != wanted {
            vhost.linked = wanted;
            vhost.link_writes += 1;
            self.written = true;
        }
        Ok(())
    }

    fn reload(&mut self, now: Timestamp) -> Result<(), HostFailure> {
        if self.nginx == Nginx::Dead {
            return Err(failure(FindingName::NginxNotRunning, "there is no nginx"));
        }
        self.reloads += 1;
        if !self.accepts() {
            self.violated("nginx was reloaded on a configuration that fails its test");
            return Err(failure(
                FindingName::NginxReloadFailed,
                "nginx refuses its configuration",
            ));
        }
        if !self.written && !self.may_repeat_reload {
            self.violated("nginx was reloaded though nothing changed");
        }
        self.written = false;
        if self.deaf {
            return Ok(());
        }
        let new = self.loadable();
        for (number, vhost) in &self.vhosts {
            let old = self.served(*number).cloned();
            let next = vhost.linked_cert().cloned();
            if old == next || (vhost.meddled.is_some() && vhost.meddled == vhost.linked) {
                continue;
            }
            let Some(old) = old.filter(|old| old.valid_at(now)) else {
                continue;
            };
            let worse = match &next {
                None => Some("none"),
                Some(next) if !next.valid_at(now) => Some("one that is not valid"),
                Some(next) if next.begin < old.begin => Some("an older one"),
                Some(next) if !next.covers(&vhost.names) && old.covers(&vhost.names) => {
                    Some("a narrower one")
                }
                Some(_) => None,
            };
            if let Some(worse) = worse {
                let text = format!(
                    "a valid certificate of {:?} was replaced by {worse}",
                    vhost.names
                );
                self.violations.push(text);
            }
        }
        self.loaded = new;
        Ok(())
    }
}

impl Preflight for SimulatedHost {
    async fn probe(&self, probe: &Probe) -> Result<Vec<Reached>, Vec<Finding>> {
        self.pulse.step().await;
        let mut truth = self.truth.lock();
        truth.probes += 1;
        if truth.answers(probe.name.as_str()) {
            return Ok(vec![Reached {
                name: probe.name.clone(),
                address: ([127, 0, 0, 1], 80).into(),
            }]);
        }
        let text = format!("{} answers 404", probe.name);
        Err(vec![Finding::new(FindingName::ChallengeNotFound, text)])
    }

    async fn forbidden(
        &self,
        _: &renewal::names::Names,
        _: &renewal::ports::Issuer,
    ) -> Vec<Finding> {
        Vec::new()
    }
}

impl Truth {
    /// Says whether our own check reaches an answer for a name.
    pub(crate) fn answers(&self, name: &str) -> bool {
        let served = self.vhosts.iter().any(|(number, vhost)| {
            vhost.names.iter().any(|other| other == name)
                && (vhost.folder || self.loaded.lines.contains(number))
        });
        let reached = self.reach.get(name) != Some(&Reach::Nobody);
        served && reached && self.nginx == Nginx::Runs
    }
}

/// Of our only account.
pub(crate) const THUMBPRINT: &str = "thumbprint";
