//! How is nginx told to take up its configuration?
//!
//! By SIGHUP to the master: `nginx -s reload`, and with it Debian's `systemctl reload nginx`, reads the whole
//! configuration once more only to find the master's number, seconds on a host with thousands of sites.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use renewal::finding::{Finding, FindingName};
use renewal::ports::HostFailure;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use crate::build::Build;
use crate::command::{self, CommandError, Output};
use crate::conf::include::Walk;
use crate::conf::read::Disk;
use crate::settings::{DEFAULT_CONFIG, Reload, Settings};

/// nginx was not told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    /// No master was found.
    #[error("{0}")]
    NotRunning(String),
    /// The signal could not be sent.
    #[error("the nginx master, process {pid}, cannot be signalled: {cause}")]
    Signal {
        /// Its number.
        pid: i32,
        /// The system's words.
        cause: rustix::io::Errno,
    },
    /// The command could not be run to its end.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The command said no.
    #[error("“{line}” ended with {ending}: {said}")]
    Refused {
        /// The command.
        line: String,
        /// How it ended.
        ending: String,
        /// Its last words.
        said: String,
    },
}

impl From<ReloadError> for HostFailure {
    fn from(error: ReloadError) -> Self {
        let detail = error.to_string();
        let finding = match error {
            ReloadError::NotRunning(_) => Finding::new(
                FindingName::NginxNotRunning,
                "No nginx runs with this configuration, so nothing is served.",
            )
            .fix("Start nginx: systemctl start nginx. If it runs elsewhere, set nginx.reload to a command."),
            ReloadError::Signal { .. } => Finding::new(
                FindingName::NginxReloadFailed,
                "nginx could not be told to take up its configuration.",
            )
            .fix("Run clpctl as root."),
            ReloadError::Command(_) | ReloadError::Refused { .. } => Finding::new(
                FindingName::NginxReloadFailed,
                "The command that reloads nginx failed.",
            )
            .fix("Run it by hand; nginx.reload says which it is."),
        };
        Self(finding.detail(detail))
    }
}

/// Tells nginx.
pub(crate) async fn reload(settings: &Settings) -> Result<(), ReloadError> {
    match &settings.reload {
        Reload::Signal => signal(settings).await,
        Reload::Systemd => line(SYSTEMD).await,
        Reload::Command(command) => line(command).await,
        Reload::Auto => match signal(settings).await {
            Err(ReloadError::NotRunning(why)) if systemd_may_know(settings) => {
                match line(SYSTEMD).await {
                    Err(_) if line(SYSTEMD_ACTIVE).await.is_err() => {
                        Err(ReloadError::NotRunning(why))
                    }
                    done => done,
                }
            }
            done => done,
        },
    }
}

/// Says whether an nginx runs that a reload would reach.
///
/// # Errors
///
/// With [`ReloadError::NotRunning`] only when that was seen: where the pid file may not be read, or a command of the
/// admin's own reloads an nginx that may be anywhere, nothing is said against it.
pub(crate) async fn running(settings: &Settings) -> Result<(), ReloadError> {
    let systemd = match &settings.reload {
        Reload::Command(_) => return Ok(()),
        Reload::Systemd => true,
        Reload::Auto => systemd_may_know(settings),
        Reload::Signal => false,
    };
    let file = pid_file(settings).await?;
    let denied = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    if fs::File::open(&file).is_err_and(|error| denied(&error)) {
        return Ok(());
    }
    let found = read_pid(&file).and_then(|pid| {
        if is_master(Path::new("/proc"), pid) {
            Ok(())
        } else {
            Err(gone(&file, pid))
        }
    });
    match found {
        Err(_) if systemd && line(SYSTEMD_ACTIVE).await.is_ok() => Ok(()),
        found => found,
    }
}

/// Returns the number of the master.
pub(crate) async fn master(settings: &Settings) -> Result<Pid, ReloadError> {
    read_pid(&pid_file(settings).await?)
}

async fn signal(settings: &Settings) -> Result<(), ReloadError> {
    let file = pid_file(settings).await?;
    let pid = read_pid(&file)?;
    let signalled = |cause| ReloadError::Signal {
        pid: pid.as_raw_nonzero().get(),
        cause,
    };
    // Held before it is looked at, so that the number cannot pass to another process in between.
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => Some(process),
        Err(Errno::SRCH) => return Err(gone(&file, pid)),
        // Kernels before 5.3, which some containers run on, cannot hold one.
        Err(_) => None,
    };
    if !is_master(Path::new("/proc"), pid) {
        return Err(gone(&file, pid));
    }
    match process {
        Some(process) => pidfd_send_signal(&process, Signal::HUP),
        None => kill_process(pid, Signal::HUP),
    }
    .map_err(signalled)
}

async fn line(line: &str) -> Result<(), ReloadError> {
    let output = command::run_line(line, LIMIT).await?;
    if output.success {
        return Ok(());
    }
    Err(ReloadError::Refused {
        line: line.to_owned(),
        said: last_words(&output),
        ending: output.ending,
    })
}

