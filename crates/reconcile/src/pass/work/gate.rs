//! The firewall of this host, where it is kept closed between validations.
//!
//! Opened once for all sites of a run, before the first of them is checked, and closed when nothing is asked of a CA any
//! more. The opening ends by itself, so it is put off while validations go on.

use jiff::Timestamp;
use renewal::plan::Action;
use renewal::ports::{Clock as _, Host as _, HostFailure};
use renewal::report::SiteReport;

use super::{Due, Work};
use crate::world::World;

/// What is known of the opening.
#[derive(Default)]
pub(super) enum Gate {
    /// There is none, or nothing has to be done about it.
    #[default]
    Closed,
    /// It has to be put off at that moment.
    Open(Timestamp),
}

impl Gate {
    /// Returns the moment at which the opening has to be put off.
    pub(super) fn ends_at(&self) -> Timestamp {
        match self {
            Self::Closed => Timestamp::MAX,
            Self::Open(until) => *until,
        }
    }

    /// Opens it.
    async fn open<W: World>(&mut self, world: &W) -> Result<(), HostFailure> {
        let until = world.host().open_for_validation(world.clock().now()).await;
        *self = until.map(|until| until.map_or(Self::Closed, Self::Open))?;
        Ok(())
    }

    /// Puts the end of the opening off.
    pub(super) async fn open_longer<W: World>(&mut self, world: &W) {
        if let Err(failure) = self.open(world).await {
            tracing::warn!(%failure, "the firewall closes while a CA may still knock");
            *self = Self::Closed;
        }
    }

    /// Closes it.
    pub(super) async fn close<W: World>(&mut self, world: &W) {
        *self = Self::Closed;
        world.host().close_after_validation().await;
    }
}

impl<W: World> Work<W> {
    /// Opens the firewall for those that need a CA; returns what there is to do. When it cannot be opened, no CA is asked.
    pub(super) async fn open_gate(
        &mut self,
        due: Vec<Due>,
        reports: &mut [SiteReport],
    ) -> Vec<Due> {
        let orders = |due: &Due| matches!(due.action, Action::Order { .. });
        if !due.iter().any(orders) {
            return due;
        }
        let Err(failure) = self.gate.open(&*self.world).await else {
            return due;
        };
        let (ordering, rest): (Vec<Due>, Vec<Due>) = due.into_iter().partition(orders);
        self.gate.close(&*self.world).await;
        self.refuse(&ordering, &failure, reports);
        rest
    }
}
