//! How does a test get a host of its own: a real nginx, a real CA, files as certbot leaves them?
//!
//! Everything here is a fixture. A fixture owns a temporary folder, free ports and child processes, and takes
//! all of them away when it is dropped. Nothing here uses our own crates, so that a mistake in them cannot
//! hide itself: certificates are judged by `openssl`, requests are answered by `pebble`.
//!
//! | fixture | is |
//! | --- | --- |
//! | [`host::Host`] | a host in a temporary folder: nginx, `letsencrypt/`, state, configuration, the program |
//! | [`nginx::Nginx`] | an nginx of its own, with sample [`nginx::Site`]s |
//! | [`pebble::Pebble`] | Let's Encrypt's test CA with a DNS of its own |
//! | [`certbot`] | a lineage as the real certbot makes it |
//! | [`lineage`] | a lineage as certbot leaves it, made in a millisecond |
//! | [`certificate`] | a practice CA, self-signed certificates, with any dates |
//! | [`openssl`] | a second opinion on certificates, keys and what a server serves |
//!
//! A fixture that cannot be made is a failed test: every function here panics, and its message says what was
//! missing and what to install. That is why nothing returns a `Result`.

#![expect(
    clippy::disallowed_methods,
    reason = "fixtures start programs, write files and read the clock; nothing here is shipped"
)]

pub mod certbot;
pub mod certificate;
pub mod fetch;
pub mod host;
pub mod lineage;
pub mod nginx;
pub mod openssl;
pub mod pebble;
pub mod port;
pub mod program;
pub mod upstream;

pub use pebble::newer_pebble;
