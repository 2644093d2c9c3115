//! How fast is clpctl, and beside what?
//!
//! `bench/run` installs the peers, builds both programs and starts this one. Each benchmark prints a table of its
//! own, with what is to be reached and the ratio to the peers measured in the same run. None of it is a test:
//! what a busy machine prints says nothing, and nobody is to be failed by it.
//!
//! | name | measures |
//! | --- | --- |
//! | `issue` | a hundred sites get their first certificate |
//! | `nothing-due` | a run that has nothing to do |
//! | `panel` | the same on a CloudPanel host, and how long a renewal keeps the panel waiting |
//! | `plan` | the rules alone, over a million lineages |
//! | `practice-ca` | a thousand certificates, and where the processor's time went |
//! | `service-idle` | what the service costs while nothing happens |

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "benchmarks start programs, read clocks and talk to people; nothing here is shipped"
)]

mod arguments;
mod machine;
mod table;
mod issue;
mod nothing_due;
mod panel;
mod plan;
mod practice_ca;
mod service_idle;
mod ideal;
mod fleet;
mod host;
mod measure;
mod served;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Benchmark, Task};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.task {
        Some(Task::Measure { report, command }) => return measure::wrap(report, command),
        Some(Task::Ideal(options)) => return ideal::main(options),
        None => benchmarks(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("error: {failed} of the benchmarks could not be measured; see above");
            ExitCode::FAILURE
        }
    }
}

/// Runs those that were asked for, and goes on when one fails.
fn benchmarks(arguments: &Arguments) -> Result<(), usize> {
    machine::print(arguments);
    let mut failed = 0;
    for benchmark in arguments.benchmarks() {
        println!("\n## {benchmark}\n");
        let outcome = match benchmark {
            Benchmark::Issue => issue::run(arguments),
            Benchmark::NothingDue => nothing_due::run(arguments),
            Benchmark::Panel => panel::run(arguments),
            Benchmark::Plan => plan::run(arguments),
            Benchmark::PracticeCa => practice_ca::run(arguments),
            Benchmark::ServiceIdle => service_idle::run(arguments),
        };
        if let Err(error) = outcome {
            println!("not measured: {error}");
            failed += 1;
        }
    }
    if failed == 0 { Ok(()) } else { Err(failed) }
}
