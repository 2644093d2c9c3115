//! Which lineages lie on disk, which version does each link, and which is the newest?
//!
//! The layout is certbot's:
//!
//! | path | is |
//! | --- | --- |
//! | `archive/NAME/cert7.pem` | a file of version 7, written once |
//! | `live/NAME/cert.pem` | a link to `../../archive/NAME/cert7.pem` |
//!
//! and the same for `chain`, `fullchain` and `privkey`. [`archive`] writes versions, [`links`] exchanges the links,
//! [`choice`] finds the lineage of a site,
//! [`versions`] tells which of its versions could be served.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::AtFlags;

use crate::near::Near;

pub(crate) mod archive;
pub(crate) mod choice;
pub(crate) mod links;
pub(crate) mod versions;

/// The folders `live/` and `archive/`.
#[derive(Clone, Debug)]
pub(crate) struct Lineages {
    live: PathBuf,
    archive: PathBuf,
    /// `live/` with all links on the way to it resolved, when that is another path.
    live_resolved: Option<PathBuf>,
    /// Both, where they are open.
    near: Arc<Near>,
}

/// One of the four files of a version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    /// The leaf alone.
    Cert,
    /// What follows the leaf.
    Chain,
    /// Both.
    Fullchain,
    /// The private key.
    Privkey,
}

impl Part {
    /// All four, in the order in which they are written: a version begins with its `cert`, so where there is no
    /// `cert8.pem` there is nothing of version 8.
    pub(crate) const ALL: [Self; 4] = [Self::Cert, Self::Chain, Self::Fullchain, Self::Privkey];

    /// Returns the word in the file's name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Cert => "cert",
            Self::Chain => "chain",
            Self::Fullchain => "fullchain",
            Self::Privkey => "privkey",
        }
    }
}

/// What a lineage's folder under `live/` holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Links {
    /// There is no such folder.
    None,
    /// All four links lead to this version.
    Version(u32),
    /// Links lead nowhere, elsewhere, or to different versions; said as a phrase.
    Broken(String),
    /// It holds files where links should be: nobody's lineage.
    Foreign(String),
}

impl Links {
    /// Returns the version that is linked.
    pub(crate) fn version(&self) -> Option<u32> {
        match self {
            Self::Version(version) => Some(*version),
            Self::None | Self::Broken(_) | Self::Foreign(_) => None,
        }
    }
}

impl Lineages {
    /// Says where the lineages are.
    pub(crate) fn new(letsencrypt: &Path) -> Self {
        let live = letsencrypt.join("live");
        let resolved = live.canonicalize().ok().filter(|path| *path != live);
        Self {
            live,
            archive: letsencrypt.join("archive"),
            live_resolved: resolved,
            near: Arc::default(),
        }
    }

    /// Returns the same with the folders kept open: for a look at many.
    pub(crate) fn opened(&self) -> Self {
        Self {
            near: Arc::new(Near::open(&[&self.live, &self.archive])),
            ..self.clone()
        }
    }

    /// Returns the folders that are kept open.
    pub(crate) fn near(&self) -> Arc<Near> {
        Arc::clone(&self.near)
    }

    /// Returns `live/`.
    pub(crate) fn live(&self) -> &Path {
        &self.live
    }

    /// Returns `archive/`.
    pub(crate) fn archive(&self) -> &Path {
        &self.archive
    }

