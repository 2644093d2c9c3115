//! When does the process die, and in which order do things happen?
//!
//! Every effect on the world is counted here before it is made; at a chosen one the process dies, just before or just
//! after. What is dead changes nothing any more: what it awaits never comes, and what it calls fails.
//!
//! No two waits of a world end in the same millisecond, so that what runs after each is alone, and a seed repeats
//! itself to the letter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::world::dice::Dice;

/// Where the process dies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Death {
    /// At the effect with this number, from 1.
    pub(crate) at: u32,
    /// Whether that effect still comes about.
    pub(crate) after: bool,
}

/// The life of one process.
pub(crate) struct Pulse {
    death: Option<Death>,
    state: Mutex<State>,
    died: Notify,
    tempo: Arc<Tempo>,
}

#[derive(Default)]
struct State {
    dead: bool,
    made: u32,
    kinds: BTreeMap<&'static str, u32>,
}

impl Pulse {
    pub(crate) fn new(death: Option<Death>, tempo: Arc<Tempo>) -> Arc<Self> {
        Arc::new(Self {
            death,
            state: Mutex::default(),
            died: Notify::new(),
            tempo,
        })
    }

    /// Makes an effect; `None` when the process is dead, or dies of it.
    pub(crate) fn effect<R>(&self, kind: &'static str, make: impl FnOnce() -> R) -> Option<R> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.dead {
            return None;
        }
        state.made += 1;
        *state.kinds.entry(kind).or_default() += 1;
        let death = self.death.filter(|death| death.at == state.made);
        let Some(death) = death else {
            return Some(make());
        };
        if death.after {
            make();
        }
        state.dead = true;
        drop(state);
        self.died.notify_one();
        None
    }

    /// As [`Pulse::effect`], for what can be awaited: the dead wait for ever.
    pub(crate) async fn act<R>(&self, kind: &'static str, make: impl FnOnce() -> R) -> R {
        self.step().await;
        match self.effect(kind, make) {
            Some(made) => made,
            None => std::future::pending().await,
        }
    }

    /// Lets others go first. The dead never come back from it.
    pub(crate) async fn step(&self) {
        self.tempo.step().await;
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for so long, and a moment more.
    pub(crate) async fn wait(&self, wait: Duration) {
        self.tempo.wait(wait).await;
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .dead
    }

    /// Waits for the death.
    pub(crate) async fn died(&self) {
        self.died.notified().await;
    }

    /// Returns how many effects there were, by kind.
    pub(crate) fn effects(&self) -> BTreeMap<&'static str, u32> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.kinds.clone()
    }
}

/// Gives every wait of a world a millisecond of its own.
pub(crate) struct Tempo {
    began: Instant,
    taken: Mutex<(BTreeSet<u64>, Dice)>,
}

impl Tempo {
    pub(crate) fn new(dice: Dice) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            taken: Mutex::new((BTreeSet::new(), dice)),
        })
    }

    /// Returns how long the world has existed.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    async fn step(&self) {
        let wait = {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            taken.1.below(90)
        };
        self.wait(Duration::from_millis(wait)).await;
    }

    pub(crate) async fn wait(&self, wait: Duration) {
        let at = {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let now = u64::try_from(self.elapsed().as_millis()).unwrap();
            taken.0 = taken.0.split_off(&now);
            let mut at = now + 1 + u64::try_from(wait.as_millis()).unwrap();
            while !taken.0.insert(at) {
                at += 1;
            }
            at
        };
        tokio::time::sleep_until(self.began + Duration::from_millis(at)).await;
    }
}
