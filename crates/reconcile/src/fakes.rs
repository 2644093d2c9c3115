//! A world to run the driver in: every port played by a value in memory, time moved by hand.
//!
//! The fakes keep the contracts of `renewal::ports` and count what is asked of them, so that a test can say
//! what must not happen as well as what must.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use renewal::policy::EditVhosts;
use renewal::ports::{Clock, Event, Lease, LeaseHeld, Observer};
use renewal::report::Report;

use crate::world::{Settings, World};

pub(crate) use self::authority::{Behaviour, FakeAuthority};
pub(crate) use self::host::{FakeHost, certificate};
pub(crate) use self::panel::FakePanel;

mod authority;
mod host;
mod panel;

/// The world.
pub(crate) struct FakeWorld {
    pub(crate) host: FakeHost,
    pub(crate) panel: FakePanel,
    pub(crate) authority: FakeAuthority,
    pub(crate) memory: store::InMemory,
    pub(crate) clock: FakeClock,
    pub(crate) lease: FakeLease,
    pub(crate) observer: Watching,
    pub(crate) settings: Settings,
}

impl FakeWorld {
    /// A host with these sites, written as `domain`, `domain/N` for a CA's certificate with N days left of 90,
    /// or `domain/self`.
    pub(crate) fn new(sites: &[&str]) -> Arc<Self> {
        let clock = FakeClock {
            base: start(),
            began: tokio::time::Instant::now(),
        };
        Arc::new(Self {
            host: FakeHost::new(sites, clock.now()),
            panel: FakePanel::default(),
            authority: FakeAuthority::new(clock),
            memory: store::InMemory::default(),
            clock,
            lease: FakeLease::default(),
            observer: Watching::default(),
            settings: Settings {
                jobs: 4,
                http_port: 80,
                edit: EditVhosts::default(),
            },
        })
    }
}

pub(crate) fn start() -> Timestamp {
    "2026-02-01T00:00:00Z".parse().unwrap()
}

impl World for FakeWorld {
    type Host = FakeHost;
    type Panel = FakePanel;
    type Authority = FakeAuthority;
    type Preflight = FakeHost;
    type Memory = store::InMemory;
    type Lease = FakeLease;
    type Clock = FakeClock;
    type Observer = Watching;

    fn host(&self) -> &FakeHost {
        &self.host
    }
    fn panel(&self) -> &FakePanel {
        &self.panel
    }
    fn authority(&self) -> &FakeAuthority {
        &self.authority
    }
    fn preflight(&self) -> &FakeHost {
        &self.host
    }
    fn memory(&self) -> &store::InMemory {
        &self.memory
    }
    fn lease(&self) -> &FakeLease {
        &self.lease
    }
    fn clock(&self) -> &FakeClock {
        &self.clock
    }
    fn observer(&self) -> &Watching {
        &self.observer
    }
    fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// Time as tokio's paused clock tells it, counted from [`start`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct FakeClock {
    base: Timestamp,
    began: tokio::time::Instant,
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.began.elapsed()).unwrap();
        self.base.checked_add(passed).unwrap()
    }

    async fn wait_until(&self, moment: Timestamp) {
        let wait = moment.duration_since(self.now()).max(SignedDuration::ZERO);
        // tokio's timer ends near two years; no test lives longer.
        let wait = Duration::try_from(wait)
            .unwrap()
            .min(Duration::from_hours(24 * 700));
        tokio::time::sleep(wait).await;
    }
}

/// A lock that another run may hold for a while.
#[derive(Default)]
pub(crate) struct FakeLease {
    pub(crate) refusals: Mutex<u32>,
}

impl Lease for FakeLease {
    type Held = ();

    fn take(&self) -> Result<(), LeaseHeld> {
        let mut refusals = lock(&self.refusals);
        if *refusals == 0 {
            return Ok(());
        }
        *refusals -= 1;
        Err(LeaseHeld::By("pid 1".into()))
    }
}

/// Keeps the last report.
#[derive(Default)]
pub(crate) struct Watching {
    pub(crate) last: Mutex<Option<Report>>,
}

impl Observer for Watching {
    fn saw(&self, event: Event<'_>) {
        if let Event::Over(report) = event {
            *lock(&self.last) = Some(report.clone());
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
