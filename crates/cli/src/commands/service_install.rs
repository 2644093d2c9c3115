//! `service:install`: the units with which systemd renews certificates by itself.

use std::io::Write;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::commands::Session;
use crate::config::Config;
use crate::errors::CommandError;
use crate::units::{Units, Variant};

/// The options of `service:install`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    clpctl service:install && systemctl daemon-reload && systemctl enable --now clpctl.service\n  \
    clpctl service:install --timer --print")]
pub struct Arguments {
    /// Install a timer that runs clpctl twice a day, instead of a service that waits
    #[arg(long)]
    pub timer: bool,
    /// Print the units, and write nothing
    #[arg(long)]
    pub print: bool,
    /// Write the units into this folder
    #[arg(long, value_name = "FOLDER", default_value = "/etc/systemd/system")]
    pub folder: PathBuf,
}

/// Writes the units, or prints them.
///
/// # Errors
///
/// When the folder cannot be written to.
pub fn run(session: &Session, config: &Config, arguments: &Arguments) -> Result<u8, CommandError> {
    let variant = if arguments.timer {
        Variant::Timer
    } else {
        Variant::Service
    };
    let program = std::env::current_exe().map_err(|cause| {
        CommandError::mend("The path of this program cannot be found out, so nothing was written.")
            .because(&cause)
    })?;
    let units = Units::new(variant, &program, config);
    if arguments.print {
        let texts = units
            .files()
            .iter()
            .map(|(name, text)| format!("# {}\n{text}", arguments.folder.join(name).display()));
        session
            .console
            .result(&texts.collect::<Vec<_>>().join("\n"))?;
        return Ok(0);
    }
    let mut written = Vec::new();
    for (name, text) in units.files() {
        let path = arguments.folder.join(name);
        let changed = write(&path, text).map_err(|cause| {
            CommandError::file(format!("{} could not be written.", path.display()), &cause)
        })?;
        written.push((path, changed));
    }
    make_folders(config)?;
    if session.console.json {
        let files = written
            .iter()
            .map(|(path, changed)| serde_json::json!({"path": path, "changed": changed}));
        session.console.document(
            &serde_json::json!({"files": files.collect::<Vec<_>>(), "next": units.next()}),
        )?;
        return Ok(0);
    }
    for (path, changed) in &written {
        let what = if *changed {
            "written"
        } else {
            "already as it should be"
        };
        session
            .console
            .result(&format!("{}: {what}\n", path.display()))?;
    }
    session
        .console
        .result(&format!("Next: {}\n", units.next()))?;
    Ok(0)
}

/// Makes the folders that the service may write to: systemd opens only those that are there when it starts.
fn make_folders(config: &Config) -> Result<(), CommandError> {
    let paths = &config.paths;
    let logs = [&paths.log, &paths.acme_log]
        .into_iter()
        .filter_map(|log| log.parent());
    let folders = [
        (paths.state.as_path(), 0o700),
        (paths.letsencrypt.as_path(), 0o755),
    ];
    for (folder, mode) in folders
        .into_iter()
        .chain(logs.map(|folder| (folder, 0o755)))
    {
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(folder);
        made.map_err(|cause| {
            CommandError::file(
                format!(
                    "The units are written, but {} could not be made, and without it the service does not start.",
                    folder.display()
                ),
                &cause,
            )
        })?;
    }
    Ok(())
}

/// Replaces the file at once; returns whether that was needed.
pub(super) fn write(path: &Path, text: &str) -> std::io::Result<bool> {
    if std::fs::read(path).is_ok_and(|present| present == text.as_bytes()) {
        return Ok(false);
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    // Asked first, so that the error is about the folder and not about a file nobody has heard of.
    std::fs::metadata(folder)?;
    let mut file = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(MODE))
        .tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(true)
}

/// systemd complains about units that others cannot read.
const MODE: u32 = 0o644;

#[cfg(test)]
mod tests {
    use super::write;

    #[test]
    fn a_second_time_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clpctl.service");
        assert!(write(&path, "a").unwrap());
        assert!(!write(&path, "a").unwrap());
        assert!(write(&path, "b").unwrap());
        assert!(write(&folder.path().join("none/x"), "a").is_err());
    }
}
