//! How much may a CA cost us, whatever it sends?
//!
//! A CA is a stranger on the other side of the network, and so is whoever sits between. What it may take of our time
//! and memory is bounded here, in one place; docs/reliability.md says it to people, and the tests in
//! `tests/cas/hostile` hold every kind of misbehaviour against it.
//!
//! | what | bound |
//! | --- | --- |
//! | reaching one of its addresses | [`CONNECT`] |
//! | one exchange: connecting, TLS, request and the whole reply | [`LOOKUP`], or [`WORK`] where it has to do something |
//! | a reply | [`REPLY_BYTES_MAX`]; hyper bounds its headers |
//! | waits that it asks for within one request | [`WAIT_MAX`] each, [`WAITS_MAX`] in all |
//! | waiting for a validation, for a signature | [`VALIDATION_LONGEST`], [`ISSUANCE_LONGEST`] |
//! | a whole order, from its placing to the chain | [`ORDER_LONGEST`] |
//! | what is kept of its words | [`WORDS_MAX`] in each text, [`FINDINGS_MAX`] findings |
//! | a chain | what the crate `x509` reads of PEM |

use std::time::Duration;

/// The time to reach an address; several are tried.
pub const CONNECT: Duration = Duration::from_secs(10);

/// The time for a whole exchange where the CA looks something up.
pub const LOOKUP: Duration = Duration::from_secs(10);

/// The time for a whole exchange where the CA works: some public ones take twenty seconds for an order.
pub const WORK: Duration = Duration::from_secs(30);

/// The largest reply: ten times the longest chain or the order with the most names.
pub const REPLY_BYTES_MAX: usize = 256 * 1024;

/// The longest wait within a request. Let's Encrypt answers internal errors with Retry-After: 60.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// All waits of one request together.
pub const WAITS_MAX: Duration = Duration::from_secs(120);

/// Let's Encrypt gives up after ten seconds for each of its attempts; this is for the slow ones.
pub const VALIDATION_LONGEST: Duration = Duration::from_secs(5 * 60);

/// A CA signs within seconds; a private one may ask a person.
pub const ISSUANCE_LONGEST: Duration = Duration::from_secs(5 * 60);

/// The slowest validation and signature, and as much again for requests that are answered late and at the third try.
pub const ORDER_LONGEST: Duration = Duration::from_secs(20 * 60);

/// What is kept of a text of the CA's, in characters: the longest that Let's Encrypt sends has a third of it.
pub const WORDS_MAX: usize = 2_000;

/// The most names that a certificate has, each with its own trouble.
pub const FINDINGS_MAX: usize = 100;
