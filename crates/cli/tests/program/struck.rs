//! What does a run lose that is struck at one of its effects on the world?
//!
//! A sample of the points, which differs from run to run of the program; all of them are tried by
//! `clpctl-reliability`, see docs/reliability.md.

use std::path::Path;

use reliability::crash;

const PROGRAM: &str = env!("CARGO_BIN_EXE_clpctl");

#[test]
fn killed_at_some_of_its_effects_it_loses_nothing() {
    let outcome = crash::killed_everywhere(Path::new(PROGRAM), WORKERS, 7, 23);
    outcome.expect_no_loss(10);
}

#[test]
fn killed_while_it_undoes_what_nginx_refuses_it_loses_nothing() {
    let outcome = crash::killed_while_undoing(Path::new(PROGRAM), WORKERS, 240, 31);
    outcome.expect_no_loss(5);
}

/// Each waits for nginx more than it works.
const WORKERS: usize = 2;
