//! Which answers to challenges and probes are in place?
//!
//! Each is taken away by whoever put it there. A task that is broken off cannot, so what is in place is known here, and
//! taken away at the end of the run.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use renewal::challenge::Way;
use renewal::name::Name;
use renewal::ports::{Host as _, PresentError};
use renewal::site::Site;

use crate::world::World;

/// The answers of one run: of which site, by which way, for which token. In a fixed order, so that a run repeats itself.
#[derive(Debug, Default)]
pub(crate) struct Answers(Mutex<BTreeSet<(Name, Way, String)>>);

impl Answers {
    /// Puts an answer in place.
    pub(crate) async fn present<W: World>(
        &self,
        world: &W,
        site: &Site,
        way: Way,
        token: &str,
        answer: &str,
    ) -> Result<(), PresentError> {
        self.with(|answers| answers.insert(entry(site, way, token)));
        world.host().present(site, way, token, answer).await
    }

    /// Takes it away.
    pub(crate) async fn withdraw<W: World>(&self, world: &W, site: &Site, way: Way, token: &str) {
        world.host().withdraw(site, way, token).await;
        self.with(|answers| answers.remove(&entry(site, way, token)));
    }

    /// Returns the answers that are still in place, and forgets them.
    pub(crate) fn left_behind(&self) -> BTreeSet<(Name, Way, String)> {
        self.with(std::mem::take)
    }

    fn with<R>(&self, act: impl FnOnce(&mut BTreeSet<(Name, Way, String)>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn entry(site: &Site, way: Way, token: &str) -> (Name, Way, String) {
    (site.domain().clone(), way, token.to_owned())
}
