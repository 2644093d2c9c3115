//! What does one row of the table `certificate` hold?
//!
//! Thousands are looked at and hardly one has changed, so a row is known again by a digest of its text, and only one
//! that is not known is read as a certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use renewal::panel::{PemPair, Row, RowKind};
use renewal::ports::{Known, Seen, Stamp};
use renewal::secret::Secret;
use rusqlite::types::ValueRef;
use x509::chain::Chain;

/// The text of a row, as the database lends it.
pub(crate) struct Text<'r> {
    pub(crate) id: i64,
    pub(crate) site_id: Option<i64>,
    pub(crate) kind: &'r [u8],
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) key: &'r [u8],
    pub(crate) certificate: &'r [u8],
}

/// Reads rows, and remembers which it had to read.
pub(crate) struct Rows<'k> {
    database: &'k Path,
    known: &'k Known,
    pub(crate) read: Vec<(PathBuf, Seen)>,
}

impl<'k> Rows<'k> {
    pub(crate) fn new(database: &'k Path, known: &'k Known) -> Self {
        Self {
            database,
            known,
            read: Vec::new(),
        }
    }

    /// Reads the active row of the site with this number.
    pub(crate) fn row(&mut self, site: i64, text: &Text<'_>) -> Row {
        let (certificate, key_fits) = match self.known_or_read(text) {
            Ok((certificate, fits)) => (Ok(certificate), fits),
            Err(why) => (Err(why), false),
        };
        Row {
            id: text.id,
            borrowed: text.site_id != Some(site),
            kind: kind(text.kind),
            expires_at: text.expires_at,
            certificate,
            key_fits,
        }
    }

    fn known_or_read(
        &mut self,
        text: &Text<'_>,
    ) -> Result<(Arc<renewal::certificate::Certificate>, bool), String> {
        let path = self.name(text.id);
        let stamp = stamp(text);
        if let Some(seen) = self.known.get(&path).filter(|seen| seen.stamp == stamp) {
            return Ok((Arc::clone(&seen.certificate), seen.key_fits));
        }
        let chain = Chain::read(text.certificate).map_err(|error| unreadable(text, &error))?;
        let key = Secret::new(String::from_utf8_lossy(text.key).into_owned());
        let key_fits = x509::key::fits(&key, chain.leaf_der()).unwrap_or(false);
        let certificate = Arc::new(chain.leaf);
        let seen = Seen {
            stamp,
            key_stamp: None,
            certificate: Arc::clone(&certificate),
            key_fits,
        };
        self.read.push((path, seen));
        Ok((certificate, key_fits))
    }

    /// Returns a name for the row among the names of files; there is no such file, for the database is no folder.
    fn name(&self, id: i64) -> PathBuf {
        self.database.join("certificate").join(id.to_string())
    }
}

/// Returns the pair in a row's columns.
pub(crate) fn pair(key: String, certificate: &str, chain: Option<&str>) -> Result<PemPair, String> {
    let whole = format!("{certificate}\n{}", chain.unwrap_or_default());
    let chain = Chain::read(whole.as_bytes()).map_err(|error| error.to_string())?;
    Ok(PemPair {
        key: Secret::new(key),
        leaf: chain.leaf_pem(),
        issuers: chain.issuers_pem(),
    })
}

/// Returns the bytes of a column, whatever they are stored as.
pub(crate) fn bytes(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => &[],
    }
}

/// Reads a date as the panel writes it; it is in UTC.
pub(crate) fn moment(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let date = DateTime::strptime(DATE, text.trim()).ok()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Writes a date as the panel does, in UTC.
pub(crate) fn date(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime(DATE).to_string()
}

fn kind(text: &[u8]) -> RowKind {
    match text {
        b"1" => RowKind::SelfSigned,
        b"2" => RowKind::Issued,
        b"3" => RowKind::Imported,
        _ => RowKind::Other,
    }
}

fn stamp(text: &Text<'_>) -> Stamp {
    let mut digest = digest::Context::new(&digest::SHA256);
    for part in [text.certificate, text.key] {
        digest.update(&part.len().to_le_bytes());
        digest.update(part);
    }
    let digest = digest.finish();
    let mut half = [0; 16];
    half.copy_from_slice(&digest.as_ref()[..16]);
    Stamp {
        inode: text.id.cast_unsigned(),
        modified_ns: i128::from_le_bytes(half),
        size: text.certificate.len() as u64,
    }
}

/// Says why there is no certificate in it; literal `\n` are what old versions of the panel wrote.
fn unreadable(text: &Text<'_>, error: &x509::chain::ChainError) -> String {
    let literal = text.certificate.windows(2).any(|pair| pair == br"\n");
    if literal {
        format!(r"{error}; it holds the two characters \n where lines should end")
    } else {
        error.to_string()
    }
}

/// `2026-12-01 09:00:00`
const DATE: &str = "%Y-%m-%d %H:%M:%S";

#[cfg(test)]
mod tests {
    use super::{date, kind, moment};
    use renewal::panel::RowKind;

    #[test]
    fn a_date_is_written_as_it_is_read() {
        let text = "2026-12-01 09:00:00";
        let at = moment(text.as_bytes()).unwrap();
        assert_eq!(at.to_string(), "2026-12-01T09:00:00Z");
        assert_eq!(date(at), text);
        for broken in ["", "0000-00-00 00:00:00", "2026-13-01 00:00:00", "soon"] {
            assert_eq!(moment(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn a_type_that_is_not_known_is_none_of_the_known() {
        assert_eq!(kind(b"2"), RowKind::Issued);
        assert_eq!(kind(b"4"), RowKind::Other);
        assert_eq!(kind(b""), RowKind::Other);
    }
}
