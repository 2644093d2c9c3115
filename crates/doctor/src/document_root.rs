//! Could a challenge file be written below the document root, and could nginx read it there?

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use renewal::finding::{Finding, FindingName, Severity};
use renewal::site::ChallengeFolder;
use serde::{Deserialize, Serialize};

/// A folder in which nginx would look for challenge files.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct FolderSeen {
    /// The folder that the vhost names.
    pub folder: PathBuf,
    /// The parts of the way to the token, from `/` on, as far as there are any.
    pub way: Vec<Part>,
    /// The owner of the folder.
    pub owner: Option<u32>,
    /// Whether the file system is mounted for reading only.
    pub read_only: bool,
    /// The user as whom nginx reads, when it is known.
    pub reader: Option<Reader>,
    /// Whether challenges are answered from files here, so that a fault is more than a risk.
    pub needed: bool,
}

/// One folder, link or file on the way.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its path.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Its owner.
    pub owner: u32,
    /// Its group.
    pub group: u32,
    /// Its mode.
    pub mode: u32,
}

/// What a part of the way is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A folder, or a link to one above the folder that the vhost names.
    Folder,
    /// A symbolic link below it, which is not followed.
    Link,
    /// Something else.
    Other,
}

/// A user and its groups.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Reader {
    /// Its name, for people.
    pub name: String,
    /// Its number.
    pub user: u32,
    /// Its groups.
    pub groups: Vec<u32>,
}

/// Looks at the whole way to the tokens in one folder.
#[must_use]
pub fn observe(folder: &ChallengeFolder, reader: Option<&Reader>, needed: bool) -> FolderSeen {
    let (named, inner): (&Path, &[&str]) = match folder {
        ChallengeFolder::Root(path) => (path, &[".well-known", "acme-challenge"]),
        ChallengeFolder::Alias(path) => (path, &[]),
    };
    let mut above: Vec<&Path> = named.ancestors().collect();
    above.reverse();
    // Above the document root links are the admin's business, and are followed.
    let there = above.into_iter().map_while(|path| {
        let meta = path.metadata().ok()?;
        Some(part(path, &meta))
    });
    let mut way: Vec<Part> = there.collect();
    let root = way.last().filter(|part| part.path == named);
    let owner = root.map(|root| root.owner);
    let mut path = named.to_owned();
    for name in inner.iter().take_while(|_| owner.is_some()) {
        path.push(name);
        // What is not there yet is made for the first challenge.
        let Ok(meta) = path.symlink_metadata() else {
            break;
        };
        way.push(part(&path, &meta));
    }
    let flags = rustix::fs::statvfs(named).map(|left| left.f_flag);
    FolderSeen {
        folder: named.to_owned(),
        way,
        owner,
        read_only: flags.is_ok_and(|flags| flags.contains(rustix::fs::StatVfsMountFlags::RDONLY)),
        reader: reader.cloned(),
        needed,
    }
}

fn part(path: &Path, meta: &std::fs::Metadata) -> Part {
    let kind = if meta.is_dir() {
        Kind::Folder
    } else if meta.is_symlink() {
        Kind::Link
    } else {
        Kind::Other
    };
    Part {
        path: path.to_owned(),
        kind,
        owner: meta.uid(),
        group: meta.gid(),
        mode: meta.mode() & 0o7777,
    }
}

/// Finds what is in the way of a challenge file. One folder that is in order is enough.
#[must_use]
pub fn judge(seen: &[FolderSeen]) -> Vec<Finding> {
    let each: Vec<Option<Finding>> = seen.iter().map(of_folder).collect();
    if each.iter().any(Option::is_none) {
        return Vec::new();
    }
    each.into_iter().flatten().take(1).collect()
}

