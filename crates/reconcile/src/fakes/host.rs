//! A host in memory: sites, their lineages, and an nginx that can be broken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use renewal::acceptance::{Candidate, accept};
use renewal::certificate::{Certificate, CertificateId, Fingerprint};
use renewal::challenge::{Probe, Reached, Way};
use renewal::choice::Decided;
use renewal::deployment::{LinkSwitch, Switch};
use renewal::finding::{Finding, FindingName};
use renewal::name::Name;
use renewal::names::Names;
use renewal::panel::PemPair;
use renewal::policy::{Http01Mode, Policy};
use renewal::ports::{
    Change, Host, HostFailure, Issued, Issuer, Known, Look, Preflight, PresentError, Staged,
};
use renewal::report::Served;
use renewal::secret::Secret;
use renewal::site::{ChallengeFolder, Current, Listen, Place, Server, Site, Undeployed};
use renewal::window::Window;

use super::authority::read_chain;
use super::lock;

/// The host, and the checks before an order.
pub(crate) struct FakeHost {
    pub(crate) state: Mutex<State>,
}

/// What is on the host.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) lineages: BTreeMap<String, Lineage>,
    /// Lines of ours in vhosts.
    pub(crate) lines: BTreeSet<String>,
    /// Sites whose vhost serves no challenge file.
    pub(crate) without_folder: BTreeSet<String>,
    /// Names that CAA records keep from every CA.
    pub(crate) forbidden: BTreeSet<String>,
    /// Sites that no probe reaches, by any way.
    pub(crate) unreachable: BTreeSet<String>,
    /// Sites whose switch makes nginx refuse its configuration.
    pub(crate) poisoned: BTreeSet<String>,
    /// Whether nginx refuses its configuration whatever we do.
    pub(crate) broken: bool,
    /// Whether a reload is not heard.
    pub(crate) deaf: bool,
    /// Whether nginx does not run, or is not even installed.
    pub(crate) dead: Option<FindingName>,
    /// What nginx's error log says.
    pub(crate) complaints: Vec<String>,
    /// Sites whose vhost leaves port 80 alone.
    pub(crate) off_port_80: BTreeSet<String>,
    /// How long a probe takes.
    pub(crate) slow_probes: Duration,
    /// How the sites are set to answer.
    pub(crate) http01: Http01Mode,
    pub(crate) tests: u32,
    pub(crate) reloads: u32,
    pub(crate) looks: u32,
    /// Challenge answers that are in place.
    pub(crate) presented: BTreeSet<String>,
    /// What people decided, by lineage.
    pub(crate) decided: BTreeMap<String, Decided>,
    kept: BTreeMap<String, Secret>,
}

/// The certificates of one site.
#[derive(Default)]
pub(crate) struct Lineage {
    pub(crate) versions: BTreeMap<u32, Certificate>,
    pub(crate) linked: Option<u32>,
    pub(crate) served: Option<Fingerprint>,
}

impl FakeHost {
    pub(crate) fn new(sites: &[&str], now: Timestamp) -> Self {
        let mut state = State::default();
        for (number, site) in sites.iter().enumerate() {
            let (domain, days) = site.split_once('/').unwrap_or((site, ""));
            let mut lineage = Lineage::default();
            if !days.is_empty() {
                let left = days.parse().unwrap_or(30);
                let end = now
                    .checked_add(SignedDuration::from_hours(left * 24))
                    .unwrap();
                let begin = end.checked_sub(LIFE).unwrap();
                let names = vec![Name::parse(domain).unwrap()];
                let mut old = certificate(names, begin, u8::try_from(number).unwrap() + 200);
                old.self_signed = days == "self";
                lineage.served = Some(old.sha256);
                lineage.versions.insert(1, old);
                lineage.linked = Some(1);
            }
            state.lineages.insert(domain.to_owned(), lineage);
        }
        Self {
            state: Mutex::new(state),
        }
    }

    /// Returns the number of the version that a site serves; 0 when none or an unknown one is.
    pub(crate) fn serves(&self, domain: &str) -> u32 {
        let state = lock(&self.state);
        let lineage = &state.lineages[domain];
        let mut versions = lineage.versions.iter();
        versions
            .find(|(_, one)| Some(one.sha256) == lineage.served)
            .map_or(0, |(version, _)| *version)
    }

    pub(crate) fn change<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        act(&mut lock(&self.state))
    }
}

pub(crate) fn certificate(names: Vec<Name>, begin: Timestamp, number: u8) -> Certificate {
    Certificate {
        names,
        valid: Window::new(begin, begin.checked_add(LIFE).unwrap()).unwrap(),
        issuer: "Practice CA".into(),
        serial: format!("{number:02x}"),
        sha256: Fingerprint([number; 32]),
        id: Some(CertificateId(format!("key.{number:02x}"))),
        self_signed: false,
    }
}

