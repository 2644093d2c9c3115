//! Which addresses does a name have, and which CAs may issue for it?
//!
//! Asks the configured DNS servers, else the system's; never `/etc/hosts`, which a CA does not see. A and AAAA
//! are asked for at once, each name once a minute at most, many names at the same time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use renewal::name::Name;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

mod chain;
pub(crate) mod direct;
mod kept;

use self::kept::Kept;

/// Asks DNS. Make one and keep it: it keeps its sockets, and what it learnt for a minute.
#[derive(Debug)]
pub struct Dns {
    resolver: Result<Resolver, Trouble>,
    /// The servers asked, for people.
    servers: Arc<str>,
    /// The first of them, for questions that only it alone can answer.
    first: Option<SocketAddr>,
    permits: Semaphore,
    learnt: Kept<Resolution>,
    learnt_caa: Kept<Result<Vec<CaaRecord>, Trouble>>,
    /// When the servers were last found not to answer at all, and how.
    dead: Mutex<Option<(Instant, Trouble)>>,
}

/// What DNS says about a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolution {
    /// The addresses of the A records, in the order given; none when there is no such record.
    pub v4: Result<Vec<Ipv4Addr>, Trouble>,
    /// The addresses of the AAAA records, likewise.
    pub v6: Result<Vec<Ipv6Addr>, Trouble>,
    /// The servers that were asked, for people.
    pub servers: Arc<str>,
}

impl Resolution {
    /// Returns all addresses, IPv6 first, as a CA tries them.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let v6 = self.v6.iter().flatten().copied().map(IpAddr::from);
        let v4 = self.v4.iter().flatten().copied().map(IpAddr::from);
        v6.chain(v4)
    }

    /// Stands for an answer that nobody waited for any longer.
    pub(crate) fn late() -> Self {
        Self {
            v4: Err(Trouble::Timeout),
            v6: Err(Trouble::Timeout),
            servers: Arc::default(),
        }
    }
}

/// One CAA record (RFC 8659 section 4).
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct CaaRecord {
    /// Whether a CA that does not know the tag must refuse.
    pub critical: bool,
    /// The tag.
    pub tag: String,
    /// The value.
    pub value: String,
}

/// Why DNS does not say which addresses a name has.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// The name does not exist (NXDOMAIN).
    #[error("there is no such name")]
    NoSuchName,
    /// The resolver refuses the answer, for its signatures are broken (DNSSEC); holds what is known of the cause.
    #[error("DNSSEC: {0}")]
    Bogus(String),
    /// The server answers with an error, or with nonsense.
    #[error("{0}")]
    ServerFailure(String),
    /// No answer came about this name, while the server answers otherwise.
    #[error("no answer in time")]
    Timeout,
    /// The server does not answer at all.
    #[error("{0}")]
    Unreachable(String),
}

impl Dns {
    /// Prepares to ask `servers`; with none, those of `/etc/resolv.conf`. A name may take `patience`. Sends nothing
    /// yet.
    #[must_use]
    pub fn new(servers: &[SocketAddr], patience: Duration) -> Self {
        let config = if servers.is_empty() {
            hickory_resolver::system_conf::read_system_conf()
                .map(|(config, _)| {
                    ResolverConfig::from_name_servers(config.name_servers().to_vec())
                })
                .map_err(|error| Trouble::Unreachable(format!("/etc/resolv.conf: {error}")))
        } else {
            let servers = servers.iter().copied().map(name_server).collect();
            Ok(ResolverConfig::from_name_servers(servers))
        };
        let asked = config.as_ref().map(describe).unwrap_or_default();
        let first = config
            .as_ref()
            .ok()
            .and_then(|config| address_of(config.name_servers().first()?));
        Self {
            first,
            resolver: config.and_then(|config| build(config, patience)),
            servers: asked.into(),
            permits: Semaphore::new(NAMES_AT_ONCE),
            learnt: Kept::default(),
            learnt_caa: Kept::default(),
            dead: Mutex::default(),
        }
    }

