//! Is a database that somebody else works on read without a trace, and written so that they can go on?

use super::*;
use testkit::panel::PanelDatabase;

fn database() -> (tempfile::TempDir, PanelDatabase) {
    let folder = tempfile::tempdir().unwrap();
    let database = PanelDatabase::make(folder.path());
    (folder, database)
}

fn count(connection: &Connection) -> Result<i64, Trouble> {
    let wrong = |cause: rusqlite::Error| of(Path::new("db"))(cause);
    connection
        .query_row("SELECT count(*) FROM config", [], |row| row.get(0))
        .map_err(wrong)
}

fn entries(database: &PanelDatabase) -> Vec<String> {
    let folder = std::fs::read_dir(database.path().parent().unwrap()).unwrap();
    let mut names: Vec<String> = folder
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn looking_makes_nothing_and_changes_nothing_whatever_the_journal() {
    for mode in ["delete", "wal", "truncate", "persist"] {
        let (_folder, database) = database();
        database.run(&format!(
            "PRAGMA journal_mode = {mode}; INSERT INTO config (key) VALUES ('x');"
        ));
        let before = (entries(&database), std::fs::read(database.path()).unwrap());
        let modified = |path: &Path| path.metadata().unwrap().modified().unwrap();
        let folder = database.path().parent().unwrap();
        let times = (modified(database.path()), modified(folder));
        assert_eq!(
            read(database.path(), Duration::ZERO, count).unwrap(),
            1,
            "{mode}"
        );
        assert_eq!(
            (entries(&database), std::fs::read(database.path()).unwrap()),
            before,
            "{mode}"
        );
        assert_eq!(
            (modified(database.path()), modified(folder)),
            times,
            "{mode}"
        );
    }
}

#[test]
fn what_the_panel_has_not_moved_out_of_its_journal_yet_is_seen() {
    let (_folder, database) = database();
    let panel = Connection::open(database.path()).unwrap();
    panel.pragma_update(None, "journal_mode", "wal").unwrap();
    panel
        .execute("INSERT INTO config (key) VALUES ('x')", [])
        .unwrap();
    assert!(beside(database.path(), "-wal").metadata().unwrap().len() > 0);
    assert_eq!(read(database.path(), Duration::ZERO, count).unwrap(), 1);
}

#[test]
fn one_that_is_held_is_waited_for_and_then_given_up() {
    let (_folder, database) = database();
    let panel = Connection::open(database.path()).unwrap();
    panel.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let begun = std::time::Instant::now();
    let patience = Duration::from_millis(200);
    let trouble = read(database.path(), patience, count).unwrap_err();
    assert!(trouble.is_busy(), "{trouble}");
    assert!(begun.elapsed() >= patience);
    let mut writing = Writing::open(database.path(), patience).unwrap();
    let begin = writing
        .connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate);
    assert!(of(database.path())(begin.err().unwrap()).is_busy());
}

#[test]
fn what_is_no_database_is_told_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a #1?.sq3");
    assert!(matches!(
        read(&path, Duration::ZERO, count),
        Err(Trouble::Missing(_))
    ));
    std::io::Write::write_all(&mut File::create(&path).unwrap(), &[b'x'; 4096]).unwrap();
    let trouble = read(&path, Duration::ZERO, count).unwrap_err();
    let finding = trouble.finding(FindingName::PanelUnreadable, "It cannot be read.");
    assert!(finding.fix.contains("backup"), "{finding:?}");
}

#[test]
fn a_path_with_strange_characters_is_read_in_every_journal_mode() {
    let folder = tempfile::Builder::new()
        .prefix("a #1?%20 ")
        .tempdir()
        .unwrap();
    let database = PanelDatabase::make(folder.path());
    database.run("PRAGMA journal_mode = wal; INSERT INTO config (key) VALUES ('x');");
    assert_eq!(read(database.path(), Duration::ZERO, count).unwrap(), 1);
}

#[test]
fn what_root_makes_beside_it_belongs_to_its_owner() {
    for mode in ["delete", "wal"] {
        let (_folder, database) = database();
        database.run(&format!("PRAGMA journal_mode = {mode};"));
        database.belongs_to(64_001);
        let writing = Writing::open(database.path(), Duration::ZERO).unwrap();
        writing
            .connection
            .execute_batch("BEGIN IMMEDIATE; INSERT INTO config (key) VALUES ('x');")
            .unwrap();
        let made: Vec<_> = ["-journal", "-wal", "-shm"]
            .iter()
            .filter_map(|end| beside(database.path(), end).metadata().ok())
            .collect();
        assert!(!made.is_empty(), "{mode}");
        assert!(made.iter().all(|facts| facts.uid() == 64_001), "{mode}");
        writing.is_whole().unwrap();
    }
}

/// Leaves a database as a writer does who dies in the middle of a transaction.
fn half_written(folder: &Path) -> PathBuf {
    let (_folder, database) = database();
    let writer = Connection::open(database.path()).unwrap();
    writer
        .execute_batch(
            "INSERT INTO config (key) VALUES ('x'); PRAGMA cache_size = 1; BEGIN IMMEDIATE; DELETE FROM config;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
             INSERT INTO config (key, value) SELECT i, hex(randomblob(2000)) FROM n;",
        )
        .unwrap();
    let copy = folder.join("db.sq3");
    for end in ["", "-journal"] {
        let from = beside(database.path(), end);
        assert!(from.metadata().unwrap().len() > 0);
        std::fs::copy(from, beside(&copy, end)).unwrap();
    }
    copy
}

#[test]
fn what_a_writer_who_died_left_half_done_is_undone_as_the_panel_would() {
    let folder = tempfile::tempdir().unwrap();
    let path = half_written(folder.path());
    assert_eq!(read(&path, Duration::ZERO, count).unwrap(), 1);
    assert!(!beside(&path, "-journal").exists());
    let folder = tempfile::tempdir().unwrap();
    let path = half_written(folder.path());
    let writing = Writing::open(&path, Duration::ZERO).unwrap();
    assert_eq!(count(&writing.connection).unwrap(), 1);
}
