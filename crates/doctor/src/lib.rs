//! What would make a renewal fail, or keeps a certificate from being served?
//!
//! Each check has two halves: the first *observes* and hands over what it saw as a value, the second *judges*
//! that value and answers with findings. Only the first half touches the world, so every judgement is tested
//! on recorded observations, and a report can show the evidence.
//!
//! | module | is about |
//! | --- | --- |
//! | [`check`], [`examination`] | which checks there are, and how they are made |
//! | [`observation`], [`judge()`] | what can be seen, and what it means |
//! | [`dns`], [`addresses`], [`name_servers`], [`caa`] | what DNS says of a name |
//! | [`preflight`], [`way_in`], [`networks`], [`cloud`], [`own`] | what a CA would get when it fetches a challenge (HTTP-01), and why |
//! | [`port`], [`firewall`], [`document_root`], [`pair`], [`served`], [`space`], [`clock`], [`schedule`] | this host |
//! | [`clients`] | which other programs obtain certificates here |
//! | [`limits`], [`links`], [`keys`] | what nginx may use, where its links lead, who may read keys |
//! | [`recorder`], [`fixes`] | what was seen, and which of it can be mended without a person |
//! | [`audit`] | what endangers renewals beyond any one site, and how much |
//!
//! Nothing is ever changed here: what is to be changed is handed on as data.

pub mod addresses;
pub mod audit;
pub mod caa;
pub mod check;
pub mod clients;
pub mod clock;
pub mod cloud;
pub mod dns;
pub mod document_root;
pub mod examination;
pub mod firewall;
pub mod fixes;
pub mod keys;
pub mod limits;
pub mod links;
pub mod name_servers;
pub mod networks;
pub mod observation;
pub mod own;
pub mod pair;
pub mod port;
pub mod preflight;
pub mod recorder;
pub mod schedule;
pub mod served;
pub mod space;
pub mod way_in;

mod address;
mod excerpt;
mod judge;
mod reading;
#[cfg(any(test, fuzzing))]
pub mod stranger;
#[cfg(test)]
mod testing;

pub use self::address::is_public;
pub use self::check::Check;
pub use self::examination::{Examination, Eyes, examine};
pub use self::judge::judge;
pub use self::observation::Observation;
pub use self::preflight::{Patience, Preflight, Settings};