    /// Returns what DNS says about `name`; an address stands for itself.
    pub async fn resolve(&self, name: &Name) -> Resolution {
        if let Some(address) = name.address() {
            let (mut v4, mut v6) = (Vec::new(), Vec::new());
            match address {
                IpAddr::V4(address) => v4.push(address),
                IpAddr::V6(address) => v6.push(address),
            }
            return self.resolution(Ok(v4), Ok(v6));
        }
        let cell = self.learnt.place(name.as_str());
        cell.get_or_init(|| self.ask(name)).await.clone()
    }

    /// Returns the CAA records of `name` itself (RFC 8659), and none of those above it.
    ///
    /// # Errors
    ///
    /// When DNS does not say whether it has some.
    pub async fn caa(&self, name: &str) -> Result<Vec<CaaRecord>, Trouble> {
        // Thousands of names have the same few parents.
        let cell = self.learnt_caa.place(name);
        cell.get_or_init(|| self.ask_caa(name)).await.clone()
    }

    async fn ask_caa(&self, name: &str) -> Result<Vec<CaaRecord>, Trouble> {
        let resolver = self.resolver.as_ref().map_err(Clone::clone)?;
        let _permit = self.permits.acquire().await;
        if let Some(trouble) = self.known_dead() {
            return Err(trouble);
        }
        let found = resolver.lookup(name, RecordType::CAA).await?;
        let caa = |data| match data {
            RData::CAA(caa) => Some(CaaRecord {
                critical: caa.issuer_critical,
                value: String::from_utf8_lossy(&caa.value).into_owned(),
                tag: caa.tag,
            }),
            _ => None,
        };
        Ok(found.into_iter().filter_map(caa).collect())
    }

    async fn ask(&self, name: &Name) -> Resolution {
        let resolver = match &self.resolver {
            Ok(resolver) => resolver,
            Err(trouble) => return self.resolution(Err(trouble.clone()), Err(trouble.clone())),
        };
        // The semaphore is never closed; without a permit the server would merely be asked too much at once.
        let _permit = self.permits.acquire().await;
        if let Some(trouble) = self.known_dead() {
            return self.resolution(Err(trouble.clone()), Err(trouble));
        }
        let (v4, v6) = tokio::join!(
            resolver.records(name, RecordType::A),
            resolver.records(name, RecordType::AAAA)
        );
        let timed_out = |answer: &Result<Vec<IpAddr>, Trouble>| *answer == Err(Trouble::Timeout);
        if timed_out(&v4) && timed_out(&v6) && !resolver.answers().await {
            let trouble = Trouble::Unreachable("no answer in time, about any name".to_owned());
            *self.dead.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((Instant::now(), trouble.clone()));
            return self.resolution(Err(trouble.clone()), Err(trouble));
        }
        let (v4, v6) = self.told_apart(name.as_str(), v4, v6).await;
        self.resolution(v4.map(only_v4), v6.map(only_v6))
    }

    /// Tells broken signatures from a server that fails: the resolver has an answer when it need not check it.
    async fn told_apart<T>(
        &self,
        name: &str,
        v4: Result<T, Trouble>,
        v6: Result<T, Trouble>,
    ) -> (Result<T, Trouble>, Result<T, Trouble>) {
        let fails = |answer: &Result<T, Trouble>| matches!(answer, Err(Trouble::ServerFailure(_)));
        let (Some(resolver), true) = (self.first, fails(&v4) || fails(&v6)) else {
            return (v4, v6);
        };
        let Some(why) = chain::broken(resolver, name).await else {
            return (v4, v6);
        };
        let bogus = |answer: Result<T, Trouble>| match answer {
            Err(Trouble::ServerFailure(_)) => Err(Trouble::Bogus(why.clone())),
            answer => answer,
        };
        (bogus(v4), bogus(v6))
    }

    /// Returns the first of the servers that it asks.
    #[must_use]
    pub fn resolver(&self) -> Option<SocketAddr> {
        self.first
    }

    /// Says whether the servers were found dead a moment ago, so that not every name has to wait for them.
    fn known_dead(&self) -> Option<Trouble> {
        let dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = dead
            .as_ref()
            .filter(|(since, _)| since.elapsed() < DEAD_FOR);
        fresh.map(|(_, trouble)| trouble.clone())
    }

