//! Which files may be opened, and what is said about those that may not?

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use jiff::Timestamp;
use renewal::ledger::{Ledger, LimitKind, OrderFacts};
use renewal::name::Name;
use renewal::names::Names;
use renewal::policy::Ca;
use renewal::ports::{HistoryEntry, Memory, Note};
use store::Database;
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/clpctl.db");
    (folder, path)
}

fn now() -> Timestamp {
    "2026-02-01T00:00:00Z".parse().unwrap()
}

fn entry(what: &str) -> HistoryEntry {
    HistoryEntry {
        at: now(),
        domain: Some(Name::parse("a.test").unwrap()),
        what: what.to_owned(),
        detail: String::new(),
    }
}

/// Changes the file with another program's eyes.
fn sql(path: &Path, statement: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch(statement).unwrap();
}

/// Lists what is in the folder, with contents.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// The single place where a refusal is compared; the folder's name is taken out. Nothing may have changed.
#[track_caller]
fn check_refused(folder: &TempDir, path: &Path, expect: &Expect) {
    let state = path.parent().unwrap();
    let before = state.is_dir().then(|| contents(state));
    let error = Database::open(path, now()).unwrap_err().to_string();
    expect.assert_eq(&error.replace(folder.path().to_str().unwrap(), "DIR"));
    assert_eq!(state.is_dir().then(|| contents(state)), before);
}

