//! What was spent of each bucket?

use jiff::Timestamp;
use renewal::ledger::{Bucket, Level, LimitKind, Spent};
use rusqlite::{Connection, params};

use super::column;
use super::trouble::{Answer, Trouble};

pub(super) fn all(connection: &Connection) -> Answer<Vec<Spent>> {
    let mut spent = Vec::new();
    let mut statement =
        connection.prepare_cached("SELECT ca, kind, scope, arrival, told_until FROM spent")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let bucket = Bucket {
            ca: column::text(row, 0)?.to_owned().into(),
            kind: kind(column::text(row, 1)?)?,
            scope: column::text(row, 2)?.to_owned(),
        };
        let told_until = if column::is_null(row, 4)? {
            None
        } else {
            Some(column::moment(row, 4)?)
        };
        let arrival = column::moment(row, 3)?;
        let level = Level {
            arrival,
            told_until,
        };
        spent.push((bucket, level));
    }
    Ok(spent)
}

pub(super) fn write(connection: &Connection, spent: &[Spent]) -> Answer<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO spent VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET arrival = ?4, told_until = ?5",
    )?;
    for (bucket, level) in spent {
        statement.execute(params![
            &*bucket.ca.0,
            from_kind(bucket.kind)?,
            bucket.scope,
            column::from_moment(level.arrival),
            level.told_until.map(column::from_moment),
        ])?;
    }
    Ok(())
}

/// Forgets the buckets that are full again, for their theoretical arrival time is past, and of which nothing told
/// holds any longer.
pub(super) fn forget(connection: &Connection, now: Timestamp) -> Answer<()> {
    let now = column::from_moment(now);
    connection.execute(
        "DELETE FROM spent WHERE arrival < ?1 AND (told_until IS NULL OR told_until < ?1)",
        [now],
    )?;
    Ok(())
}

/// Writes a kind by its serialised name, which is as stable as the file's form has to be.
fn from_kind(kind: LimitKind) -> Answer<String> {
    match serde_json::to_value(kind) {
        Ok(serde_json::Value::String(text)) => Ok(text),
        Ok(other) => Err(Trouble::value("a limit", other)),
        Err(error) => Err(Trouble::value("a limit", error)),
    }
}

fn kind(text: &str) -> Answer<LimitKind> {
    serde_json::from_value(text.into()).map_err(|error| Trouble::value("a limit", error))
}
