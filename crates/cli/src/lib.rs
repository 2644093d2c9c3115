//! The program `clpctl`: arguments, configuration, wiring, words, progress and exit codes.
//!
//! The only crate that talks to people and reads the environment. It holds no rules: what is due, in which
//! order, and what may be deployed is decided in `renewal` and done by `reconcile`.
//!
//! | question | module |
//! | --- | --- |
//! | what was asked for? | [`arguments`], [`delegate`] |
//! | which settings apply? | [`config`] |
//! | what does each command do? | [`commands`] |
//! | how are the adapters joined? | [`wire`] |
//! | how do results, errors and progress look? | [`output`], [`errors`], [`progress`], [`console`] |
//! | what gets written down? | [`logs`] |

use std::ffi::OsString;
use std::process::ExitCode;

use crate::arguments::{Cli, CommandLine, Global};
use crate::commands::Session;
use crate::console::Console;
use crate::environment::Environment;
use crate::errors::CommandError;

pub mod arguments;
pub mod environment;
pub mod config;
pub mod commands;
pub mod wire;
pub mod errors;
pub mod console;
pub mod output;
pub mod progress;
pub mod logs;
pub mod clock;
pub mod delegate;
pub mod reference;
pub mod units;

mod nearest;
#[cfg(test)]
mod testing;

/// Runs the program with the words of its command line, the program's own name first, and its environment.
pub fn run(
    words: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let words: Vec<OsString> = words.into_iter().collect();
    let environment = Environment::new(variables);
    keep_memory_private();
    report_panics();
    ExitCode::from(guarded(|| answer(&words, &environment)))
}

/// Keeps other processes out of our memory, and the memory out of core dumps: keys lie there.
///
/// Not by a limit on the size of dumps (RLIMIT_CORE): a program that collects them gets them whatever the limit is, and
/// an nginx that is started by `nginx.reload` would inherit it. This ends with the next program (prctl(2)).
fn keep_memory_private() {
    // It fails only on systems that do not know it.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Turns a panic into the exit code of a defect.
fn guarded(work: impl FnOnce() -> u8) -> u8 {
    // Every value is given up afterwards, so nothing half-changed is looked at again.
    let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    answer.unwrap_or_else(|_| errors::Kind::Defect.exit_code())
}

fn answer(words: &[OsString], environment: &Environment) -> u8 {
    match arguments::parse(words) {
        Ok(CommandLine::Ours(cli)) => run_command(*cli, words, environment),
        Ok(CommandLine::Text(text)) => {
            let console = Console::new(&color_only(words), environment);
            finish(&console, console.result(&text).map(|()| 0))
        }
        Ok(CommandLine::Unknown(command)) => {
            let error = delegate::hand_on(&command, words, environment);
            let global = Global {
                json: words.iter().any(|word| word == "--json"),
                ..color_only(words)
            };
            finish(&Console::new(&global, environment), Err(error))
        }
        Err(refused) => {
            let global = Global {
                json: refused.json,
                ..color_only(words)
            };
            finish(&Console::new(&global, environment), Err(refused.error))
        }
    }
}

fn run_command(cli: Cli, words: &[OsString], environment: &Environment) -> u8 {
    let console = Console::new(&cli.global, environment);
    if let Some(error) = delegate::as_root(&cli.command, words) {
        return finish(&console, Err(error));
    }
    let answer = Session::new(console.clone(), &cli.global, environment)
        .and_then(|session| commands::dispatch(&cli, &session));
    finish(&console, answer)
}

fn finish(console: &Console, answer: Result<u8, CommandError>) -> u8 {
    answer.unwrap_or_else(|error| {
        console.error(&error);
        error.kind.exit_code()
    })
}

/// Returns the global options of a command line that could not be read as a whole.
fn color_only(words: &[OsString]) -> Global {
    let never = words.iter().any(|word| word == "--color=never")
        || words
            .windows(2)
            .any(|pair| pair[0] == "--color" && pair[1] == "never");
    let color = if never {
        arguments::Color::Never
    } else {
        arguments::Color::Auto
    };
    Global {
        config: None,
        json: false,
        quiet: false,
        verbose: 0,
        color,
        clock_offset: None,
    }
}

/// Tells people about a panic in our words instead of the runtime's.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let what = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned());
        let what = what
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let error = CommandError::defect("clpctl stopped in the middle of its work. The next run finishes or undoes what was begun.")
            .cause(format!("{what} ({place}, release {})", env!("CARGO_PKG_VERSION")));
        let _ = std::io::Write::write_all(&mut std::io::stderr(), error.to_text().as_bytes());
        tracing::error!(place, "stopped by a defect: {what}");
    }));
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_panic_is_a_defect() {
        assert_eq!(super::guarded(|| 3), 3);
        assert_eq!(super::guarded(|| panic!("on purpose")), 101);
    }
}
