//! Do the links fit together wherever the process dies?

use std::os::unix::fs::MetadataExt as _;

use super::*;
use crate::file::crash;
use crate::lineage::tests::lineage;
use renewal::certificate::Fingerprint;

/// A lineage with versions 1 and 2, linked to 1 unless it is new, and with certbot's README.
struct Case {
    folder: tempfile::TempDir,
    lineages: Lineages,
    switch: LinkSwitch,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Usual,
    New,
    /// A folder inside keeps the links from being exchanged.
    OneByOne,
    /// The links were broken before.
    Broken,
}

impl Case {
    fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        lineage(folder.path(), "a.test", &[1, 2], 1);
        lineage(folder.path(), "b.test", &[1], 1);
        let live = folder.path().join("live/a.test");
        match kind {
            Kind::Usual => {
                fs::File::create(live.join("README")).unwrap();
            }
            Kind::New => fs::remove_dir_all(&live).unwrap(),
            Kind::OneByOne => fs::create_dir(live.join("mine")).unwrap(),
            Kind::Broken => fs::remove_file(live.join("chain.pem")).unwrap(),
        }
        let switch = LinkSwitch {
            lineage: "a.test".into(),
            from: matches!(kind, Kind::Usual | Kind::OneByOne).then_some(1),
            to: 2,
            serves: Fingerprint([0; 32]),
        };
        Self {
            lineages: Lineages::new(folder.path()),
            folder,
            switch,
        }
    }

    fn links(&self) -> Links {
        self.lineages.links("a.test")
    }

    /// Everything under `live/`, with what is linked.
    fn listing(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut folders = vec![self.folder.path().join("live")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                let target = fs::read_link(&path).unwrap_or_default();
                lines.push(format!("{} {}", path.display(), target.display()));
                if entry.file_type().unwrap().is_dir() {
                    folders.push(path);
                }
            }
        }
        lines.sort();
        lines
    }
}

const KINDS: [Kind; 4] = [Kind::Usual, Kind::New, Kind::OneByOne, Kind::Broken];

/// Lets `work` die after each number of steps, from none to all, each time on a fresh case.
fn die_everywhere(kind: Kind, work: impl Fn(&Case), then: impl Fn(&Case, usize)) {
    for steps in 0..100 {
        let case = Case::new(kind);
        let ((), died) = crash::after(steps, || work(&case));
        then(&case, steps);
        if !died {
            assert!(steps > 0, "nothing was done at all");
            return;
        }
    }
    panic!("it never ends");
}

#[test]
fn cut_anywhere_the_links_are_those_before_or_those_after() {
    for kind in [Kind::Usual, Kind::New] {
        let before = Case::new(kind).links();
        die_everywhere(
            kind,
            |case| drop(switch(&case.lineages, &[&case.switch])),
            |case, steps| {
                let now = case.links();
                let whole = now == before || now == Links::Version(2);
                assert!(whole, "{kind:?}, {steps} steps: {now:?}");
            },
        );
    }
}

#[test]
fn cut_anywhere_the_switch_can_be_finished() {
    for kind in KINDS {
        let straight = Case::new(kind);
        switch(&straight.lineages, &[&straight.switch]).unwrap();
        settle(&straight.lineages, &straight.switch).unwrap();
        assert_eq!(straight.links(), Links::Version(2), "{kind:?}");
        die_everywhere(
            kind,
            |case| {
                let _ = switch(&case.lineages, &[&case.switch]);
                let _ = settle(&case.lineages, &case.switch);
            },
            |case, steps| {
                switch(&case.lineages, &[&case.switch]).unwrap();
                settle(&case.lineages, &case.switch).unwrap();
                let names = |case: &Case| case.listing().len();
                assert_eq!(case.links(), Links::Version(2), "{kind:?}, {steps} steps");
                assert_eq!(names(case), names(&straight), "{:#?}", case.listing());
            },
        );
    }
}

#[test]
fn cut_anywhere_the_switch_can_be_undone() {
    for kind in KINDS {
        let before = Case::new(kind).listing().len();
        let links = Case::new(kind).links().version();
        die_everywhere(
            kind,
            |case| {
                let _ = switch(&case.lineages, &[&case.switch]);
                let _ = revert(&case.lineages, &[&case.switch]);
            },
            |case, steps| {
                revert(&case.lineages, &[&case.switch]).unwrap();
                revert(&case.lineages, &[&case.switch]).unwrap();
                assert_eq!(case.links().version(), links, "{kind:?}, {steps} steps");
                assert_eq!(case.listing().len(), before, "{:#?}", case.listing());
            },
        );
    }
}

#[test]
fn what_else_lies_in_the_folder_stays_and_other_lineages_are_not_touched() {
    let case = Case::new(Kind::Usual);
    let inode = |path: &str| {
        let path = case.folder.path().join(path);
        fs::symlink_metadata(path).unwrap().ino()
    };
    let (readme, other) = (inode("live/a.test/README"), inode("live/b.test/cert.pem"));
    switch(&case.lineages, &[&case.switch]).unwrap();
    settle(&case.lineages, &case.switch).unwrap();
    assert_eq!(inode("live/a.test/README"), readme);
    assert_eq!(inode("live/b.test/cert.pem"), other);
}

#[test]
fn an_undo_brings_back_the_very_links() {
    let case = Case::new(Kind::Usual);
    let before = fs::symlink_metadata(case.lineages.link("a.test", Part::Privkey)).unwrap();
    switch(&case.lineages, &[&case.switch]).unwrap();
    revert(&case.lineages, &[&case.switch]).unwrap();
    let after = fs::symlink_metadata(case.lineages.link("a.test", Part::Privkey)).unwrap();
    assert_eq!(after.ino(), before.ino());
    assert_eq!(after.mtime_nsec(), before.mtime_nsec());
}

#[test]
fn linking_what_is_linked_changes_nothing() {
    let case = Case::new(Kind::Usual);
    let again = LinkSwitch {
        to: 1,
        ..case.switch.clone()
    };
    let before = case.listing();
    crash::after(0, || switch(&case.lineages, &[&again]).unwrap());
    revert(&case.lineages, &[&again]).unwrap();
    assert_eq!(case.listing(), before);
}

#[test]
fn a_version_that_is_not_whole_is_not_linked() {
    let case = Case::new(Kind::Usual);
    fs::remove_file(case.folder.path().join("archive/a.test/privkey2.pem")).unwrap();
    let error = switch(&case.lineages, &[&case.switch])
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("archive/a.test/privkey2.pem is missing"),
        "{error}"
    );
    assert_eq!(case.links(), Links::Version(1));
}

#[test]
fn files_that_somebody_put_there_are_not_replaced() {
    let case = Case::new(Kind::Usual);
    let link = case.lineages.link("a.test", Part::Cert);
    fs::remove_file(&link).unwrap();
    fs::File::create(&link).unwrap();
    let before = case.listing();
    switch(&case.lineages, &[&case.switch]).unwrap_err();
    revert(&case.lineages, &[&case.switch]).unwrap();
    assert_eq!(case.listing(), before);
}
