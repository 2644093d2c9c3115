//! Which form has the file, and how is an older one brought up to date?
//!
//! `PRAGMA user_version` counts the migrations that were applied; `PRAGMA application_id` says that the file is
//! ours. A migration that was released is never changed: another one is added.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::OpenError;
use super::trouble::Answer;

/// The newest form that this clpctl knows.
#[expect(
    clippy::cast_possible_wrap,
    reason = "there are a handful of migrations"
)]
pub(super) const KNOWN: i64 = MIGRATIONS.len() as i64;

/// Refuses a file that is newer than this clpctl, or not ours. Changes nothing.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |trouble| OpenError::of(path, trouble);
    let found = version(connection).map_err(failed)?;
    let id = pragma(connection, "application_id").map_err(failed)?;
    if id != APPLICATION_ID && !(id == 0 && found == 0 && is_empty(connection).map_err(failed)?) {
        return Err(OpenError::Foreign {
            path: path.to_owned(),
        });
    }
    if found > KNOWN {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known: KNOWN,
        });
    }
    Ok(())
}

/// Returns how many migrations the file has seen.
pub(super) fn version(connection: &Connection) -> Answer<i64> {
    pragma(connection, "user_version")
}

/// Brings the file up to date; does nothing when it is.
pub(super) fn prepare(connection: &mut Connection) -> Answer<()> {
    // Heeded only while the file is empty.
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    switch_to_wal(connection)?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_BYTES_KEPT, |_| Ok(()))?;
    if version(connection)? == KNOWN {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Asked again under the lock: another process may have been faster.
    let found = version(&transaction)?;
    for (number, migration) in (1..).zip(MIGRATIONS) {
        if number > found {
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "user_version", number)?;
        }
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.commit()?;
    Ok(())
}

/// Switches the file to WAL mode, once in its life.
///
/// SQLite does not wait when another process is switching at this moment, so we do.
fn switch_to_wal(connection: &Connection) -> Answer<()> {
    let mut tries = 0;
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && tries < SWITCH_TRIES =>
            {
                tries += 1;
                std::thread::sleep(SWITCH_PAUSE);
            }
            answer => return Ok(answer?),
        }
    }
}

fn is_empty(connection: &Connection) -> Answer<bool> {
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(tables == 0)
}

fn pragma(connection: &Connection, name: &str) -> Answer<i64> {
    Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
}

/// "clpc".
const APPLICATION_ID: i64 = 0x636c_7063;

/// Switching takes milliseconds; together five seconds, as every other wait for a lock.
const SWITCH_TRIES: u32 = 500;
const SWITCH_PAUSE: Duration = Duration::from_millis(10);

/// Larger than usual: most of what is read is read whole.
const PAGE_BYTES: i64 = 8192;

/// The WAL file shrinks to this after a checkpoint.
const WAL_BYTES_KEPT: i64 = 4 * 1024 * 1024;

const MIGRATIONS: [&str; 4] = ["
CREATE TABLE suggestions (
    domain TEXT PRIMARY KEY, certificate TEXT NOT NULL,
    window_start INTEGER, window_end INTEGER, chosen_at INTEGER, explanation TEXT,
    poll_at INTEGER NOT NULL, failures INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE attempts (
    domain TEXT PRIMARY KEY, failures INTEGER NOT NULL, blame TEXT NOT NULL,
    last_at INTEGER NOT NULL, retry_at INTEGER NOT NULL, cause TEXT NOT NULL,
    line_tried_at INTEGER, told INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE files (
    path BLOB PRIMARY KEY, stamp BLOB NOT NULL, key_stamp BLOB, key_fits INTEGER NOT NULL,
    names TEXT NOT NULL, valid_from INTEGER NOT NULL, valid_until INTEGER NOT NULL, issuer TEXT NOT NULL,
    serial TEXT NOT NULL, sha256 BLOB NOT NULL, certificate TEXT, self_signed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE spent (
    ca TEXT NOT NULL, kind TEXT NOT NULL, scope TEXT NOT NULL, arrival INTEGER NOT NULL,
    PRIMARY KEY (ca, kind, scope)
) STRICT, WITHOUT ROWID;
CREATE TABLE orders (
    domain TEXT PRIMARY KEY, ca TEXT NOT NULL, url TEXT NOT NULL, names TEXT NOT NULL, placed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE deployments (
    number INTEGER PRIMARY KEY AUTOINCREMENT, phase TEXT NOT NULL, begun_at INTEGER NOT NULL, switches TEXT NOT NULL
) STRICT;
CREATE TABLE history (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, domain TEXT, what TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
CREATE INDEX history_of_site ON history (domain, number);
", "
ALTER TABLE spent ADD COLUMN told_until INTEGER;
", "
ALTER TABLE attempts ADD COLUMN names TEXT;
", "
CREATE TABLE lines (domain TEXT PRIMARY KEY, inserted_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"];
