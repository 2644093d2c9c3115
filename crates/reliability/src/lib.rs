//! What does clpctl lose, whatever happens to it?
//!
//! The program that people run is run on hosts of its own, with a real nginx and a CA over loopback, and struck at each of
//! its effects on the world from outside. What is left is judged by openssl, nginx and sqlite3.
//!
//! | question | module |
//! | --- | --- |
//! | what can it do to the world? | [`effect`], [`calls`] |
//! | how does it die at its nth effect? | [`tracer`] |
//! | on which host? | [`stage`], [`practice`] |
//! | is anything lost? | [`judge`] |
//! | how are all points tried at once? | [`crew`] |
//! | killed anywhere? | [`crash`] |
//! | the power fails? | [`power`], [`disk`] |
//! | others at work at the same time? | [`crowd`] |
//! | a system call fails anywhere? | [`faults`] |

#![expect(
    clippy::disallowed_methods,
    reason = "what strikes the program starts it, writes files and reads the clock; nothing here is shipped"
)]

pub mod effect;
pub mod calls;
mod tracee;
pub mod tracer;
pub mod practice;
pub mod stage;
pub mod judge;
pub mod crew;
pub mod crash;
pub mod disk;
pub mod power;
pub mod faults;
pub mod crowd;
