//! What was seen in an examination, kept so that more than a verdict can be drawn from it?

use std::cell::RefCell;

use renewal::name::Name;
use renewal::site::Site;

use crate::check::Check;
use crate::examination::Eyes;
use crate::observation::Observation;

/// One look.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// For which check.
    pub check: Check,
    /// About which site; `None` for the host.
    pub site: Option<Name>,
    /// What was seen.
    pub seen: Observation,
}

/// Eyes that keep what they see.
pub struct Recorder<'a, E> {
    eyes: &'a E,
    recorded: RefCell<Vec<Recorded>>,
}

impl<'a, E: Eyes> Recorder<'a, E> {
    /// Looks through `eyes`.
    #[must_use]
    pub fn new(eyes: &'a E) -> Self {
        Self {
            eyes,
            recorded: RefCell::default(),
        }
    }

    /// Returns everything that was seen.
    #[must_use]
    pub fn into_recorded(self) -> Vec<Recorded> {
        self.recorded.into_inner()
    }
}

impl<E: Eyes> Eyes for Recorder<'_, E> {
    async fn observe(&self, check: Check, site: Option<&Site>) -> Observation {
        let seen = self.eyes.observe(check, site).await;
        self.recorded.borrow_mut().push(Recorded {
            check,
            site: site.map(|site| site.domain().clone()),
            seen: seen.clone(),
        });
        seen
    }
}
