//! How does the doctor look through a firewall that is open only while a CA validates?
//!
//! As a renewal would: it opens the firewall for its own looks, and closes it again. While a run is at work it is left to that
//! run, which has it open.

use reconcile::world::World as _;
use renewal::ports::{Host as _, Lease};
use store::RunLock;

use crate::clock::SystemClock;
use crate::config::Config;
use crate::config::values::FirewallMode;
use crate::wire::Wiring;

/// The lease of a run.
pub(super) type Held = <RunLock<SystemClock> as Lease>::Held;

/// An opening for the time of an examination.
pub(super) struct Gate {
    is_ours: bool,
    _held: Option<Held>,
}

impl Gate {
    /// Opens the firewall, where it is kept closed between validations; `held` is the lease, where it was taken before.
    pub(super) async fn open(world: &Wiring, config: &Config, held: Option<&Held>) -> Self {
        let closed = Self {
            is_ours: false,
            _held: None,
        };
        match config.firewall.mode {
            FirewallMode::Off => return closed,
            FirewallMode::OpenDuringValidation => {}
        }
        let taken = if held.is_none() {
            world.lease().take().ok()
        } else {
            None
        };
        if held.is_none() && taken.is_none() {
            return closed;
        }
        let now = world.clock().now();
        if let Err(failure) = world.host().open_for_validation(now).await {
            // A renewal would stop at it; the looks tell what the CA would meet.
            tracing::warn!(%failure, "the firewall is looked through as it is");
        }
        Self {
            is_ours: true,
            _held: taken,
        }
    }

    /// Closes it again.
    pub(super) async fn close(self, world: &Wiring) {
        if self.is_ours {
            world.host().close_after_validation().await;
        }
    }
}
