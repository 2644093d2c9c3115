//! What does a site's user gain who changes the way to the document root while root writes there? Nothing.
//!
//! The user is real: a process with a user id of its own that renames and links in a loop, as fast as it can, while
//! challenge files are put and taken. What it is after has owners of its own, and must stay as it is.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::*;

/// A machine with a site of the hostile user, and things that are none of his.
struct Machine {
    folder: tempfile::TempDir,
    root: PathBuf,
}

impl Machine {
    /// `None` for who is not root: then there is nobody to play the user.
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let machine = Self {
            root: folder.path().join("home/htdocs/site"),
            folder,
        };
        machine.make("home", USER, 0o755);
        machine.make("home/htdocs", USER, 0o755);
        machine.make("home/htdocs/site", USER, 0o755);
        // Another site's folders, and root's own, inside the user's reach by path alone.
        machine.make("victim", VICTIM, 0o755);
        machine.make("victim/.well-known", VICTIM, 0o755);
        machine.make("victim/acme-challenge", VICTIM, 0o755);
        machine.make("secrets", 0, 0o700);
        machine.make("secrets/acme-challenge", 0, 0o700);
        crate::testing::put(&machine.path("secrets/shadow"), "root's");
        Some(machine)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn make(&self, name: &str, owner: u32, mode: u32) {
        let path = self.path(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        chown(&path, Some(owner), Some(owner)).unwrap();
    }

    /// Everything that is not the user's: what it holds, whose it is, and who may use it.
    fn guarded(&self) -> BTreeMap<PathBuf, (u32, u32, u32)> {
        let mut found = BTreeMap::new();
        for place in ["victim", "secrets"] {
            gather(&self.path(place), &mut found);
        }
        found
    }

    /// Lets the user do `moves`, a loop's body in Perl, while challenges are put and taken; says how many were put.
    fn play(&self, moves: &str) -> u32 {
        let before = self.guarded();
        let (home, victim) = (self.path("home"), self.path("victim"));
        let script = format!("chdir $ARGV[0] or die; while (1) {{ {moves} }}");
        let mut user = user(&script, &[&home, &victim, &self.path("secrets")]);
        let folder = ChallengeFolder::Root(self.root.clone());
        let (until, mut put_there) = (Instant::now() + ROUND, 0);
        while Instant::now() < until {
            for _ in 0..50 {
                let outcome = put(&folder, Owner::DocumentRoot, TOKEN, "TOKEN.print");
                put_there += u32::from(outcome.is_ok());
                take(&folder, TOKEN);
                if let Ok(made) = outcome {
                    tidy(&folder, &made);
                }
            }
        }
        let ended = user.try_wait().unwrap();
        user.kill().unwrap();
        user.wait().unwrap();
        assert_eq!(ended, None, "the user was at it all the time");
        assert_eq!(self.guarded(), before, "{moves}");
        put_there
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the hostile user is another program"
)]
fn user(script: &str, places: &[&Path]) -> std::process::Child {
    std::process::Command::new("setpriv")
        .args([
            &format!("--reuid={USER}"),
            &format!("--regid={USER}"),
            "--clear-groups",
        ])
        .args(["perl", "-e", script])
        .args(places)
        .spawn()
        .expect("setpriv and perl are there: ./test --setup")
}

fn gather(path: &Path, found: &mut BTreeMap<PathBuf, (u32, u32, u32)>) {
    let facts = path.symlink_metadata().unwrap();
    let owned = (facts.uid(), facts.gid(), facts.mode());
    found.insert(path.to_owned(), owned);
    if facts.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            gather(&entry.unwrap().path(), found);
        }
    }
}

#[test]
fn the_document_root_itself_comes_and_goes_for_a_link() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let put = machine.play(
        "rename 'htdocs/site', 'htdocs/aside'; symlink $ARGV[1], 'htdocs/site'; \
         unlink 'htdocs/site'; rename 'htdocs/aside', 'htdocs/site';",
    );
    assert!(put > 0, "in between it is a folder");
    machine.play(
        "rename 'htdocs', 'aside'; symlink $ARGV[2], 'htdocs'; unlink 'htdocs'; rename 'aside', 'htdocs';",
    );
}

#[test]
fn folders_below_the_document_root_come_and_go_for_links() {
    let Some(machine) = Machine::new() else {
        return;
    };
    machine.play(
        "symlink $ARGV[2], 'htdocs/site/.well-known'; unlink 'htdocs/site/.well-known'; \
         rename 'htdocs/site/.well-known', 'aside';",
    );
    machine.play(
        "mkdir 'htdocs/site/.well-known'; symlink $ARGV[1], 'htdocs/site/.well-known/acme-challenge'; \
         unlink 'htdocs/site/.well-known/acme-challenge'; rmdir 'htdocs/site/.well-known';",
    );
}

