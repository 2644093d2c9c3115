//! The practice CA against a client written for these tests alone.
//!
//! Everything runs on loopback and on free ports, so that two runs do not meet.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests: a panic is how they fail"
)]

mod client;
mod site;

mod accounts;
mod dns;
mod faults;
mod certbot;
mod issuance;
mod redirects;
mod refusals;
mod renewal_info;
mod start;
