//! Which command do the words of the command line mean, if any of ours?

use std::ffi::OsString;

use clap::Parser;
use clap::error::ErrorKind;

use crate::arguments::{Cli, command_names};
use crate::errors::CommandError;
use crate::nearest::nearest;
use crate::output::findings::sentence;

/// What the command line means.
#[derive(Debug)]
pub enum CommandLine {
    /// One of our commands.
    Ours(Box<Cli>),
    /// Text that was asked for: help, or the version. With colours in it.
    Text(String),
    /// A command that is not ours.
    Unknown(String),
}

/// The command line is wrong.
#[derive(Debug)]
pub struct Refused {
    /// What is wrong, as an error of the program.
    pub error: CommandError,
    /// Whether JSON was asked for, as far as can be told.
    pub json: bool,
}

/// Reads the command line; the first word is the program's name.
///
/// # Errors
///
/// Says which option is wrong, and how.
pub fn parse(words: &[OsString]) -> Result<CommandLine, Refused> {
    let command = first_word(words);
    if let Some(command) = &command
        && !command_names().contains(command)
    {
        return Ok(CommandLine::Unknown(command.clone()));
    }
    match Cli::try_parse_from(words) {
        Ok(cli) => Ok(CommandLine::Ours(Box::new(cli))),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(CommandLine::Text(error.render().ansi().to_string()))
            }
            _ => Err(Refused {
                error: usage(&error, command.as_deref()),
                json: words.iter().any(|word| word == "--json"),
            }),
        },
    }
}

impl CommandLine {
    /// Says that no program here knows `command`.
    #[must_use]
    pub fn unknown(command: &str) -> CommandError {
        let names = command_names();
        let error = CommandError::usage(format!("There is no command “{}”.", shorten(command)));
        let error = match nearest(command, names.iter().map(String::as_str)) {
            Some(name) => error.hint(format!("did you mean “{name}”?")),
            None => error,
        };
        error.hint("clpctl --help lists the commands")
    }
}

/// Makes an error of ours from one of clap's, whose first line says what is wrong.
fn usage(error: &clap::Error, command: Option<&str>) -> CommandError {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return CommandError::usage("No command was given.")
            .hint("clpctl --help lists the commands");
    }
    let text = error.render().to_string();
    let mut made = CommandError::usage(String::new());
    let mut first = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(tip) = line.strip_prefix("tip: ") {
            made.hints.push(tip.to_owned());
        } else if line.starts_with("Usage:") {
            made.hints.push(format!(
                "usage: {}",
                line.trim_start_matches("Usage:").trim()
            ));
        } else if !line.starts_with("For more information") {
            first.push(line.strip_prefix("error: ").unwrap_or(line).to_owned());
        }
    }
    made.error = sentence(&shorten(&first.join(" ")));
    let help = command.map_or_else(
        || "clpctl --help".to_owned(),
        |command| format!("clpctl {command} --help"),
    );
    made.hint(format!("{help} lists the options"))
}

/// Returns the first word that is neither an option nor the value of one that stands everywhere.
fn first_word(words: &[OsString]) -> Option<String> {
    let mut words = words.iter().skip(1).map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        if word == "--" {
            return None;
        }
        if WITH_VALUE.contains(&&*word) {
            words.next();
        } else if !word.starts_with('-') {
            return Some(word.into_owned());
        }
    }
    None
}

/// Keeps both ends: what was typed stands in the middle, and why it is refused at the end.
fn shorten(text: &str) -> String {
    let count = text.chars().count();
    if count <= SHOWN_CHARS {
        return text.to_owned();
    }
    let end = |at: usize| {
        text.char_indices()
            .nth(at)
            .map_or(text.len(), |(index, _)| index)
    };
    format!(
        "{}…{}",
        &text[..end(SHOWN_CHARS / 2)],
        &text[end(count - SHOWN_CHARS / 2)..]
    )
}

/// The options of [`Global`](crate::arguments::Global) whose value may be a word of its own.
const WITH_VALUE: [&str; 3] = ["--config", "--color", "--clock-offset"];

/// More of a mistyped megabyte helps nobody.
const SHOWN_CHARS: usize = 300;

#[cfg(test)]
mod tests {
    use super::{CommandLine, parse};
    use crate::arguments::Cli;
    use expect_test::{Expect, expect};

