//! Is only a certificate that may serve written, once, and whole?

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use expect_test::{Expect, expect};

use super::*;
use crate::file::crash;
use crate::testing::{self, Ca, Made};

fn stage_in(
    folder: &Path,
    site: &Site,
    key: &Secret,
    chains: &[&str],
) -> Result<Staged, HostFailure> {
    let lineages = Lineages::new(folder);
    let issued = Issued {
        chains: chains.iter().map(|chain| (*chain).to_owned()).collect(),
    };
    let now = "2026-03-02T00:00:00Z".parse().unwrap();
    let arrival = Arrival {
        site: site.clone(),
        key: key.clone(),
        kept: folder.join("kept.key"),
        issued,
        now,
    };
    stage(&lineages, &[], &[arrival]).remove(0)
}

/// Lists the archive of `a.test`, with modes.
fn listing(folder: &Path) -> String {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder.join("archive/a.test"))
        .unwrap()
        .flatten()
    {
        let mode = entry.metadata().unwrap().mode() & 0o777;
        let name = entry.file_name();
        lines.push(format!("{} {mode:o}\n", name.to_str().unwrap()));
    }
    lines.sort();
    lines.concat()
}

#[test]
fn a_first_certificate_is_written_as_certbot_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let made = Ca::new().issue(&["a.test"], (3, 6));
    let site = testing::site(&["a.test"]);
    let staged = stage_in(folder.path(), &site, &made.key, &[&made.chain]).unwrap();
    assert_eq!(staged.version, 1);
    assert_eq!(staged.path, folder.path().join("live/a.test/fullchain.pem"));
    assert_eq!(staged.certificate, made.leaf());
    expect![[r#"
        cert1.pem 644
        chain1.pem 644
        fullchain1.pem 644
        privkey1.pem 600
    "#]]
    .assert_eq(&listing(folder.path()));
    let text = |name: &str| {
        let path = folder.path().join("archive/a.test").join(name);
        fs::read_to_string(path).unwrap()
    };
    assert_eq!(text("fullchain1.pem"), made.chain);
    assert_eq!(
        text("fullchain1.pem"),
        text("cert1.pem") + &text("chain1.pem")
    );
    assert_eq!(text("privkey1.pem"), made.key.reveal());
    assert!(!folder.path().join("live/a.test").exists());
}

#[test]
fn the_same_leaf_gets_the_same_version_wherever_the_process_died() {
    let ca = Ca::new();
    let (one, two) = (ca.issue(&["a.test"], (2, 5)), ca.issue(&["a.test"], (3, 6)));
    let site = testing::site(&["a.test"]);
    for steps in 0.. {
        let folder = tempfile::tempdir().unwrap();
        stage_in(folder.path(), &site, &one.key, &[&one.chain]).unwrap();
        let staging = || stage_in(folder.path(), &site, &two.key, &[&two.chain]);
        let (_, died) = crash::after(steps, staging);
        assert_eq!(staging().unwrap().version, 2, "after {steps} steps");
        assert_eq!(staging().unwrap().version, 2, "after {steps} steps");
        let files = fs::read_dir(folder.path().join("archive/a.test")).unwrap();
        assert_eq!(files.count(), 8, "after {steps} steps");
        if !died {
            assert!(steps > 10);
            return;
        }
    }
}

#[test]
fn the_kept_key_is_moved_once_all_else_is_there() {
    let made = Ca::new().issue(&["a.test"], (3, 6));
    let site = testing::site(&["a.test"]);
    for steps in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("kept.key");
        testing::put(&kept, made.key.reveal());
        let inode = kept.metadata().unwrap().ino();
        let staging = || stage_in(folder.path(), &site, &made.key, &[&made.chain]);
        let (_, died) = crash::after(steps, staging);
        let moved = folder.path().join("archive/a.test/privkey1.pem");
        assert!(kept.exists() != moved.exists(), "after {steps} steps");
        if moved.exists() {
            assert_eq!(moved.metadata().unwrap().ino(), inode);
            assert!(folder.path().join("archive/a.test/fullchain1.pem").exists());
        }
        if !died {
            assert!(moved.exists());
            return;
        }
    }
}

