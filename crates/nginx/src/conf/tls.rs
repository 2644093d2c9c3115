//! How does a server block get its certificate?
//!
//! By two lines that name certificate and key, and by a `listen … ssl` for each address at which
//! it answers plain HTTP. Only what is missing is added, and only what names another file is changed.

use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::edit::{Edits, quoted};
use super::listen::{Listening, listening, unsaid};
use super::tree::Directive;

/// The certificate and key that a block should name.
#[derive(Clone, Copy, Debug)]
pub struct Files<'p> {
    /// The file for `ssl_certificate`.
    pub certificate: &'p Path,
    /// The file for `ssl_certificate_key`.
    pub key: &'p Path,
}

/// The ports of plain HTTP and of HTTPS; other than 80 and 443 only where the host says so.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// Where the block answers plain HTTP.
    pub http: u16,
    /// Where it shall answer HTTPS.
    pub https: u16,
}

/// Makes a server block name this certificate and key, in its own lines.
///
/// Where the block names several pairs, for several kinds of key, the first is changed and the others go, or nginx
/// would serve them to some clients. Lines that stand in another file are not seen here; the block's own come
/// before those of `http`.
pub fn point<'t>(edits: &mut Edits<'t>, server: Directive<'t>, files: Files<'_>) {
    let certificates = named(server, CERTIFICATE);
    let keys = named(server, KEY);
    let mut missing = Vec::new();
    for (lines, name, file) in [
        (&certificates, CERTIFICATE, files.certificate),
        (&keys, KEY, files.key),
    ] {
        let file = file.as_os_str().as_bytes();
        match &lines[..] {
            [first, others @ ..] => {
                if first.argument().as_deref() != Some(file) {
                    edits.replace_arguments(*first, &[file]);
                }
                others.iter().for_each(|other| edits.remove(*other));
            }
            [] => missing.push(statement(name, file)),
        }
    }
    let beside = certificates.last().or(keys.last()).copied();
    insert(edits, server, beside, &missing);
}

/// Makes a server block that answers plain HTTP answer HTTPS too, with this certificate and key.
pub fn add<'t>(edits: &mut Edits<'t>, server: Directive<'t>, ports: Ports, files: Files<'_>) {
    let listens = named(server, "listen");
    let read: Vec<(Directive<'t>, Listening)> = listens
        .iter()
        .filter_map(|listen| Some((*listen, listening(listen.arguments())?)))
        .collect();
    let mut missing = Vec::new();
    let tls = read
        .iter()
        .any(|(_, listening)| listening.listens.iter().any(|listen| listen.tls));
    if !tls {
        missing = mirrored(&read, ports);
        if listens.is_empty() {
            // With a `listen` of its own the block would no longer have the unsaid one.
            missing.insert(0, format!("listen {};", unsaid().address.port()));
        }
    }
    let no_certificate = named(server, CERTIFICATE).is_empty() && named(server, KEY).is_empty();
    if no_certificate {
        missing.push(statement(
            CERTIFICATE,
            files.certificate.as_os_str().as_bytes(),
        ));
        missing.push(statement(KEY, files.key.as_os_str().as_bytes()));
    } else {
        point(edits, server, files);
    }
    insert(edits, server, listens.last().copied(), &missing);
}

/// Returns a `listen … ssl` for each address of the block on the port of plain HTTP; on any port, if it has none there.
fn mirrored(read: &[(Directive<'_>, Listening)], ports: Ports) -> Vec<String> {
    let all = || read.iter().flat_map(|(_, listening)| &listening.listens);
    let on_port = all().any(|listen| listen.address.port() == ports.http);
    let mut addresses: Vec<IpAddr> = Vec::new();
    for listen in all().filter(|listen| !listen.quic) {
        let ip = listen.address.ip();
        let wanted = !on_port || listen.address.port() == ports.http;
        if wanted && !addresses.contains(&ip) {
            addresses.push(ip);
        }
    }
    if read.is_empty() {
        addresses.push(unsaid().address.ip());
    }
    let port = ports.https;
    let line = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => format!("listen {port} ssl;"),
        IpAddr::V4(ip) => format!("listen {ip}:{port} ssl;"),
        IpAddr::V6(ip) => format!("listen [{ip}]:{port} ssl;"),
    };
    addresses.iter().map(line).collect()
}

fn insert<'t>(
    edits: &mut Edits<'t>,
    server: Directive<'t>,
    after: Option<Directive<'t>>,
    statements: &[String],
) {
    match after {
        Some(after) => statements
            .iter()
            .for_each(|statement| edits.insert_after(after, statement, None)),
        None => statements
            .iter()
            .for_each(|statement| edits.insert_first(server, statement, None)),
    }
}

fn named<'t>(server: Directive<'t>, name: &str) -> Vec<Directive<'t>> {
    server
        .block()
        .filter(|directive| directive.is(name))
        .collect()
}

fn statement(name: &str, file: &[u8]) -> String {
    format!("{name} {};", String::from_utf8_lossy(&quoted(file)))
}

const CERTIFICATE: &str = "ssl_certificate";
const KEY: &str = "ssl_certificate_key";
