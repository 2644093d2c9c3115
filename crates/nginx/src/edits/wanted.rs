//! Which server blocks of a site must change, so that it serves its lineage or answers the CA?

use std::path::{Path, PathBuf};

use renewal::challenge::listens_on;
use renewal::site::{Pair, Server, Site};

use super::{Batch, BlockChange, EditError};
use crate::conf::server::Change;
use crate::conf::tls::{Files, Ports};
use crate::conf::tree::Tree;

/// The ports of plain HTTP and of HTTPS on this host.
pub(crate) type HostPorts = Ports;

/// Lists the changes after which every block of the site that speaks TLS serves its lineage.
///
/// A site that does not speak TLS at all gets it in every block. A block whose pair `is_ours` already is left alone.
pub(crate) fn serve<'a>(
    batch: &mut Batch<'_>,
    site: &Site,
    is_ours: impl Fn(&Pair) -> bool,
    files: Files<'a>,
    ports: HostPorts,
    may_edit: bool,
) -> Result<Vec<BlockChange<'a>>, EditError> {
    let speaks_tls = |server: &Server| server.listens.iter().any(|listen| listen.tls);
    let has_tls = site.servers.iter().any(|server| speaks_tls(server));
    let mut changes = Vec::new();
    for server in &site.servers {
        let change = if !has_tls {
            Change::AddTls(ports, files)
        } else if speaks_tls(server) && !server.pair.as_ref().is_some_and(&is_ours) {
            Change::Point(files)
        } else {
            continue;
        };
        if !may_edit {
            return Err(not_allowed(server, has_tls, files, ports, MAY_NOT_EDIT));
        }
        if stands_elsewhere(server) {
            return Err(not_allowed(server, has_tls, files, ports, SHARED_LINES));
        }
        changes.push(block_change(batch, site, server, change)?);
    }
    Ok(changes)
}

/// Lists the changes after which every block that answers the CA on `port` answers challenges by itself.
pub(crate) fn stateless<'a>(
    batch: &mut Batch<'_>,
    site: &Site,
    thumbprint: &'a str,
    port: u16,
    may_edit: bool,
) -> Result<Vec<BlockChange<'a>>, EditError> {
    let mut changes = Vec::new();
    for server in &site.servers {
        if !listens_on(server, port) || server.stateless.as_deref() == Some(thumbprint) {
            continue;
        }
        if !may_edit {
            return Err(EditError::NotAllowed {
                file: server.place.file.clone(),
                lines: format!(
                    "the server block on line {} needs as its first line: {}",
                    server.place.line,
                    crate::conf::challenge::statement(thumbprint)
                ),
                why: MAY_NOT_EDIT,
            });
        }
        let change = Change::Stateless(thumbprint);
        changes.push(block_change(batch, site, server, change)?);
    }
    Ok(changes)
}

/// Says whether the certificate lines stand in a file that the block includes, and maybe others too.
fn stands_elsewhere(server: &Server) -> bool {
    server
        .pair
        .as_ref()
        .is_some_and(|pair| !pair.inherited && pair.place.file != server.place.file)
}

fn not_allowed(
    server: &Server,
    has_tls: bool,
    files: Files<'_>,
    ports: HostPorts,
    why: &'static str,
) -> EditError {
    let listen = if has_tls {
        String::new()
    } else {
        format!("listen {} ssl; ", ports.https)
    };
    let elsewhere = server.pair.as_ref().filter(|_| stands_elsewhere(server));
    let place = elsewhere.map_or(&server.place, |pair| &pair.place);
    EditError::NotAllowed {
        file: place.file.clone(),
        lines: format!(
            "the server block on line {} needs: {listen}ssl_certificate {}; ssl_certificate_key {};",
            server.place.line,
            files.certificate.display(),
            files.key.display()
        ),
        why,
    }
}

fn block_change<'a>(
    batch: &mut Batch<'_>,
    site: &Site,
    server: &Server,
    change: Change<'a>,
) -> Result<BlockChange<'a>, EditError> {
    // A link among the vhosts stays a link: what it leads to is edited.
    let file = resolved(&server.place.file);
    let line = line_now(batch.original(&file)?, site, server);
    Ok(BlockChange { file, line, change })
}

/// Returns the line on which the block begins now: an edit since the last look may have moved it.
fn line_now(file: &[u8], site: &Site, server: &Server) -> u32 {
    let Ok(tree) = Tree::parse(file.to_owned()) else {
        return server.place.line;
    };
    let names_of = |directive: crate::conf::tree::Directive<'_>| -> Vec<String> {
        let lines = directive.block().filter(|line| line.is("server_name"));
        lines
            .flat_map(|line| line.arguments())
            .map(|name| String::from_utf8_lossy(&name).into_owned())
            .collect()
    };
    let alike: Vec<u32> = tree
        .all()
        .filter(|directive| directive.is("server") && directive.has_block())
        .filter(|directive| names_of(*directive) == server.names)
        .map(|directive| directive.line())
        .collect();
    if alike.contains(&server.place.line) {
        return server.place.line;
    }
    let before: Vec<_> = site
        .servers
        .iter()
        .filter(|other| other.place.file == server.place.file && other.names == server.names)
        .collect();
    let position = before.iter().position(|other| other.place == server.place);
    match position {
        Some(position) if before.len() == alike.len() => alike[position],
        _ => server.place.line,
    }
}

fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

const MAY_NOT_EDIT: &str =
    "The vhost needs lines that clpctl may not insert, for nginx.edit does not allow that.";

const SHARED_LINES: &str = "The certificate lines stand in a file that other vhosts may include too, so they are left as they are.";
