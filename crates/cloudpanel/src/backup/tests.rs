//! Are copies whole, private and few?

use super::*;
use jiff::SignedDuration;
use rusqlite::OpenFlags;
use std::os::unix::fs::PermissionsExt as _;
use testkit::panel::PanelDatabase;

fn host() -> (tempfile::TempDir, PanelDatabase, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let database = PanelDatabase::make(&folder.path().join("home"));
    let settings = Settings {
        patience: Duration::from_millis(100),
        ..Settings::at(
            database.path().to_owned(),
            folder.path().join("nginx"),
            folder.path().join("state/cloudpanel"),
        )
    };
    (folder, database, settings)
}

fn start() -> Timestamp {
    "2026-02-01T00:00:00Z".parse().unwrap()
}

#[test]
fn a_copy_is_whole_and_for_root_alone_while_the_panel_works() {
    let (_folder, database, settings) = host();
    let panel = Connection::open(database.path()).unwrap();
    panel
        .execute("INSERT INTO config (key) VALUES ('x')", [])
        .unwrap();
    let copy = make(&settings, start()).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&copy), 0o600);
    assert_eq!(mode(&settings.backups), 0o700);
    let copied = Connection::open_with_flags(&copy, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let check: String = copied
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    let count: i64 = copied
        .query_row("SELECT count(*) FROM config", [], |row| row.get(0))
        .unwrap();
    assert_eq!((check.as_str(), count), ("ok", 1));
}

#[test]
fn only_the_newest_copies_are_kept_and_nothing_else_is_removed() {
    let (_folder, _database, settings) = host();
    std::fs::create_dir_all(&settings.backups).unwrap();
    File::create(settings.backups.join("db-of-mine.txt")).unwrap();
    let mut made = Vec::new();
    for hour in 0..8 {
        let now = start()
            .checked_add(SignedDuration::from_hours(hour))
            .unwrap();
        made.push(make(&settings, now).unwrap());
    }
    let kept: Vec<_> = made.iter().filter(|copy| copy.exists()).collect();
    assert_eq!(kept, made[made.len() - KEPT..].iter().collect::<Vec<_>>());
    assert!(settings.backups.join("db-of-mine.txt").exists());
}

#[test]
fn one_that_cannot_be_made_leaves_nothing_behind() {
    let (_folder, database, settings) = host();
    let panel = Connection::open(database.path()).unwrap();
    panel.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert!(make(&settings, start()).is_err());
    assert_eq!(std::fs::read_dir(&settings.backups).unwrap().count(), 0);
}
