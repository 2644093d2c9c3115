//! What do the rules' users need from the world?
//!
//! Contracts, each kept by one adapter and by a fake in the driver's simulation. A method that MUST be safe to
//! repeat is called again after a crash, when nobody knows whether it ran.

pub use self::authority::{
    Authority, Issued, Issuer, OrderDesk, OrderFailure, OrderRequest, PresentError, Waiting,
};
pub use self::clock::Clock;
pub use self::host::{Change, Host, HostFailure, Known, Look, Seen, Staged, Stamp};
pub use self::memory::{
    HistoryEntry, Lease, LeaseHeld, Memory, MemoryFailure, Note, OpenOrder, Progress,
};
pub use self::observer::{Event, Observer};
pub use self::panel::{Panel, RecordChange};
pub use self::preflight::Preflight;

mod authority;
mod clock;
mod host;
mod memory;
mod observer;
mod panel;
mod preflight;
