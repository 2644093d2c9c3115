//! What does an nginx configuration say, byte for byte?
//!
//! [`tree::Tree`] reads one file and keeps every byte of it; [`include::Walk`] goes through a whole
//! configuration as nginx does; [`edit::Edits`] changes a file and touches only the lines it must.
//!
//! # Invariants
//!
//! - What was read can be printed back unchanged, whatever it was.
//! - No input makes it panic, exhausts the stack, or takes more than linear time.

pub mod error;
pub mod token;
mod lua;
pub mod tree;
pub mod glob;
pub mod read;
pub mod include;
pub mod edit;
pub mod amend;
pub mod listen;
pub mod challenge;
pub mod tls;
pub mod server;
#[cfg(test)]
mod real;
