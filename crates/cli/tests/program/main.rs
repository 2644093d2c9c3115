//! Does the program keep its promises on a real nginx, with real CAs?
//!
//! Every test runs `clpctl` itself on a host of its own and judges it from outside: by `openssl`, by the bytes and
//! inodes of files, by nginx's own logs, by what the CA counted, and by the program's JSON.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests write the files that people and other programs would, and their helpers may fail as tests do"
)]

mod account;
mod adopted;
mod answer;
mod disk;
mod hosts;
mod namespace;
mod practice;

mod broken_nginx;
mod certbot;
mod challenges;
mod command_line;
mod doctor;
mod first_certificate;
mod harmful_ca;
mod hostile_ca;
mod imported;
mod interrupted;
mod renewing;
mod mended;
mod revoked;
mod rolled_back;
mod secrets;

mod audited;
mod bad_input;
mod firewall;
mod listing;
mod lock;
mod matrix;
mod panel;
mod logs;
mod panel_user;
mod service;
mod struck;
mod units;