    fn check(line: &str, expect: Expect) {
        let words = std::iter::once("clpctl").chain(line.split_whitespace());
        let words: Vec<std::ffi::OsString> = words.map(std::ffi::OsString::from).collect();
        let answer = match parse(&words) {
            Ok(CommandLine::Ours(cli)) => format!("{:?}\n", cli.command),
            Ok(CommandLine::Text(text)) => {
                format!("text: {}\n", text.lines().next().unwrap_or_default())
            }
            Ok(CommandLine::Unknown(command)) => CommandLine::unknown(&command).to_text(),
            Err(refused) => refused.error.to_text(),
        };
        expect.assert_eq(&answer);
    }

    #[test]
    fn the_definition_is_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn every_global_option_with_a_value_is_known_to_the_search_for_the_command() {
        let command = <Cli as clap::CommandFactory>::command();
        let options = command
            .get_arguments()
            .filter(|option| option.get_action().takes_values());
        let found: Vec<String> = options
            .map(|option| format!("--{}", option.get_long().unwrap()))
            .collect();
        assert_eq!(found, super::WITH_VALUE);
    }

    #[test]
    fn values_with_and_without_an_equals_sign_and_either_name() {
        check(
            "site:renew-certificates --domain=a.test --domainName b.test --jobs=4",
            expect![[r#"
                RenewCertificates(RenewCertificates { domains: ["a.test", "b.test"], force: false, dry_run: false, staging: false, jobs: Some(4), wait: false })
            "#]],
        );
        check(
            "lets-encrypt:install:certificate --domain a.test --subjectAlternativeName=b.test,c.test",
            expect![[r#"
                InstallCertificate(InstallCertificate { domain: "a.test", names: ["b.test", "c.test"], staging: false, wait: false })
            "#]],
        );
    }

    #[test]
    fn global_options_stand_before_and_after() {
        check(
            "--json --config x.toml site:list",
            expect![[r#"
            SiteList(Arguments)
        "#]],
        );
        check(
            "--color always --version",
            expect![[r#"
            text: clpctl 0.1.0
        "#]],
        );
    }

    #[test]
    fn an_unknown_command() {
        check(
            "site:lst",
            expect![[r#"
            error: There is no command “site:lst”.
            hint: did you mean “site:list”?
            hint: clpctl --help lists the commands
        "#]],
        );
        check(
            "--config site:list site:add:php --domainName=a.test",
            expect![[r#"
                error: There is no command “site:add:php”.
                hint: did you mean “site:show”?
                hint: clpctl --help lists the commands
            "#]],
        );
        check(
            "qwertz",
            expect![[r#"
            error: There is no command “qwertz”.
            hint: clpctl --help lists the commands
        "#]],
        );
    }

    #[test]
    fn wrong_usage() {
        check(
            "",
            expect![[r#"
            error: No command was given.
            hint: clpctl --help lists the commands
        "#]],
        );
        check(
            "site:renew-certificates --forc",
            expect![[r#"
                error: Unexpected argument '--forc' found.
                hint: a similar argument exists: '--force'
                hint: usage: clpctl site:renew-certificates --force
                hint: clpctl site:renew-certificates --help lists the options
            "#]],
        );
        check(
            "site:renew-certificates --domain=localhost",
            expect![[r#"
                error: Invalid value 'localhost' for '--domain <DOMAIN>': no CA can issue for it: it has no dot, so it is a name of the local network.
                hint: clpctl site:renew-certificates --help lists the options
            "#]],
        );
        check(
            "site:renew-certificates --jobs=0",
            expect![[r#"
                error: Invalid value '0' for '--jobs <N>': 0 is not in 1..=256.
                hint: clpctl site:renew-certificates --help lists the options
            "#]],
        );
        check(
            "lets-encrypt:install:certificate",
            expect![[r#"
                error: The following required arguments were not provided: --domainName <DOMAIN>.
                hint: usage: clpctl lets-encrypt:install:certificate --domainName <DOMAIN>
                hint: clpctl lets-encrypt:install:certificate --help lists the options
            "#]],
        );
        check(
            "--quiet -v site:list",
            expect![[r#"
                error: The argument '--quiet' cannot be used with '--verbose...'.
                hint: usage: clpctl --quiet <COMMAND>
                hint: clpctl site:list --help lists the options
            "#]],
        );
    }
}