#[test]
fn a_folder_of_roots_is_not_given_away_under_the_name_of_a_new_one() {
    let Some(machine) = Machine::new() else {
        return;
    };
    // Root keeps something in the user's document root; the user may give it another name there.
    let backup = machine.root.join("backup");
    fs::create_dir(&backup).unwrap();
    fs::set_permissions(&backup, fs::Permissions::from_mode(0o700)).unwrap();
    crate::testing::put(&backup.join("dump.sql"), "everybody's");
    machine.play(
        "rename 'htdocs/site/.well-known', 'htdocs/site/away'; \
         rename 'htdocs/site/backup', 'htdocs/site/.well-known'; \
         rename 'htdocs/site/.well-known', 'htdocs/site/backup'; rmdir 'htdocs/site/away';",
    );
    let names = ["backup", ".well-known", "away"].map(|name| machine.root.join(name));
    let kept = names
        .iter()
        .find(|path| path.join("dump.sql").exists())
        .expect("it is where the user left it");
    let facts = kept.metadata().unwrap();
    assert_eq!((facts.uid(), facts.mode() & 0o777), (0, 0o700));
}

#[test]
fn a_token_that_is_a_link_or_a_second_name_is_not_written_through() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let theirs = machine.path("victim/page");
    crate::testing::put(&theirs, "the victim's");
    // For who may link what is not his: protected_hardlinks may be off.
    let challenge = machine.root.join(".well-known/acme-challenge");
    fs::create_dir_all(&challenge).unwrap();
    for folder in [machine.root.join(".well-known"), challenge.clone()] {
        chown(folder, Some(USER), Some(USER)).unwrap();
    }
    fs::hard_link(&theirs, challenge.join(TOKEN)).unwrap();
    let folder = ChallengeFolder::Root(machine.root.clone());
    put(&folder, Owner::DocumentRoot, TOKEN, "TOKEN.print").unwrap();
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "the victim's");
    assert_eq!(theirs.metadata().unwrap().uid(), 0, "nor given away");
    take(&folder, TOKEN);
    let put = machine.play(
        "my $t = 'htdocs/site/.well-known/acme-challenge/TOKEN'; unlink $t; symlink \"$ARGV[1]/page\", $t; \
         unlink $t; symlink \"$ARGV[2]/new\", $t;",
    );
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "the victim's");
    assert!(put > 0);
}

#[test]
fn a_link_that_a_trusted_link_leads_to_is_judged_too() {
    let Some(machine) = Machine::new() else {
        return;
    };
    // An admin's link leads into the user's home, where the user lets it lead on.
    let (admins, users) = (machine.path("current"), machine.path("home/current"));
    symlink(&users, &admins).unwrap();
    symlink(machine.path("victim"), &users).unwrap();
    lchown(&users, Some(USER), Some(USER)).unwrap();
    let before = machine.guarded();
    let folder = ChallengeFolder::Root(admins.clone());
    let refused = put(&folder, Owner::DocumentRoot, TOKEN, "x").unwrap_err();
    assert_eq!(refused.name, FindingName::WebrootSymlinkOwner);
    assert!(refused.detail.contains("home/current"), "{refused:?}");
    take(&folder, TOKEN);
    tidy(&folder, &[".well-known", "acme-challenge"]);
    assert_eq!(machine.guarded(), before);
    // To a folder of the user's own it may lead.
    fs::remove_file(&users).unwrap();
    symlink("htdocs/../htdocs/./site", &users).unwrap();
    lchown(&users, Some(USER), Some(USER)).unwrap();
    put(&folder, Owner::DocumentRoot, TOKEN, "x").unwrap();
    assert!(
        machine
            .root
            .join(".well-known/acme-challenge/TOKEN")
            .exists()
    );
}

#[test]
fn a_link_of_roots_under_a_name_of_the_users_leads_nowhere() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let link = machine.path("link");
    symlink(machine.path("victim"), &link).unwrap();
    fs::remove_dir(&machine.root).unwrap();
    fs::hard_link(&link, &machine.root).unwrap();
    let before = machine.guarded();
    let folder = ChallengeFolder::Root(machine.root.clone());
    let refused = put(&folder, Owner::DocumentRoot, TOKEN, "x").unwrap_err();
    assert_eq!(refused.name, FindingName::WebrootSymlinkOwner);
    assert_eq!(machine.guarded(), before);
}

#[test]
fn links_in_a_circle_and_endless_ways_come_to_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    symlink("two", at("one")).unwrap();
    symlink("one", at("two")).unwrap();
    assert_eq!(way::open(&at("one")).unwrap_err().1, Errno::LOOP);
    symlink("./".repeat(1_500) + "../".repeat(300).as_str(), at("long")).unwrap();
    assert!(way::open(&at("long")).is_ok(), "`/` lies above itself");
    symlink(format!("{}wide", "sub/../".repeat(500)), at("wide")).unwrap();
    fs::create_dir(at("sub")).unwrap();
    assert_eq!(way::open(&at("wide")).unwrap_err().1, Errno::LOOP);
    symlink("missing", at("dangling")).unwrap();
    assert_eq!(way::open(&at("dangling")).unwrap_err().1, Errno::NOENT);
    crate::testing::put(&at("file"), "");
    assert_eq!(way::open(&at("file")).unwrap_err().1, Errno::NOTDIR);
    assert_eq!(way::open(&at("file/below")).unwrap_err().1, Errno::NOTDIR);
}

/// Site users have numbers like these.
const USER: u32 = 4711;
const VICTIM: u32 = 4712;

const TOKEN: &str = "TOKEN";

/// Some thousand attempts of either side.
const ROUND: Duration = Duration::from_millis(700);