    /// Returns `live/NAME`.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.live.join(name)
    }

    /// Returns `live/NAME/PART.pem`.
    pub(crate) fn link(&self, name: &str, part: Part) -> PathBuf {
        below(&self.live, name, part, None)
    }

    /// Returns `archive/NAME/PARTn.pem`.
    pub(crate) fn file(&self, name: &str, part: Part, version: u32) -> PathBuf {
        below(&self.archive, name, part, Some(version))
    }

    /// Returns the lineage whose folder under `live/` the path of a vhost names.
    pub(crate) fn named_by<'p>(&self, path: &'p Path) -> Option<&'p str> {
        if let Some(name) = plainly_named(&self.live, path) {
            return Some(name);
        }
        let below = path.strip_prefix(&self.live).or_else(|error| {
            let resolved = self.live_resolved.as_ref().ok_or(error);
            resolved.and_then(|live| path.strip_prefix(live))
        });
        let mut components = below.ok()?.components();
        match (components.next(), components.next(), components.next()) {
            (Some(Component::Normal(name)), Some(Component::Normal(_)), None) => name.to_str(),
            _ => None,
        }
    }

    /// Returns the version that the four links of a lineage lead to.
    pub(crate) fn links(&self, name: &str) -> Links {
        match self.plain_links(name) {
            Some(version) => Links::Version(version),
            None => self.strange_links(name),
        }
    }

    /// Returns the version when all four links are written as certbot and clpctl write them: ten thousand lineages
    /// are looked at, and nearly all are so.
    fn plain_links(&self, name: &str) -> Option<u32> {
        let mut path = below(&self.live, name, Part::Fullchain, None)
            .into_os_string()
            .into_vec();
        let folder = path.len() - Part::Fullchain.as_str().len() - EXTENSION.len();
        let mut target = [0; PLAIN_TARGET_BYTES];
        let mut linked = None;
        for part in Part::ALL {
            path.truncate(folder);
            path.extend_from_slice(part.as_str().as_bytes());
            path.extend_from_slice(EXTENSION.as_bytes());
            let (begin, way) = self.near.way(&path);
            let length = rustix::fs::readlinkat_raw(begin, way, &mut target[..]).ok()?;
            let version = plain_target(target.get(..length)?, name, part)?;
            if *linked.get_or_insert(version) != version {
                return None;
            }
        }
        linked
    }

    /// Returns what the links of a lineage are, when they may be anything.
    fn strange_links(&self, name: &str) -> Links {
        let mut linked = None;
        for part in Part::ALL {
            let path = self.link(name, part);
            let target = match fs::read_link(&path) {
                Ok(target) => target,
                Err(cause) if cause.kind() == io::ErrorKind::InvalidInput => {
                    return Links::Foreign(format!("{} is a file, not a link", path.display()));
                }
                Err(_) if fs::symlink_metadata(self.folder(name)).is_err() => return Links::None,
                Err(cause) => return Links::Broken(format!("{}: {cause}", path.display())),
            };
            let Some(version) = self.version_of(name, part, &target) else {
                let (path, target) = (path.display(), target.display());
                return Links::Broken(format!(
                    "{path} leads to {target}, which is no version of it"
                ));
            };
            match linked {
                None => linked = Some(version),
                Some(first) if first == version => {}
                Some(first) => {
                    return Links::Broken(format!(
                        "{} leads to version {version}, another link to version {first}",
                        path.display()
                    ));
                }
            }
        }
        linked.map_or(Links::None, Links::Version)
    }

    /// Says whether all four files of a version are there.
    pub(crate) fn is_complete(&self, name: &str, version: u32) -> bool {
        Part::ALL
            .iter()
            .all(|part| self.file(name, *part, version).is_file())
    }

    /// Returns the versions of which anything is there, from the first to the newest.
    pub(crate) fn versions(&self, name: &str) -> Vec<u32> {
        let Ok(entries) = fs::read_dir(self.archive.join(name)) else {
            return Vec::new();
        };
        let mut versions: Vec<u32> = entries
            .filter_map(|entry| {
                let file = entry.ok()?.file_name();
                let file = file.to_str()?;
                Part::ALL.iter().find_map(|part| number(file, *part))
            })
            .collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    /// Returns the newest complete version after `linked`. Costs one look at a name when there is none.
    pub(crate) fn newer(&self, name: &str, linked: Option<u32>) -> Option<u32> {
        let linked = linked.unwrap_or(0);
        let next = self.file(name, Part::Cert, linked + 1);
        let (begin, way) = self.near.way(next.as_os_str().as_bytes());
        if rustix::fs::statat(begin, way, AtFlags::empty()).is_err() {
            return None;
        }
        let versions = self.versions(name);
        let newer = versions
            .iter()
            .rev()
            .take_while(|version| **version > linked);
        newer
            .copied()
            .find(|version| self.is_complete(name, *version))
    }

    fn version_of(&self, name: &str, part: Part, target: &Path) -> Option<u32> {
        let file = target.file_name()?.to_str()?;
        let folder = target.parent()?;
        let ours =
            folder == Path::new("../../archive").join(name) || folder == self.archive.join(name);
        ours.then(|| number(file, part)).flatten()
    }
}