#[test]
fn a_version_that_a_crash_left_half_written_is_passed_over_by_another_leaf() {
    let ca = Ca::new();
    let (one, two) = (ca.issue(&["a.test"], (2, 5)), ca.issue(&["a.test"], (3, 6)));
    let site = testing::site(&["a.test"]);
    let die = |steps| {
        let folder = tempfile::tempdir().unwrap();
        let (staged, died) = crash::after(steps, || {
            stage_in(folder.path(), &site, &one.key, &[&one.chain])
        });
        assert!(died && staged.is_err(), "no step leaves a half");
        folder
    };
    let exists = |folder: &tempfile::TempDir, file: &str| {
        folder.path().join("archive/a.test").join(file).exists()
    };
    let mut folders = (0..).map(die);
    let folder = folders.find(|folder| exists(folder, "cert1.pem")).unwrap();
    assert!(!exists(&folder, "privkey1.pem"));
    let staged = stage_in(folder.path(), &site, &two.key, &[&two.chain]).unwrap();
    assert_eq!(staged.version, 2);
    let newer = Lineages::new(folder.path()).newer("a.test", None);
    assert_eq!(newer, Some(2));
}

/// Stages what `spoil` makes of two certificates for `a.test`, and shows the reason for refusing.
fn check(spoil: impl FnOnce(&Ca, &mut Site) -> (Secret, Vec<String>), expect: Expect) {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new();
    let mut site = testing::site(&["a.test"]);
    let (key, chains) = spoil(&ca, &mut site);
    let chains: Vec<&str> = chains.iter().map(String::as_str).collect();
    let answer = match stage_in(folder.path(), &site, &key, &chains) {
        Ok(staged) => format!("version {}", staged.version),
        Err(HostFailure(finding)) => {
            assert!(
                !folder.path().join("archive").exists(),
                "nothing is written"
            );
            finding.detail
        }
    };
    expect.assert_eq(&answer);
}

fn good(ca: &Ca) -> Made {
    ca.issue(&["a.test"], (3, 6))
}

#[test]
fn what_is_wrong_is_refused_and_nothing_is_written() {
    check(
        |ca, _| (good(ca).key, vec![good(ca).chain]),
        expect!["the certificate is not for the key it was requested with"],
    );
    check(
        |ca, _| {
            let made = ca.issue(&["b.test"], (3, 6));
            (made.key, vec![made.chain])
        },
        expect!["the certificate does not cover a.test"],
    );
    check(
        |ca, _| {
            let made = good(ca);
            let end = made.chain.find("-----END").unwrap() + "-----END CERTIFICATE-----\n".len();
            (made.key, vec![made.chain[..end].to_owned()])
        },
        expect![
            "the chain is not whole: the certificate of its issuer, “Test Intermediate”, is missing"
        ],
    );
    check(
        |ca, site| {
            site.current = Some(testing::current(&ca.issue(&["a.test"], (3, 7))));
            let made = ca.issue(&["a.test"], (2, 5));
            (made.key, vec![made.chain])
        },
        expect![
            "the certificate is older than the one being served: it ends on 2026-05-01T00:00:00Z, that one on 2026-07-01T00:00:00Z"
        ],
    );
    check(
        |ca, _| (good(ca).key, vec!["<html>busy</html>".to_owned()]),
        expect!["what came is no chain: there is no certificate in it"],
    );
    check(
        |ca, _| (good(ca).key, vec![]),
        expect!["the CA sent no certificate at all"],
    );
}

#[test]
fn an_alternate_chain_is_taken_when_the_first_is_not_whole() {
    check(
        |ca, _| {
            let made = good(ca);
            let end = made.chain.find("-----END").unwrap() + "-----END CERTIFICATE-----\n".len();
            let cut = made.chain[..end].to_owned();
            (made.key, vec![cut, made.chain])
        },
        expect!["version 1"],
    );
}
