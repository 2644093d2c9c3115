//! How is another program's timer or cron job stopped, and started again?
//!
//! A timer by systemd. A file in `/etc/cron.d` by a name that no cron reads; it stays what it is, byte for byte, so that
//! an undo brings it back. A line among others is somebody's own, and nothing here touches it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use renewal::finding::{Finding, FindingName};
use renewal::ports::HostFailure;
use rustix::fs::RenameFlags;

use crate::command::{self, CommandError};
use crate::file::{self, FileError};

/// Disables a timer and stops it.
///
/// # Errors
///
/// When systemd does not do it.
pub async fn stop_timer(unit: &str) -> Result<(), HostFailure> {
    systemctl("disable", unit).await
}

/// Enables a timer and starts it.
///
/// # Errors
///
/// As [`stop_timer`].
pub async fn start_timer(unit: &str) -> Result<(), HostFailure> {
    systemctl("enable", unit).await
}

/// Gives a cron file a name under which cron does not read it; returns that name. Safe to repeat.
///
/// # Errors
///
/// When it cannot be renamed.
pub fn put_aside(job: &Path) -> Result<PathBuf, HostFailure> {
    let aside = aside(job);
    if !job.exists() && aside.exists() {
        return Ok(aside);
    }
    rename(job, &aside)?;
    Ok(aside)
}

/// Gives the cron file its name again. Safe to repeat; a file that is there again already stays.
///
/// # Errors
///
/// When it cannot be renamed.
pub fn put_back(job: &Path) -> Result<(), HostFailure> {
    let aside = aside(job);
    if !aside.exists() {
        return Ok(());
    }
    Ok(rename(&aside, job)?)
}

fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    file::rename(from, to, RenameFlags::NOREPLACE)?;
    file::sync_folder(to.parent().unwrap_or(Path::new("/")))
}

/// Debian's cron reads no file whose name has a dot, others none whose name begins with one.
fn aside(job: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(job.file_name().unwrap_or_default());
    name.push(".disabled-by-clpctl");
    job.with_file_name(name)
}

async fn systemctl(what: &str, unit: &str) -> Result<(), HostFailure> {
    let failed = |detail: String| {
        HostFailure(
            Finding::new(
                FindingName::OtherClientActive,
                format!("the timer {unit} could not be changed"),
            )
            .detail(detail)
            .fix(format!("do it yourself: systemctl {what} --now {unit}")),
        )
    };
    let ended: Result<_, CommandError> =
        command::run(Path::new("systemctl"), [what, "--now", unit], LIMIT).await;
    match ended {
        Ok(output) if output.success => Ok(()),
        Ok(output) => Err(failed(format!(
            "systemctl {what} --now {unit} ended with {}: {}",
            output.ending, output.said
        ))),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Stopping a timer takes no time; systemd may be busy.
const LIMIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::{put_aside, put_back};
    use crate::testing::put;

    #[test]
    fn a_cron_file_is_put_aside_and_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let job = folder.path().join("certbot");
        put(&job, "0 0 * * * root certbot renew\n");
        let aside = put_aside(&job).unwrap();
        assert_eq!(put_aside(&job).unwrap(), aside, "a second time");
        assert_eq!((job.exists(), aside.exists()), (false, true));
        let name = aside.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with('.'), "no cron reads {name}");
        put_back(&job).unwrap();
        put_back(&job).unwrap();
        let text = std::fs::read_to_string(&job).unwrap();
        assert_eq!(text, "0 0 * * * root certbot renew\n");
    }

    #[test]
    fn a_new_file_of_that_name_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let job = folder.path().join("certbot");
        put(&job, "old");
        put_aside(&job).unwrap();
        put(&job, "new");
        assert!(put_back(&job).is_err());
        assert_eq!(std::fs::read_to_string(&job).unwrap(), "new");
    }
}
