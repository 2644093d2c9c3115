//! What was begun and is not finished: orders and deployments.

use renewal::deployment::{Deployment, Phase};
use renewal::name::Name;
use renewal::ports::OpenOrder;
use rusqlite::{Connection, params};

use super::column;
use super::trouble::{Answer, Trouble};

pub(super) fn order(connection: &Connection, domain: &Name) -> Answer<Option<OpenOrder>> {
    let mut statement = connection
        .prepare_cached("SELECT ca, url, names, placed_at FROM orders WHERE domain = ?1")?;
    let mut rows = statement.query([domain.as_str()])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some(OpenOrder {
        ca: column::text(row, 0)?.to_owned().into(),
        url: column::text(row, 1)?.to_owned(),
        names: column::names(row, 2)?,
        placed_at: column::moment(row, 3)?,
    }))
}

pub(super) fn write_order(
    connection: &Connection,
    domain: &Name,
    order: Option<&OpenOrder>,
) -> Answer<()> {
    let Some(order) = order else {
        let mut statement = connection.prepare_cached("DELETE FROM orders WHERE domain = ?1")?;
        statement.execute([domain.as_str()])?;
        return Ok(());
    };
    let mut statement = connection.prepare_cached(
        "INSERT INTO orders VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET ca = ?2, url = ?3, names = ?4, placed_at = ?5",
    )?;
    statement.execute(params![
        domain.as_str(),
        &*order.ca.0,
        order.url,
        column::from_names(order.names.as_slice()),
        column::from_moment(order.placed_at),
    ])?;
    Ok(())
}

pub(super) fn deployments(connection: &Connection) -> Answer<Vec<(i64, Deployment)>> {
    let mut statement = connection.prepare_cached(
        "SELECT number, phase, begun_at, switches FROM deployments ORDER BY number",
    )?;
    let mut rows = statement.query([])?;
    let mut open = Vec::new();
    while let Some(row) = rows.next()? {
        let deployment = Deployment {
            switches: serde_json::from_str(column::text(row, 3)?)
                .map_err(|error| Trouble::value("a deployment", error))?,
            phase: phase(column::text(row, 1)?)?,
            begun_at: column::moment(row, 2)?,
        };
        open.push((column::number(row, 0)?, deployment));
    }
    Ok(open)
}

pub(super) fn begin(connection: &Connection, deployment: &Deployment) -> Answer<i64> {
    // Fails only for a path that is not UTF-8, which nginx's configuration cannot name either.
    let switches = serde_json::to_string(&deployment.switches)
        .map_err(|error| Trouble(error.to_string(), None))?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO deployments (phase, begun_at, switches) VALUES (?1, ?2, ?3)",
    )?;
    let begun_at = column::from_moment(deployment.begun_at);
    Ok(statement.insert(params![from_phase(deployment.phase), begun_at, switches])?)
}

/// Writes the phase down; forgets the deployment when that is its end.
pub(super) fn advance(connection: &Connection, number: i64, phase: Phase) -> Answer<()> {
    let changed = match phase {
        Phase::Begun | Phase::Switched | Phase::Tested | Phase::Reloaded => connection
            .prepare_cached("UPDATE deployments SET phase = ?2 WHERE number = ?1")?
            .execute(params![number, from_phase(phase)])?,
        Phase::Settled | Phase::Reverted => connection
            .prepare_cached("DELETE FROM deployments WHERE number = ?1")?
            .execute([number])?,
    };
    if changed == 0 {
        return Err(Trouble(format!("no deployment {number} is open"), None));
    }
    Ok(())
}

fn from_phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Begun => "begun",
        Phase::Switched => "switched",
        Phase::Tested => "tested",
        Phase::Reloaded => "reloaded",
        Phase::Settled => "settled",
        Phase::Reverted => "reverted",
    }
}

fn phase(text: &str) -> Answer<Phase> {
    // The ends are not looked for: a deployment that has ended is not in the table.
    [
        Phase::Begun,
        Phase::Switched,
        Phase::Tested,
        Phase::Reloaded,
    ]
    .into_iter()
    .find(|phase| from_phase(*phase) == text)
    .ok_or_else(|| Trouble::value("a deployment's phase", text))
}
