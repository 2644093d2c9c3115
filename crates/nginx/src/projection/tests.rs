//! Is the pair the old one or the new one, wherever the process dies, and does an undo bring the old one back?

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;
use crate::file::crash;
use crate::testing::put;

/// A host with the old pair in plain files, and versions 1 and 2 in the archive.
struct Host {
    folder: tempfile::TempDir,
    lineages: Lineages,
    files: Projection,
}

impl Host {
    fn new(old: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lineages = Lineages::new(folder.path());
        let certificates = folder.path().join("ssl-certificates");
        for made in [&certificates, &folder.path().join("archive/a.test")] {
            fs::create_dir_all(made).unwrap();
        }
        for version in [1, 2] {
            for part in Part::ALL {
                let text = format!("{} {version}", part.as_str());
                put(&lineages.file("a.test", part, version), &text);
            }
        }
        let files = Projection::of(&certificates, "a.test");
        if old {
            put(&files.key, "old key");
            put(&files.certificate, "old certificate");
            fs::set_permissions(&files.key, fs::Permissions::from_mode(0o640)).unwrap();
            std::os::unix::fs::chown(&files.key, Some(64_001), Some(64_002)).unwrap();
        }
        Self {
            folder,
            lineages,
            files,
        }
    }

    fn plan(&self, version: u32) -> PairSwitch {
        plan(&self.lineages, "a.test", version, &self.files).unwrap()
    }

    fn switch(&self, pair: &PairSwitch) -> Result<(), ProjectionError> {
        switch(&self.lineages, &[pair])
    }

    fn holds(&self) -> (String, String) {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        (read(&self.files.key), read(&self.files.certificate))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join("ssl-certificates")).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn pair(key: &str, certificate: &str) -> (String, String) {
    (key.to_owned(), certificate.to_owned())
}

#[test]
fn owner_and_mode_stay_and_nothing_is_left_beside() {
    let host = Host::new(true);
    let switching = host.plan(1);
    host.switch(&switching).unwrap();
    settle(&switching).unwrap();
    assert_eq!(host.holds(), pair("privkey 1", "fullchain 1"));
    let facts = host.files.key.metadata().unwrap();
    assert_eq!(
        (facts.uid(), facts.gid(), facts.mode() & 0o777),
        (64_001, 64_002, 0o640)
    );
    assert_eq!(host.names(), ["a.test.crt", "a.test.key"]);
}

#[test]
fn wherever_the_process_dies_the_same_switch_finishes_it() {
    for steps in 0.. {
        let host = Host::new(true);
        let switching = host.plan(1);
        let (_, died) = crash::after(steps, || host.switch(&switching));
        let (key, certificate) = host.holds();
        let whole = [
            pair("old key", "old certificate"),
            pair("privkey 1", "fullchain 1"),
        ];
        let torn = (key.clone(), certificate.clone()) == pair("privkey 1", "old certificate");
        assert!(torn || whole.contains(&(key, certificate)), "{steps}");
        host.switch(&switching).unwrap();
        assert_eq!(host.holds(), pair("privkey 1", "fullchain 1"), "{steps}");
        settle(&switching).unwrap();
        assert_eq!(host.names(), ["a.test.crt", "a.test.key"], "{steps}");
        if !died {
            return;
        }
    }
}

#[test]
fn wherever_the_process_dies_an_undo_brings_back_the_very_files() {
    for steps in 0.. {
        let host = Host::new(true);
        let facts = |host: &Host| {
            let of = |path: &Path| {
                path.metadata()
                    .map(|facts| (facts.ino(), facts.mtime_nsec()))
            };
            (
                of(&host.files.key).unwrap(),
                of(&host.files.certificate).unwrap(),
            )
        };
        let before = facts(&host);
        let switching = host.plan(1);
        let (_, died) = crash::after(steps, || host.switch(&switching));
        let (_, again) = crash::after(steps / 2, || revert(&[&switching]));
        revert(&[&switching]).unwrap();
        revert(&[&switching]).unwrap();
        assert_eq!(host.holds(), pair("old key", "old certificate"), "{steps}");
        assert_eq!(facts(&host), before, "{steps}");
        let left: Vec<_> = host
            .names()
            .into_iter()
            .filter(|name| name.contains("before"))
            .collect();
        assert!(left.is_empty(), "{steps}: {left:?}");
        if !died && !again {
            return;
        }
    }
}

#[test]
fn where_there_was_nothing_an_undo_leaves_nothing() {
    let host = Host::new(false);
    let switching = host.plan(1);
    host.switch(&switching).unwrap();
    assert_eq!(host.files.key.metadata().unwrap().mode() & 0o777, 0o600);
    revert(&[&switching]).unwrap();
    assert!(host.names().is_empty());
}

#[test]
fn what_the_panel_writes_meanwhile_is_not_overwritten_and_not_undone() {
    let host = Host::new(true);
    let switching = host.plan(1);
    put(&host.files.certificate, "the panel's");
    let error = host.switch(&switching).unwrap_err();
    assert!(matches!(error, ProjectionError::Changed(_)), "{error}");
    assert_eq!(host.holds(), pair("old key", "the panel's"));

    let host = Host::new(true);
    let switching = host.plan(1);
    host.switch(&switching).unwrap();
    put(&host.files.key, "the panel's key");
    put(&host.files.certificate, "the panel's");
    revert(&[&switching]).unwrap();
    assert_eq!(host.holds(), pair("the panel's key", "the panel's"));
}

#[test]
fn what_is_there_already_is_not_written_again() {
    let host = Host::new(true);
    let switching = host.plan(1);
    host.switch(&switching).unwrap();
    settle(&switching).unwrap();
    let inode = host.files.key.metadata().unwrap().ino();
    let again = host.plan(1);
    host.switch(&again).unwrap();
    assert_eq!(host.files.key.metadata().unwrap().ino(), inode);
    let next = host.plan(2);
    host.switch(&next).unwrap();
    revert(&[&next]).unwrap();
    assert_eq!(host.holds(), pair("privkey 1", "fullchain 1"));
}