/// Returns `FOLDER/NAME/PART.pem`, or `FOLDER/NAME/PARTn.pem`.
fn below(folder: &Path, name: &str, part: Part, version: Option<u32>) -> PathBuf {
    let room = folder.as_os_str().len() + name.len() + FILE_NAME_BYTES;
    let mut path = OsString::with_capacity(room);
    for piece in [
        folder.as_os_str(),
        "/".as_ref(),
        name.as_ref(),
        "/".as_ref(),
    ] {
        path.push(piece);
    }
    path.push(part.as_str());
    if let Some(version) = version {
        path.push(version.to_string());
    }
    path.push(EXTENSION);
    path.into()
}

/// Returns the NAME of a path that is `FOLDER/NAME/FILE` byte for byte; none where the path may say the same otherwise.
fn plainly_named<'p>(folder: &Path, path: &'p Path) -> Option<&'p str> {
    let path = path.as_os_str().as_bytes();
    let below = path
        .strip_prefix(folder.as_os_str().as_bytes())?
        .strip_prefix(b"/")?;
    let mut parts = std::str::from_utf8(below).ok()?.split('/');
    let (name, file) = (parts.next()?, parts.next()?);
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    (parts.next().is_none() && plain(name) && plain(file)).then_some(name)
}

/// Returns the version that a link's target names, when it is written as certbot writes it.
fn plain_target(target: &[u8], name: &str, part: Part) -> Option<u32> {
    let file = target
        .strip_prefix(b"../../archive/")?
        .strip_prefix(name.as_bytes())?
        .strip_prefix(b"/")?;
    number(std::str::from_utf8(file).ok()?, part)
}

/// Returns the version in a file name such as `cert7.pem`.
fn number(file: &str, part: Part) -> Option<u32> {
    let digits = file.strip_prefix(part.as_str())?.strip_suffix(".pem")?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    plain.then(|| digits.parse().ok()).flatten()
}

/// What all files of a lineage end in.
const EXTENSION: &str = ".pem";

/// More than the longest target of a plain link takes: a name has at most 255 bytes.
const PLAIN_TARGET_BYTES: usize = 320;