fn site(domain: &str, lineage: &Lineage, state: &State) -> Site {
    let listen = |port, tls| Listen {
        address: ([0, 0, 0, 0], port).into(),
        tls,
        quic: false,
        default_server: false,
        proxy_protocol: false,
    };
    let root = ChallengeFolder::Root(format!("/srv/{domain}").into());
    let newest = lineage.versions.last_key_value();
    let undeployed = newest.filter(|(version, _)| Some(**version) > lineage.linked);
    Site {
        servers: vec![Arc::new(Server {
            place: Place {
                file: format!("/etc/nginx/{domain}.conf").into(),
                line: 1,
            },
            names: vec![domain.to_owned()],
            listens: if state.off_port_80.contains(domain) {
                vec![listen(443, true)]
            } else {
                vec![listen(80, false), listen(443, true)]
            },
            challenge_folder: (!state.without_folder.contains(domain)).then_some(root),
            stateless: state
                .lines
                .contains(domain)
                .then(|| "thumbprint".to_owned()),
            ..Server::default()
        })],
        current: lineage.linked.map(|version| Current {
            certificate: lineage.versions[&version].clone().into(),
            path: format!("/live/{domain}/fullchain.pem").into(),
            version: Some(version),
            key_fits: true,
        }),
        undeployed: undeployed.map(|(version, one)| Undeployed {
            certificate: one.clone().into(),
            path: format!("/live/{domain}/fullchain.pem").into(),
            version: *version,
        }),
        choice: lineage.linked.and_then(|version| {
            let leaf = lineage.versions[&version].sha256;
            state.decided.get(domain)?.choice(leaf).copied()
        }),
        policy: Policy {
            http01: state.http01,
            ..Policy::default()
        },
        ..Site::new(Names::from(Name::parse(domain).unwrap()))
    }
}

fn refusal(explanation: &str) -> HostFailure {
    HostFailure(Finding::new(FindingName::NginxConfigInvalid, explanation))
}

impl Host for FakeHost {
    async fn look(&self, _known: &Known) -> Result<Look, HostFailure> {
        let mut state = lock(&self.state);
        state.looks += 1;
        let sites = state
            .lineages
            .iter()
            .map(|(domain, lineage)| site(domain, lineage, &state))
            .collect();
        Ok(Look {
            sites,
            ..Look::default()
        })
    }

    async fn keep_key(&self, domain: &Name, key: &Secret) -> Result<(), HostFailure> {
        lock(&self.state)
            .kept
            .insert(domain.to_string(), key.clone());
        Ok(())
    }

    async fn kept_key(&self, domain: &Name) -> Result<Option<Secret>, HostFailure> {
        Ok(lock(&self.state).kept.get(domain.as_str()).cloned())
    }

    async fn stage(
        &self,
        site: &Site,
        _key: &Secret,
        issued: &Issued,
        now: Timestamp,
    ) -> Result<Staged, HostFailure> {
        let (names, begin, number) = read_chain(&issued.chains[0]);
        let certificate = certificate(names, begin, number);
        let candidate = Candidate {
            certificate: &certificate,
            key_fits: true,
            chain_fault: None,
        };
        let current = site.current.as_ref().map(|current| &*current.certificate);
        if let Err(rejection) = accept(&candidate, &site.wanted, current, now) {
            return Err(HostFailure(Finding::new(
                FindingName::CertificateRejected,
                rejection.to_string(),
            )));
        }
        let mut state = lock(&self.state);
        state.kept.remove(site.domain().as_str());
        let versions = &mut state
            .lineages
            .get_mut(site.domain().as_str())
            .unwrap()
            .versions;
        let same = versions
            .iter()
            .find(|(_, known)| known.sha256 == certificate.sha256);
        let newest = versions.last_key_value();
        let version = match same {
            Some((version, _)) => *version,
            None => newest.map_or(1, |(newest, _)| newest + 1),
        };
        versions.insert(version, certificate.clone());
        Ok(Staged {
            version,
            certificate,
            path: format!("/live/{}/fullchain.pem", site.domain()).into(),
        })
    }

    async fn pair(&self, site: &Site, version: u32) -> Result<PemPair, HostFailure> {
        let state = lock(&self.state);
        let one = &state.lineages[site.domain().as_str()].versions[&version];
        Ok(PemPair {
            key: Secret::new("key".to_owned()),
            leaf: one.serial.clone(),
            issuers: String::new(),
        })
    }