#[test]
fn a_new_file_is_private_from_the_start() {
    let (_folder, path) = folder();
    let database = Database::open(&path, now()).unwrap();
    database.note(&[Note::History(&entry("x"))]).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for (file, _) in contents(path.parent().unwrap()) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn a_newer_clpctls_file_is_refused() {
    let (folder, path) = folder();
    drop(Database::open(&path, now()).unwrap());
    sql(&path, "PRAGMA user_version = 99");
    check_refused(
        &folder,
        &path,
        &expect![
            "DIR/state/clpctl.db was written by a newer clpctl (its form is 99, this clpctl knows 4); nothing was changed; install that clpctl again, or moving it aside is safe (mv DIR/state/clpctl.db DIR/state/clpctl.db.old; also DIR/state/clpctl.db-wal and DIR/state/clpctl.db-shm): the next run reads sites and certificates anew, and only the history and the count of used-up CA limits are lost"
        ],
    );
    let error = Database::open_read_only(&path).unwrap_err().to_string();
    assert!(error.contains("newer clpctl"), "{error}");
}

#[test]
fn an_older_clpctls_file_is_brought_up_to_date_and_keeps_what_was_spent() {
    let (_folder, path) = folder();
    drop(Database::open(&path, now()).unwrap());
    // As the first form was, with a bucket that was told to be empty for another week.
    sql(
        &path,
        "ALTER TABLE spent DROP COLUMN told_until;
         ALTER TABLE attempts DROP COLUMN names;
         DROP TABLE lines;
         INSERT INTO spent VALUES ('https://ca.test/', 'own-failures-per-day', 'a.test', 1769990400000000);
         PRAGMA user_version = 1",
    );
    let database = Database::open(&path, now()).unwrap();
    let mut ledger = database.ledger().unwrap();
    let (ca, names) = (
        Ca("https://ca.test/".into()),
        Names::from(Name::parse("a.test").unwrap()),
    );
    let order = OrderFacts {
        ca: &ca,
        names: &names,
        same_set: true,
        replaces_in_window: false,
        urgent: false,
    };
    let refusal = ledger.allows(order, now()).unwrap_err();
    assert_eq!(refusal.retry_at.to_string(), "2026-02-02T00:00:00Z");
    let spent = ledger.failed(&ca, names.domain(), now());
    database.note(&[Note::Spent(&spent)]).unwrap();
}

#[test]
fn what_a_ca_told_is_not_forgotten_before_it_is_over() {
    let (_folder, path) = folder();
    let (ca, names) = (
        Ca("https://ca.test/".into()),
        Names::from(Name::parse("a.test").unwrap()),
    );
    let order = OrderFacts {
        ca: &ca,
        names: &names,
        same_set: true,
        replaces_in_window: false,
        urgent: false,
    };
    let later = |hours| {
        now()
            .checked_add(jiff::SignedDuration::from_hours(hours))
            .unwrap()
    };
    let told = Ledger::default().told(order, LimitKind::OrdersPerAccount, None, later(48), now());
    let database = Database::open(&path, now()).unwrap();
    database.note(&[Note::Spent(&told)]).unwrap();
    drop(database);
    let held = |at| {
        let database = Database::open(&path, at).unwrap();
        database.ledger().unwrap().allows(order, at).is_err()
    };
    assert!(held(later(24)), "its bucket is full by our own reckoning");
    assert!(!held(later(49)));
}

#[test]
fn another_programs_database_is_refused() {
    let (folder, path) = folder();
    fs::create_dir(path.parent().unwrap()).unwrap();
    sql(&path, "CREATE TABLE site (id INTEGER)");
    check_refused(
        &folder,
        &path,
        &expect![
            "DIR/state/clpctl.db is a database, but not clpctl's; nothing was changed; `paths.state` names the folder to use"
        ],
    );
}

#[test]
fn a_damaged_file_is_refused() {
    let (folder, path) = folder();
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::copy("/bin/true", &path).unwrap();
    check_refused(
        &folder,
        &path,
        &expect![
            "DIR/state/clpctl.db is damaged: file is not a database; moving it aside is safe (mv DIR/state/clpctl.db DIR/state/clpctl.db.old; also DIR/state/clpctl.db-wal and DIR/state/clpctl.db-shm): the next run reads sites and certificates anew, and only the history and the count of used-up CA limits are lost"
        ],
    );
}

#[test]
fn a_value_that_makes_no_sense_is_told_with_the_way_out() {
    let (_folder, path) = folder();
    let database = Database::open(&path, now()).unwrap();
    sql(
        &path,
        "INSERT INTO attempts VALUES ('a b', 1, 'site', 0, 0, '', NULL, 0, NULL)",
    );
    let error = database.remembered().unwrap_err().to_string();
    assert!(error.contains("a name makes no sense"), "{error}");
    assert!(error.contains("moving it aside is safe"), "{error}");
}

#[test]
fn a_state_folder_that_cannot_be_made_is_told() {
    let (folder, path) = folder();
    fs::copy("/bin/true", path.parent().unwrap()).unwrap();
    check_refused(
        &folder,
        &path,
        &expect!["the state directory DIR/state cannot be made: File exists (os error 17)"],
    );
}

#[test]
fn a_file_that_cannot_be_made_is_told() {
    let (folder, path) = folder();
    fs::create_dir(path.parent().unwrap()).unwrap();
    symlink("/proc/no-such-file", &path).unwrap();
    let error = Database::open(&path, now()).unwrap_err().to_string();
    expect![
        "DIR/state/clpctl.db cannot be opened: unable to open database file: DIR/state/clpctl.db"
    ]
    .assert_eq(&error.replace(folder.path().to_str().unwrap(), "DIR"));
}

#[test]
fn an_empty_file_is_a_new_memory() {
    let (_folder, path) = folder();
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::File::create(&path).unwrap();
    let database = Database::open(&path, now()).unwrap();
    assert_eq!(database.history(None, 1).unwrap(), []);
}

#[test]
fn a_viewer_reads_while_a_run_works_and_sees_what_was_committed() {
    let (_folder, path) = folder();
    let run = Database::open(&path, now()).unwrap();
    run.note(&[Note::History(&entry("first"))]).unwrap();
    let viewer = Database::open_read_only(&path).unwrap();
    assert_eq!(viewer.history(None, 9).unwrap(), [entry("first")]);
    run.note(&[Note::History(&entry("second"))]).unwrap();
    assert_eq!(viewer.history(None, 1).unwrap(), [entry("second")]);
}

#[test]
fn a_viewer_writes_nothing_and_leaves_no_file() {
    let (_folder, path) = folder();
    let state = path.parent().unwrap();
    assert_eq!(
        Database::open_read_only(&path)
            .unwrap()
            .history(None, 1)
            .unwrap(),
        []
    );
    assert!(!state.exists());

    Database::open(&path, now())
        .unwrap()
        .note(&[Note::History(&entry("x"))])
        .unwrap();
    let before = contents(state);
    let viewer = Database::open_read_only(&path).unwrap();
    assert_eq!(viewer.history(None, 9).unwrap(), [entry("x")]);
    let error = viewer
        .note(&[Note::History(&entry("y"))])
        .unwrap_err()
        .to_string();
    assert!(error.contains("readonly"), "{error}");
    drop(viewer);
    assert_eq!(contents(state), before);
}

#[test]
fn two_writers_take_turns() {
    let (_folder, path) = folder();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || {
                let database = Database::open(&path, now()).unwrap();
                for _ in 0..10 {
                    database.note(&[Note::History(&entry("x"))]).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let viewer = Database::open_read_only(&path).unwrap();
    assert_eq!(viewer.history(None, 99).unwrap().len(), 40);
}

#[test]
fn a_write_that_fails_half_way_leaves_nothing() {
    let (_folder, path) = folder();
    let database = Database::open(&path, now()).unwrap();
    database.note(&[Note::History(&entry("x"))]).unwrap();
    sql(
        &path,
        "CREATE TRIGGER full BEFORE INSERT ON history WHEN NEW.what = 'z'
         BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END",
    );
    let error = database
        .note(&[Note::History(&entry("y")), Note::History(&entry("z"))])
        .unwrap_err()
        .to_string();
    assert!(error.contains("cannot write what happened"), "{error}");
    assert!(error.contains("disk is full"), "{error}");
    assert_eq!(database.history(None, 9).unwrap(), [entry("x")]);
}
