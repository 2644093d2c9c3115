//! Everything the driver is wired to.

use renewal::policy::EditVhosts;
use renewal::ports::{Authority, Clock, Host, Lease, Memory, Observer, Panel, Preflight};
use tokio::sync::watch;

/// The ports, together. One value of it is shared by all tasks of a run.
pub trait World: Send + Sync + 'static {
    /// This host.
    type Host: Host;
    /// The panel of this host, if it has one.
    type Panel: Panel;
    /// The CAs.
    type Authority: Authority;
    /// The checks before an order.
    type Preflight: Preflight;
    /// What is remembered.
    type Memory: Memory;
    /// The lock that one run holds.
    type Lease: Lease;
    /// The clock.
    type Clock: Clock;
    /// Those who watch.
    type Observer: Observer;

    /// Returns this host.
    fn host(&self) -> &Self::Host;
    /// Returns the panel.
    fn panel(&self) -> &Self::Panel;
    /// Returns the CAs.
    fn authority(&self) -> &Self::Authority;
    /// Returns the checks before an order.
    fn preflight(&self) -> &Self::Preflight;
    /// Returns what is remembered.
    fn memory(&self) -> &Self::Memory;
    /// Returns the lock.
    fn lease(&self) -> &Self::Lease;
    /// Returns the clock.
    fn clock(&self) -> &Self::Clock;
    /// Returns those who watch.
    fn observer(&self) -> &Self::Observer;
    /// Returns the settings.
    fn settings(&self) -> &Settings;
}

/// The settings that concern the driver itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// How many orders may be in flight at once; at least one.
    pub jobs: usize,
    /// The port on which the CA knocks.
    pub http_port: u16,
    /// Which vhosts may be edited.
    pub edit: EditVhosts,
}

/// A wish that the work should end, seen by everyone.
///
/// No new order is begun after it; what was obtained is still deployed.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<Ending>);

/// How much the end is wished for.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Ending {
    /// Not at all.
    #[default]
    NotWished,
    /// Soon: orders in flight have some seconds to come to their end.
    Soon,
    /// Now: orders in flight are broken off; the next run takes them up.
    Now,
}

impl Stop {
    /// Makes the wish's two ends.
    #[must_use]
    pub fn channel() -> (watch::Sender<Ending>, Self) {
        let (sender, receiver) = watch::channel(Ending::NotWished);
        (sender, Self(receiver))
    }

    /// Says whether the wish was made.
    #[must_use]
    pub fn wished(&self) -> bool {
        *self.0.borrow() > Ending::NotWished
    }

    /// Waits for the wish; for ever when nobody is left who could make it.
    pub async fn wait(&mut self) {
        self.wait_for(Ending::Soon).await;
    }

    /// Waits until the end is wished for that much.
    pub async fn wait_for(&mut self, least: Ending) {
        if self.0.wait_for(|wish| *wish >= least).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
