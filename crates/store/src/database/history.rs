//! What happened, for people?

use renewal::name::Name;
use renewal::ports::HistoryEntry;
use rusqlite::{Connection, params};

use super::column;
use super::trouble::Answer;
use crate::HISTORY_ENTRIES_MAX;

pub(super) fn write(connection: &Connection, entry: &HistoryEntry) -> Answer<()> {
    let mut statement = connection
        .prepare_cached("INSERT INTO history (at, domain, what, detail) VALUES (?1, ?2, ?3, ?4)")?;
    statement.execute(params![
        column::from_moment(entry.at),
        entry.domain.as_ref().map(Name::as_str),
        entry.what,
        entry.detail,
    ])?;
    // Numbers have no gaps, so this range holds exactly what is too much; finding it costs nothing.
    connection
        .prepare_cached("DELETE FROM history WHERE number <= ?1 - ?2")?
        .execute(params![
            connection.last_insert_rowid(),
            i64::try_from(HISTORY_ENTRIES_MAX).unwrap_or(i64::MAX)
        ])?;
    Ok(())
}

pub(super) fn newest(
    connection: &Connection,
    domain: Option<&Name>,
    limit: usize,
) -> Answer<Vec<HistoryEntry>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (condition, domain) = match domain {
        Some(domain) => ("WHERE domain = ?1", domain.as_str()),
        None => ("WHERE ?1 = ''", ""),
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT at, domain, what, detail FROM history {condition} ORDER BY number DESC LIMIT ?2"
    ))?;
    let mut rows = statement.query(params![domain, limit])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(HistoryEntry {
            at: column::moment(row, 0)?,
            domain: if column::is_null(row, 1)? {
                None
            } else {
                Some(column::name(row, 1)?)
            },
            what: column::text(row, 2)?.to_owned(),
            detail: column::text(row, 3)?.to_owned(),
        });
    }
    Ok(entries)
}
