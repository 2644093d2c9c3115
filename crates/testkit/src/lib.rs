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
//! | [`lab::Lab`] | a network of its own: real ports, addresses of two families, DNS servers, a CA outside |
//! | [`certbot`] | a lineage as the real certbot makes it |
//! | [`lineage`] | a lineage as certbot leaves it, made in a millisecond |
//! | [`certificate`] | a practice CA, self-signed certificates, with any dates |
//! | [`panel`] | CloudPanel's database, and what the panel would do with it |
//! | [`noise`] | what a stranger might write, for readers |
//! | [`openssl`] | a second opinion on certificates, keys and what a server serves |
//!
//! A test of the program, from end to end:
//!
//! ```no_run
//! use testkit::host::Host;
//! use testkit::nginx::Site;
//! use testkit::openssl;
//!
//! let mut host = Host::start([Site::cloudpanel("a.test").also("www.a.test")]);
//! let pebble = host.with_pebble(|settings| settings.newer().rejected_nonces(5));
//! // In a test of `cli` the path comes from env!("CARGO_BIN_EXE_clpctl").
//! let output = host.clpctl("target/debug/clpctl").run(&["site:renew-certificates", "--domain=a.test"]);
//! pebble.assert_well();
//! assert!(output.ok(), "{}", output.stderr);
//! let leaf = openssl::sha256(&host.live("a.test").join("cert.pem"));
//! assert_eq!(openssl::served(host.nginx.https_addresses()[0], "a.test"), Some(leaf));
//! ```
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
pub mod lab;
pub mod lineage;
pub mod nginx;
pub mod noise;
pub mod openssl;
pub mod panel;
pub mod pebble;
pub mod port;
pub mod program;
pub mod upstream;

pub use pebble::newer_pebble;
