//! Which account does the panel's own client have at its CA?
//!
//! Its key is one value in the table `config`, an RSA key in PEM; it is made when the panel first asks the CA for
//! something, so a young panel has none. It is read and never written: the panel can use no other kind of key.

use renewal::secret::Secret;
use rusqlite::OptionalExtension as _;

use crate::database::{self, Trouble};
use crate::schema;
use crate::settings::Settings;

/// Reads the account's key; `None` where there is no panel, or it has none yet.
pub(crate) fn key(settings: &Settings) -> Result<Option<Secret>, Trouble> {
    let path = &settings.database;
    let read = database::read(path, settings.patience, |connection| {
        let wrong = database::of(path);
        if !schema::probe(connection, &wrong)?.config {
            return Ok(None);
        }
        let found = connection.query_row(KEY, [], |row| row.get::<_, Option<String>>(0));
        let found = found.optional().map_err(wrong)?.flatten();
        Ok(found.filter(|key| !key.trim().is_empty()).map(Secret::new))
    });
    match read {
        Err(Trouble::Missing(_)) => Ok(None),
        read => read,
    }
}

const KEY: &str = "SELECT value FROM config WHERE key = 'le_private_key'";
