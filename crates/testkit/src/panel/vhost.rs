//! How do the vhosts look that CloudPanel writes?
//!
//! Written anew from what is known of their shape: both ports in one block, https forced at server level before the
//! location of challenges, `www1.` among the names, and for `www.` sites a redirect block in front.

use std::net::SocketAddr;
use std::path::Path;

/// What kind of vhost it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// A PHP site.
    Php,
    /// A PHP site behind Varnish: a front block, and a back block on another port.
    Varnish,
    /// A Node.js site.
    Nodejs,
    /// A static site.
    Static,
    /// A Python site.
    Python,
    /// A reverse proxy, whose challenges may be its upstream's.
    ReverseProxy,
}

impl Shape {
    /// Returns the type in the database.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Php | Self::Varnish => "php",
            Self::Nodejs => "nodejs",
            Self::Static => "static",
            Self::Python => "python",
            Self::ReverseProxy => "reverse-proxy",
        }
    }
}

/// What a vhost names.
#[derive(Clone, Debug)]
pub(super) struct Parts<'a> {
    pub(super) domain: &'a str,
    /// The other of apex and `www.`, that is redirected.
    pub(super) redirected: Option<&'a str>,
    /// More names, as a person adds them.
    pub(super) aliases: &'a [&'a str],
    /// What stands where the template says `{{settings}}`.
    pub(super) settings: &'a str,
    pub(super) root: &'a Path,
    pub(super) certificates: &'a Path,
    pub(super) http: Vec<SocketAddr>,
    pub(super) https: Vec<SocketAddr>,
    /// Where the back block or the application listens.
    pub(super) back: SocketAddr,
}

/// Returns the file of a site.
pub(super) fn text(shape: Shape, parts: &Parts<'_>) -> String {
    let (domain, root, back) = (parts.domain, parts.root.display(), parts.back);
    let settings = parts.settings;
    let head = head(parts, domain);
    let apex = domain.strip_prefix("www.").unwrap_or(domain);
    let mut names = vec![domain.to_owned()];
    if parts.redirected.is_some() {
        names.push(format!("www1.{apex}"));
    }
    names.extend(parts.aliases.iter().map(|alias| (*alias).to_owned()));
    let names = names.join(" ");
    let redirect = parts.redirected.map_or(String::new(), |from| {
        format!(
            "server {{\n{head}  server_name {from};\n  return 301 https://{domain}:{}$request_uri;\n}}\n\n",
            port(parts)
        )
    });
    let challenge = match shape {
        Shape::ReverseProxy => {
            "  location ^~ /.well-known {\n    auth_basic off;\n    allow all;\n    try_files $uri @reverse_proxy;\n  }\n"
        }
        Shape::Php | Shape::Varnish | Shape::Nodejs | Shape::Static | Shape::Python => {
            "  location ~ /.well-known {\n    auth_basic off;\n    allow all;\n  }\n"
        }
    };
    let proxied = format!("proxy_pass http://{back};");
    let pages = match shape {
        Shape::Php | Shape::Static => "  index index.html;\n".to_owned(),
        Shape::Varnish | Shape::Nodejs | Shape::Python => {
            format!("  location / {{\n    {proxied}\n  }}\n")
        }
        Shape::ReverseProxy => {
            format!(
                "  location @reverse_proxy {{\n    {proxied}\n  }}\n  location / {{\n    {proxied}\n  }}\n"
            )
        }
    };
    let back = match shape {
        Shape::Varnish => format!(
            "\nserver {{\n  listen {back};\n  server_name {names};\n  root {root};\n  index index.html;\n}}\n"
        ),
        Shape::Php | Shape::Nodejs | Shape::Static | Shape::Python | Shape::ReverseProxy => {
            String::new()
        }
    };
    format!(
        "{redirect}server {{\n{head}  server_name {names};\n  root {root};\n\n  if ($scheme != \"https\") {{\n    \
         rewrite ^ https://$host:{}$request_uri permanent;\n  }}\n\n{challenge}\n{settings}\n{pages}}}\n{back}",
        port(parts)
    )
}

/// Returns the file of the panel's own domain.
pub(super) fn own(parts: &Parts<'_>) -> String {
    format!(
        "server {{\n{}  server_name {};\n  root {};\n\n  if ($scheme != \"https\") {{\n    \
         rewrite ^ https://$host:{}$request_uri permanent;\n  }}\n\n  location ~ /.well-known {{\n    auth_basic off;\n    \
         allow all;\n  }}\n\n  location / {{\n    proxy_pass https://{}/;\n  }}\n}}\n",
        head(parts, "custom-domain"),
        parts.domain,
        parts.root.display(),
        port(parts),
        parts.back
    )
}

/// Returns the file of the catch-all.
pub(super) fn catch_all(http: &[SocketAddr], https: &[SocketAddr]) -> String {
    let listens = listens(http, " default_server") + &listens(https, " default_server ssl");
    format!("server {{\n{listens}  ssl_reject_handshake on;\n  server_name _;\n  return 444;\n}}\n")
}

fn listens(addresses: &[SocketAddr], options: &str) -> String {
    let lines = addresses
        .iter()
        .map(|address| format!("  listen {address}{options};\n"));
    lines.collect()
}

/// Returns the port that stands for 443.
fn port(parts: &Parts<'_>) -> u16 {
    parts.https.first().map_or(443, SocketAddr::port)
}

fn head(parts: &Parts<'_>, files: &str) -> String {
    let certificates = parts.certificates.display();
    let listens = listens(&parts.http, "") + &listens(&parts.https, " ssl");
    format!(
        "{listens}  \
         ssl_certificate_key {certificates}/{files}.key;\n  ssl_certificate {certificates}/{files}.crt;\n"
    )
}
