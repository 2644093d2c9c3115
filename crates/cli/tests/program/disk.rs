//! What is on the disk, and what of it changed?

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use testkit::host::Host;
use testkit::openssl;

/// Everything in a folder that a program could have changed.
pub(crate) type Tree = BTreeMap<PathBuf, Entry>;

/// One file, folder or link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Entry {
    inode: u64,
    modified: (i64, i64),
    mode: u32,
    owner: (u32, u32),
    /// What a file holds, or where a link leads.
    content: Vec<u8>,
}

impl Entry {
    /// Says whether both hold the same for the same users, though one of them was written anew.
    pub(crate) fn is_alike(&self, other: &Self) -> bool {
        let facts = |entry: &Self| (entry.mode, entry.owner, entry.content.clone());
        facts(self) == facts(other)
    }
}

/// Looks at everything in a folder, but for what is `left_out`.
pub(crate) fn tree(folder: &Path, left_out: &[&str]) -> Tree {
    let mut tree = Tree::new();
    gather(folder, left_out, &mut tree);
    tree
}

/// Looks at one file.
pub(crate) fn entry(path: &Path) -> Entry {
    let data = fs::symlink_metadata(path)
        .unwrap_or_else(|error| panic!("{} cannot be looked at: {error}", path.display()));
    let content = if data.is_symlink() {
        let target = fs::read_link(path).expect("a link leads somewhere");
        target.as_os_str().as_bytes().to_vec()
    } else if data.is_file() {
        fs::read(path).expect("a file can be read")
    } else {
        Vec::new()
    };
    Entry {
        inode: data.ino(),
        modified: (data.mtime(), data.mtime_nsec()),
        mode: data.mode(),
        owner: (data.uid(), data.gid()),
        content,
    }
}

/// Looks at everything that a run which is refused must leave alone: nginx's folder, and the lineages. Of document
/// roots only the files count: a check puts one there and takes it away again, which folders show by their times.
pub(crate) fn guarded(host: &Host) -> Tree {
    let mut found = tree(
        host.nginx.folder(),
        &["logs", "temp", "nginx.pid", "htdocs"],
    );
    let pages = tree(&host.nginx.folder().join("htdocs"), &[]);
    found.extend(pages.into_iter().filter(|(path, _)| !path.is_dir()));
    for folder in ["live", "archive"] {
        let folder = host.letsencrypt().join(folder);
        if folder.exists() {
            found.extend(tree(&folder, &[]));
        }
    }
    found
}

/// Fails the test when anything of that is not what it was.
#[track_caller]
pub(crate) fn assert_unchanged(before: &Tree, host: &Host) {
    assert_eq!(differences(before, &guarded(host)), NOTHING);
}

/// Writes a file of the test's own.
#[track_caller]
pub(crate) fn put(path: &Path, content: impl AsRef<[u8]>) {
    fs::write(path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Names every path at which two looks differ.
pub(crate) fn differences(before: &Tree, after: &Tree) -> Vec<PathBuf> {
    let paths = before
        .keys()
        .chain(after.keys().filter(|path| !before.contains_key(*path)));
    paths
        .filter(|path| before.get(*path) != after.get(*path))
        .cloned()
        .collect()
}

/// Names every file that another file, or none, stands in the place of, or that holds something else, or is for others.
pub(crate) fn contents_that_differ(before: &Tree, after: &Tree) -> Vec<PathBuf> {
    let is_other = |path: &PathBuf| match (before.get(path), after.get(path)) {
        (Some(one), Some(other)) => !one.is_alike(other),
        (None | Some(_), _) => true,
    };
    let differing = differences(before, after);
    differing.into_iter().filter(is_other).collect()
}

/// Looks at the files of a lineage: every version in `archive/`, and the links in `live/`.
pub(crate) fn lineage(host: &Host, name: &str) -> Tree {
    let mut tree = tree(&host.archive(name), &[]);
    tree.extend(self::tree(&host.live(name), &[]));
    tree
}

/// Returns the version that all four links in `live/` lead to.
#[track_caller]
pub(crate) fn linked_version(host: &Host, name: &str) -> u32 {
    let versions: Vec<u32> = KINDS
        .iter()
        .map(|kind| {
            let link = host.live(name).join(format!("{kind}.pem"));
            let target =
                fs::read_link(&link).unwrap_or_else(|error| panic!("{}: {error}", link.display()));
            let target = target.to_str().expect("links of lineages have plain names");
            let number = target
                .strip_prefix(&format!("../../archive/{name}/{kind}"))
                .and_then(|rest| rest.strip_suffix(".pem"));
            number
                .and_then(|number| number.parse().ok())
                .unwrap_or_else(|| panic!("{} leads to {target}", link.display()))
        })
        .collect();
    assert!(
        versions.iter().all(|version| *version == versions[0]),
        "the links lead to different versions: {versions:?}"
    );
    versions[0]
}

/// Fails the test unless every address serves the certificate that is linked.
#[track_caller]
pub(crate) fn assert_served(host: &Host, domain: &str) {
    let linked = openssl::sha256(&host.live(domain).join("cert.pem"));
    for address in host.nginx.https_addresses() {
        assert_eq!(
            openssl::served(address, domain).as_ref(),
            Some(&linked),
            "{domain} on {address}"
        );
    }
}

/// Returns the lines that `after` has and `before` has not; fails the test unless that is the only difference.
#[track_caller]
pub(crate) fn added_lines(before: &str, after: &str) -> Vec<String> {
    let mut rest = before.split_inclusive('\n').peekable();
    let mut added = Vec::new();
    for line in after.split_inclusive('\n') {
        if rest.peek() == Some(&line) {
            rest.next();
        } else {
            added.push(line.trim().to_owned());
        }
    }
    assert_eq!(
        rest.collect::<Vec<_>>(),
        Vec::<&str>::new(),
        "lines were changed or lost; before:\n{before}\nafter:\n{after}"
    );
    added
}

fn gather(folder: &Path, left_out: &[&str], tree: &mut Tree) {
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", folder.display()));
    for item in entries {
        let path = item.expect("a folder can be read to its end").path();
        let name = path.file_name().expect("an entry has a name");
        if left_out.iter().any(|left_out| name == *left_out) {
            continue;
        }
        tree.insert(path.clone(), entry(&path));
        if path.is_dir() && !path.is_symlink() {
            gather(&path, left_out, tree);
        }
    }
}

/// The four files of every version.
pub(crate) const KINDS: [&str; 4] = ["cert", "chain", "fullchain", "privkey"];

/// What differs when nothing was changed.
pub(crate) const NOTHING: [PathBuf; 0] = [];
