//! Which sites can a test put behind its nginx?
//!
//! A [`Site`] says what kind of site it is; how that looks in nginx's language is in `vhost.rs`.

use std::net::SocketAddr;
use std::path::PathBuf;

/// A sample site. Made by one of the constructors, then refined.
#[derive(Clone, Debug)]
pub struct Site {
    pub(super) domain: String,
    pub(super) aliases: Vec<String>,
    pub(super) shape: Shape,
    pub(super) tls: Tls,
    pub(super) catches_all: bool,
    pub(super) extra: String,
}

/// What the vhost is like.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// Files, over http and https.
    Static,
    /// CloudPanel's template: https is forced by an `if` in the server, before any location is looked at.
    CloudPanel,
    /// The same, with a server before it that sends these names to the site's domain.
    CloudPanelRedirect(String),
    /// Everything goes to an application.
    ReverseProxy(SocketAddr),
    /// Every request is refused, and so is every handshake.
    Refusal,
}

/// What the vhost says about TLS.
#[derive(Clone, Debug)]
pub(super) enum Tls {
    /// A self-signed certificate made for the site.
    Own,
    /// The one placeholder that several sites share, as a distribution's snakeoil pair.
    Placeholder,
    /// These two files, which the test looks after.
    Files { certificate: PathBuf, key: PathBuf },
    /// No certificate, but an end to every handshake.
    Refused,
    /// Nothing: no `listen … ssl`, no certificate.
    None,
}

impl Site {
    /// A site of plain files, over http and https.
    #[must_use]
    pub fn files(domain: &str) -> Self {
        Self::new(domain, Shape::Static, Tls::Own)
    }

    /// A site of plain files that has never had TLS.
    #[must_use]
    pub fn plain(domain: &str) -> Self {
        Self::new(domain, Shape::Static, Tls::None)
    }

    /// A site like CloudPanel's template: https is forced for every request, the challenge's included.
    #[must_use]
    pub fn cloudpanel(domain: &str) -> Self {
        Self::new(domain, Shape::CloudPanel, Tls::Own)
    }

    /// A site like CloudPanel's template for `www.…`: a server that redirects `from`, then the main one.
    #[must_use]
    pub fn cloudpanel_redirect(from: &str, domain: &str) -> Self {
        Self::new(domain, Shape::CloudPanelRedirect(from.to_owned()), Tls::Own)
    }

    /// A site that hands every request, `.well-known` included, to the application at an address.
    #[must_use]
    pub fn reverse_proxy(domain: &str, application: SocketAddr) -> Self {
        Self::new(domain, Shape::ReverseProxy(application), Tls::Own)
    }

    /// What CloudPanel has in `default.conf`: requests and handshakes for names of no site are refused.
    #[must_use]
    pub fn refusal() -> Self {
        Self::new("default", Shape::Refusal, Tls::Refused).catches_all()
    }

    /// Adds a name to the site's `server_name`.
    #[must_use]
    pub fn also(mut self, name: &str) -> Self {
        self.aliases.push(name.to_owned());
        self
    }

    /// Makes the site use the placeholder pair that it shares with others.
    #[must_use]
    pub fn placeholder(mut self) -> Self {
        self.tls = Tls::Placeholder;
        self
    }

    /// Makes the site use these two files, which must be there before nginx starts.
    #[must_use]
    pub fn certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls = Tls::Files {
            certificate: certificate.into(),
            key: key.into(),
        };
        self
    }

    /// Makes the site the `default_server` of its addresses.
    #[must_use]
    pub fn catches_all(mut self) -> Self {
        self.catches_all = true;
        self
    }

    /// Adds lines to the (main) server, after the `root`.
    #[must_use]
    pub fn extra(mut self, lines: &str) -> Self {
        self.extra = format!("{}{}\n", self.extra, lines.trim_end());
        self
    }

    /// Returns the name after which its files are called.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Returns the domain and the other names it answers to, the redirected one included.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = std::iter::once(&self.domain)
            .chain(&self.aliases)
            .map(String::as_str)
            .collect();
        if let Shape::CloudPanelRedirect(from) = &self.shape {
            names.push(from);
        }
        names
    }

    pub(super) fn has_tls(&self) -> bool {
        !matches!(self.tls, Tls::None)
    }

    pub(super) fn has_own_certificate(&self) -> bool {
        matches!(self.tls, Tls::Own)
    }

    fn new(domain: &str, shape: Shape, tls: Tls) -> Self {
        Self {
            domain: domain.to_owned(),
            aliases: Vec::new(),
            shape,
            tls,
            catches_all: false,
            extra: String::new(),
        }
    }
}

/// What the shared pair is called.
pub(super) const PLACEHOLDER: &str = "ssl-cert-snakeoil";
