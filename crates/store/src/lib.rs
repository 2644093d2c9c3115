//! What is remembered between runs, and who may work?
//!
//! [`Database`] is the memory of one host: what cannot be seen on it (the CA's windows, failures, spent limits,
//! open orders, deployments under way, history), in a SQLite file. [`InMemory`] is the same without a file, for
//! simulations; one contract test suite runs on both. [`RunLock`] keeps two runs apart.
//!
//! No rules live here, and nothing of SQLite shows outside.

pub use self::database::{Database, OpenError};
pub use self::in_memory::InMemory;
pub use self::run_lock::{Held, RunLock};

mod database;
mod folder;
mod in_memory;
mod run_lock;

/// How many entries the history keeps; older ones are forgotten. Four for each of 50,000 sites, about 30 MB.
pub const HISTORY_ENTRIES_MAX: usize = 200_000;
