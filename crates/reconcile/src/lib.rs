//! The driver: lease → look → plan → check → order → deploy → record.
//!
//! It owns order, retries, leases and recovery, and knows only the ports of crate `renewal`: not which CA, web
//! server or database is behind them, nor what time it is. So whole years of it run in a simulation.
//!
//! [`pass::run`] makes one pass; [`service::serve`] makes passes when something is due, for as long as it is let;
//! [`by_hand`] serves what a person chose; [`rehearsal`] says what would come of an order, without placing one.

pub mod world;
pub mod pass;
pub mod by_hand;
pub mod rehearsal;
pub mod service;
pub mod fleet;

mod answers;
mod checking;
mod deploying;
mod looking;
mod recording;
mod ordering;
mod polling;
mod recovering;
mod tally;
mod turns;
mod telling;
mod unheard;
mod unserved;

#[cfg(test)]
mod fakes;
