//! An ACME server to practise on, with faults on demand.
//!
//! It runs inside a program, listens on loopback and nowhere else, and issues real
//! certificates below roots that nobody trusts. It speaks RFC 8555 with HTTP-01, renewal
//! information (RFC 9773) and profiles, behaves like Let's Encrypt where the RFC leaves a
//! choice, and says what Let's Encrypt says when it refuses. It shares no code with
//! clpctl's own client, so that both must have understood the RFC to agree.
//!
//! ```no_run
//! # async fn example() -> Result<(), testca::StartError> {
//! use testca::{ChainFault, Fault, Options, TestCa};
//!
//! let ca = TestCa::start(Options { http_port: 8080, ..Options::default() }).await?;
//! println!("{} (trust: {} bytes)", ca.directory_url(), ca.ca_bundle_pem().len());
//! ca.add_fault(Fault::new(ChainFault::LeafOnly).of_name("shop.test").times(1));
//! # Ok(())
//! # }
//! ```

mod accounts;
mod authorizations;
mod ca;
mod certificates;
mod clock;
mod connections;
mod directory;
mod dispatch;
pub mod dns;
mod endpoint;
mod faults;
mod issuing;
mod jws;
mod keys;
mod names;
mod nonces;
mod options;
mod orders;
mod problems;
mod random;
mod renewal_info;
mod reply;
mod revocation;
mod server;
mod signing_request;
mod validation;

pub use clock::Clock;
pub use endpoint::{Endpoint, Requests};
pub use faults::{
    ChainFault, Effect, Fault, FinalizationFault, IssuanceFault, NameFault, NonceFault, RateLimit,
    Refusal, RenewalInfoFault, ReplacesFault, ReplacesRefusal, ReplyHeader, ValidationFault,
    WireFault,
};
pub use options::{Options, Profile, Resolve};
pub use problems::{Problem, ProblemKind, RetryAfter, Subproblem};
pub use renewal_info::RenewalWindow;
pub use server::{Handle, StartError, SuggestError, TestCa};
