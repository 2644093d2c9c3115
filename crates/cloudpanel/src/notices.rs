//! How do the panel's users learn that something needs them?
//!
//! By a row of the table `notification`, which the panel shows until it was read. A row is told by its `hash`, the
//! MD5 of its subject, as the panel's own are; so a notice whose subject is there already is not added again, and one
//! that ends another takes that one's place.

use jiff::Timestamp;
use renewal::panel::{Notice, NoticeLevel};
use rusqlite::{TransactionBehavior, params};

use crate::database::{self, Trouble, Writing};
use crate::md5;
use crate::row::date;
use crate::settings::Settings;

/// Adds the notices, in one transaction.
pub(crate) fn add(
    settings: &Settings,
    writing: &mut Writing,
    notices: &[Notice],
    now: Timestamp,
) -> Result<(), Trouble> {
    let wrong = database::of(&settings.database);
    let transaction = writing
        .connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(wrong)?;
    for notice in notices {
        if let Some(ended) = &notice.ends {
            transaction
                .execute("DELETE FROM notification WHERE hash = ?1", [hash(ended)])
                .map_err(wrong)?;
        }
        transaction
            .execute(
                "INSERT INTO notification (created_at, updated_at, hash, severity, subject, message, url, is_read)
                 SELECT ?1, ?1, ?2, ?3, ?4, ?5, NULL, 0
                 WHERE NOT EXISTS (SELECT 1 FROM notification WHERE hash = ?2)",
                params![
                    date(now),
                    hash(&notice.subject),
                    level(notice.level),
                    notice.subject,
                    notice.message
                ],
            )
            .map_err(wrong)?;
    }
    transaction.commit().map_err(wrong)
}

fn level(level: NoticeLevel) -> i64 {
    match level {
        NoticeLevel::Info => 1,
        NoticeLevel::Warning => 2,
        NoticeLevel::Critical => 3,
    }
}

fn hash(subject: &str) -> String {
    md5::hex(subject.as_bytes())
}
