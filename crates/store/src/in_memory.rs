//! What if there is no file? The same memory for simulations and tests.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use renewal::deployment::{Deployment, Phase};
use renewal::ledger::{Bucket, Ledger, Level};
use renewal::name::Name;
use renewal::plan::Remembered;
use renewal::ports::{HistoryEntry, Known, Memory, MemoryFailure, Note, OpenOrder, Progress, Seen};
use renewal::suggestion::Suggestion;

use crate::HISTORY_ENTRIES_MAX;

/// A memory that lasts as long as the value.
#[derive(Debug, Default)]
pub struct InMemory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sites: HashMap<Name, Remembered>,
    known: Known,
    spent: HashMap<Bucket, Level>,
    orders: HashMap<Name, OpenOrder>,
    deployments: BTreeMap<i64, Deployment>,
    deployments_begun: i64,
    /// Newest at the back.
    history: VecDeque<HistoryEntry>,
}

impl InMemory {
    fn turn(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, note: Note<'_>) {
        match note {
            Note::Spent(spent) => self.spent.extend(spent.iter().cloned()),
            Note::Order(domain, Some(order)) => {
                self.orders.insert(domain.clone(), order.clone());
            }
            Note::Order(domain, None) => {
                self.orders.remove(domain);
            }
            Note::Attempts(domain, attempts) => {
                let site = self.sites.entry(domain.clone()).or_default();
                site.attempts = attempts.cloned();
                if *site == Remembered::default() {
                    self.sites.remove(domain);
                }
            }
            Note::Line(domain, at) => {
                let site = self.sites.entry(domain.clone()).or_default();
                site.line_at = at;
                if *site == Remembered::default() {
                    self.sites.remove(domain);
                }
            }
            Note::History(entry) => {
                self.history.push_back(entry.clone());
                let surplus = self.history.len().saturating_sub(HISTORY_ENTRIES_MAX);
                self.history.drain(..surplus);
            }
        }
    }
}

impl Memory for InMemory {
    fn remembered(&self) -> Result<HashMap<Name, Remembered>, MemoryFailure> {
        Ok(self.turn().sites.clone())
    }

    fn remember_suggestions(
        &self,
        suggestions: &[(Name, Suggestion)],
    ) -> Result<(), MemoryFailure> {
        let mut state = self.turn();
        for (domain, suggestion) in suggestions {
            let site = state.sites.entry(domain.clone()).or_default();
            site.suggestion = Some(suggestion.clone());
        }
        Ok(())
    }

    fn note(&self, notes: &[Note<'_>]) -> Result<(), MemoryFailure> {
        let mut state = self.turn();
        for note in notes {
            state.note(*note);
        }
        Ok(())
    }

    fn known(&self) -> Result<Known, MemoryFailure> {
        Ok(self.turn().known.clone())
    }

    fn remember_seen(&self, seen: &[(PathBuf, Seen)]) -> Result<(), MemoryFailure> {
        self.turn().known.extend(seen.iter().cloned());
        Ok(())
    }

    fn ledger(&self) -> Result<Ledger, MemoryFailure> {
        let state = self.turn();
        let spent = state.spent.iter();
        Ok(Ledger::new(
            spent.map(|(bucket, level)| (bucket.clone(), *level)),
        ))
    }

    fn open_order(&self, domain: &Name) -> Result<Option<OpenOrder>, MemoryFailure> {
        Ok(self.turn().orders.get(domain).cloned())
    }

    fn open_deployments(&self) -> Result<Vec<(i64, Deployment)>, MemoryFailure> {
        let state = self.turn();
        let open = state.deployments.iter();
        Ok(open
            .map(|(number, deployment)| (*number, deployment.clone()))
            .collect())
    }

    fn begin(&self, deployment: &Deployment) -> Result<i64, MemoryFailure> {
        let mut state = self.turn();
        state.deployments_begun += 1;
        let number = state.deployments_begun;
        state.deployments.insert(number, deployment.clone());
        Ok(number)
    }

    fn advance(&self, number: i64, progress: Progress) -> Result<(), MemoryFailure> {
        let mut state = self.turn();
        let Some(deployment) = state.deployments.get_mut(&number) else {
            return Err(MemoryFailure {
                what: "cannot write a deployment's progress".to_owned(),
                cause: format!("no deployment {number} is open"),
            });
        };
        deployment.phase = progress;
        match progress {
            Phase::Begun | Phase::Switched | Phase::Tested | Phase::Reloaded => {}
            Phase::Settled | Phase::Reverted => {
                state.deployments.remove(&number);
            }
        }
        Ok(())
    }

    fn history(
        &self,
        domain: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, MemoryFailure> {
        let state = self.turn();
        let newest = state.history.iter().rev();
        let wanted = newest.filter(|entry| domain.is_none() || entry.domain.as_ref() == domain);
        Ok(wanted.take(limit).cloned().collect())
    }
}
