//! What does the reference of the manual say?
//!
//! `docs/reference/` is written from the same tables that the program goes by. A test compares the two;
//! `UPDATE_EXPECT=1 cargo test -p cli reference` writes the files anew.

use std::fmt::Write as _;

use clap::CommandFactory;
use renewal::finding::FindingName;

use crate::arguments::Cli;
use crate::config::{SETTINGS, Setting};

/// Returns `docs/reference/commands.md`.
#[must_use]
pub fn commands() -> String {
    let mut command = Cli::command();
    command.build();
    let mut out = String::from(
        "# Commands\n\nGenerated from the program: `UPDATE_EXPECT=1 cargo test -p cli reference` writes it anew.\n\n\
         Every option that takes a value takes it as `--name=value` and as `--name value`.\n\n\
         | command | does |\n| --- | --- |\n",
    );
    let subs: Vec<&clap::Command> = command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set())
        .collect();
    for sub in &subs {
        let _ = writeln!(
            out,
            "| [`{}`](#{}) | {} |",
            sub.get_name(),
            anchor(sub.get_name()),
            about(sub)
        );
    }
    out.push_str("\n## Options that every command takes\n\n");
    push_options(&mut out, command.get_arguments());
    out.push_str("| `--help`, `-h` | Print help; the long form tells more |\n");
    out.push_str("| `--version`, `-V` | Print the version |\n");
    out.push_str(EXIT_CODES);
    for sub in &subs {
        let _ = write!(
            out,
            "\n## {}\n\n{}.\n\n",
            sub.get_name(),
            about(sub).trim_end_matches('.')
        );
        let own = sub.get_arguments().filter(|option| !option.is_global_set());
        push_options(&mut out, own);
        if let Some(after) = sub.get_after_help() {
            push_examples(&mut out, &after.to_string());
        }
    }
    out
}

/// Returns `docs/reference/configuration.md`.
#[must_use]
pub fn configuration() -> String {
    let mut out = String::from(CONFIGURATION_HEAD);
    let mut section = "";
    for setting in SETTINGS {
        if setting.section != section {
            section = setting.section;
            let _ = write!(out, "\n## [{section}]\n\n");
            if setting.per_site {
                out.push_str("May stand in a `[[site]]` too.\n\n");
            }
            out.push_str("| key | default | takes | is |\n| --- | --- | --- | --- |\n");
        }
        push_setting(&mut out, setting);
    }
    out.push_str(CONFIGURATION_SITES);
    out
}

/// Returns `docs/reference/findings.md`.
#[must_use]
pub fn findings() -> String {
    let mut out = String::from(
        "# Findings\n\nGenerated from the program: `UPDATE_EXPECT=1 cargo test -p cli reference` writes it anew.\n\n\
         `clpctl explain NAME` prints the page. Severity is what is usual for the name: *fatal* means that a renewal now\n\
         would fail, *error* that something is broken now or will be at expiry, *warning* a risk.\n\n\
         | name | severity | means |\n| --- | --- | --- |\n",
    );
    for name in FindingName::ALL {
        let severity = name.usual_severity().as_str();
        let _ = writeln!(
            out,
            "| [`{name}`](../findings/{name}.md) | {severity} | {} |",
            name.meaning()
        );
    }
    out
}

fn push_setting(out: &mut String, setting: &Setting) {
    let _ = writeln!(
        out,
        "| `{}` | `{}` | {} | {} |",
        setting.key, setting.default, setting.kind, setting.meaning
    );
}

fn push_options<'a>(out: &mut String, options: impl Iterator<Item = &'a clap::Arg>) {
    let mut any = false;
    for option in options.filter(|option| !option.is_hide_set() && !is_obvious(option)) {
        if !any {
            out.push_str("| option | does |\n| --- | --- |\n");
        }
        any = true;
        let help = option
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let default = option
            .get_default_values()
            .first()
            .map(|value| value.to_string_lossy().into_owned());
        let default = default
            .filter(|_| takes_value(option))
            .map(|value| format!(" [default: {value}]"))
            .unwrap_or_default();
        let values: Vec<String> = option
            .get_possible_values()
            .iter()
            .map(|value| value.get_name().to_owned())
            .collect();
        let values = if takes_value(option) && !values.is_empty() {
            format!(" ({})", values.join(", "))
        } else {
            String::new()
        };
        let _ = writeln!(out, "| {} | {help}{values}{default} |", spelling(option));
    }
    if !any {
        out.push_str("It has no options of its own.\n");
    }
}