/// Room for a file's name and the slashes before it.
const FILE_NAME_BYTES: usize = 32;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use std::os::unix::fs::symlink;

    /// Makes a lineage as certbot does. The files hold their own names.
    pub(crate) fn lineage(letsencrypt: &Path, name: &str, versions: &[u32], linked: u32) {
        let live = letsencrypt.join("live").join(name);
        let archive = letsencrypt.join("archive").join(name);
        fs::create_dir_all(&live).unwrap();
        fs::create_dir_all(&archive).unwrap();
        for part in Part::ALL.map(Part::as_str) {
            for version in versions {
                let file = format!("{part}{version}.pem");
                fs::File::create(archive.join(&file)).unwrap();
            }
            let target = format!("../../archive/{name}/{part}{linked}.pem");
            symlink(target, live.join(format!("{part}.pem"))).unwrap();
        }
    }

    /// Shows the links and the newer version of the lineage `a.test` after `spoil` had its way.
    fn check(spoil: impl FnOnce(&Path), expect: Expect) {
        let folder = tempfile::tempdir().unwrap();
        lineage(folder.path(), "a.test", &[1, 2, 9, 10], 2);
        spoil(folder.path());
        let from_root = Lineages::new(folder.path());
        let seen = [&from_root, &from_root.opened()].map(|lineages| {
            let links = lineages.links("a.test");
            let newer = lineages.newer("a.test", links.version());
            format!("{links:?} {newer:?}")
        });
        assert_eq!(seen[0], seen[1], "from the root, and from the open folders");
        expect.assert_eq(&seen[0].replace(folder.path().to_str().unwrap(), ""));
    }

    fn relink(letsencrypt: &Path, part: &str, target: &str) {
        let link = letsencrypt.join(format!("live/a.test/{part}.pem"));
        fs::remove_file(&link).unwrap();
        symlink(target, link).unwrap();
    }

    #[test]
    fn the_version_is_read_from_the_links() {
        check(|_| {}, expect!["Version(2) None"]);
        check(
            |path| {
                let target = path.join("archive/a.test/cert2.pem");
                relink(path, "cert", target.to_str().unwrap());
            },
            expect!["Version(2) None"],
        );
    }

    #[test]
    fn a_newer_version_is_found_when_it_is_complete() {
        let add = |path: &Path, part: &str, version: u32| {
            fs::File::create(path.join(format!("archive/a.test/{part}{version}.pem"))).unwrap();
        };
        check(|path| add(path, "cert", 3), expect!["Version(2) Some(10)"]);
        check(
            |path| {
                add(path, "cert", 3);
                fs::remove_file(path.join("archive/a.test/privkey10.pem")).unwrap();
            },
            expect!["Version(2) Some(9)"],
        );
    }

    #[test]
    fn broken_links_are_told() {
        check(
            |path| relink(path, "privkey", "../../archive/a.test/privkey1.pem"),
            expect![[
                r#"Broken("/live/a.test/privkey.pem leads to version 1, another link to version 2") Some(10)"#
            ]],
        );
        check(
            |path| relink(path, "chain", "../../archive/b.test/chain2.pem"),
            expect![[
                r#"Broken("/live/a.test/chain.pem leads to ../../archive/b.test/chain2.pem, which is no version of it") Some(10)"#
            ]],
        );
        check(
            |path| fs::remove_file(path.join("live/a.test/chain.pem")).unwrap(),
            expect![[
                r#"Broken("/live/a.test/chain.pem: No such file or directory (os error 2)") Some(10)"#
            ]],
        );
        check(
            |path| fs::remove_dir_all(path.join("live/a.test")).unwrap(),
            expect!["None Some(10)"],
        );
        check(
            |path| {
                let link = path.join("live/a.test/cert.pem");
                fs::remove_file(&link).unwrap();
                fs::File::create(link).unwrap();
            },
            expect![[r#"Foreign("/live/a.test/cert.pem is a file, not a link") Some(10)"#]],
        );
    }

    #[test]
    fn a_vhost_names_a_lineage_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real");
        fs::create_dir_all(real.join("live")).unwrap();
        let link = folder.path().join("letsencrypt");
        symlink(&real, &link).unwrap();
        let lineages = Lineages::new(&link);
        for (path, name) in [
            (link.join("live/a.test/fullchain.pem"), Some("a.test")),
            (real.join("live/a.test/cert.pem"), Some("a.test")),
            (link.join("live//a.test/./fullchain.pem"), Some("a.test")),
            (link.join("live/./a.test//fullchain.pem"), Some("a.test")),
            (link.join("live/a.test/x/fullchain.pem"), None),
            (link.join("live/a.test/.."), None),
            (link.join("live/a.test"), None),
            (link.join("living/a.test/fullchain.pem"), None),
            (link.join("live/../x.pem"), None),
            (link.join("archive/a.test/fullchain1.pem"), None),
            ("/etc/ssl/snakeoil.pem".into(), None),
        ] {
            assert_eq!(lineages.named_by(&path), name, "{}", path.display());
        }
    }

    #[test]
    fn numbers_are_read_strictly() {
        for (file, version) in [
            ("cert1.pem", Some(1)),
            ("cert4294967295.pem", Some(u32::MAX)),
            ("cert4294967296.pem", None),
            ("cert01.pem", None),
            ("cert.pem", None),
            ("cert+1.pem", None),
            ("cert1.pem.bak", None),
            ("chain1.pem", None),
        ] {
            assert_eq!(number(file, Part::Cert), version, "{file}");
        }
    }
}
