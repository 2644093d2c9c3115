//! How is the database kept as it was, before it is written?

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::database::{self, Trouble};
use crate::settings::Settings;

/// Copies the database while it is in use, and removes the oldest copies; returns the copy.
///
/// Copies hold private keys and passwords' hashes, so they are for root alone from the first byte.
pub(crate) fn make(settings: &Settings, now: Timestamp) -> Result<PathBuf, Trouble> {
    let folder = &settings.backups;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|cause| file(folder, cause))?;
    let stamp = now.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ");
    let path = folder.join(format!("{PREFIX}{stamp}{SUFFIX}"));
    let fresh = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path);
    fresh.map_err(|cause| file(&path, cause))?;
    let copied = copy(settings, &path);
    if let Err(trouble) = copied {
        // Half a copy is worse than none.
        let _ = std::fs::remove_file(&path);
        return Err(trouble);
    }
    forget_old(folder, &path)?;
    Ok(path)
}

fn copy(settings: &Settings, path: &Path) -> Result<(), Trouble> {
    database::read(&settings.database, settings.patience, |source| {
        let wrong = database::of(path);
        let mut target = Connection::open(path).map_err(wrong)?;
        let copy = Backup::new(source, &mut target).map_err(wrong)?;
        // Whole at once: a copy page by page begins anew whenever the panel writes in between.
        for _ in 0..TRIES {
            match copy.step(-1).map_err(wrong)? {
                StepResult::Done => return Ok(()),
                _ => std::thread::sleep(settings.patience.min(PAUSE)),
            }
        }
        Err(Trouble::Other(format!(
            "{} is held by somebody else",
            settings.database.display()
        )))
    })?;
    let synced = File::open(path).and_then(|copy| copy.sync_all());
    synced.map_err(|cause| file(path, cause))
}

/// Removes all but the newest copies.
fn forget_old(folder: &Path, newest: &Path) -> Result<(), Trouble> {
    let entries = std::fs::read_dir(folder).map_err(|cause| file(folder, cause))?;
    let ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
    };
    let mut copies: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| ours(path) && path != newest)
        .collect();
    copies.sort();
    let old = copies.len().saturating_sub(KEPT - 1);
    for path in &copies[..old] {
        std::fs::remove_file(path).map_err(|cause| file(path, cause))?;
    }
    Ok(())
}

fn file(path: &Path, cause: io::Error) -> Trouble {
    Trouble::File {
        path: path.to_owned(),
        cause,
    }
}

const PREFIX: &str = "db-";
const SUFFIX: &str = ".sq3";

/// How many copies are kept: a mistake is seen within some renewals, and each copy is as large as the database.
pub(crate) const KEPT: usize = 5;

/// How often a database that is held is asked for, and how long it is left alone between two times.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
