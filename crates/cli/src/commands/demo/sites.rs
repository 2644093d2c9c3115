//! Which sites does the demo have, and how are they configured?

use std::path::Path;

/// A static site that does not speak TLS yet.
pub(super) const STATIC: &str = "static.demo.test";
/// A site that forces https at server level, before any location, as CloudPanel's templates do.
pub(super) const PANEL: &str = "panel.demo.test";
/// A site whose requests all go to a program behind nginx.
pub(super) const PROXY: &str = "proxy.demo.test";
/// A site with two names.
pub(super) const TWO: &str = "two.demo.test";

/// All sites.
pub(super) const ALL: [&str; 4] = [STATIC, PANEL, PROXY, TWO];

/// The ports of the demo's nginx, all on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) http: u16,
    pub(super) https: u16,
    /// Where the program behind the proxy answers.
    pub(super) behind: u16,
}

/// Returns the vhost of a site, which keeps its files in `folder`.
pub(super) fn vhost(domain: &str, folder: &Path, ports: Ports) -> String {
    let Ports {
        http,
        https,
        behind,
    } = ports;
    let root = folder.join("htdocs").join(domain);
    let root = root.display();
    let placeholder = folder.join("placeholder");
    let tls = format!(
        "listen 127.0.0.1:{https} ssl;\n  ssl_certificate {0}.crt;\n  ssl_certificate_key {0}.key;",
        placeholder.display()
    );
    match domain {
        STATIC => format!(
            "server {{\n  listen 127.0.0.1:{http};\n  server_name {domain};\n  root {root};\n}}\n"
        ),
        PANEL => format!(
            "server {{\n  listen 127.0.0.1:{http};\n  {tls}\n  server_name {domain} www1.{domain};\n  root {root};\n\n  \
             if ($scheme != \"https\") {{\n    rewrite ^ https://$host:{https}$request_uri permanent;\n  }}\n\n  \
             location ~ /.well-known {{\n    auth_basic off;\n    allow all;\n  }}\n}}\n"
        ),
        PROXY => format!(
            "server {{\n  listen 127.0.0.1:{http};\n  {tls}\n  server_name {domain};\n\n  \
             location / {{\n    proxy_pass http://127.0.0.1:{behind};\n  }}\n}}\n\n\
             server {{\n  listen 127.0.0.1:{behind};\n  return 200 \"a program behind nginx\\n\";\n}}\n"
        ),
        _ => format!(
            "server {{\n  listen 127.0.0.1:{http};\n  {tls}\n  server_name {domain} www.{domain};\n  root {root};\n}}\n"
        ),
    }
}

/// Returns the configuration that includes the vhosts.
pub(super) fn nginx_conf(folder: &Path) -> String {
    let at = folder.display();
    let scratch: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {at}/scratch/{kind};\n"))
        .collect();
    format!(
        "worker_processes 1;\npid {at}/nginx.pid;\nerror_log {at}/error.log notice;\nevents {{}}\nhttp {{\n  access_log off;\n{scratch}  \
         include {at}/sites/*.conf;\n}}\n"
    )
}
