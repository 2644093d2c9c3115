//! Are challenge files put where nginx serves them, and nowhere else, whatever a site user laid in the way?

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::PathBuf;

use super::*;

/// A document root with a mode and, as far as we may, an owner.
fn document_root(mode: u32) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("htdocs");
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(mode)).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(&root, Some(4242), Some(4343)).unwrap();
    }
    (folder, root)
}

fn facts(path: &Path) -> (u32, u32, u32) {
    let facts = path.metadata().unwrap();
    (facts.uid(), facts.gid(), facts.mode() & 0o7777)
}

fn put_there(folder: &ChallengeFolder) -> Result<Vec<&'static str>, Finding> {
    put(folder, Owner::DocumentRoot, "TOKEN", "TOKEN.print")
}

#[test]
fn owner_and_modes_fit_the_document_root() {
    for (mode, folder_mode, file_mode) in [
        (0o755, 0o755, 0o644),
        (0o770, 0o750, 0o640),
        (0o2771, 0o751, 0o640),
        (0o777, 0o755, 0o644),
        (0o500, 0o700, 0o600),
    ] {
        let (_folder, root) = document_root(mode);
        let challenges = ChallengeFolder::Root(root.clone());
        assert_eq!(
            put_there(&challenges).unwrap(),
            [".well-known", "acme-challenge"]
        );
        let (user, group, _) = facts(&root);
        let well_known = root.join(".well-known");
        let file = well_known.join("acme-challenge/TOKEN");
        assert_eq!(facts(&well_known), (user, group, folder_mode), "{mode:o}");
        assert_eq!(
            facts(&well_known.join("acme-challenge")),
            (user, group, folder_mode)
        );
        assert_eq!(facts(&file), (user, group, file_mode), "{mode:o}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "TOKEN.print");
        put_there(&challenges).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "TOKEN.print");
    }
}

/// Removes the file, and the folders that were made for it.
fn take_all(folder: &ChallengeFolder, made: &[&'static str]) {
    take(folder, "TOKEN");
    tidy(folder, made);
}

#[test]
fn only_our_own_file_and_empty_folders_of_ours_are_removed() {
    let (_folder, root) = document_root(0o755);
    let challenges = ChallengeFolder::Root(root.clone());
    let made = put_there(&challenges).unwrap();
    take(&challenges, "TOKEN");
    assert!(root.join(".well-known/acme-challenge").exists());
    tidy(&challenges, &made);
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);

    let made = put_there(&challenges).unwrap();
    let theirs = root.join(".well-known/security.txt");
    fs::File::create(&theirs).unwrap();
    take_all(&challenges, &made);
    assert!(theirs.exists() && !root.join(".well-known/acme-challenge").exists());

    let made = put_there(&challenges).unwrap();
    assert_eq!(made, ["acme-challenge"]);
    take_all(&challenges, &made);
    take_all(&challenges, &made);
    fs::create_dir(root.join(".well-known/acme-challenge")).unwrap();
    let made = put_there(&challenges).unwrap();
    take_all(&challenges, &made);
    assert!(
        root.join(".well-known/acme-challenge").exists(),
        "it was there before"
    );
}

#[test]
fn an_alias_holds_the_token_itself() {
    let (_folder, root) = document_root(0o755);
    let challenges = ChallengeFolder::Alias(root.clone());
    assert!(put_there(&challenges).unwrap().is_empty());
    assert!(root.join("TOKEN").exists());
    take(&challenges, "TOKEN");
    assert!(!root.join("TOKEN").exists());
}

/// Lets a site's user prepare the document root, and shows what comes of the challenge; nothing outside may change.
fn hostile(prepare: impl FnOnce(&Path, &Path)) -> Option<FindingName> {
    let (folder, root) = document_root(0o755);
    let target = folder.path().join("target");
    fs::create_dir(&target).unwrap();
    fs::create_dir(target.join("acme-challenge")).unwrap();
    crate::testing::put(&target.join("passwd"), "root");
    prepare(&root, &target);
    let answer = put_there(&ChallengeFolder::Root(root.clone()));
    take(&ChallengeFolder::Root(root), "passwd");
    let folder = ChallengeFolder::Root(folder.path().join("htdocs"));
    take_all(&folder, &[".well-known", "acme-challenge"]);
    assert_eq!(fs::read_to_string(target.join("passwd")).unwrap(), "root");
    assert_eq!(
        fs::read_dir(target.join("acme-challenge")).unwrap().count(),
        0
    );
    assert_eq!(fs::read_dir(&target).unwrap().count(), 2);
    answer.err().map(|finding| finding.name)
}

#[test]
fn links_below_the_document_root_are_never_followed() {
    let refused = Some(FindingName::WebrootSymlinkOwner);
    let well_known = hostile(|root, target| symlink(target, root.join(".well-known")).unwrap());
    assert_eq!(well_known, refused);
    let challenge = hostile(|root, target| {
        fs::create_dir(root.join(".well-known")).unwrap();
        symlink(target, root.join(".well-known/acme-challenge")).unwrap();
    });
    assert_eq!(challenge, refused);
    let dangling = hostile(|root, target| {
        symlink(target.join("new"), root.join(".well-known")).unwrap();
    });
    assert_eq!(dangling, refused);
    let token = hostile(|root, target| {
        let folder = root.join(".well-known/acme-challenge");
        fs::create_dir_all(&folder).unwrap();
        symlink(target.join("passwd"), folder.join("TOKEN")).unwrap();
    });
    assert_eq!(token, None, "the link itself is replaced");
}

#[test]
fn a_file_in_the_way_and_a_missing_document_root_are_told() {
    let file = hostile(|root, _| {
        fs::File::create(root.join(".well-known")).unwrap();
    });
    assert_eq!(file, Some(FindingName::WebrootSymlinkOwner));
    let finding = put_there(&ChallengeFolder::Root("/nowhere/htdocs".into())).unwrap_err();
    assert_eq!(finding.name, FindingName::WebrootMissing);
    assert_eq!(
        finding.detail,
        "/nowhere: No such file or directory (os error 2)"
    );
}

#[test]
fn a_users_link_to_somebody_elses_folder_is_no_document_root() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (folder, root) = document_root(0o755);
    let link = folder.path().join("public");
    symlink(&root, &link).unwrap();
    let there = ChallengeFolder::Root(link.clone());
    assert!(put_there(&there).is_ok(), "an admin's link is followed");
    std::os::unix::fs::lchown(&link, Some(4242), None).unwrap();
    assert!(
        put_there(&there).is_ok(),
        "a link to a folder of one's own is followed"
    );
    std::os::unix::fs::lchown(&link, Some(5555), None).unwrap();
    assert_eq!(
        put_there(&there).unwrap_err().name,
        FindingName::WebrootSymlinkOwner
    );
}