fn last_words(output: &Output) -> String {
    let last = output
        .said
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty());
    last.unwrap_or("it said nothing").to_owned()
}

/// Returns the file in which the master writes its number.
async fn pid_file(settings: &Settings) -> Result<PathBuf, CommandError> {
    let directive = pid_directive(&settings.config);
    if let Some(path) = directive.as_ref().filter(|path| path.is_absolute()) {
        return Ok(path.clone());
    }
    let built = match (&settings.prefix, &directive) {
        (Some(_), Some(_)) => Build::default(),
        _ => Build::ask(settings).await?,
    };
    let prefix = settings.prefix.clone().unwrap_or(built.prefix);
    Ok(prefix.join(directive.unwrap_or(built.pid)))
}

/// Returns the `pid` of the configuration.
fn pid_directive(config: &Path) -> Option<PathBuf> {
    let mut pid = None;
    Walk::new(&Disk, config).main(config, &mut |_, _, directive| {
        if directive.is("pid") {
            let argument = directive.argument();
            pid = argument.map(|path| PathBuf::from(OsStr::from_bytes(&path)));
        }
    });
    pid
}

fn read_pid(file: &Path) -> Result<Pid, ReloadError> {
    let text = fs::read_to_string(file).map_err(|cause| {
        ReloadError::NotRunning(format!(
            "its pid file, {}, cannot be read: {cause}",
            file.display()
        ))
    })?;
    let number: Option<i32> = text.trim().parse().ok();
    let number = number.filter(|number| *number > 0).and_then(Pid::from_raw);
    // `nginx -t` leaves an empty file where there was none.
    number.ok_or_else(|| {
        ReloadError::NotRunning(format!("its pid file, {}, holds no number", file.display()))
    })
}

fn gone(file: &Path, pid: Pid) -> ReloadError {
    ReloadError::NotRunning(format!(
        "process {}, named in {}, is no nginx master",
        pid.as_raw_nonzero(),
        file.display()
    ))
}

/// Says whether a process is an nginx master; by the title it gives itself, which says so in every packaging.
fn is_master(proc: &Path, pid: Pid) -> bool {
    let title = fs::read(proc.join(format!("{}/cmdline", pid.as_raw_nonzero())));
    title.is_ok_and(|title| title.starts_with(MASTER_TITLE))
}

fn systemd_may_know(settings: &Settings) -> bool {
    settings.config == Path::new(DEFAULT_CONFIG) && Path::new(SYSTEMD_RUNS).exists()
}

/// What the master calls itself.
const MASTER_TITLE: &[u8] = b"nginx: master process";

/// nginx's unit on every distribution.
const SYSTEMD: &str = "systemctl reload nginx";

/// Succeeds when that unit runs.
const SYSTEMD_ACTIVE: &str = "systemctl is-active --quiet nginx";

/// Exists where systemd is the init (sd_booted(3)).
const SYSTEMD_RUNS: &str = "/run/systemd/system";

/// A reload command that tests first takes as long as a test.
const LIMIT: Duration = Duration::from_secs(180);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::put;

    #[tokio::test]
    async fn a_process_that_is_no_nginx_master_is_never_signalled() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nginx.pid");
        let config = folder.path().join("nginx.conf");
        put(&config, &format!("pid {};", file.display()));
        let settings = Settings {
            config,
            reload: Reload::Signal,
            ..Settings::default()
        };
        // A SIGHUP would end this very test.
        for (text, expected) in [
            (format!("{}\n", std::process::id()), "is no nginx master"),
            (String::new(), "holds no number"),
            ("-1".to_owned(), "holds no number"),
            ("2147483647".to_owned(), "is no nginx master"),
        ] {
            put(&file, &text);
            let error = reload(&settings).await.unwrap_err();
            assert!(error.to_string().ends_with(expected), "{text}: {error}");
            let failure = HostFailure::from(error);
            assert_eq!(failure.0.name, FindingName::NginxNotRunning);
            assert!(running(&settings).await.is_err(), "{text}");
        }
        fs::remove_file(&file).unwrap();
        let error = running(&settings).await.unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
        let elsewhere = Settings {
            reload: Reload::Command("docker exec web nginx -s reload".into()),
            ..settings
        };
        running(&elsewhere).await.unwrap();
    }

    #[tokio::test]
    async fn a_command_of_ones_own_is_run_and_its_last_words_are_passed_on() {
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("told");
        let reload_by = |line: String| Settings {
            reload: Reload::Command(line),
            ..Settings::default()
        };
        let settings = reload_by(format!("touch {}", told.display()));
        reload(&settings).await.unwrap();
        assert!(told.exists());
        let settings = reload_by("echo not today; exit 7".into());
        let error = reload(&settings).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "“echo not today; exit 7” ended with exit status: 7: not today"
        );
    }
}
