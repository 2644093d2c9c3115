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
use crate::schema;
use crate::settings::Settings;

/// Returns those that are not there yet; `None` when there is nothing to add, or no panel.
pub(crate) fn news(
    settings: &Settings,
    notices: Vec<Notice>,
) -> Result<Option<Vec<Notice>>, Trouble> {
    let path = &settings.database;
    let read = database::read(path, settings.patience, |connection| {
        let wrong = database::of(path);
        schema::probe(connection, &wrong)?
            .notices
            .map_err(Trouble::Form)?;
        let mut there = connection
            .prepare("SELECT EXISTS (SELECT 1 FROM notification WHERE hash = ?1)")
            .map_err(wrong)?;
        let mut is_there = |subject: &str| -> Result<bool, Trouble> {
            there
                .query_row([hash(subject)], |row| row.get(0))
                .map_err(wrong)
        };
        let mut news = Vec::new();
        for notice in &notices {
            let ended = notice.ends.as_deref().map_or(Ok(false), &mut is_there)?;
            if ended || !is_there(&notice.subject)? {
                news.push(notice.clone());
            }
        }
        Ok(news)
    });
    match read {
        Ok(news) => Ok(Some(news).filter(|news| !news.is_empty())),
        Err(Trouble::Missing(_)) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

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