/// `--help` and `--version` are everywhere.
fn is_obvious(option: &clap::Arg) -> bool {
    matches!(option.get_id().as_str(), "help" | "version")
}

fn takes_value(option: &clap::Arg) -> bool {
    option.get_action().takes_values()
}

fn spelling(option: &clap::Arg) -> String {
    let value = option
        .get_value_names()
        .and_then(|names| names.first())
        .map(ToString::to_string)
        .unwrap_or_default();
    let Some(long) = option.get_long() else {
        return format!("`[{value}]`");
    };
    let mut names = vec![long.to_owned()];
    names.extend(
        option
            .get_visible_aliases()
            .unwrap_or_default()
            .iter()
            .map(|alias| (*alias).to_string()),
    );
    let value = if takes_value(option) {
        format!("={value}")
    } else {
        String::new()
    };
    let longs: Vec<String> = names
        .iter()
        .map(|name| format!("`--{name}{value}`"))
        .collect();
    let short = option
        .get_short()
        .map(|short| format!(", `-{short}`"))
        .unwrap_or_default();
    longs.join(", ") + &short
}

fn push_examples(out: &mut String, text: &str) {
    let (words, examples) = text.split_once("Examples:\n").unwrap_or((text, ""));
    if !words.trim().is_empty() {
        let _ = write!(out, "\n{}\n", words.trim());
    }
    if !examples.is_empty() {
        out.push_str("\n```sh\n");
        for line in examples.lines() {
            let _ = writeln!(out, "{}", line.trim());
        }
        out.push_str("```\n");
    }
}

fn about(command: &clap::Command) -> String {
    command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// Makes the anchor that Markdown gives a heading.
fn anchor(heading: &str) -> String {
    heading.replace(':', "")
}

const EXIT_CODES: &str = "
## Exit codes

| code | means |
| --- | --- |
| 0 | done, or nothing to do |
| 1 | something a person must mend: a finding of severity fatal or error stands, or a site failed |
| 2 | wrong usage or configuration |
| 3 | try later: network, CA outage, rate limit, another run holds the lock |
| 101 | a defect of clpctl |

When several sites differ, the smallest of the codes that are not 0 is used.

A command that clpctl does not know is handed, whole, to CloudPanel's own `clpctl` where one is installed.
";

const CONFIGURATION_HEAD: &str = "# Configuration

Generated from the program: `UPDATE_EXPECT=1 cargo test -p cli reference` writes it anew.

The file is `/etc/clpctl/clpctl.toml`, or the one of `--config` or `CLPCTL_CONFIG`. It is TOML, it may be missing, and every
key is optional. An unknown key is an error that names the nearest known one.

Each setting can also be given as an environment variable, `CLPCTL_SECTION_KEY`: `CLPCTL_ACME_JOBS=4`. A list is written
with commas. An option of the command line wins over the environment, that over the file. `clpctl config:show` shows
every setting with its value and where it came from.
";

const CONFIGURATION_SITES: &str = "
## [[site]]

One for each site that differs; what it leaves out is as above. It wins over everything but the command line.

| key | takes | is |
| --- | --- | --- |
| `domain` | a public host name | what the site is called; always one of its names |
| `names` | a list of public host names | the names its certificate shall cover; left out, they are those of the present certificate, else those of nginx's `server_name` |

Any key of `[acme]`, `[http01]` and `[renewal]` may stand here too. No two sites may claim the same name.

```toml
[[site]]
domain = \"example.com\"
names = [\"example.com\", \"www.example.com\"]
key_type = \"rsa-2048\"
```
";

#[cfg(test)]
mod tests;
