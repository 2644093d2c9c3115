//! The ports of the driver, wired to the truth.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reconcile::world::{Settings, World};
use renewal::deployment::Deployment;
use renewal::finding::{Finding, FindingName};
use renewal::ledger::Ledger;
use renewal::name::Name;
use renewal::panel::{Inventory, Notice, PanelSite, PemPair};
use renewal::plan::Remembered;
use renewal::policy::EditVhosts;
use renewal::ports::{
    Clock, Event, HistoryEntry, HostFailure, Known, Lease, LeaseHeld, Memory, MemoryFailure, Note,
    Observer, OpenOrder, Panel, Progress, RecordChange, Seen,
};
use renewal::suggestion::Suggestion;

use crate::world::authority::SimulatedAuthority;
use crate::world::host::SimulatedHost;
use crate::world::pulse::Pulse;
use crate::world::truth::Shared;

/// One process: it sees the truth, and may die.
pub(crate) struct Process {
    pub(crate) host: SimulatedHost,
    pub(crate) authority: SimulatedAuthority,
    pub(crate) memory: SimulatedMemory,
    pub(crate) clock: SimulatedClock,
    pub(crate) settings: Settings,
}

impl Process {
    pub(crate) fn new(
        truth: &Shared,
        memory: &Arc<store::InMemory>,
        pulse: &Arc<Pulse>,
        tempo: &Arc<super::pulse::Tempo>,
    ) -> Arc<Self> {
        let clock = SimulatedClock {
            truth: truth.clone(),
            pulse: Arc::clone(pulse),
            tempo: Arc::clone(tempo),
        };
        Arc::new(Self {
            host: SimulatedHost {
                truth: truth.clone(),
                pulse: Arc::clone(pulse),
                clock: clock.clone(),
            },
            authority: SimulatedAuthority {
                truth: truth.clone(),
                pulse: Arc::clone(pulse),
                clock: clock.clone(),
                memory: Arc::clone(memory),
            },
            memory: SimulatedMemory {
                inner: Arc::clone(memory),
                pulse: Arc::clone(pulse),
            },
            clock,
            settings: Settings {
                jobs: 3,
                http_port: 80,
                edit: EditVhosts::default(),
            },
        })
    }
}

impl World for Process {
    type Host = SimulatedHost;
    type Panel = NoPanel;
    type Authority = SimulatedAuthority;
    type Preflight = SimulatedHost;
    type Memory = SimulatedMemory;
    type Lease = Free;
    type Clock = SimulatedClock;
    type Observer = Nobody;

    fn host(&self) -> &SimulatedHost {
        &self.host
    }
    fn panel(&self) -> &NoPanel {
        &NoPanel
    }
    fn authority(&self) -> &SimulatedAuthority {
        &self.authority
    }
    fn preflight(&self) -> &SimulatedHost {
        &self.host
    }
    fn memory(&self) -> &SimulatedMemory {
        &self.memory
    }
    fn lease(&self) -> &Free {
        &Free
    }
    fn clock(&self) -> &SimulatedClock {
        &self.clock
    }
    fn observer(&self) -> &Nobody {
        &Nobody
    }
    fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// This host's clock, which may be wrong, and the true time beside it.
#[derive(Clone)]
pub(crate) struct SimulatedClock {
    truth: Shared,
    pulse: Arc<Pulse>,
    tempo: Arc<super::pulse::Tempo>,
}

impl SimulatedClock {
    /// Returns what time it really is.
    pub(crate) fn true_now(&self) -> Timestamp {
        super::true_time(&self.tempo)
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        let ahead = self.truth.lock().clock_ahead;
        self.true_now()
            .checked_add(SignedDuration::from_secs(ahead))
            .unwrap()
    }

    async fn wait_until(&self, moment: Timestamp) {
        let wait = moment.duration_since(self.now()).max(SignedDuration::ZERO);
        let wait = Duration::try_from(wait).unwrap().min(LONGEST_WAIT);
        self.pulse.wait(wait).await;
    }
}

/// tokio's timers end near two years.
const LONGEST_WAIT: Duration = Duration::from_hours(24 * 300);

/// Nobody else ever holds it.
pub(crate) struct Free;

impl Lease for Free {
    type Held = ();

