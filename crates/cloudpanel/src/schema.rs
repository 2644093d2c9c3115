//! Does the database have the form that is known?
//!
//! Asked anew each time: the panel's updates may change it, and nobody announces that.

use std::collections::HashMap;

use rusqlite::Connection;

use crate::database::Trouble;

/// What can be done with the database.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Form {
    /// Whether a row can be updated and a new one added as the panel does it; else what is in the way.
    pub(crate) certificates: Result<(), String>,
    /// Whether notices can be added; else what is in the way.
    pub(crate) notices: Result<(), String>,
    /// Whether `config` can be read.
    pub(crate) config: bool,
}

/// Looks at the tables.
///
/// # Errors
///
/// With [`Trouble::Form`] when the sites cannot even be read.
pub(crate) fn probe(connection: &Connection, wrong: Wrong<'_>) -> Result<Form, Trouble> {
    let table = |name| columns(connection, name).map_err(wrong);
    let (site, certificate) = (table("site")?, table("certificate")?);
    lacks("site", &site, SITE)
        .or_else(|| lacks("certificate", &certificate, CERTIFICATE_READ))
        .map_or(Ok(()), |what| Err(Trouble::Form(what)))?;
    let fits = |name, has: &Columns, knows: &[&str]| {
        lacks(name, has, knows)
            .or_else(|| demands(name, has, knows))
            .map_or(Ok(()), Err)
    };
    Ok(Form {
        certificates: fits("certificate", &certificate, CERTIFICATE),
        notices: fits("notification", &table("notification")?, NOTIFICATION),
        config: lacks("config", &table("config")?, CONFIG).is_none(),
    })
}

/// How an error of SQLite is told.
pub(crate) type Wrong<'a> = &'a dyn Fn(rusqlite::Error) -> Trouble;

/// The columns of a table, and whether a new row must say something for each.
type Columns = HashMap<String, bool>;

fn columns(connection: &Connection, table: &str) -> Result<Columns, rusqlite::Error> {
    let mut statement = connection.prepare("SELECT * FROM pragma_table_info(?1)")?;
    let rows = statement.query_map([table], |row| {
        let (name, not_null): (String, bool) = (row.get("name")?, row.get("notnull")?);
        let (default, key): (Option<String>, i64) = (row.get("dflt_value")?, row.get("pk")?);
        Ok((name, not_null && default.is_none() && key == 0))
    })?;
    rows.collect()
}

fn lacks(table: &str, has: &Columns, wanted: &[&str]) -> Option<String> {
    if has.is_empty() {
        return Some(format!("there is no table {table}"));
    }
    let lacking = wanted.iter().find(|name| !has.contains_key(**name))?;
    Some(format!("the table {table} has no column {lacking}"))
}

/// Says which column a new row would have to fill that we know nothing of.
fn demands(table: &str, has: &Columns, known: &[&str]) -> Option<String> {
    let mut unknown = has
        .iter()
        .filter(|(name, must)| **must && !known.contains(&name.as_str()));
    unknown
        .next()
        .map(|(name, _)| format!("the table {table} has a column {name} that is not known"))
}

const SITE: &[&str] = &[
    "id",
    "type",
    "domain_name",
    "root_directory",
    "user",
    "certificate_id",
];
const CERTIFICATE_READ: &[&str] = &[
    "id",
    "site_id",
    "type",
    "expires_at",
    "private_key",
    "certificate",
];
const CERTIFICATE: &[&str] = &[
    "id",
    "site_id",
    "uid",
    "created_at",
    "updated_at",
    "expires_at",
    "default_certificate",
    "type",
    "csr",
    "private_key",
    "certificate",
    "certificate_chain",
];
const NOTIFICATION: &[&str] = &[
    "id",
    "created_at",
    "updated_at",
    "hash",
    "severity",
    "subject",
    "message",
    "url",
    "is_read",
];
const CONFIG: &[&str] = &["key", "value"];

#[cfg(test)]
mod tests {
    use super::probe;
    use crate::database::Trouble;
    use expect_test::{Expect, expect};
    use rusqlite::Connection;

    /// Shows what can be done after `change` was made to the known form.
    fn check(change: &str, expect: Expect) {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(testkit::panel::SCHEMA).unwrap();
        connection.execute_batch(change).unwrap();
        let wrong = |cause: rusqlite::Error| Trouble::Other(cause.to_string());
        let said = match probe(&connection, &wrong) {
            Ok(form) => format!("{form:?}"),
            Err(trouble) => trouble.to_string(),
        };
        expect.assert_eq(&said);
    }

    #[test]
    fn the_known_form_is_known_and_columns_that_ask_for_nothing_do_no_harm() {
        check(
            "",
            expect!["Form { certificates: Ok(()), notices: Ok(()), config: true }"],
        );
        check(
            "ALTER TABLE certificate ADD COLUMN note CLOB;
             ALTER TABLE certificate ADD COLUMN ari BOOLEAN NOT NULL DEFAULT 0;",
            expect!["Form { certificates: Ok(()), notices: Ok(()), config: true }"],
        );
    }

    #[test]
    fn a_column_that_asks_for_what_nobody_knows_and_one_that_is_gone_are_named() {
        check(
            "ALTER TABLE certificate RENAME COLUMN certificate_chain TO chain;",
            expect![[
                r#"Form { certificates: Err("the table certificate has no column certificate_chain"), notices: Ok(()), config: true }"#
            ]],
        );
        check(
            "DROP TABLE notification; CREATE TABLE notification (id INTEGER PRIMARY KEY, created_at, updated_at, hash, severity,
                subject, message, url, is_read, channel TEXT NOT NULL);",
            expect![[r#"Form { certificates: Ok(()), notices: Err("the table notification has a column channel that is not known"), config: true }"#]],
        );
        check(
            "DROP TABLE notification; DROP TABLE config;",
            expect![[
                r#"Form { certificates: Ok(()), notices: Err("there is no table notification"), config: false }"#
            ]],
        );
    }

    #[test]
    fn without_its_sites_it_is_no_panel_that_is_known() {
        check("DROP TABLE site;", expect!["there is no table site"]);
        check(
            "ALTER TABLE site RENAME COLUMN user TO owner;",
            expect!["the table site has no column user"],
        );
    }
}
