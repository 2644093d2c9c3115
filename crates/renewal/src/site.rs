//! What is a site, as it is found on this host?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::certificate::Certificate;
use crate::choice::{Choice, How};
use crate::finding::Finding;
use crate::name::Name;
use crate::names::Names;
use crate::panel::OnPanel;
use crate::policy::Policy;

/// One nginx virtual host that people visit.
#[derive(Clone, Debug)]
pub struct Site {
    /// The names its certificate should cover; the first is its domain.
    pub wanted: Names,
    /// Where the site was learnt of.
    pub source: Source,
    /// The server blocks that are the site, in the order of the configuration; never none.
    pub servers: Vec<Arc<Server>>,
    /// The certificate nginx is told to serve, when its file can be read.
    pub current: Option<Current>,
    /// The lineage that serves the site, or would: the folder's name under `live/`.
    pub lineage: String,
    /// A newer member of the lineage that was obtained and is not linked yet.
    pub undeployed: Option<Undeployed>,
    /// What CloudPanel has to do with it.
    pub panel: OnPanel,
    /// What a person decided about the certificate that it has.
    pub choice: Option<Choice>,
    /// The settings that apply to it.
    pub policy: Policy,
    /// What is wrong or risky about it, seen while looking.
    pub findings: Vec<Finding>,
}

impl Site {
    /// Returns a site of nginx's with these names, of which nothing else is known. Its lineage is called after it.
    #[must_use]
    pub fn new(wanted: Names) -> Self {
        Self {
            lineage: wanted.domain().to_string(),
            wanted,
            source: Source::Nginx,
            servers: Vec::new(),
            current: None,
            undeployed: None,
            panel: OnPanel::No,
            choice: None,
            policy: Policy::default(),
            findings: Vec::new(),
        }
    }

    /// Returns the name the site is called by.
    #[must_use]
    pub fn domain(&self) -> &Name {
        self.wanted.domain()
    }

    /// Returns what a person decided about the very certificate that the site has.
    #[must_use]
    pub fn chosen(&self) -> Option<&Choice> {
        let current = self.current.as_ref()?;
        let choice = self.choice.as_ref()?;
        (choice.leaf == current.certificate.sha256).then_some(choice)
    }

    /// Says whether its certificate was made elsewhere, so that it is only watched.
    #[must_use]
    pub fn is_imported(&self) -> bool {
        self.chosen()
            .is_some_and(|choice| choice.how == How::Imported)
    }

    /// Returns the place of the site's first server block, for people.
    #[must_use]
    pub fn vhost(&self) -> Option<&Place> {
        self.servers.first().map(|server| &server.place)
    }

    /// Returns the document root: the panel's, else that of the first server block that has one.
    #[must_use]
    pub fn document_root(&self) -> Option<&PathBuf> {
        let of_panel = self.panel.site().map(|panel| &panel.document_root);
        of_panel.or_else(|| {
            let mut servers = self.servers.iter();
            servers.find_map(|server| server.document_root.as_ref())
        })
    }

    /// Returns every address on which the site speaks TLS, once each.
    pub fn tls_addresses(&self) -> Vec<SocketAddr> {
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for listen in self.servers.iter().flat_map(|server| &server.listens) {
            let reachable = listen.reachable();
            if listen.tls && !listen.quic && !addresses.contains(&reachable) {
                addresses.push(reachable);
            }
        }
        addresses
    }
}

/// One `server { … }` block.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// Where the block begins.
    pub place: Place,
    /// Its `server_name`s as written.
    pub names: Vec<String>,
    /// Where it listens.
    pub listens: Vec<Listen>,
    /// Its document root, inherited where it has none of its own.
    pub document_root: Option<PathBuf>,
    /// The folder in which nginx would look for a challenge file, if a file would be served at all:
    /// the folder that holds `.well-known`, or with `alias` the folder that holds the token itself.
    pub challenge_folder: Option<ChallengeFolder>,
    /// The thumbprint in our stateless challenge line, when the block has one.
    pub stateless: Option<String>,
    /// The certificate and key it names, inherited ones included.
    pub pair: Option<Pair>,
}

/// Where nginx would look for the file of a challenge.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum ChallengeFolder {
    /// Below this root, at `.well-known/acme-challenge/TOKEN`.
    Root(PathBuf),
    /// In this very folder, at `TOKEN` (an `alias`).
    Alias(PathBuf),
}

/// The certificate and key that a server block names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pair {
    /// The file of `ssl_certificate`.
    pub certificate: PathBuf,
    /// The file of `ssl_certificate_key`.
    pub key: PathBuf,
    /// Where `ssl_certificate` stands: in the block, or in what it inherits from.
    pub place: Place,
    /// Whether it is inherited from `http { … }` or from an include there.
    pub inherited: bool,
}

/// A line of a configuration file.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// One `listen` directive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Listen {
    /// The address, unspecified for all.
    pub address: SocketAddr,
    /// Whether TLS is spoken there.
    pub tls: bool,
    /// Whether it is for HTTP/3.
    pub quic: bool,
    /// Whether the block answers names that no other block has, on this address.
    pub default_server: bool,
    /// Whether the PROXY protocol comes first, so that a plain client is refused.
    pub proxy_protocol: bool,
}

impl Listen {
    /// Returns an address of this host at which the listener can be reached: loopback for all addresses.
    #[must_use]
    pub fn reachable(&self) -> SocketAddr {
        let mut address = self.address;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
        address
    }
}

/// Where a site was learnt of.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// nginx's configuration.
    Nginx,
    /// CloudPanel's database.
    Cloudpanel,
}

/// The certificate that nginx is told to serve for a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// Its facts.
    pub certificate: Arc<Certificate>,
    /// The file nginx reads.
    pub path: PathBuf,
    /// Its number in the lineage, when it belongs to one (`archive/NAME/cert7.pem` is 7).
    pub version: Option<u32>,
    /// Whether the private key beside it belongs to it.
    pub key_fits: bool,
}

/// A certificate that was obtained and is not linked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undeployed {
    /// Its facts.
    pub certificate: Arc<Certificate>,
    /// The file that nginx will read, once it is linked.
    pub path: PathBuf,
    /// Its number in the lineage.
    pub version: u32,
}