fn of_folder(seen: &FolderSeen) -> Option<Finding> {
    let folder = seen.folder.display();
    let finding = if seen.owner.is_none() {
        let there = seen.way.last().map(|part| part.path.display().to_string());
        Finding::new(
            FindingName::WebrootMissing,
            format!("The document root {folder} does not exist."),
        )
        .detail(format!(
            "what is there ends at {}",
            there.unwrap_or_default()
        ))
        .fix(format!(
            "Make it (mkdir -p {folder}), or correct the vhost's root."
        ))
    } else if let Some(part) = seen.way.iter().find(|part| part.kind != Kind::Folder) {
        let what = if part.kind == Kind::Link {
            "a symbolic link"
        } else {
            "no folder"
        };
        let path = part.path.display();
        Finding::new(
            FindingName::WebrootSymlinkOwner,
            format!("On the way to the challenge file stands {what}, and links of a site's user are not followed."),
        )
        .detail(format!("{path} is {what}, of user {}", part.owner))
        .fix(format!("Put a folder in the place of {path}."))
    } else if seen.read_only {
        Finding::new(
            FindingName::WebrootNotWritable,
            format!("The file system of {folder} is mounted for reading only."),
        )
        .detail(format!("{folder} is on a read-only file system"))
        .fix("Mount it for writing, or choose http01.mode = \"stateless\".")
    } else {
        let reader = seen.reader.as_ref()?;
        let closed = seen.way.iter().find(|part| !reader.may_pass(part))?;
        let path = closed.path.display();
        Finding::new(
            FindingName::ChallengeForbidden,
            format!("nginx's user {} may not enter a folder on the way to the challenge file.", reader.name),
        )
        .detail(format!("{path} has mode {:04o} and belongs to user {} and group {}", closed.mode, closed.owner, closed.group))
        .fix(format!("Let it pass, without letting it list: chmod o+x {path}; or add the user to the folder's group."))
    };
    let severity = if seen.needed {
        finding.severity
    } else {
        Severity::Info
    };
    Some(finding.severity(severity))
}

impl Reader {
    /// Says whether the user may pass through the folder, by its mode; root always may.
    pub(crate) fn may_pass(&self, part: &Part) -> bool {
        let bit = if self.user == 0 {
            return true;
        } else if self.user == part.owner {
            0o100
        } else if self.groups.contains(&part.group) {
            0o010
        } else {
            0o001
        };
        part.mode & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Reader, judge, observe};
    use expect_test::{Expect, expect};
    use renewal::site::ChallengeFolder;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    /// Looks at a document root after `make` has been at it.
    fn check(make: impl Fn(&Path), expect: Expect) {
        let host = tempfile::tempdir().unwrap();
        std::fs::set_permissions(host.path(), Permissions::from_mode(0o755)).unwrap();
        let root = host.path().join("htdocs");
        std::fs::create_dir(&root).unwrap();
        make(&root);
        let reader = Reader {
            name: "www-data".to_owned(),
            user: 33,
            groups: vec![33],
        };
        let seen = observe(&ChallengeFolder::Root(root), Some(&reader), true);
        let recorded = serde_json::to_string(&seen).unwrap();
        let seen = [serde_json::from_str(&recorded).unwrap()];
        let shown = judge(&seen)
            .iter()
            .map(|finding| format!("{}: {}", finding.name, finding.explanation))
            .collect::<String>();
        expect.assert_eq(&shown.replace(host.path().to_str().unwrap(), "/host"));
    }

    #[test]
    fn every_part_of_the_way_counts() {
        check(|_| {}, expect![""]);
        check(
            |root| std::fs::create_dir_all(root.join(".well-known/acme-challenge")).unwrap(),
            expect![""],
        );
        check(
            |root| std::fs::remove_dir(root).unwrap(),
            expect!["webroot-missing: The document root /host/htdocs does not exist."],
        );
        check(
            |root| std::os::unix::fs::symlink("/tmp", root.join(".well-known")).unwrap(),
            expect![
                "webroot-symlink-owner: On the way to the challenge file stands a symbolic link, and links of a site's user are not followed."
            ],
        );
        check(
            |root| drop(std::fs::File::create(root.join(".well-known")).unwrap()),
            expect![
                "webroot-symlink-owner: On the way to the challenge file stands no folder, and links of a site's user are not followed."
            ],
        );
        check(
            |root| std::fs::set_permissions(root, Permissions::from_mode(0o700)).unwrap(),
            expect![
                "challenge-forbidden: nginx's user www-data may not enter a folder on the way to the challenge file."
            ],
        );
    }

    #[test]
    fn one_folder_in_order_is_enough() {
        let good = observe(&ChallengeFolder::Alias("/".into()), None, true);
        let bad = observe(
            &ChallengeFolder::Alias("/nowhere/at/all".into()),
            None,
            true,
        );
        assert!(judge(&[bad.clone(), good]).is_empty());
        assert_eq!(judge(&[bad.clone(), bad]).len(), 1);
        assert!(judge(&[]).is_empty());
    }
}
