//! What does a disk hold after the power failed?
//!
//! A [`Disk`] plays every effect of a run twice: as programs see it now, and as it is kept. What a file holds is kept once
//! the file was synced; which names a folder holds, once the folder was. A rename between two folders is kept whole or
//! not at all, as every journaling file system does it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::effect::Effect;

/// What of the unsynced survives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Survives {
    /// Names that were made, changed and removed.
    pub names: bool,
    /// What was written to files.
    pub content: bool,
}

impl Survives {
    /// Everything lost that nobody asked to be kept; names without content, as ext4 may leave a new file empty; content
    /// without names.
    pub const ALL: [Self; 3] = [
        Self {
            names: false,
            content: false,
        },
        Self {
            names: true,
            content: false,
        },
        Self {
            names: false,
            content: true,
        },
    ];

    /// Returns the words for tables.
    #[must_use]
    pub fn words(self) -> &'static str {
        match (self.names, self.content) {
            (false, false) => "all that was not synced is lost",
            (true, false) => "names survive, content is lost",
            (false, true) => "content survives, names are lost",
            (true, true) => "all survives",
        }
    }
}

/// A part of a file system, now and as it is kept.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    nodes: Vec<Node>,
    roots: BTreeMap<PathBuf, usize>,
    /// Renames between folders of which neither was synced since.
    crossings: Vec<Crossing>,
}

#[derive(Clone, Debug)]
struct Node {
    mode: u32,
    what: What,
}

type Names = BTreeMap<OsString, usize>;

#[derive(Clone, Debug)]
enum What {
    File { now: Vec<u8>, kept: Vec<u8> },
    Folder { now: Names, kept: Names },
    Link(PathBuf),
}

#[derive(Clone, Debug)]
struct Crossing {
    from: (usize, OsString),
    to: (usize, OsString),
    node: usize,
}

impl Disk {
    /// Takes in what lies on the disk now; all of it is kept.
    #[must_use]
    pub fn read(folders: &[PathBuf]) -> Self {
        let mut disk = Self::default();
        for folder in folders {
            let node = disk.take_in(folder);
            disk.roots.insert(folder.clone(), node);
        }
        disk
    }

    fn take_in(&mut self, path: &Path) -> usize {
        let facts = fs::symlink_metadata(path).expect("it was just listed");
        let what = if facts.is_symlink() {
            What::Link(fs::read_link(path).expect("a link leads somewhere"))
        } else if facts.is_dir() {
            let entries = fs::read_dir(path).expect("the folder is ours").flatten();
            let names: Names = entries
                .filter(|entry| !entry.file_name().as_encoded_bytes().ends_with(b"-shm"))
                .map(|entry| (entry.file_name(), self.take_in(&entry.path())))
                .collect();
            What::Folder {
                now: names.clone(),
                kept: names,
            }
        } else {
            let content = fs::read(path).expect("the file is ours");
            What::File {
                now: content.clone(),
                kept: content,
            }
        };
        self.add(facts.permissions().mode() & 0o7777, what)
    }

    fn add(&mut self, mode: u32, what: What) -> usize {
        self.nodes.push(Node { mode, what });
        self.nodes.len() - 1
    }

    /// Plays an effect. What is not below the folders is left out.
    pub fn play(&mut self, effect: &Effect) {
        match effect {
            Effect::Make { path, mode } => match self.find(path) {
                Some(node) => self.change(node, Vec::clear),
                None => self.make(
                    path,
                    *mode,
                    What::File {
                        now: Vec::new(),
                        kept: Vec::new(),
                    },
                ),
            },
            Effect::Write {
                path,
                offset,
                bytes,
            } => self.at(path, |disk, node| {
                disk.change(node, |content| write(content, *offset, bytes));
            }),
            Effect::Length { path, length } => self.at(path, |disk, node| {
                let length = usize::try_from(*length).unwrap_or(0);
                disk.change(node, |content| content.resize(length, 0));
            }),
            Effect::Sync(path) => self.at(path, Self::sync),
            Effect::SyncAll(_) => (0..self.nodes.len()).for_each(|node| self.sync(node)),
            Effect::Rename { from, to, exchange } => self.rename(from, to, *exchange),
            Effect::SecondName { of, path } => self.at(of, |disk, node| disk.name(path, node)),
            Effect::Link { path, target } => self.make(path, 0o777, What::Link(target.clone())),
            Effect::Remove(path) | Effect::RemoveFolder(path) => {
                if let Some((folder, name)) = self.place(path) {
                    self.names(folder).remove(&name);
                }
            }
            Effect::MakeFolder { path, mode } => self.make(
                path,
                *mode,
                What::Folder {
                    now: Names::new(),
                    kept: Names::new(),
                },
            ),
            Effect::Mode { path, mode } => self.at(path, |disk, node| {
                disk.nodes[node].mode = *mode;
            }),
            Effect::Owner(_)
            | Effect::Open(_)
            | Effect::Request(_)
            | Effect::Reply(_)
            | Effect::Program
            | Effect::Signal => {}
        }
    }

    /// Makes the folders hold what survives.
    ///
    /// # Panics
    ///
    /// When they cannot be written.
    pub fn write(&self, survives: Survives) {
        for (folder, node) in &self.roots {
            fs::remove_dir_all(folder).expect("the folder is ours");
            self.put(folder, *node, survives);
        }
    }

    fn put(&self, path: &Path, node: usize, survives: Survives) {
        let Node { mode, what } = &self.nodes[node];
        match what {
            What::Link(target) => {
                symlink(target, path).expect("the folder is ours");
                return;
            }
            What::File { now, kept } => {
                let content = if survives.content { now } else { kept };
                fs::write(path, content).expect("the folder is ours");
            }
            What::Folder { now, kept } => {
                fs::create_dir(path).expect("the folder is ours");
                for (name, node) in if survives.names { now } else { kept } {
                    self.put(&path.join(name), *node, survives);
                }
            }
        }
        fs::set_permissions(path, fs::Permissions::from_mode(*mode)).expect("it is ours");
    }

