//! How fast is the disk that a renewal writes to?
//!
//! A token is written, synced, read and removed, as a challenge and its journal are, again and again for a fraction of a
//! second. Each renewal waits for a few such rounds.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use renewal::finding::{Finding, FindingName};
use serde::{Deserialize, Serialize};

/// What was measured.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct DiskSeen {
    /// The folder that was written to.
    pub folder: PathBuf,
    /// How many rounds there were.
    pub rounds: u64,
    /// How long the middle one of them took, in microseconds.
    pub median: u64,
    /// How long the longest took, in microseconds.
    pub longest: u64,
}

/// Measures, for no longer than `time` and a last round. Leaves nothing behind.
///
/// # Errors
///
/// When the folder cannot be written to.
pub fn observe(folder: &Path, time: Duration) -> std::io::Result<DiskSeen> {
    let is_new = !folder.exists();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let path = folder.join(format!(".clpctl-audit-{}", std::process::id()));
    let begun = Instant::now();
    let mut took = Vec::new();
    while took.len() < ROUNDS_MOST && (took.is_empty() || begun.elapsed() < time) {
        let round = Instant::now();
        let done = one(&path);
        if done.is_err() {
            let _ = std::fs::remove_file(&path);
        }
        done?;
        took.push(u64::try_from(round.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    if is_new {
        // Only if nobody else has put anything there meanwhile.
        let _ = std::fs::remove_dir(folder);
    }
    took.sort_unstable();
    Ok(DiskSeen {
        folder: folder.to_owned(),
        rounds: took.len() as u64,
        median: took[took.len() / 2],
        longest: took[took.len() - 1],
    })
}

fn one(path: &Path) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(TOKEN)?;
    file.sync_all()?;
    drop(file);
    let mut read = Vec::new();
    File::open(path)?.read_to_end(&mut read)?;
    std::fs::remove_file(path)
}

/// Finds that it is slow.
#[must_use]
pub fn judge(seen: &DiskSeen) -> Vec<Finding> {
    if seen.median < MICROS_MOST {
        return Vec::new();
    }
    vec![
        Finding::new(
            FindingName::DiskSlow,
            "The disk takes long to write, so renewals and nginx wait for it.",
        )
        .detail(seen.to_string())
        .fix("See what else writes (iotop, iostat -x 1), and ask the provider how many operations a second (IOPS) the disk may have."),
    ]
}

impl std::fmt::Display for DiskSeen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = |micros: u64| format!("{}.{} ms", micros / 1000, micros % 1000 / 100);
        let per_second = 1_000_000 / self.median.max(1);
        write!(
            f,
            "a token is written, synced, read and removed in {} (the longest of {}: {}), {per_second} a second, below {}",
            millis(self.median),
            self.rounds,
            millis(self.longest),
            self.folder.display()
        )
    }
}

/// As long as a token and an account's thumbprint.
const TOKEN: &[u8; 87] = &[b'x'; 87];

/// A disk that needs no more than this for each has no trouble.
const ROUNDS_MOST: usize = 500;

/// A spinning disk takes 20 ms; a certificate has some twenty such waits, and a batch must not take a minute.
const MICROS_MOST: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::{DiskSeen, judge, observe};
    use crate::testing::told;
    use expect_test::expect;
    use std::time::Duration;

    #[test]
    fn rounds_are_measured_and_nothing_is_left() {
        let host = tempfile::tempdir().unwrap();
        let folder = host.path().join("state");
        let seen = observe(&folder, Duration::from_millis(20)).unwrap();
        assert!(
            seen.rounds > 0 && seen.median > 0 && seen.median <= seen.longest,
            "{seen:?}"
        );
        assert!(!folder.exists());
        assert!(observe("/proc/nowhere".as_ref(), Duration::ZERO).is_err());
    }

    #[test]
    fn a_tenth_of_a_second_is_slow() {
        let seen = |median| DiskSeen {
            folder: "/var/lib/clpctl".into(),
            rounds: 3,
            median,
            longest: 2 * median,
        };
        assert!(judge(&seen(99_000)).is_empty());
        expect!["disk-slow: a token is written, synced, read and removed in 150.0 ms (the longest of 3: 300.0 ms), 6 a second, below /var/lib/clpctl"]
            .assert_eq(&told(&judge(&seen(150_000))));
    }
}
