//! How is a certificate obtained from a CA?
//!
//! A client for ACME (RFC 8555, RFC 8738, RFC 9773) that keeps the port [`renewal::ports::Authority`]. One file per
//! resource of the protocol; everything a CA can answer becomes a value, and every failure a finding.
//!
//! Read in this order: [`Authorities`], `client` (a request and its second chances), `issuance` (an order from its
//! placing to the chain), [`diagnosis`] (what a CA's words mean).
//!
//! # Invariants
//!
//! - Neither keys nor tokens, nonces or signed bodies are ever logged.
//! - Every request has a deadline and every reply a largest size; redirects are not followed.
//! - Signed requests go only to hosts that the CA's directory names.
//! - An account's key is on disk before the CA hears of it.

pub use self::account::{
    AccountError, AccountSummary, ForeignAccount, JwkError, Takeover, pem_of_jwk, thumbprint_of,
};
pub use self::authorities::{Authorities, Settings};
pub use self::directory::About;
pub use self::http::{SetupError, roots};

pub mod bounds;
pub mod diagnosis;
pub mod problem;

mod authorities;
mod presented;
mod issuance;
mod order;
mod authorization;
mod certificate;
mod renewal_info;
mod revocation;
mod account;
mod directory;
mod client;
mod chances;
mod nonce;
mod pace;
mod jws;
mod origin;
mod retry_after;
mod http;
mod endpoints;
mod error;
mod failure;
#[cfg(any(test, fuzzing))]
pub mod stranger;
