//! What did DNS say of a name a moment ago?

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

/// What was learnt about names, for a minute; whoever asks meanwhile waits for the same answer.
#[derive(Debug)]
pub(super) struct Kept<T>(Mutex<HashMap<Box<str>, Learnt<T>>>);

#[derive(Debug)]
struct Learnt<T> {
    since: Instant,
    cell: Arc<OnceCell<T>>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Kept<T> {
    /// Returns the place for what is learnt about `name`, a fresh one when the old has become stale.
    pub(super) fn place(&self, name: &str) -> Arc<OnceCell<T>> {
        let now = Instant::now();
        let is_fresh = |learnt: &Learnt<T>| now.duration_since(learnt.since) < FRESH;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(learnt) = all.get(name).filter(|learnt| is_fresh(learnt)) {
            return Arc::clone(&learnt.cell);
        }
        if all.len() >= NAMES_KEPT {
            all.retain(|_, learnt| is_fresh(learnt));
        }
        let cell: Arc<OnceCell<T>> = Arc::default();
        let learnt = Learnt {
            since: now,
            cell: Arc::clone(&cell),
        };
        all.insert(name.into(), learnt);
        cell
    }
}

/// How long what was learnt counts: long enough for the probes of one site, short enough for one who mends.
const FRESH: Duration = Duration::from_secs(60);

/// Above so many names, the stale ones are thrown out.
const NAMES_KEPT: usize = 1024;
