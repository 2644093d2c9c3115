//! The port, method by method: each names what it does and asks the table that knows.

use std::collections::HashMap;
use std::path::PathBuf;

use renewal::deployment::Deployment;
use renewal::ledger::Ledger;
use renewal::name::Name;
use renewal::plan::Remembered;
use renewal::ports::{HistoryEntry, Known, Memory, MemoryFailure, Note, OpenOrder, Progress, Seen};
use renewal::suggestion::Suggestion;

use super::{Database, files, history, journal, sites, spent};

impl Memory for Database {
    fn remembered(&self) -> Result<HashMap<Name, Remembered>, MemoryFailure> {
        self.read("read the sites' schedule from", sites::all)
    }

    fn remember_suggestions(
        &self,
        suggestions: &[(Name, Suggestion)],
    ) -> Result<(), MemoryFailure> {
        if suggestions.is_empty() {
            return Ok(());
        }
        self.write("write the CA's suggested windows to", |transaction| {
            sites::write_suggestions(transaction, suggestions)
        })
    }

    fn note(&self, notes: &[Note<'_>]) -> Result<(), MemoryFailure> {
        if notes.is_empty() {
            return Ok(());
        }
        self.write("write what happened to", |transaction| {
            for note in notes {
                match note {
                    Note::Spent(spent) => spent::write(transaction, spent)?,
                    Note::Order(domain, order) => {
                        journal::write_order(transaction, domain, *order)?;
                    }
                    Note::Attempts(domain, attempts) => {
                        sites::write_attempts(transaction, domain, *attempts)?;
                    }
                    Note::Line(domain, at) => sites::write_line(transaction, domain, *at)?,
                    Note::History(entry) => history::write(transaction, entry)?,
                }
            }
            Ok(())
        })
    }

    fn known(&self) -> Result<Known, MemoryFailure> {
        self.read("read the known certificate files from", files::all)
    }

    fn remember_seen(&self, seen: &[(PathBuf, Seen)]) -> Result<(), MemoryFailure> {
        if seen.is_empty() {
            return Ok(());
        }
        self.write("write the known certificate files to", |transaction| {
            files::write(transaction, seen)
        })
    }

    fn ledger(&self) -> Result<Ledger, MemoryFailure> {
        self.read("read the ledger from", spent::all)
            .map(Ledger::new)
    }

    fn open_order(&self, domain: &Name) -> Result<Option<OpenOrder>, MemoryFailure> {
        self.read("read a site's open order from", |connection| {
            journal::order(connection, domain)
        })
    }

    fn open_deployments(&self) -> Result<Vec<(i64, Deployment)>, MemoryFailure> {
        self.read("read the open deployments from", journal::deployments)
    }

    fn begin(&self, deployment: &Deployment) -> Result<i64, MemoryFailure> {
        self.write("write a deployment to", |transaction| {
            journal::begin(transaction, deployment)
        })
    }

    fn advance(&self, number: i64, progress: Progress) -> Result<(), MemoryFailure> {
        self.write("write a deployment's progress to", |transaction| {
            journal::advance(transaction, number, progress)
        })
    }

    fn history(
        &self,
        domain: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, MemoryFailure> {
        self.read("read the history from", |connection| {
            history::newest(connection, domain, limit)
        })
    }
}