    fn resolution(
        &self,
        v4: Result<Vec<Ipv4Addr>, Trouble>,
        v6: Result<Vec<Ipv6Addr>, Trouble>,
    ) -> Resolution {
        Resolution {
            v4,
            v6,
            servers: self.servers.clone(),
        }
    }
}

struct Resolver {
    inner: TokioResolver,
    patience: Duration,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

impl Resolver {
    async fn records(&self, name: &Name, kind: RecordType) -> Result<Vec<IpAddr>, Trouble> {
        let address = |data| match data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        };
        let found = self.lookup(name.as_str(), kind).await?;
        Ok(found.into_iter().filter_map(address).collect())
    }

    async fn lookup(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, Trouble> {
        // The dot keeps the system's search domains out.
        let lookup = self.inner.lookup(format!("{name}."), kind);
        let answer = timeout(self.patience, lookup)
            .await
            .unwrap_or(Err(NetError::Timeout));
        match answer {
            Ok(lookup) => {
                let answers = lookup.answers().iter();
                Ok(answers.map(|record| record.data.clone()).collect())
            }
            Err(error) => trouble(&error).map_or(Ok(Vec::new()), Err),
        }
    }

    /// Says whether the server answers anything at all: a question it never has to ask others about.
    async fn answers(&self) -> bool {
        let root = self.inner.lookup(".", RecordType::NS);
        match timeout(self.patience / TRIES, root).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => matches!(
                trouble(&error),
                None | Some(Trouble::NoSuchName | Trouble::ServerFailure(_))
            ),
            Err(_) => false,
        }
    }
}

fn build(config: ResolverConfig, patience: Duration) -> Result<Resolver, Trouble> {
    let mut options = ResolverOpts::default();
    options.timeout = patience / TRIES;
    options.attempts = TRIES as usize - 1;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    let provider = TokioRuntimeProvider::default();
    TokioResolver::builder_with_config(config, provider)
        .with_options(options)
        .build()
        .map(|inner| Resolver { inner, patience })
        .map_err(|error| Trouble::Unreachable(error.to_string()))
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let connections = connections.map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.to_vec())
}

fn address_of(server: &NameServerConfig) -> Option<SocketAddr> {
    let port = server
        .connections
        .first()
        .map_or(DNS_PORT, |connection| connection.port);
    Some(SocketAddr::new(server.ip, port))
}

fn describe(config: &ResolverConfig) -> String {
    let describe = |server: &NameServerConfig| match address_of(server) {
        Some(address) if address.port() != DNS_PORT => address.to_string(),
        Some(_) | None => server.ip.to_string(),
    };
    let servers: Vec<String> = config.name_servers().iter().map(describe).collect();
    servers.join(", ")
}

/// Returns what is wrong; `None` when the name merely has no such record.
fn trouble(error: &NetError) -> Option<Trouble> {
    Some(match error {
        NetError::Timeout => Trouble::Timeout,
        NetError::Io(error) => Trouble::Unreachable(error.to_string()),
        NetError::NoConnections => Trouble::Unreachable(error.to_string()),
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Trouble::NoSuchName,
            ResponseCode::NoError => return None,
            code => Trouble::ServerFailure(code.to_string()),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => Trouble::ServerFailure(code.to_string()),
        error => Trouble::ServerFailure(error.to_string()),
    })
}

fn only_v4(addresses: Vec<IpAddr>) -> Vec<Ipv4Addr> {
    let v4 = |address| match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    };
    addresses.into_iter().filter_map(v4).collect()
}

fn only_v6(addresses: Vec<IpAddr>) -> Vec<Ipv6Addr> {
    let v6 = |address| match address {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    };
    addresses.into_iter().filter_map(v6).collect()
}

/// A question without an answer is asked once more, for a datagram may get lost.
const TRIES: u32 = 2;

/// How long servers that did not answer are taken for dead.
const DEAD_FOR: Duration = Duration::from_secs(10);

/// Two questions each; more in flight, and small resolvers drop them.
const NAMES_AT_ONCE: usize = 16;

const DNS_PORT: u16 = 53;