    async fn prepare(&self, changes: &[Change<'_>]) -> Vec<Result<Switch, HostFailure>> {
        let state = lock(&self.state);
        let prepare = |change: &Change<'_>| match change {
            Change::Serve {
                site,
                version,
                serves,
            } => Switch {
                domain: site.domain().clone(),
                links: Some(LinkSwitch {
                    lineage: site.lineage.clone(),
                    from: state.lineages[site.domain().as_str()].linked,
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
        let mut state = lock(&self.state);
        for switch in switches {
            match &switch.links {
                Some(links) => {
                    state.lineages.get_mut(&links.lineage).unwrap().linked = Some(links.to);
                }
                None => _ = state.lines.insert(switch.domain.to_string()),
            }
        }
        Ok(())
    }

    async fn revert(&self, switches: &[Switch]) -> Result<(), HostFailure> {
        let mut state = lock(&self.state);
        for switch in switches.iter().rev() {
            match &switch.links {
                Some(links) => {
                    state.lineages.get_mut(&links.lineage).unwrap().linked = links.from;
                }
                None => _ = state.lines.remove(switch.domain.as_str()),
            }
        }
        Ok(())
    }

    async fn settle(&self, _switches: &[Switch]) {}

    async fn test(&self) -> Result<(), HostFailure> {
        let mut state = lock(&self.state);
        state.tests += 1;
        let poisoned = state.poisoned.iter().find(|domain| {
            let lineage = &state.lineages[domain.as_str()];
            lineage.linked > Some(1) || state.lines.contains(domain.as_str())
        });
        match poisoned {
            Some(domain) => Err(refusal(&format!("nginx does not like {domain}"))),
            None if state.broken => Err(refusal("nginx refuses its configuration")),
            None => Ok(()),
        }
    }

    async fn running(&self) -> Result<(), HostFailure> {
        let dead = lock(&self.state).dead;
        dead.map_or(Ok(()), |name| {
            Err(HostFailure(Finding::new(name, "there is no nginx")))
        })
    }

    async fn complaints(&self) -> Vec<String> {
        lock(&self.state).complaints.clone()
    }

    async fn reload(&self) -> Result<(), HostFailure> {
        self.running().await?;
        let mut state = lock(&self.state);
        state.reloads += 1;
        if !state.deaf {
            for lineage in state.lineages.values_mut() {
                lineage.served = lineage
                    .linked
                    .map(|version| lineage.versions[&version].sha256);
            }
        }
        Ok(())
    }

    async fn served(
        &self,
        site: &Site,
        expected: Option<Fingerprint>,
        patience: Duration,
    ) -> Vec<Served> {
        let sha256 = lock(&self.state).lineages[site.domain().as_str()].served;
        let ok = expected.is_none() || sha256 == expected;
        if !ok {
            tokio::time::sleep(patience).await;
        }
        vec![Served {
            address: ([127, 0, 0, 1], 443).into(),
            sha256,
            ok,
            error: None,
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
        lock(&self.state)
            .presented
            .insert(format!("{}/{token}", site.domain()));
        Ok(())
    }

    async fn withdraw(&self, site: &Site, _way: Way, token: &str) {
        lock(&self.state)
            .presented
            .remove(&format!("{}/{token}", site.domain()));
    }

    async fn decided(&self, lineage: &str) -> Result<Decided, HostFailure> {
        Ok(lock(&self.state)
            .decided
            .get(lineage)
            .cloned()
            .unwrap_or_default())
    }

    async fn decide(&self, lineage: &str, decided: &Decided) -> Result<(), HostFailure> {
        lock(&self.state)
            .decided
            .insert(lineage.to_owned(), decided.clone());
        Ok(())
    }

    async fn tidy(&self) {}
}

impl Preflight for FakeHost {
    async fn probe(&self, probe: &Probe) -> Result<Vec<Reached>, Vec<Finding>> {
        let slow = lock(&self.state).slow_probes;
        tokio::time::sleep(slow).await;
        let state = lock(&self.state);
        let name = probe.name.as_str();
        let answers = !state.without_folder.contains(name) || state.lines.contains(name);
        if answers && !state.unreachable.contains(name) {
            return Ok(vec![Reached {
                name: probe.name.clone(),
                address: ([127, 0, 0, 1], 80).into(),
            }]);
        }
        Err(vec![Finding::new(
            FindingName::ChallengeNotFound,
            format!("{name} answers 404"),
        )])
    }

    async fn forbidden(&self, names: &Names, _: &Issuer) -> Vec<Finding> {
        let forbidden = lock(&self.state).forbidden.clone();
        let hit = names.iter().find(|name| forbidden.contains(name.as_str()));
        let finding =
            |name: &Name| Finding::new(FindingName::CaaForbids, format!("not for {name}"));
        hit.map(finding).into_iter().collect()
    }
}

/// How long this world's certificates live.
const LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
