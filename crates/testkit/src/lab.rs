//! How does a test get a host in a network of its own, with a CA that knocks from outside?
//!
//! What a doctor foretells can only be compared with what a CA does where both are real: nginx on port 80, names that
//! lead to addresses of two families by way of DNS servers that may be wrong, a firewall between the host and the world.
//! A [`Lab`] has all of that in two network namespaces; nothing of it is seen on the machine.
//!
//! | address | is |
//! | --- | --- |
//! | [`HOST`], [`HOST6`] | the host; it has four more, `93.184.215.8`, `.9`, `.20`, `.21` |
//! | [`NEIGHBOUR`], [`NEIGHBOUR6`] | another host, which knows none of the names |
//! | [`CDN`] | an address of Cloudflare's |
//! | [`CA`] | the CA |
//! | [`SILENT`] | nobody |

mod dns;
pub mod net;

pub use dns::{NS1, NS2, NS3, Servers, Zones};
pub use net::Net;

use std::path::Path;

use tempfile::TempDir;

use crate::pebble::{Pebble, Settings};

/// A network with DNS; stopped and removed when dropped. The thread that made it lives inside until then.
#[derive(Debug)]
pub struct Lab {
    // In this order: servers end before the network does.
    servers: Servers,
    net: Net,
    folder: TempDir,
}

impl Lab {
    /// Makes a network whose DNS has these zones, and moves the calling thread inside.
    ///
    /// # Panics
    ///
    /// When this user may not make namespaces, or a program is not installed.
    #[must_use]
    #[track_caller]
    pub fn start(zones: Zones) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("lab-")
            .tempdir()
            .expect("a temporary folder can be made");
        let net = Net::start(folder.path());
        let servers = net.outside(|| Servers::start(folder.path(), zones));
        Self {
            servers,
            net,
            folder,
        }
    }

    /// Starts a CA outside, which asks the lab's resolver and knocks at port 80.
    ///
    /// # Panics
    ///
    /// When pebble does not start.
    #[must_use]
    #[track_caller]
    pub fn pebble(&self, settings: impl FnOnce(Settings) -> Settings) -> Pebble {
        let at = CA.parse().expect("it is an address");
        let settings = settings(Pebble::settings(80, 443).at(at).asking(Servers::resolver()));
        self.net.outside(|| settings.start())
    }

    /// Changes what DNS says; nothing remembers what was.
    ///
    /// # Panics
    ///
    /// When the servers do not start again.
    #[track_caller]
    pub fn dns(&mut self, change: impl FnOnce(&mut Zones)) {
        let servers = &mut self.servers;
        self.net.outside(|| servers.change(change));
    }

    /// Returns the DNS servers.
    pub fn servers(&mut self) -> &mut Servers {
        &mut self.servers
    }

    /// Does something as the rest of the world; programs started meanwhile stay there.
    pub fn outside<T>(&self, work: impl FnOnce() -> T) -> T {
        self.net.outside(work)
    }

    /// Returns the folder for the lab's files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// The host's address.
pub const HOST: &str = "93.184.215.7";
/// The host's IPv6 address.
pub const HOST6: &str = "2a01:4f8:aa::7";
/// Another host.
pub const NEIGHBOUR: &str = "93.184.216.99";
/// Its IPv6 address.
pub const NEIGHBOUR6: &str = "2a01:4f8:bb::99";
/// An address of a content delivery network.
pub const CDN: &str = "104.16.0.1";
/// The CA's address.
pub const CA: &str = "93.184.216.80";
/// Where nobody answers, and nobody says so.
pub const SILENT: &str = "93.184.217.1";

#[cfg(test)]
mod tests;
