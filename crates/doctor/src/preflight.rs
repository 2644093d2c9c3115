//! What would the CA get, if it fetched a challenge now (HTTP-01)?
//!
//! A probe is a challenge of our own. It is fetched from every address that DNS gives for the name, by the rules
//! of Let's Encrypt's validation servers: port, header, redirects, time limits, how much of the body is read.
//! The observing half is [`Preflight::observe`]; what it saw is an [`Observation`], and [`judge()`] says what
//! that means.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use renewal::challenge::{Probe, Reached};
use renewal::finding::{Finding, Severity};
use renewal::name::Name;
use renewal::names::Names;
use renewal::ports::Issuer;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

pub use self::agents::{Compared, Heard};
use self::connection::{CA_AGENT, Connector, Failure, is_redirect};
pub(crate) use self::findings::without_address;
pub use self::judge::judge;
pub use self::observation::{BODY_BYTES_READ, Cause, End, Fetch, Hop, Observation, Stage};
pub use self::target::{Refusal, Target, follow};
use crate::address::{is_behind_translation, is_public};
use crate::caa::{self, CaaSeen, HTTP_01};
use crate::dns::{Dns, Resolution};
use crate::firewall::{self, FirewallSeen};

mod agents;
mod connection;
mod findings;
mod judge;
mod observation;
mod target;

/// Fetches probes as a CA would. Make one and keep it: sockets, TLS settings and what DNS said are reused.
pub struct Preflight {
    settings: Settings,
    dns: Dns,
    connector: Connector,
    /// Reads the firewall's rules; none where nobody can.
    read_firewall: Option<ReadFirewall>,
    firewall: Mutex<Option<(Instant, Rules)>>,
}

/// The rules of this host's firewall, or why they are not known.
type Rules = Result<Arc<FirewallSeen>, String>;

/// Reads the rules of this host's firewall, or says why it cannot. Another adapter starts the programs that list them.
pub type ReadFirewall =
    Box<dyn Fn() -> BoxFuture<'static, Result<FirewallSeen, String>> + Send + Sync>;

/// What the CA is like, and whom to ask for addresses.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The DNS servers to ask; none for the system's.
    pub servers: Vec<SocketAddr>,
    /// The port on which the CA knocks.
    pub http_port: u16,
    /// The port on which a private CA expects TLS after a redirect.
    pub https_port: u16,
    /// Whether the CA is on this network: it then reaches private addresses, and the two ports above.
    pub private_ca: bool,
    /// How long anything may take.
    pub patience: Patience,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            http_port: 80,
            https_port: 443,
            private_ca: false,
            patience: Patience::default(),
        }
    }
}

/// How long each step of a fetch may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To learn the addresses of one name.
    pub dns: Duration,
    /// To connect.
    pub connect: Duration,
    /// To agree on TLS.
    pub tls: Duration,
    /// To answer.
    pub answer: Duration,
    /// All of it, DNS and redirects included.
    pub overall: Duration,
}

impl Default for Patience {
    /// Let's Encrypt's limits, and a bound for the whole that people can wait for.
    fn default() -> Self {
        Self {
            dns: Duration::from_secs(5),
            connect: Duration::from_secs(10),
            tls: Duration::from_secs(10),
            answer: Duration::from_secs(10),
            overall: Duration::from_secs(15),
        }
    }
}

