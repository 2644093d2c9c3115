//! What is done to the server blocks of one file?
//!
//! The edits that a deployment makes, from the bytes of a file to its new bytes. A block is known by the line
//! on which it begins, as [`crate::look`] found it.

use super::challenge;
use super::edit::Edits;
use super::error::Fault;
use super::tls::{self, Files, Ports};
use super::tree::{Directive, Tree};

/// What to do to a server block.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// Answer challenges for the account with this thumbprint.
    Stateless(&'a str),
    /// Answer challenges no more.
    NotStateless,
    /// Name this certificate and key.
    Point(Files<'a>),
    /// Answer HTTPS with this certificate and key.
    AddTls(Ports, Files<'a>),
}

/// A file that can't be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The file makes no sense.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// There is no server block on the line: the file changed meanwhile.
    #[error("no server block begins on line {0}")]
    NotThere(u32),
    /// Several server blocks begin on the line, and which one is meant can't be told.
    #[error("several server blocks begin on line {0}; give each its own line")]
    Several(u32),
}

/// Returns the file with the blocks that begin on these lines changed; equal bytes when nothing had to change.
///
/// # Errors
///
/// When the file makes no sense, or the lines don't fit it. Nothing is changed by half.
pub fn changed(file: Vec<u8>, changes: &[(u32, Change<'_>)]) -> Result<Vec<u8>, ChangeError> {
    let tree = Tree::parse(file)?;
    let mut edits = Edits::new(&tree);
    for (line, change) in changes {
        let server = server_on(&tree, *line)?;
        match *change {
            Change::Stateless(thumbprint) => challenge::put(&mut edits, server, thumbprint),
            Change::NotStateless => challenge::take(&mut edits, server),
            Change::Point(files) => tls::point(&mut edits, server, files),
            Change::AddTls(ports, files) => tls::add(&mut edits, server, ports, files),
        }
    }
    Ok(edits.apply())
}

fn server_on(tree: &Tree, line: u32) -> Result<Directive<'_>, ChangeError> {
    let is_server = |directive: &Directive<'_>| {
        directive.line() == line && directive.is("server") && directive.has_block()
    };
    let mut servers = tree.all().filter(is_server);
    match (servers.next(), servers.next()) {
        (Some(server), None) => Ok(server),
        (None, _) => Err(ChangeError::NotThere(line)),
        (Some(_), Some(_)) => Err(ChangeError::Several(line)),
    }
}
