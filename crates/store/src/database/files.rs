//! Which certificate files were read before, and what stood in them?
//!
//! Facts stand in columns of their own rather than in one encoded value: reading them costs less than parsing,
//! and people can look at them with `sqlite3`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use renewal::certificate::{Certificate, CertificateId, Fingerprint};
use renewal::ports::{Known, Seen};
use renewal::window::Window;
use rusqlite::{Connection, Row, params};

use super::column;
use super::trouble::{Answer, Trouble};

pub(super) fn all(connection: &Connection) -> Answer<Known> {
    // Growing step by step would hash every path twice, and a path's hash is the dearest part.
    let files: i64 = connection
        .prepare_cached("SELECT count(*) FROM files")?
        .query_row([], |row| row.get(0))?;
    let mut known = Known::with_capacity(usize::try_from(files).unwrap_or_default());
    let mut statement = connection.prepare_cached(
        "SELECT path, stamp, key_stamp, key_fits, names, valid_from, valid_until, issuer, serial, sha256,
             certificate, self_signed FROM files",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let path = PathBuf::from(OsStr::from_bytes(column::bytes(row, 0)?));
        known.insert(path, seen(row)?);
    }
    Ok(known)
}

pub(super) fn write(connection: &Connection, seen: &[(PathBuf, Seen)]) -> Answer<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO files VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT DO UPDATE SET stamp = ?2, key_stamp = ?3, key_fits = ?4, names = ?5, valid_from = ?6,
             valid_until = ?7, issuer = ?8, serial = ?9, sha256 = ?10, certificate = ?11, self_signed = ?12",
    )?;
    for (path, seen) in seen {
        let certificate = &seen.certificate;
        statement.execute(params![
            path.as_os_str().as_bytes(),
            column::from_stamp(&seen.stamp),
            seen.key_stamp.as_ref().map(column::from_stamp),
            seen.key_fits,
            column::from_names(&certificate.names),
            column::from_moment(certificate.valid.start()),
            column::from_moment(certificate.valid.end()),
            certificate.issuer,
            certificate.serial,
            certificate.sha256.0,
            certificate.id.as_ref().map(|id| id.0.as_str()),
            certificate.self_signed,
        ])?;
    }
    Ok(())
}

fn seen(row: &Row<'_>) -> Answer<Seen> {
    let key_stamp = if column::is_null(row, 2)? {
        None
    } else {
        Some(column::stamp(column::bytes(row, 2)?)?)
    };
    let sha256 = column::bytes(row, 9)?
        .try_into()
        .map_err(|error| Trouble::value("a SHA-256", error))?;
    Ok(Seen {
        stamp: column::stamp(column::bytes(row, 1)?)?,
        key_stamp,
        key_fits: column::number(row, 3)? != 0,
        certificate: Arc::new(Certificate {
            names: column::name_list(row, 4)?,
            valid: Window::new(column::moment(row, 5)?, column::moment(row, 6)?)
                .map_err(|error| Trouble::value("a certificate's validity", error))?,
            issuer: column::text(row, 7)?.to_owned(),
            serial: column::text(row, 8)?.to_owned(),
            sha256: Fingerprint(sha256),
            id: column::optional_text(row, 10)?.map(CertificateId),
            self_signed: column::number(row, 11)? != 0,
        }),
    })
}
