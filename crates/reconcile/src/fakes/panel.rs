//! A panel in memory: rows, notices, and a database that can be held by somebody else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use renewal::certificate::Certificate;
use renewal::finding::{Finding, FindingName};
use renewal::name::Name;
use renewal::panel::{Inventory, Notice, PanelSite, PemPair, Projection, Record, Row, RowKind};
use renewal::ports::{HostFailure, Known, Panel, RecordChange};
use renewal::secret::Secret;

use super::lock;

/// The panel; without a site in it there is none.
#[derive(Default)]
pub(crate) struct FakePanel {
    pub(crate) state: Mutex<State>,
}

/// What is in its database.
#[derive(Default)]
pub(crate) struct State {
    /// The active row of each site.
    pub(crate) rows: BTreeMap<String, Row>,
    /// The chains that can be taken over, as the host reads them.
    pub(crate) chains: BTreeMap<String, String>,
    /// Whether somebody else holds it.
    pub(crate) held: bool,
    /// The process by which it obtains certificates itself.
    pub(crate) at_work: Option<String>,
    /// How often that is not seen yet.
    pub(crate) at_work_after: u32,
    /// How often it was written.
    pub(crate) writes: u32,
    /// The notices, newest last.
    pub(crate) notices: Vec<Notice>,
}

impl FakePanel {
    /// Returns the number of the certificate that a site's row holds.
    pub(crate) fn records(&self, domain: &str) -> Option<String> {
        let state = lock(&self.state);
        let row = state.rows.get(domain)?;
        row.certificate
            .as_ref()
            .ok()
            .map(|read| read.serial.clone())
    }

    /// Puts a certificate into a site's row, as the panel has it after it issued it.
    pub(crate) fn has(&self, domain: &str, certificate: Certificate) {
        let row = row(certificate.into());
        lock(&self.state).rows.insert(domain.to_owned(), row);
    }
}

fn row(certificate: Arc<Certificate>) -> Row {
    Row {
        id: 1,
        borrowed: false,
        kind: RowKind::Issued,
        expires_at: Some(certificate.valid.end()),
        certificate: Ok(certificate),
        key_fits: true,
    }
}

fn held() -> Finding {
    Finding::new(FindingName::PanelNotWritten, "somebody else holds it")
}

impl Panel for FakePanel {
    async fn inventory(&self, _known: &Known) -> Inventory {
        let state = lock(&self.state);
        if state.rows.is_empty() {
            return Inventory::Absent;
        }
        let site = |(domain, row): (&String, &Row)| PanelSite {
            id: Some(1),
            domain: Name::parse(domain).unwrap(),
            kind: "php".to_owned(),
            user: "john".to_owned(),
            document_root: "/home/john/htdocs".into(),
            vhost: format!("/etc/nginx/{domain}.conf").into(),
            files: Projection::of("/etc/nginx/ssl-certificates".as_ref(), domain),
            row: Some(row.clone()),
            findings: Vec::new(),
        };
        Inventory::Known(Record {
            sites: state.rows.iter().map(site).collect(),
            ..Record::default()
        })
    }

    async fn pair(&self, site: &PanelSite) -> Result<PemPair, HostFailure> {
        let state = lock(&self.state);
        Ok(PemPair {
            key: Secret::new("key".to_owned()),
            leaf: state.chains[site.domain.as_str()].clone(),
            issuers: String::new(),
        })
    }

    async fn record(&self, changes: Vec<RecordChange>, _now: Timestamp) -> Vec<Option<Finding>> {
        let mut state = lock(&self.state);
        if state.held {
            return vec![Some(held()); changes.len()];
        }
        let write = |change: RecordChange| {
            state.writes += 1;
            let domain = change.site.domain.to_string();
            let kind = if change.imported {
                RowKind::Imported
            } else {
                RowKind::Issued
            };
            let row = Row {
                kind,
                ..row(change.certificate.into())
            };
            state.rows.insert(domain, row);
            None
        };
        changes.into_iter().map(write).collect()
    }

    async fn at_work(&self) -> Option<String> {
        let mut state = lock(&self.state);
        match state.at_work_after.checked_sub(1) {
            Some(left) => {
                state.at_work_after = left;
                None
            }
            None => state.at_work.clone(),
        }
    }

    async fn notify(&self, notices: Vec<Notice>, _now: Timestamp) -> Result<(), HostFailure> {
        let mut state = lock(&self.state);
        if state.held {
            return Err(HostFailure(held()));
        }
        for notice in notices {
            state
                .notices
                .retain(|known| Some(&known.subject) != notice.ends.as_ref());
            if state
                .notices
                .iter()
                .all(|known| known.subject != notice.subject)
            {
                state.notices.push(notice);
            }
        }
        Ok(())
    }
}
