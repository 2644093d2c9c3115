//! Who is right about one site: the files that nginx reads, or the panel's record?

use std::sync::Arc;

use jiff::Timestamp;

use crate::certificate::Certificate;
use crate::panel::{PanelSite, Row, RowKind};
use crate::site::{Current, Site};

/// Who is right, and what follows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stand {
    /// They agree, or the panel has nothing to say.
    Same,
    /// The files hold a certificate of ours that the record does not know: it is to be written there.
    RecordBehind(String),
    /// The record holds a better one than the files: it is to be taken over.
    FilesBehind(String),
    /// They differ, and neither is ours to correct now.
    Apart(String),
}

/// Says who is right about the site, and what differs, as a phrase.
#[must_use]
pub fn stand(site: &Site, now: Timestamp) -> Stand {
    let Some(panel) = site.panel.site().filter(|panel| panel.id.is_some()) else {
        return Stand::Same;
    };
    let current = site.current.as_ref();
    let ours = current.filter(|current| current.version.is_some() && is_good(current, now));
    let Some(row) = &panel.row else {
        let nothing = "the record has no certificate for the site".to_owned();
        return ours.map_or(Stand::Same, |_| Stand::RecordBehind(nothing));
    };
    let Some(difference) = difference(row, current) else {
        return Stand::Same;
    };
    if takes_over(row, current, now) {
        return Stand::FilesBehind(difference);
    }
    // What a person brought is not overwritten by a machine that merely was there first.
    let brought = row.kind == RowKind::Imported && is_newer(row, current);
    match ours {
        Some(_) if !brought => Stand::RecordBehind(difference),
        Some(_) | None => Stand::Apart(difference),
    }
}

/// Says whether the record must be written once the site serves this certificate.
#[must_use]
pub fn is_news(panel: &PanelSite, certificate: &Arc<Certificate>) -> bool {
    let served = Current {
        certificate: Arc::clone(certificate),
        path: panel.files.certificate.clone(),
        version: None,
        key_fits: true,
    };
    let known = |row: &Row| difference(row, Some(&served)).is_none();
    panel.id.is_some() && !panel.row.as_ref().is_some_and(known)
}

/// Says what differs, as a phrase; `None` when nothing does.
fn difference(row: &Row, current: Option<&Current>) -> Option<String> {
    let recorded = match &row.certificate {
        Ok(recorded) => recorded,
        Err(why) => return Some(format!("the record's certificate cannot be read: {why}")),
    };
    let Some(current) = current else {
        return Some("there is no such file, or none that can be read".to_owned());
    };
    let filed = &current.certificate;
    if recorded.sha256 != filed.sha256 {
        return Some(format!(
            "the file holds serial {} until {}, the record serial {} until {}",
            filed.serial,
            filed.valid.end(),
            recorded.serial,
            recorded.valid.end()
        ));
    }
    if !row.key_fits {
        return Some("the record's private key does not belong to its certificate".to_owned());
    }
    if row.borrowed {
        return Some("the record is another site's".to_owned());
    }
    if row.kind == RowKind::SelfSigned && !filed.self_signed {
        return Some("the record says that it is self-signed, and a CA issued it".to_owned());
    }
    if row.kind == RowKind::Imported {
        // Its date is nobody's business: the panel does not renew it.
        return None;
    }
    let end = filed.valid.end();
    match row.expires_at {
        Some(at) if at == end => None,
        Some(at) => Some(format!(
            "the record says that it ends on {at}, and it ends on {end}"
        )),
        None => Some(format!(
            "the record has no date for its end, which is {end}"
        )),
    }
}

fn takes_over(row: &Row, current: Option<&Current>, now: Timestamp) -> bool {
    let Ok(recorded) = &row.certificate else {
        return false;
    };
    let good = row.kind == RowKind::Issued
        && !row.borrowed
        && row.key_fits
        && !recorded.self_signed
        && recorded.valid.contains(now);
    let other = current.is_none_or(|current| current.certificate.sha256 != recorded.sha256);
    let better = current.is_none_or(|current| !is_good(current, now) || is_better(row, current));
    good && other && better
}

fn is_good(current: &Current, now: Timestamp) -> bool {
    let certificate = &current.certificate;
    current.key_fits && !certificate.self_signed && certificate.valid.contains(now)
}

/// Says whether the recorded one ends later.
fn is_better(row: &Row, current: &Current) -> bool {
    let end = current.certificate.valid.end();
    row.certificate
        .as_ref()
        .is_ok_and(|recorded| end < recorded.valid.end())
}

fn is_newer(row: &Row, current: Option<&Current>) -> bool {
    current.is_none_or(|current| {
        let start = current.certificate.valid.start();
        row.certificate
            .as_ref()
            .is_ok_and(|recorded| start < recorded.valid.start())
    })
}

#[cfg(test)]
mod tests;