impl Preflight {
    /// Prepares. Sends nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            dns: Dns::new(&settings.servers, settings.patience.dns),
            connector: Connector::new(settings.patience),
            read_firewall: None,
            firewall: Mutex::default(),
            settings,
        }
    }

    /// Takes in who reads the firewall's rules.
    #[must_use]
    pub fn with_firewall(self, read: ReadFirewall) -> Self {
        Self {
            read_firewall: Some(read),
            ..self
        }
    }

    /// Returns the rules of this host's firewall, read once a minute at most.
    ///
    /// # Errors
    ///
    /// Why they are not known, or say nothing of the CA.
    pub async fn firewall(&self) -> Result<Arc<FirewallSeen>, String> {
        if self.settings.private_ca {
            return Err("the CA is on this network, and may come by another way".to_owned());
        }
        let Some(read) = &self.read_firewall else {
            return Err("nobody reads the firewall's rules".to_owned());
        };
        // Whoever asks meanwhile waits for the same answer.
        let mut kept = self.firewall.lock().await;
        if let Some((_, seen)) = kept.as_ref().filter(|(since, _)| since.elapsed() < FRESH) {
            return seen.clone();
        }
        let seen = read().await.map(Arc::new);
        *kept = Some((Instant::now(), seen.clone()));
        seen
    }

    /// Returns the rule that closes the port to a CA that comes to `name`.
    pub async fn closed_to(&self, name: &Name) -> Option<String> {
        let closed = firewall::closed(&*self.firewall().await.ok()?);
        let addresses: Vec<IpAddr> = self.dns.resolve(name).await.addresses().collect();
        closed.to(&addresses).map(str::to_owned)
    }

    /// Fetches the probe from every address of its name, all at once, and returns what it saw.
    pub async fn observe(&self, probe: &Probe) -> Observation {
        let deadline = Instant::now() + self.settings.patience.overall;
        let resolution = self.dns.resolve(&probe.name).await;
        let (usable, left_out): (Vec<IpAddr>, Vec<IpAddr>) = resolution
            .addresses()
            .partition(|address| self.settings.private_ca || is_public(*address));
        let first = Target::challenge(probe.name.clone(), self.settings.http_port, &probe.token);
        let fetches = usable
            .into_iter()
            .take(ADDRESSES_MAX)
            .map(|address| self.fetch(CA_AGENT, &first, address, deadline));
        let observation = Observation {
            probe: probe.clone(),
            port: self.settings.http_port,
            fetches: join_all(fetches).await,
            resolution,
            left_out,
        };
        tracing::debug!(name = %probe.name, fetches = observation.fetches.len(), "probed");
        observation
    }

    /// Returns what it asks DNS with.
    #[must_use]
    pub fn dns(&self) -> &Dns {
        &self.dns
    }

    /// Says whether the CA is on this network, so that it reaches private addresses.
    #[must_use]
    pub fn private_ca(&self) -> bool {
        self.settings.private_ca
    }

    /// Fetches the probe from one address, redirects included, as somebody who is called so.
    async fn fetch(
        &self,
        agent: &'static str,
        first: &Target,
        address: IpAddr,
        deadline: Instant,
    ) -> Fetch {
        let first_address = SocketAddr::new(address, first.port);
        let (mut been, mut hops) = (vec![first.clone()], Vec::new());
        let mut address = first_address;
        let end = loop {
            let target = been.last().unwrap_or(first);
            let reply = match self
                .connector
                .get_as(agent, target, address, deadline)
                .await
            {
                Ok(reply) => reply,
                Err(Failure(stage, cause)) => {
                    let has_no_way = is_public(address.ip())
                        && address.is_ipv6()
                        && matches!(cause, Cause::Unreachable(_));
                    break End::Failed {
                        inconclusive: stage == Stage::Connect
                            && (has_no_way || is_behind_translation(address)),
                        target: target.clone(),
                        address,
                        stage,
                        cause,
                    };
                }
            };
            hops.push(Hop {
                target: target.clone(),
                address,
                status: reply.status,
                location: reply.location.clone(),
            });
            if !is_redirect(reply.status) {
                break End::Answered(reply.body);
            }
            let next = match follow(
                &been,
                reply.status,
                reply.location.as_deref(),
                &self.settings,
            ) {
                Ok(next) => next,
                Err(refusal) => break End::NotFollowed(refusal),
            };
            // The CA asks DNS anew after a redirect, and takes the first address, IPv6 before IPv4.
            let resolution = match timeout_at(deadline, self.dns.resolve(&next.host)).await {
                Ok(resolution) => resolution,
                Err(_) => Resolution::late(),
            };
            let Some(ip) = self.choose(&resolution) else {
                break End::Unresolved {
                    host: next.host,
                    resolution,
                };
            };
            address = SocketAddr::new(ip, next.port);
            been.push(next);
        };
        Fetch {
            address: first_address,
            hops,
            end,
        }
    }

    /// Returns the address that the CA would take after a redirect.
    fn choose(&self, resolution: &Resolution) -> Option<IpAddr> {
        resolution
            .addresses()
            .find(|address| self.settings.private_ca || is_public(*address))
    }
}

impl std::fmt::Debug for Preflight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Preflight")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl renewal::ports::Preflight for Preflight {
    async fn probe(&self, probe: &Probe) -> Result<Vec<Reached>, Vec<Finding>> {
        judge(&self.observe(probe).await)
    }

    async fn forbidden(&self, names: &Names, issuer: &Issuer) -> Vec<Finding> {
        if let Some(rule) = self.closed_to(names.domain()).await {
            return vec![firewall::blocked(
                self.settings.http_port,
                "the way that the CA takes",
                &rule,
            )];
        }
        if issuer.identities.is_empty() {
            return Vec::new();
        }
        let seen = CaaSeen {
            identities: issuer.identities.clone(),
            account: issuer.account.clone(),
            method: HTTP_01.to_owned(),
            names: caa::observe(&self.dns, names).await,
        };
        let mut findings = caa::judge(&seen).unwrap_or_default();
        findings.retain(|finding| finding.severity == Severity::Fatal);
        findings
    }
}

/// A name with more addresses is probed at the first ones only; a CA looks at one or two.
const ADDRESSES_MAX: usize = 16;

/// How long the firewall's rules count: long enough for a run, short enough for one who mends.
const FRESH: Duration = Duration::from_secs(60);
