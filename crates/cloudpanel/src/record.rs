//! How is the certificate that a site serves written into the panel's record?
//!
//! | the site's active row | then |
//! | --- | --- |
//! | of type 2, and its own | is updated in place, as the panel's renewal does it |
//! | of type 3, and its own, and a person imported another one here | the same |
//! | self-signed, imported, another site's, or none | a new row of type 2 (of type 3 for an imported one) is added and made the active one, as the panel's first issue does it; the old one stays |
//!
//! So the panel sees a fresh certificate, its own nightly run finds nothing due, and whatever it writes next into the
//! site's vhost projects ours.

use std::time::Instant;

use aws_lc_rs::digest;
use jiff::Timestamp;
use renewal::names::Names;
use renewal::panel::PanelSite;
use renewal::ports::RecordChange;
use rusqlite::{OptionalExtension as _, Transaction, TransactionBehavior, params};

use crate::database::{self, Trouble, Writing};
use crate::row::date;
use crate::settings::Settings;

/// One site's change, with everything worked out that takes time.
pub(crate) struct Draft<'c> {
    site: &'c PanelSite,
    id: i64,
    uid: String,
    kind: &'static str,
    request: String,
    key: &'c str,
    certificate: &'c str,
    chain: &'c str,
    expires_at: String,
    now: String,
}

impl<'c> Draft<'c> {
    /// Works it out; `None` for a site that is in no table.
    pub(crate) fn new(change: &'c RecordChange, now: Timestamp) -> Result<Option<Self>, Trouble> {
        let Some(id) = change.site.id else {
            return Ok(None);
        };
        let names = Names::new(change.certificate.names.iter().cloned());
        let names = names.unwrap_or_else(|| Names::from(change.site.domain.clone()));
        let request = x509::request::request_pem(&change.pair.key, &names)
            .map_err(|error| Trouble::Other(error.to_string()))?;
        Ok(Some(Self {
            site: &change.site,
            id,
            uid: uid(&change.certificate.sha256.0),
            kind: if change.imported { "3" } else { "2" },
            request,
            key: change.pair.key.reveal(),
            certificate: &change.pair.leaf,
            chain: &change.pair.issuers,
            expires_at: date(change.certificate.valid.end()),
            now: date(now),
        }))
    }

    /// Writes it, in one transaction.
    pub(crate) fn write(&self, settings: &Settings, writing: &mut Writing) -> Result<(), Trouble> {
        let path = &settings.database;
        let wrong = database::of(path);
        let begun = Instant::now();
        let transaction = writing
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(wrong)?;
        let held = Instant::now();
        let active = self.active(&transaction, wrong)?;
        match active.row {
            Some(row) if active.is_own && active.kind == self.kind => {
                self.update(&transaction, row).map_err(wrong)?;
            }
            Some(_) | None => self.add(&transaction).map_err(wrong)?,
        }
        transaction.commit().map_err(wrong)?;
        let (waited, held) = (held - begun, held.elapsed());
        tracing::info!(
            domain = %self.site.domain,
            held_ms = held.as_secs_f64() * 1e3,
            waited_ms = waited.as_secs_f64() * 1e3,
            "recorded in CloudPanel's database"
        );
        Ok(())
    }

    /// Looks at the active row again, now that nobody else can change it.
    fn active(
        &self,
        transaction: &Transaction<'_>,
        wrong: impl Fn(rusqlite::Error) -> Trouble + Copy,
    ) -> Result<Active, Trouble> {
        let found = transaction
            .query_row(
                "SELECT c.id, c.type, c.site_id FROM site s
                 LEFT JOIN certificate c ON c.id = s.certificate_id WHERE s.id = ?1",
                [self.id],
                |row| {
                    let owner: Option<i64> = row.get(2)?;
                    Ok(Active {
                        row: row.get(0)?,
                        kind: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
                        is_own: owner == Some(self.id),
                    })
                },
            )
            .optional()
            .map_err(wrong)?;
        let domain = &self.site.domain;
        let Some(active) = found else {
            return Err(Trouble::Changed(format!(
                "the site {domain} was deleted in CloudPanel meanwhile"
            )));
        };
        if active.row != self.site.row.as_ref().map(|row| row.id) {
            return Err(Trouble::Changed(format!(
                "the site {domain} was given another certificate in CloudPanel meanwhile"
            )));
        }
        Ok(active)
    }

    fn update(&self, transaction: &Transaction<'_>, row: i64) -> Result<(), rusqlite::Error> {
        transaction.execute(
            "UPDATE certificate SET csr = ?1, private_key = ?2, certificate = ?3, certificate_chain = ?4,
                 expires_at = ?5, updated_at = ?6 WHERE id = ?7",
            params![
                self.request,
                self.key,
                self.certificate,
                self.chain,
                self.expires_at,
                self.now,
                row
            ],
        )?;
        Ok(())
    }

    fn add(&self, transaction: &Transaction<'_>) -> Result<(), rusqlite::Error> {
        transaction.execute(
            "INSERT INTO certificate (site_id, uid, created_at, updated_at, expires_at, default_certificate, type,
                 csr, private_key, certificate, certificate_chain)
             VALUES (?1, ?2, ?3, ?3, ?4, 0, ?9, ?5, ?6, ?7, ?8)
             ON CONFLICT (uid) DO UPDATE SET updated_at = ?3",
            params![
                self.id,
                self.uid,
                self.now,
                self.expires_at,
                self.request,
                self.key,
                self.certificate,
                self.chain,
                self.kind
            ],
        )?;
        transaction.execute(
            "UPDATE site SET updated_at = ?1,
                 certificate_id = (SELECT id FROM certificate WHERE uid = ?2 AND site_id = ?3)
             WHERE id = ?3",
            params![self.now, self.uid, self.id],
        )?;
        Ok(())
    }
}

/// The site's active row.
struct Active {
    row: Option<i64>,
    kind: String,
    is_own: bool,
}

/// Returns the number that the panel's own addresses call a row by: the SHA-1 of something that no other row has.
fn uid(leaf: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, leaf);
    let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    hex.collect()
}
