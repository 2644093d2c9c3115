//! This host: nginx, its configuration, the certificates on disk.
//!
//! Reads what nginx's configuration says and which lineages lie on disk, changes both so that any change can be undone
//! and none is left half made, tests and reloads nginx, and looks at what it then serves. Talks to no CA and decides
//! nothing: [`NginxHost`] does what the driver asks for, by the contract of [`renewal::ports::Host`].
//!
//! | question | module |
//! | --- | --- |
//! | what does the configuration say, byte for byte? | [`conf`] |
//! | which sites does nginx serve? | [`look`] |
//! | with which certificates, lineages and policies? | `sites`, `lineage`, `current` |
//! | how are thousands of files looked at? | `near` |
//! | what did people decide about a lineage? | `decided` |
//! | how is a new certificate written and linked? | `lineage` |
//! | how is a vhost edited and put back? | `edits` |
//! | how is a safe fix made, and undone? | `fixes` |
//! | what does the configuration say about limits, logs and TLS? | `tuning` |
//! | how are a panel's plain files replaced? | `projection` |
//! | how are many sites switched over at once? | `switches` |
//! | how do many writes share the wait for the disk? | `together` |
//! | does nginx accept it, and is it told? | `test`, `reload` |
//! | what is served now? | `served` |
//! | how is a challenge answered? | `challenge` |
//! | how is the firewall opened for a validation, and closed whatever happens? | `firewall` |
//! | how is another client's timer stopped? | [`jobs`] |
//! | where are its error logs? | `error_logs` |
//! | what does another program list, the firewall's for one? | [`listing`] |
//!
//! # Invariants
//!
//! - Wherever the process dies, what nginx reads is the old or the new, and the same call finishes it.
//! - Programs are started in `command` alone, files are changed in `file` alone; challenge files are the one exception.
//! - A private key is never readable by others than root, not even for a moment.

pub mod conf;
pub mod jobs;
pub mod listing;
pub mod look;

mod settings;
mod command;
mod file;
mod near;
mod build;
mod current;
mod decided;
mod lineage;
mod sites;
mod keys;
mod edits;
mod fixes;
mod firewall;
mod tuning;
mod projection;
mod switches;
mod together;
mod challenge;
mod test;
mod reload;
mod workers;
mod served;
mod error_logs;
mod complaints;
mod host;
#[cfg(any(test, fuzzing))]
pub mod stranger;
#[cfg(test)]
mod testing;

pub use self::fixes::Draft;
pub use self::host::{Made, NginxHost};
pub use self::lineage::versions::Member;
pub use self::settings::{Listed, Owner, Reload, Settings, Sites};
pub use self::tuning::{Protocols, Stapling, Tuning};
