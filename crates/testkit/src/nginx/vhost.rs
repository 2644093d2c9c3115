//! How does a sample site look in nginx's language?

use std::fmt::Write;
use std::path::Path;

use super::Nginx;
use super::site::{PLACEHOLDER, Shape, Site, Tls};

/// Returns `nginx.conf`.
pub(super) fn main(folder: &Path) -> String {
    let folder = folder.display();
    // Elsewhere than as root, nginx only warns about the line.
    let user = if rustix::process::geteuid().is_root() {
        "user www-data;\n"
    } else {
        ""
    };
    let mut temporary = String::new();
    for module in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(temporary, "    {module}_temp_path {folder}/temp/{module};").expect(WRITES);
    }
    format!(
        "\
{user}worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/logs/error.log notice;

events {{
    worker_connections 512;
}}

http {{
    access_log {folder}/logs/access.log;
{temporary}    server_names_hash_bucket_size 128;
    server_names_hash_max_size 65536;
    default_type text/plain;
    include {folder}/sites-enabled/*.conf;
}}
"
    )
}

/// Returns the vhost file of a site.
pub(super) fn text(site: &Site, nginx: &Nginx) -> String {
    let names = [site.domain.as_str()]
        .into_iter()
        .chain(site.aliases.iter().map(String::as_str));
    let names = names.collect::<Vec<_>>().join(" ");
    let head = head(site, nginx);
    let root = nginx.document_root(site.domain()).display().to_string();
    let extra: String = site
        .extra
        .lines()
        .map(|line| format!("    {line}\n"))
        .collect();
    let main = match &site.shape {
        Shape::Static => format!("{head}    server_name {names};\n    root {root};\n{extra}"),
        Shape::CloudPanel | Shape::CloudPanelRedirect(_) => {
            format!(
                "{head}    server_name {names};\n    root {root};\n{extra}{}",
                forced_https(nginx.https_port())
            )
        }
        Shape::Refusal => format!("{head}    server_name _;\n{extra}    return 444;\n"),
        Shape::ReverseProxy(to) => {
            format!(
                "{head}    server_name {names};\n{extra}    location / {{\n        proxy_pass http://{to};\n    }}\n"
            )
        }
    };
    let redirect = match &site.shape {
        Shape::CloudPanelRedirect(from) => {
            let target = format!("https://{}:{}$request_uri", site.domain, nginx.https_port());
            format!("server {{\n{head}    server_name {from};\n    return 301 {target};\n}}\n\n")
        }
        Shape::Static | Shape::CloudPanel | Shape::ReverseProxy(_) | Shape::Refusal => {
            String::new()
        }
    };
    format!("{redirect}server {{\n{main}}}\n")
}

/// What CloudPanel's templates do, in their order: the `if` of a server runs before its locations.
fn forced_https(port: u16) -> String {
    format!(
        "
    if ($scheme != \"https\") {{
        rewrite ^ https://$host:{port}$request_uri permanent;
    }}

    location ~ /.well-known {{
        auth_basic off;
        allow all;
    }}

    location ~ /\\.(ht|svn|git) {{
        deny all;
    }}
"
    )
}

/// The lines that open a server: addresses and certificate.
fn head(site: &Site, nginx: &Nginx) -> String {
    let default = if site.catches_all {
        " default_server"
    } else {
        ""
    };
    let mut head = String::new();
    for address in nginx.http_addresses() {
        writeln!(head, "    listen {address}{default};").expect(WRITES);
    }
    if site.has_tls() {
        for address in nginx.https_addresses() {
            writeln!(head, "    listen {address} ssl{default};").expect(WRITES);
        }
    }
    head + &certificate(site, nginx)
}

/// The lines about the certificate: the key first, as CloudPanel's templates have it.
fn certificate(site: &Site, nginx: &Nginx) -> String {
    let lines = |certificate: &Path, key: &Path| {
        let (certificate, key) = (certificate.display(), key.display());
        format!("    ssl_certificate_key {key};\n    ssl_certificate {certificate};\n")
    };
    let own = |name: &str| {
        let folder = nginx.certificates();
        lines(
            &folder.join(format!("{name}.crt")),
            &folder.join(format!("{name}.key")),
        )
    };
    match &site.tls {
        Tls::Own => own(site.domain()),
        Tls::Placeholder => own(PLACEHOLDER),
        Tls::Files { certificate, key } => lines(certificate, key),
        Tls::Refused => "    ssl_reject_handshake on;\n".to_owned(),
        Tls::None => String::new(),
    }
}

const WRITES: &str = "text can be added to a String";
