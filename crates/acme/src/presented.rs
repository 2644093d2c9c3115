//! Which answers to challenges are in place, when an order is given up from outside?
//!
//! An order takes its answers away itself, however it ends; but one that takes too long is dropped where it stands.

use std::sync::{Mutex, PoisonError};

use renewal::name::Name;
use renewal::ports::{OrderDesk, PresentError, Waiting};

/// A desk that remembers which answers it was given.
pub(crate) struct Presented<'d, D> {
    desk: &'d D,
    there: Mutex<Vec<(Name, String)>>,
}

impl<'d, D: OrderDesk> Presented<'d, D> {
    pub(crate) fn new(desk: &'d D) -> Self {
        Self {
            desk,
            there: Mutex::default(),
        }
    }

    /// Takes away what is still there.
    pub(crate) async fn withdraw_all(self) {
        let there = self.there.into_inner();
        for (name, token) in there.unwrap_or_else(PoisonError::into_inner) {
            self.desk.withdraw(&name, &token).await;
        }
    }
}

impl<D: OrderDesk> OrderDesk for Presented<'_, D> {
    fn placed(&self, url: &str) {
        self.desk.placed(url);
    }

    async fn recorded(&self) -> Result<(), PresentError> {
        self.desk.recorded().await
    }

    fn waiting(&self, waiting: Waiting) {
        self.desk.waiting(waiting);
    }

    async fn present(
        &self,
        name: &Name,
        token: &str,
        key_authorization: &str,
    ) -> Result<(), PresentError> {
        let entry = (name.clone(), token.to_owned());
        // Before it is there: an attempt that is given up may have put it there.
        self.there
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(entry);
        self.desk.present(name, token, key_authorization).await
    }

    async fn withdraw(&self, name: &Name, token: &str) {
        self.desk.withdraw(name, token).await;
        self.there
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(there, its)| there != name || its != token);
    }
}
