//! The rules: what is due, when, why and in what order; what may be deployed; what is wrong.
//!
//! Facts come in, decisions go out, each with its reason. This crate reads no file, no clock and no
//! network, rolls no dice and knows no async runtime, so a rule can be asked twice and answers the same.
//! What the rules need from the world stands in [`ports`], as contracts.
//!
//! Read in this order: [`name`], [`site`], [`due`], [`plan`], [`deployment`].

pub mod name;
pub mod names;
pub mod window;
pub mod secret;
pub mod certificate;
pub mod site;
pub mod policy;
pub mod finding;
pub mod fix;
pub mod suggestion;
pub mod due;
pub mod retry;
pub mod ledger;
pub mod plan;
pub mod acceptance;
pub mod choice;
pub mod rollback;
pub mod revocation;
pub mod ending;
pub mod adoption;
pub mod challenge;
pub mod dead_names;
pub mod deployment;
pub mod panel;
pub mod report;
pub mod notice;
pub mod ports;

mod spread;
