//! Is there room for new certificates, and for what is remembered?

use std::path::{Path, PathBuf};

use renewal::finding::{Finding, FindingName, Severity};
use serde::{Deserialize, Serialize};

/// What is left of the file system below one folder.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SpaceSeen {
    /// The folder that clpctl writes to.
    pub folder: PathBuf,
    /// The bytes that are left.
    pub bytes: u64,
    /// The inodes that are left; `None` where the file system does not count them.
    pub inodes: Option<u64>,
}

/// Asks the file systems of `folders`; for a folder that is not there, that of the nearest one above it.
#[must_use]
pub fn observe(folders: &[PathBuf]) -> Vec<SpaceSeen> {
    folders.iter().filter_map(|folder| look(folder)).collect()
}

fn look(folder: &Path) -> Option<SpaceSeen> {
    let there = folder.ancestors().find(|above| above.exists())?;
    let left = rustix::fs::statvfs(there).ok()?;
    Some(SpaceSeen {
        folder: folder.to_owned(),
        bytes: left.f_bavail.saturating_mul(left.f_frsize),
        // Some file systems make inodes as they need them, and say that there are none at all.
        inodes: (left.f_files > 0).then_some(left.f_favail),
    })
}

/// Finds those that are full, or nearly.
#[must_use]
pub fn judge(seen: &[SpaceSeen]) -> Vec<Finding> {
    let worst = seen.iter().min_by_key(|space| space.bytes);
    let full = worst
        .filter(|space| space.bytes < BYTES_LEAST)
        .map(|space| {
            let (words, severity) = if space.bytes < BYTES_NEEDED {
                ("has no room for new certificates", Severity::Fatal)
            } else {
                ("is nearly full", Severity::Warning)
            };
            Finding::new(
                FindingName::DiskFull,
                format!("The disk that holds {} {words}.", space.folder.display()),
            )
            .severity(severity)
            .detail(format!("{} KiB are left", space.bytes / 1024))
            .fix("Make room; df -h shows which disk is full, du -xsh /var/* what fills it.")
        });
    let counted = seen.iter().filter_map(|space| Some((space, space.inodes?)));
    let fewest = counted.min_by_key(|(_, inodes)| *inodes);
    let exhausted = fewest
        .filter(|(_, inodes)| *inodes < INODES_NEEDED)
        .map(|(space, inodes)| {
            Finding::new(
                FindingName::InodesExhausted,
                format!(
                    "The file system that holds {} has no room for another file.",
                    space.folder.display()
                ),
            )
            .detail(format!("{inodes} inodes are left"))
            .fix("Remove small files nobody needs, sessions and caches mostly; df -i shows where.")
        });
    full.into_iter().chain(exhausted).collect()
}

/// One certificate with its key and chain takes a few blocks, and the database must be able to grow.
const BYTES_NEEDED: u64 = 1024 * 1024;

/// Below that, a log that grows may fill it before the next run.
const BYTES_LEAST: u64 = 64 * 1024 * 1024;

/// A renewal makes some ten files and links.
const INODES_NEEDED: u64 = 16;

#[cfg(test)]
mod tests {
    use super::{SpaceSeen, judge, observe};
    use expect_test::{Expect, expect};

    fn check(bytes: u64, inodes: Option<u64>, expect: Expect) {
        let seen = [SpaceSeen {
            folder: "/etc/letsencrypt".into(),
            bytes,
            inodes,
        }];
        let shown: Vec<String> = judge(&seen)
            .iter()
            .map(|finding| {
                let severity = finding.severity.as_str();
                format!("{} {severity}: {}", finding.name, finding.explanation)
            })
            .collect();
        expect.assert_eq(&shown.join("\n"));
    }

    #[test]
    fn room_and_inodes_are_two_things() {
        check(1 << 40, Some(1 << 20), expect![""]);
        check(1 << 40, None, expect![""]);
        check(
            4096,
            Some(1 << 20),
            expect![
                "disk-full fatal: The disk that holds /etc/letsencrypt has no room for new certificates."
            ],
        );
        check(
            32 << 20,
            Some(1 << 20),
            expect!["disk-full warning: The disk that holds /etc/letsencrypt is nearly full."],
        );
        check(
            1 << 40,
            Some(3),
            expect![
                "inodes-exhausted fatal: The file system that holds /etc/letsencrypt has no room for another file."
            ],
        );
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_asked_for_above() {
        let seen = observe(&["/nowhere/at/all".into()]);
        assert!(seen[0].bytes > 0);
    }
}
