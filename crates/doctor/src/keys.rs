//! Who may read the private keys of this host, and who may change what lies beside them?

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use renewal::finding::{Finding, FindingName, Severity};
use renewal::fix::Access;
use serde::{Deserialize, Serialize};

/// A private key, or a folder that holds some.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct KeySeen {
    /// Its path, without any link.
    pub path: PathBuf,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Owner and mode.
    pub access: Access,
    /// Whether every user can come to it.
    pub is_reachable: bool,
}

/// Looks at a key or a folder; `None` when it cannot be looked at.
#[must_use]
pub fn observe(path: &Path) -> Option<KeySeen> {
    let path = path.canonicalize().ok()?;
    let meta = path.metadata().ok()?;
    let mode = |path: &Path| path.metadata().map_or(0, |meta| meta.mode());
    let is_reachable = path
        .ancestors()
        .skip(1)
        .all(|folder| mode(folder) & 0o001 != 0);
    Some(KeySeen {
        is_folder: meta.is_dir(),
        access: Access {
            user: meta.uid(),
            group: meta.gid(),
            mode: meta.mode() & 0o7777,
        },
        is_reachable,
        path,
    })
}

/// Returns the private keys below the folder of lineages and accounts, and the folders that hold them.
#[must_use]
pub fn observe_all(letsencrypt: &Path) -> Vec<KeySeen> {
    let mut seen = Vec::new();
    for (folder, depth) in [("live", 1), ("archive", 1), ("accounts", 3)] {
        gather(&letsencrypt.join(folder), depth, &mut seen);
    }
    seen
}

fn gather(folder: &Path, depth: usize, seen: &mut Vec<KeySeen>) {
    if seen.len() >= MOST {
        return;
    }
    seen.extend(observe(folder).filter(|seen| seen.is_folder));
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type();
        if depth > 0 && kind.as_ref().is_ok_and(std::fs::FileType::is_dir) {
            gather(&path, depth - 1, seen);
        } else if kind.is_ok_and(|kind| kind.is_file()) && holds_key(&path) {
            seen.extend(observe(&path));
        }
    }
}

/// Says whether a file of `archive/` or `accounts/` is a key, by its name.
fn holds_key(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("privkey") || name == "private_key.json" || name.ends_with(".key")
}

/// Finds those that others may read, and those beside which others may put something else.
#[must_use]
pub fn judge(seen: &[KeySeen]) -> Vec<Finding> {
    let open: Vec<&KeySeen> = seen.iter().filter(|seen| is_open(seen)).collect();
    let wide: Vec<&KeySeen> = seen.iter().filter(|seen| is_wide(seen)).collect();
    let lines = |keys: &[&KeySeen]| {
        let shown = keys.iter().take(SHOWN);
        let lines = shown.map(|key| format!("{} has {}", key.path.display(), key.access));
        let mut lines: Vec<String> = lines.collect();
        if keys.len() > SHOWN {
            lines.push(format!("and {} more", keys.len() - SHOWN));
        }
        lines.join("\n")
    };
    let mut findings = Vec::new();
    if let Some(first) = open.first() {
        let readable = open.iter().any(|key| key.is_reachable);
        let (words, severity) = if readable {
            (
                "Every user of this host can read a private key.",
                Severity::Error,
            )
        } else {
            (
                "A private key would be readable by all, were it not for the folder above it.",
                Severity::Warning,
            )
        };
        findings.push(
            Finding::new(FindingName::KeyReadableByOthers, words)
                .severity(severity)
                .detail(lines(&open))
                .fix(format!("chmod 600 {}", first.path.display())),
        );
    }
    if let Some(first) = wide.first() {
        findings.push(
            Finding::new(
                FindingName::KeyFolderOpen,
                "Users other than root can put other files into a folder that holds private keys.",
            )
            .detail(lines(&wide))
            .fix(format!("chmod go-w {}", first.path.display())),
        );
    }
    findings
}

/// Says whether the mode of a key lets all read it.
#[must_use]
pub fn is_open(seen: &KeySeen) -> bool {
    !seen.is_folder && seen.access.mode & 0o004 != 0
}

/// Says whether others may write to a folder.
#[must_use]
pub fn is_wide(seen: &KeySeen) -> bool {
    seen.is_folder && seen.access.mode & 0o022 != 0
}

/// Returns what a key or folder should have: nothing for others, and for its group only where that is not root's.
#[must_use]
pub fn closed(seen: &KeySeen) -> Access {
    let Access { user, group, mode } = seen.access;
    let mode = if seen.is_folder {
        mode & !0o022
    } else if group == 0 || mode & 0o040 == 0 {
        0o600
    } else {
        // A group of its own, as Debian's ssl-cert is, was given the key on purpose.
        0o640
    };
    Access { user, group, mode }
}

/// Ten thousand lineages have their keys looked at; a folder that holds more is no archive of ours.
const MOST: usize = 100_000;

/// More lines say no more.
const SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use super::{closed, judge, observe_all};
    use expect_test::{Expect, expect};
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    /// Judges an archive with these modes of `archive/` and of a key.
    fn check(folder: u32, key: u32, expect: Expect) {
        let host = tempfile::tempdir().unwrap();
        std::fs::set_permissions(host.path(), Permissions::from_mode(0o755)).unwrap();
        let archive = host.path().join("archive/a.test");
        std::fs::create_dir_all(&archive).unwrap();
        let file = archive.join("privkey1.pem");
        drop(std::fs::File::create(&file).unwrap());
        std::fs::set_permissions(&file, Permissions::from_mode(key)).unwrap();
        std::fs::set_permissions(&archive, Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(host.path().join("archive"), Permissions::from_mode(folder))
            .unwrap();
        let seen = observe_all(host.path());
        let lines = judge(&seen).into_iter().map(|finding| {
            format!(
                "{} {}: {}",
                finding.name,
                finding.severity.as_str(),
                finding.detail
            )
        });
        let shown = lines.collect::<Vec<_>>().join("\n");
        expect.assert_eq(&shown.replace(host.path().to_str().unwrap(), "/host"));
        let modes: Vec<String> = seen
            .iter()
            .map(|seen| format!("{:o}", closed(seen).mode))
            .collect();
        assert_eq!(modes.last().unwrap(), "600");
    }

    #[test]
    fn a_key_is_for_root_and_its_folder_too() {
        check(0o700, 0o600, expect![""]);
        check(
            0o755,
            0o644,
            expect![
                "key-readable-by-others error: /host/archive/a.test/privkey1.pem has mode 0644, user 0, group 0"
            ],
        );
        check(
            0o700,
            0o644,
            expect![
                "key-readable-by-others warning: /host/archive/a.test/privkey1.pem has mode 0644, user 0, group 0"
            ],
        );
        check(
            0o777,
            0o600,
            expect!["key-folder-open error: /host/archive has mode 0777, user 0, group 0"],
        );
    }
}
