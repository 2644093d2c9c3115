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
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use crate::database::{self, Trouble, Writing};
use crate::row::{bytes, date, moment};
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
        // Statements are compiled and pages read before anybody has to wait; what is seen here is looked at again.
        self.active(&writing.connection).map_err(wrong)?;
        self.prepare(&writing.connection).map_err(wrong)?;
        let begun = Instant::now();
        let transaction = writing
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(wrong)?;
        let held = Instant::now();
        let active = self.active(&transaction).map_err(wrong)?;
        match self.unchanged(active)? {
            Active {
                row: Some(row),
                is_own: true,
                kind,
                ..
            } if kind == self.kind => self.update(&transaction, row).map_err(wrong)?,
            _ => self.add(&transaction).map_err(wrong)?,
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

    /// Compiles what will be executed, and reads the whole row, which is longer than a page.
    fn prepare(&self, connection: &Connection) -> Result<(), rusqlite::Error> {
        for statement in [UPDATE, ADD, POINT] {
            drop(connection.prepare_cached(statement)?);
        }
        let row = self.site.row.as_ref().map(|row| row.id);
        let mut whole = connection.prepare_cached(WHOLE)?;
        whole.query([row])?.next()?;
        Ok(())
    }

    /// Looks at the active row; `None` where there is no such site any more.
    fn active(&self, connection: &Connection) -> Result<Option<Active>, rusqlite::Error> {
        let mut statement = connection.prepare_cached(ACTIVE)?;
        let active = statement.query_row([self.id], |row| {
            let owner: Option<i64> = row.get(2)?;
            Ok(Active {
                row: row.get(0)?,
                kind: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
                is_own: owner == Some(self.id),
                expires_at: moment(bytes(row.get_ref(3)?)),
            })
        });
        active.optional()
    }

    /// Passes on a row that is as it was seen when the certificate was ordered: what the panel did meanwhile stays, and
    /// the next run looks at it anew.
    fn unchanged(&self, active: Option<Active>) -> Result<Active, Trouble> {
        let domain = &self.site.domain;
        let Some(active) = active else {
            return Err(Trouble::Changed(format!(
                "the site {domain} was deleted in CloudPanel meanwhile"
            )));
        };
        let seen = self.site.row.as_ref();
        if active.row != seen.map(|row| row.id) {
            return Err(Trouble::Changed(format!(
                "the site {domain} was given another certificate in CloudPanel meanwhile"
            )));
        }
        // Another site's row is not written, whatever became of it.
        if active.is_own && active.expires_at != seen.and_then(|row| row.expires_at) {
            return Err(Trouble::Changed(format!(
                "the certificate of the site {domain} was renewed by CloudPanel meanwhile"
            )));
        }
        Ok(active)
    }

    fn update(&self, transaction: &Transaction<'_>, row: i64) -> Result<(), rusqlite::Error> {
        transaction.prepare_cached(UPDATE)?.execute(params![
            self.request,
            self.key,
            self.certificate,
            self.chain,
            self.expires_at,
            self.now,
            row
        ])?;
        Ok(())
    }

    fn add(&self, transaction: &Transaction<'_>) -> Result<(), rusqlite::Error> {
        transaction.prepare_cached(ADD)?.execute(params![
            self.id,
            self.uid,
            self.now,
            self.expires_at,
            self.request,
            self.key,
            self.certificate,
            self.chain,
            self.kind
        ])?;
        let point = params![self.now, self.uid, self.id];
        transaction.prepare_cached(POINT)?.execute(point)?;
        Ok(())
    }
}

/// The site's active row.
struct Active {
    row: Option<i64>,
    kind: String,
    is_own: bool,
    expires_at: Option<Timestamp>,
}

/// Returns the number that the panel's own addresses call a row by: the SHA-1 of something that no other row has.
fn uid(leaf: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, leaf);
    let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    hex.collect()
}

const ACTIVE: &str = "SELECT c.id, c.type, c.site_id, c.expires_at FROM site s
    LEFT JOIN certificate c ON c.id = s.certificate_id WHERE s.id = ?1";

/// What the columns hold lies on pages of its own, which are read to know its length.
const WHOLE: &str =
    "SELECT length(csr) + length(private_key) + length(certificate) + length(certificate_chain)
    FROM certificate WHERE id = ?1";

const UPDATE: &str =
    "UPDATE certificate SET csr = ?1, private_key = ?2, certificate = ?3, certificate_chain = ?4,
    expires_at = ?5, updated_at = ?6 WHERE id = ?7";

const ADD: &str = "INSERT INTO certificate (site_id, uid, created_at, updated_at, expires_at, default_certificate, type,
        csr, private_key, certificate, certificate_chain)
    VALUES (?1, ?2, ?3, ?3, ?4, 0, ?9, ?5, ?6, ?7, ?8)
    ON CONFLICT (uid) DO UPDATE SET updated_at = ?3";

const POINT: &str = "UPDATE site SET updated_at = ?1,
        certificate_id = (SELECT id FROM certificate WHERE uid = ?2 AND site_id = ?3)
    WHERE id = ?3";
