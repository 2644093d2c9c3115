//! What went wrong inside the database, before it is told to anyone?

use rusqlite::ErrorCode;

/// The cause as a phrase, and SQLite's code where it has one.
#[derive(Clone, Debug)]
pub(super) struct Trouble(pub(super) String, pub(super) Option<ErrorCode>);

/// What a question to the database gives.
pub(super) type Answer<T> = Result<T, Trouble>;

impl Trouble {
    /// A value that this clpctl would not have written, so somebody else changed the file.
    pub(super) fn value(what: &str, why: impl std::fmt::Display) -> Self {
        Self(
            format!("{what} makes no sense: {why}"),
            Some(ErrorCode::DatabaseCorrupt),
        )
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        Self(error.to_string(), code)
    }
}

impl From<rusqlite::types::FromSqlError> for Trouble {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        Self::value("a column", error)
    }
}