    fn take(&self) -> Result<(), LeaseHeld> {
        Ok(())
    }
}

/// These hosts have no panel.
pub(crate) struct NoPanel;

impl Panel for NoPanel {
    async fn inventory(&self, _known: &Known) -> Inventory {
        Inventory::Absent
    }

    async fn pair(&self, site: &PanelSite) -> Result<PemPair, HostFailure> {
        let text = format!("no panel knows {}", site.domain);
        Err(HostFailure(Finding::new(FindingName::FileNotUsable, text)))
    }

    async fn record(&self, changes: Vec<RecordChange>, _now: Timestamp) -> Vec<Option<Finding>> {
        changes.iter().map(|_| None).collect()
    }

    async fn at_work(&self) -> Option<String> {
        None
    }

    async fn notify(&self, _notices: Vec<Notice>, _now: Timestamp) -> Result<(), HostFailure> {
        Ok(())
    }
}

/// Watches nothing.
pub(crate) struct Nobody;

impl Observer for Nobody {
    fn saw(&self, _event: Event<'_>) {}
}

/// A memory whose writes are effects: each is made whole or not at all.
pub(crate) struct SimulatedMemory {
    inner: Arc<store::InMemory>,
    pulse: Arc<Pulse>,
}

impl SimulatedMemory {
    fn write<R>(
        &self,
        kind: &'static str,
        write: impl FnOnce(&store::InMemory) -> Result<R, MemoryFailure>,
    ) -> Result<R, MemoryFailure> {
        let written = self.pulse.effect(kind, || write(&self.inner));
        written.unwrap_or_else(|| Err(dead()))
    }

    fn read<R>(
        &self,
        read: impl FnOnce(&store::InMemory) -> Result<R, MemoryFailure>,
    ) -> Result<R, MemoryFailure> {
        if self.pulse.is_dead() {
            return Err(dead());
        }
        read(&self.inner)
    }
}

fn dead() -> MemoryFailure {
    MemoryFailure {
        what: "the process is dead".to_owned(),
        cause: "it was killed".to_owned(),
    }
}

impl Memory for SimulatedMemory {
    fn remembered(&self) -> Result<HashMap<Name, Remembered>, MemoryFailure> {
        self.read(Memory::remembered)
    }

    fn remember_suggestions(
        &self,
        suggestions: &[(Name, Suggestion)],
    ) -> Result<(), MemoryFailure> {
        self.write("windows remembered", |inner| {
            inner.remember_suggestions(suggestions)
        })
    }

    fn note(&self, notes: &[Note<'_>]) -> Result<(), MemoryFailure> {
        self.write("noted", |inner| inner.note(notes))
    }

    fn known(&self) -> Result<Known, MemoryFailure> {
        self.read(Memory::known)
    }

    fn remember_seen(&self, seen: &[(PathBuf, Seen)]) -> Result<(), MemoryFailure> {
        // Nothing is cached in these worlds.
        self.read(|inner| inner.remember_seen(seen))
    }

    fn ledger(&self) -> Result<Ledger, MemoryFailure> {
        self.read(Memory::ledger)
    }

    fn open_order(&self, domain: &Name) -> Result<Option<OpenOrder>, MemoryFailure> {
        self.read(|inner| inner.open_order(domain))
    }

    fn open_deployments(&self) -> Result<Vec<(i64, Deployment)>, MemoryFailure> {
        self.read(Memory::open_deployments)
    }

    fn begin(&self, deployment: &Deployment) -> Result<i64, MemoryFailure> {
        self.write("deployment begun", |inner| inner.begin(deployment))
    }

    fn advance(&self, number: i64, progress: Progress) -> Result<(), MemoryFailure> {
        self.write("deployment advanced", |inner| {
            inner.advance(number, progress)
        })
    }

    fn history(
        &self,
        domain: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, MemoryFailure> {
        self.read(|inner| inner.history(domain, limit))
    }
}

/// Takes a lock whatever happened to its last holder.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
