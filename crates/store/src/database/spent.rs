//! What was spent of each bucket?

use jiff::Timestamp;
use renewal::ledger::{Bucket, LimitKind};
use rusqlite::{Connection, params};

use super::column;
use super::trouble::{Answer, Trouble};

pub(super) fn all(connection: &Connection) -> Answer<Vec<(Bucket, Timestamp)>> {
    let mut spent = Vec::new();
    let mut statement = connection.prepare_cached("SELECT ca, kind, scope, arrival FROM spent")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let bucket = Bucket {
            ca: column::text(row, 0)?.to_owned().into(),
            kind: kind(column::text(row, 1)?)?,
            scope: column::text(row, 2)?.to_owned(),
        };
        spent.push((bucket, column::moment(row, 3)?));
    }
    Ok(spent)
}

pub(super) fn write(connection: &Connection, spent: &[(Bucket, Timestamp)]) -> Answer<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO spent VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET arrival = ?4",
    )?;
    for (bucket, arrival) in spent {
        statement.execute(params![
            &*bucket.ca.0,
            from_kind(bucket.kind)?,
            bucket.scope,
            column::from_moment(*arrival),
        ])?;
    }
    Ok(())
}

/// Forgets the buckets that are full again: their theoretical arrival time is past.
pub(super) fn forget(connection: &Connection, now: Timestamp) -> Answer<()> {
    let now = column::from_moment(now);
    connection.execute("DELETE FROM spent WHERE arrival < ?1", [now])?;
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
