//! What does a running practice CA hold?
//!
//! One value per concern, each with a lock of its own that is held for a look-up or a
//! change, never across a validation or a signature: requests do not wait for each other.

use jiff::Timestamp;
use tokio::sync::watch;

use crate::accounts::Accounts;
use crate::authorizations::Authorizations;
use crate::certificates::Certificates;
use crate::endpoint::{Requests, Routes};
use crate::faults::Faults;
use crate::issuing::Hierarchy;
use crate::nonces::Nonces;
use crate::options::{Options, Profile};
use crate::orders::Orders;
use crate::random::Dice;

/// Everything that requests share.
#[derive(Debug)]
pub(crate) struct Ca {
    pub(crate) options: Options,
    pub(crate) routes: Routes,
    pub(crate) requests: Requests,
    pub(crate) faults: Faults,
    pub(crate) dice: Dice,
    pub(crate) nonces: Nonces,
    pub(crate) accounts: Accounts,
    pub(crate) orders: Orders,
    pub(crate) authorizations: Authorizations,
    pub(crate) certificates: Certificates,
    pub(crate) hierarchy: Hierarchy,
    /// Turns true when the CA stops, and validations with it.
    pub(crate) stopped: watch::Receiver<bool>,
}

impl Ca {
    pub(crate) fn now(&self) -> Timestamp {
        self.options.clock.now()
    }

    /// Returns the profile of this name; without a name, the first.
    pub(crate) fn profile(&self, name: Option<&str>) -> Option<&Profile> {
        match name {
            Some(name) => self
                .options
                .profiles
                .iter()
                .find(|profile| profile.name == name),
            None => self.options.profiles.first(),
        }
    }
}
