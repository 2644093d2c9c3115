//! What is remembered of each site: the CA's window, its failures, and whether its vhost needs our line.

use std::collections::HashMap;

use jiff::Timestamp;
use renewal::certificate::CertificateId;
use renewal::name::Name;
use renewal::plan::Remembered;
use renewal::retry::{Attempts, Blame};
use renewal::suggestion::{Chosen, Suggestion};
use renewal::window::Window;
use rusqlite::{Connection, Row, params};

use super::column;
use super::trouble::{Answer, Trouble};

pub(super) fn all(connection: &Connection) -> Answer<HashMap<Name, Remembered>> {
    let suggestions: i64 = connection
        .prepare_cached("SELECT count(*) FROM suggestions")?
        .query_row([], |row| row.get(0))?;
    let mut sites: HashMap<Name, Remembered> =
        HashMap::with_capacity(usize::try_from(suggestions).unwrap_or_default());
    let mut statement = connection.prepare_cached(
        "SELECT domain, certificate, window_start, window_end, chosen_at, explanation, poll_at, failures
         FROM suggestions",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let site = sites.entry(column::name(row, 0)?).or_default();
        site.suggestion = Some(suggestion(row)?);
    }
    let mut statement = connection.prepare_cached(
        "SELECT domain, failures, blame, last_at, retry_at, cause, line_tried_at, told, names
         FROM attempts",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let site = sites.entry(column::name(row, 0)?).or_default();
        site.attempts = Some(attempts(row)?);
    }
    let mut statement = connection.prepare_cached("SELECT domain, inserted_at FROM lines")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let site = sites.entry(column::name(row, 0)?).or_default();
        site.line_at = Some(column::moment(row, 1)?);
    }
    Ok(sites)
}

pub(super) fn write_suggestions(
    connection: &Connection,
    suggestions: &[(Name, Suggestion)],
) -> Answer<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO suggestions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT DO UPDATE SET certificate = ?2, window_start = ?3, window_end = ?4, chosen_at = ?5,
             explanation = ?6, poll_at = ?7, failures = ?8",
    )?;
    for (domain, suggestion) in suggestions {
        let chosen = suggestion.chosen.as_ref();
        let moment = |of: fn(&Chosen) -> Timestamp| chosen.map(of).map(column::from_moment);
        statement.execute(params![
            domain.as_str(),
            suggestion.id.0,
            moment(|chosen| chosen.window.start()),
            moment(|chosen| chosen.window.end()),
            moment(|chosen| chosen.at),
            chosen.and_then(|chosen| chosen.explanation.as_deref()),
            column::from_moment(suggestion.poll_at),
            suggestion.failures,
        ])?;
    }
    Ok(())
}

pub(super) fn write_attempts(
    connection: &Connection,
    domain: &Name,
    attempts: Option<&Attempts>,
) -> Answer<()> {
    let Some(attempts) = attempts else {
        let mut statement = connection.prepare_cached("DELETE FROM attempts WHERE domain = ?1")?;
        statement.execute([domain.as_str()])?;
        return Ok(());
    };
    let mut statement = connection.prepare_cached(
        "INSERT INTO attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT DO UPDATE SET failures = ?2, blame = ?3, last_at = ?4, retry_at = ?5, cause = ?6,
         line_tried_at = ?7, told = ?8, names = ?9",
    )?;
    statement.execute(params![
        domain.as_str(),
        attempts.failures,
        from_blame(attempts.blame),
        column::from_moment(attempts.last_at),
        column::from_moment(attempts.retry_at),
        attempts.cause,
        attempts.line_tried_at.map(column::from_moment),
        attempts.told,
        attempts
            .about
            .as_ref()
            .map(|names| column::from_names(names.as_slice())),
    ])?;
    Ok(())
}

pub(super) fn write_line(
    connection: &Connection,
    domain: &Name,
    at: Option<Timestamp>,
) -> Answer<()> {
    let Some(at) = at else {
        let mut statement = connection.prepare_cached("DELETE FROM lines WHERE domain = ?1")?;
        statement.execute([domain.as_str()])?;
        return Ok(());
    };
    let mut statement = connection.prepare_cached(
        "INSERT INTO lines VALUES (?1, ?2) ON CONFLICT DO UPDATE SET inserted_at = ?2",
    )?;
    statement.execute(params![domain.as_str(), column::from_moment(at)])?;
    Ok(())
}

/// Forgets sites about which nothing was written since `long_ago`.
pub(super) fn forget(connection: &Connection, long_ago: Timestamp) -> Answer<()> {
    let long_ago = column::from_moment(long_ago);
    connection.execute("DELETE FROM suggestions WHERE poll_at < ?1", [long_ago])?;
    connection.execute("DELETE FROM attempts WHERE last_at < ?1", [long_ago])?;
    Ok(())
}

fn suggestion(row: &Row<'_>) -> Answer<Suggestion> {
    let chosen = if column::is_null(row, 2)? {
        None
    } else {
        Some(Chosen {
            window: Window::new(column::moment(row, 2)?, column::moment(row, 3)?)
                .map_err(|error| Trouble::value("a suggested window", error))?,
            at: column::moment(row, 4)?,
            explanation: column::optional_text(row, 5)?,
        })
    };
    Ok(Suggestion {
        id: CertificateId(column::text(row, 1)?.to_owned()),
        chosen,
        poll_at: column::moment(row, 6)?,
        failures: column::count(row, 7)?,
    })
}

fn attempts(row: &Row<'_>) -> Answer<Attempts> {
    Ok(Attempts {
        failures: column::count(row, 1)?,
        blame: blame(column::text(row, 2)?)?,
        last_at: column::moment(row, 3)?,
        retry_at: column::moment(row, 4)?,
        cause: column::text(row, 5)?.to_owned(),
        line_tried_at: if column::is_null(row, 6)? {
            None
        } else {
            Some(column::moment(row, 6)?)
        },
        told: column::number(row, 7)? != 0,
        about: if column::is_null(row, 8)? {
            None
        } else {
            Some(column::names(row, 8)?)
        },
    })
}

fn from_blame(blame: Blame) -> &'static str {
    match blame {
        Blame::Site => "site",
        Blame::Ca => "ca",
        Blame::Network => "network",
        Blame::Host => "host",
    }
}

fn blame(text: &str) -> Answer<Blame> {
    [Blame::Site, Blame::Ca, Blame::Network, Blame::Host]
        .into_iter()
        .find(|blame| from_blame(*blame) == text)
        .ok_or_else(|| Trouble::value("a blame", text))
}