    fn sync(&mut self, node: usize) {
        match &mut self.nodes[node].what {
            What::File { now, kept } => kept.clone_from(now),
            What::Folder { now, kept } => kept.clone_from(now),
            What::Link(_) => {}
        }
        let touches = |crossing: &Crossing| crossing.from.0 == node || crossing.to.0 == node;
        let (whole, rest) = std::mem::take(&mut self.crossings)
            .into_iter()
            .partition(touches);
        self.crossings = rest;
        for Crossing { from, to, node } in whole {
            self.kept(from.0)
                .retain(|name, other| *name != from.1 || *other != node);
            self.kept(to.0).insert(to.1, node);
        }
    }

    fn rename(&mut self, from: &Path, to: &Path, exchange: bool) {
        let (Some(node), Some(from), Some(to)) =
            (self.find(from), self.place(from), self.place(to))
        else {
            return;
        };
        let other = self.names(to.0).insert(to.1.clone(), node);
        self.names(from.0).remove(&from.1);
        if let Some(other) = other.filter(|_| exchange) {
            self.names(from.0).insert(from.1.clone(), other);
        }
        if from.0 != to.0 {
            self.crossings.push(Crossing { from, to, node });
        }
    }

    fn make(&mut self, path: &Path, mode: u32, what: What) {
        let node = self.add(mode, what);
        self.name(path, node);
    }

    fn name(&mut self, path: &Path, node: usize) {
        if let Some((folder, name)) = self.place(path) {
            self.names(folder).insert(name, node);
        }
    }

    fn at(&mut self, path: &Path, act: impl FnOnce(&mut Self, usize)) {
        if let Some(node) = self.find(path) {
            act(self, node);
        }
    }

    fn change(&mut self, node: usize, change: impl FnOnce(&mut Vec<u8>)) {
        if let What::File { now, .. } = &mut self.nodes[node].what {
            change(now);
        }
    }

    fn names(&mut self, folder: usize) -> &mut Names {
        match &mut self.nodes[folder].what {
            What::Folder { now, .. } => now,
            What::File { .. } | What::Link(_) => unreachable!("only folders are places"),
        }
    }

    fn kept(&mut self, folder: usize) -> &mut Names {
        match &mut self.nodes[folder].what {
            What::Folder { kept, .. } => kept,
            What::File { .. } | What::Link(_) => unreachable!("only folders are places"),
        }
    }

    /// Returns the folder that holds a name.
    fn place(&self, path: &Path) -> Option<(usize, OsString)> {
        let folder = self.find(path.parent()?)?;
        let is_folder = matches!(self.nodes[folder].what, What::Folder { .. });
        is_folder.then(|| (folder, path.file_name().unwrap_or_default().to_owned()))
    }

    fn find(&self, path: &Path) -> Option<usize> {
        let mut roots = self.roots.iter();
        let (rest, root) =
            roots.find_map(|(root, node)| Some((path.strip_prefix(root).ok()?, *node)))?;
        rest.iter()
            .try_fold(root, |node, name| match &self.nodes[node].what {
                What::Folder { now, .. } => now.get(name).copied(),
                What::File { .. } | What::Link(_) => None,
            })
    }
}

fn write(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let offset = usize::try_from(offset).unwrap_or(0);
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays effects on an empty folder, and lists what survives.
    fn check(
        effects: impl FnOnce(&Path) -> Vec<Effect>,
        survives: Survives,
        expected: &[(&str, &str)],
    ) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        let mut disk = Disk::read(std::slice::from_ref(&root));
        effects(&root).iter().for_each(|effect| disk.play(effect));
        disk.write(survives);
        let mut found: Vec<(String, String)> = fs::read_dir(&root)
            .unwrap()
            .flatten()
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        found.sort();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, content)| ((*name).to_owned(), (*content).to_owned()))
            .collect();
        assert_eq!(found, expected);
    }

    fn replaced(root: &Path, syncs: [bool; 2]) -> Vec<Effect> {
        let (fresh, path) = (root.join("fresh"), root.join("path"));
        let write = |path: &Path, text: &str| {
            [
                Effect::Make {
                    path: path.to_owned(),
                    mode: 0o600,
                },
                Effect::Write {
                    path: path.to_owned(),
                    offset: 0,
                    bytes: text.into(),
                },
            ]
        };
        let mut effects = write(&path, "old").to_vec();
        effects.extend([Effect::Sync(path.clone()), Effect::Sync(root.to_owned())]);
        effects.extend(write(&fresh, "new"));
        effects.extend(syncs[0].then(|| Effect::Sync(fresh.clone())));
        effects.push(Effect::Rename {
            from: fresh,
            to: path,
            exchange: false,
        });
        effects.extend(syncs[1].then(|| Effect::Sync(root.to_owned())));
        effects
    }

    #[test]
    fn what_was_synced_survives_and_nothing_else_need() {
        let [lost, names, content] = Survives::ALL;
        check(
            |root| replaced(root, [true, true]),
            lost,
            &[("path", "new")],
        );
        check(
            |root| replaced(root, [true, false]),
            lost,
            &[("path", "old")],
        );
        check(
            |root| replaced(root, [true, false]),
            names,
            &[("path", "new")],
        );
        check(
            |root| replaced(root, [false, false]),
            content,
            &[("path", "old")],
        );
        // What a program does wrong that renames before it syncs.
        check(|root| replaced(root, [false, true]), lost, &[("path", "")]);
    }
}
