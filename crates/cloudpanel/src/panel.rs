//! The panel, behind the port that the driver knows.

use std::sync::Arc;

use jiff::Timestamp;
use renewal::finding::{Finding, FindingName};
use renewal::panel::{Inventory, Notice, PanelSite, PemPair};
use renewal::ports::{HostFailure, Known, Panel, RecordChange};
use renewal::secret::Secret;
use rusqlite::OptionalExtension as _;

use crate::database::{self, Trouble, Writing};
use crate::record::Draft;
use crate::settings::Settings;
use crate::{account, at_work, backup, by_command, inventory, notices, row, schema};

/// A CloudPanel, if there is one on this host.
#[derive(Clone, Debug)]
pub struct CloudPanel(Option<Arc<Settings>>);

impl CloudPanel {
    /// Takes the settings; `None` where there is no panel to be looked for. Nothing is touched yet.
    #[must_use]
    pub fn new(settings: Option<Settings>) -> Self {
        Self(settings.map(Arc::new))
    }

    /// Returns the key of the account that the panel's own client has; `None` without a panel, or when it has none yet.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub fn account_key(&self) -> Result<Option<Secret>, HostFailure> {
        let Some(settings) = &self.0 else {
            return Ok(None);
        };
        account::key(settings).map_err(|trouble| {
            HostFailure(trouble.finding(
                FindingName::PanelUnreadable,
                "The account in CloudPanel's database cannot be read.",
            ))
        })
    }

    /// Has work on the database done where it holds up nobody; `None` without a panel.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Settings) -> T + Send + 'static,
    ) -> Option<T> {
        let settings = Arc::clone(self.0.as_ref()?);
        let done = tokio::task::spawn_blocking(move || work(&settings)).await;
        Some(done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())))
    }
}

impl Panel for CloudPanel {
    async fn inventory(&self, known: &Known) -> Inventory {
        // Nothing else is under way while a run looks, so it may take this thread for some milliseconds.
        self.0.as_ref().map_or(Inventory::Absent, |settings| {
            inventory::inventory(settings, known)
        })
    }

    async fn pair(&self, site: &PanelSite) -> Result<PemPair, HostFailure> {
        let id = site.row.as_ref().map(|row| row.id);
        let read = self.with(move |settings| pair(settings, id)).await;
        let missing = || Err(Trouble::Other("there is no CloudPanel here".to_owned()));
        read.unwrap_or_else(missing).map_err(|trouble| {
            HostFailure(trouble.finding(
                FindingName::PanelUnreadable,
                "The certificate in CloudPanel's database cannot be read.",
            ))
        })
    }

    async fn record(&self, changes: Vec<RecordChange>, now: Timestamp) -> Vec<Option<Finding>> {
        let count = changes.len();
        let recorded = self.with(move |settings| record(settings, &changes, now));
        recorded.await.unwrap_or_else(|| vec![None; count])
    }

    async fn at_work(&self) -> Option<String> {
        let renewal = |settings: &Settings| at_work::renewal(&settings.proc, &settings.program);
        self.with(renewal).await.flatten()
    }

    async fn notify(&self, notices: Vec<Notice>, now: Timestamp) -> Result<(), HostFailure> {
        let told = self.with(move |settings| {
            // Nothing is opened for writing to say what is there already.
            let Some(notices) = notices::news(settings, notices)? else {
                return Ok(());
            };
            let mut writing = open(settings)?;
            notices::add(settings, &mut writing, &notices, now)?;
            writing.is_whole()
        });
        told.await.unwrap_or(Ok(())).map_err(|trouble| {
            HostFailure(trouble.finding(
                FindingName::PanelNotWritten,
                "A notice could not be added to CloudPanel's list.",
            ))
        })
    }
}

fn open(settings: &Settings) -> Result<Writing, Trouble> {
    Writing::open(&settings.database, settings.patience)
}

/// Reads the pair of the row with this number.
fn pair(settings: &Settings, id: Option<i64>) -> Result<PemPair, Trouble> {
    let path = &settings.database;
    database::read(path, settings.patience, |connection| {
        let wrong = database::of(path);
        let form = schema::probe(connection, &wrong)?;
        form.certificates.map_err(Trouble::Form)?;
        let found = connection
            .query_row(
                "SELECT private_key, certificate, certificate_chain FROM certificate WHERE id = ?1",
                [id],
                |row| {
                    let (key, certificate): (String, String) = (row.get(0)?, row.get(1)?);
                    let chain: Option<String> = row.get(2)?;
                    Ok(row::pair(key, &certificate, chain.as_deref()))
                },
            )
            .optional()
            .map_err(wrong)?;
        let gone = || Err("it was deleted meanwhile".to_owned());
        found.unwrap_or_else(gone).map_err(Trouble::Changed)
    })
}

fn record(settings: &Settings, changes: &[RecordChange], now: Timestamp) -> Vec<Option<Finding>> {
    let failed = |trouble: &Trouble| {
        Some(trouble.finding(
            FindingName::PanelNotWritten,
            "The certificate is served, and could not be written into CloudPanel's database; the next run tries again.",
        ))
    };
    let drafts: Vec<_> = changes
        .iter()
        .map(|change| Draft::new(change, now))
        .collect();
    if drafts.iter().all(|draft| matches!(draft, Ok(None))) {
        return vec![None; changes.len()];
    }
    let opened = prepare(settings, now);
    let (mut writing, known) = match opened {
        Ok(opened) => opened,
        Err(trouble) => return vec![failed(&trouble); changes.len()],
    };
    let each = changes.iter().zip(drafts).map(|(change, draft)| {
        let written = draft.and_then(|draft| match (draft, &known) {
            (None, _) => Ok(None),
            (Some(draft), Ok(())) => draft.write(settings, &mut writing).map(|()| None),
            (Some(_), Err(_)) => by_command::install(settings, change).map(Some),
        });
        written.unwrap_or_else(|trouble| failed(&trouble))
    });
    let mut answers: Vec<_> = each.collect();
    if let Err(trouble) = writing.is_whole() {
        answers
            .iter_mut()
            .for_each(|answer| *answer = failed(&trouble));
    }
    answers
}

/// Copies the database and opens it; says as well whether its rows have the form that is known.
fn prepare(settings: &Settings, now: Timestamp) -> Result<(Writing, Result<(), String>), Trouble> {
    let writing = open(settings)?;
    let wrong = database::of(&settings.database);
    let form = schema::probe(&writing.connection, &wrong)?;
    let copy = backup::make(settings, now)?;
    tracing::debug!(copy = %copy.display(), "CloudPanel's database was copied");
    Ok((writing, form.certificates))
}

#[cfg(test)]
mod tests;
