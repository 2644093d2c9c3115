//! Strikes clpctl wherever it can be struck, and prints what was lost.

#![expect(
    clippy::print_stdout,
    reason = "it talks to people; nothing here is shipped"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use reliability::crew::Outcome;
use reliability::disk::Survives;
use reliability::{crash, crowd, faults, power};

/// Strikes clpctl wherever it can be struck, and prints what was lost.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to do to it.
    #[arg(required = true)]
    trials: Vec<Trial>,
    /// The program.
    #[arg(long, default_value = "target/debug/clpctl")]
    clpctl: PathBuf,
    /// How many hosts to use at once.
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// The first effect to strike at.
    #[arg(long, default_value_t = 1)]
    first: usize,
    /// How many effects to go on by.
    #[arg(long, default_value_t = 1)]
    step: usize,
}

/// A way of failing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Trial {
    /// Killed before every effect.
    Kill,
    /// Killed before every effect of a run that nginx refuses in part.
    Undo,
    /// Killed, and the mending run killed too.
    Twice,
    /// The power fails: what was not synced is lost.
    Power,
    /// Others are at work at the same time.
    Crowd,
    /// Every effect on the disk fails, with every error.
    Faults,
    /// Watched only; every effect is printed.
    Watch,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let program = match arguments.clpctl.canonicalize() {
        Ok(program) => program,
        Err(error) => {
            println!("error: {}: {error}", arguments.clpctl.display());
            return ExitCode::from(2);
        }
    };
    let (workers, first, step) = (arguments.workers, arguments.first, arguments.step);
    let mut lost = false;
    for trial in &arguments.trials {
        let outcome = match trial {
            Trial::Kill => crash::killed_everywhere(&program, workers, first, step),
            Trial::Undo => crash::killed_while_undoing(&program, workers, first, step),
            Trial::Twice => crash::killed_twice(&program, workers, first, step),
            Trial::Crowd => crowd::company(&program, workers, TIMES),
            Trial::Power => {
                for survives in Survives::ALL {
                    let outcome = power::fails_everywhere(&program, workers, step, survives);
                    print(&format!("{trial:?}, {}", survives.words()), &outcome);
                    lost |= !outcome.losses.is_empty();
                }
                continue;
            }
            Trial::Faults => {
                for fault in faults::FAULTS {
                    let outcome = faults::at_every_effect(&program, workers, first, step, fault);
                    print(&format!("{trial:?}, {}", fault.words()), &outcome);
                    lost |= !outcome.losses.is_empty();
                }
                continue;
            }
            Trial::Watch => {
                watch(&program);
                continue;
            }
        };
        print(&format!("{trial:?}"), &outcome);
        lost |= !outcome.losses.is_empty();
    }
    if lost {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn watch(program: &std::path::Path) {
    let stage = reliability::stage::Stage::new(program, |_| {});
    let run = stage.strike(reliability::tracer::Blow::None);
    for (place, effect) in run.effects.iter().enumerate() {
        println!("{:4} {effect}", place + 1);
    }
    println!("{:?}\n{}\n{}", run.code, run.stdout, run.stderr);
}

fn print(trial: &str, outcome: &Outcome) {
    println!(
        "\n## {trial}: {} points in {:.1} s",
        outcome.tried(),
        outcome.took.as_secs_f64()
    );
    for (kind, count) in &outcome.points {
        println!("| {} | {count} |", kind.words());
    }
    for (remark, count) in &outcome.remarks {
        println!("| {remark} | {count} |");
    }
    println!("lost: {}", outcome.losses.len());
    for (at, what) in &outcome.losses {
        println!("- {at}: {what}");
    }
}

/// How often each kind of company is tried.
const TIMES: usize = 4;
