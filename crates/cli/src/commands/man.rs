//! `man`: the manual pages.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use crate::arguments::Cli;
use crate::commands::Session;
use crate::errors::CommandError;

/// The options of `man`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  clpctl man | man -l -\n  clpctl man --output /usr/local/share/man/man1"
)]
pub struct Arguments {
    /// Write one page for each command into this folder
    #[arg(long, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
}

/// Prints one page about the whole program, or writes one page for each command.
///
/// # Errors
///
/// When the folder cannot be written to.
pub fn run(session: &Session, arguments: &Arguments) -> Result<u8, CommandError> {
    let Some(folder) = &arguments.output else {
        session.console.result(&whole())?;
        return Ok(0);
    };
    let pages = pages();
    for (name, text) in &pages {
        let path = folder.join(name);
        write(folder, &path, text.as_bytes()).map_err(|cause| {
            CommandError::file(format!("{} could not be written.", path.display()), &cause)
        })?;
    }
    session.console.say(&format!(
        "{} pages written to {}.",
        pages.len(),
        folder.display()
    ));
    Ok(0)
}

fn command() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    command
}

/// Writes the page of the program, with a section for each command at its end.
fn whole() -> String {
    let command = command();
    let mut bytes = Vec::new();
    let rendered = Man::new(command.clone()).render(&mut bytes);
    for sub in command.get_subcommands() {
        let page = Man::new(sub.clone());
        let heading = format!(".SH {}\n", sub.get_name().replace('-', "\\-"));
        let options = |bytes: &mut Vec<u8>| {
            bytes.extend_from_slice(heading.as_bytes());
            page.render_description_section(bytes)?;
            page.render_options_section(bytes)
        };
        // A `Vec` takes all that is written to it.
        let _ = options(&mut bytes);
    }
    let _ = rendered;
    String::from_utf8_lossy(&bytes).into_owned()
}

fn pages() -> Vec<(String, String)> {
    let command = command();
    let render = |name: String, command: &clap::Command| {
        let mut bytes = Vec::new();
        let _ = Man::new(command.clone()).render(&mut bytes);
        (name, String::from_utf8_lossy(&bytes).into_owned())
    };
    let subs = command.get_subcommands().map(|sub| {
        // A colon in a file name means a host to too many tools.
        render(
            format!("clpctl-{}.1", sub.get_name().replace(':', "-")),
            sub,
        )
    });
    std::iter::once(render("clpctl.1".to_owned(), &command))
        .chain(subs)
        .collect()
}

/// Replaces a page at once, so that nobody reads half of one.
fn write(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{pages, whole};

    #[expect(
        clippy::disallowed_methods,
        reason = "the formatter itself is what is tested"
    )]
    fn formatted(page: &str) -> String {
        use std::io::Write;
        let mut groff = std::process::Command::new("groff")
            .args(["-man", "-Tascii", "-ww"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("groff formats manual pages; install the package groff-base");
        let mut input = groff.stdin.take().unwrap();
        let page = page.to_owned();
        let writer = std::thread::spawn(move || input.write_all(page.as_bytes()).unwrap());
        let output = groff.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[test]
    fn groff_takes_the_page_and_finds_every_command_in_it() {
        let text = formatted(&whole());
        for command in crate::arguments::command_names() {
            assert!(text.contains(&command), "{command} is missing");
        }
    }

    #[test]
    fn every_command_has_a_page() {
        assert_eq!(pages().len(), crate::arguments::command_names().len() + 1);
    }
}
