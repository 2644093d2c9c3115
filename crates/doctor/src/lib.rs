//! What would make a renewal fail, or keeps a certificate from being served?
//!
//! Each check has two halves: the first *observes* and hands over what it saw as a value, the second *judges*
//! that value and answers with findings. Only the first half touches the world, so every judgement is tested
//! on recorded observations, and a report can show the evidence.
//!
//! | module | observes |
//! | --- | --- |
//! | [`dns`] | which addresses a name has |
//! | [`clients`] | which other programs obtain certificates here |
//! | [`preflight`] | what a CA would get when it fetches a challenge (HTTP-01) |
//!
//! Nothing is ever changed here.

pub mod clients;
pub mod dns;
pub mod preflight;

mod address;
mod excerpt;
#[cfg(test)]
mod testing;

pub use self::preflight::{Patience, Preflight, Settings};
