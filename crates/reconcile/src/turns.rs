//! What waits for what, when several sites are on their way at once?
//!
//! An order that is at the CA goes first: it has a place there, and others may wait for that. Client, CA and disk
//! often share a few cores, and what is computed beside an order makes it longer. So the first orders are placed
//! when the sites have been checked, and certificates are written when no order is left. Neither is waited for
//! longer than a moment, for no site may delay another. What is written at the same time also costs one sync of
//! the disk instead of many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::{SignedDuration, Timestamp};
use renewal::ports::Clock;
use tokio::sync::Notify;

/// What the sites of a pass wait for.
pub(crate) struct Turns {
    checks: Arc<UnderWay>,
    orders: Arc<UnderWay>,
    /// Until when orders wait for checks.
    checked_by: Timestamp,
}

/// A check or an order under way, until it is dropped.
pub(crate) struct Turn(Arc<UnderWay>);

#[derive(Default)]
struct UnderWay {
    count: AtomicUsize,
    /// Wakes in the order of waiting, so that the plan's order is kept.
    none_left: Notify,
}

impl Turns {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            checks: Arc::default(),
            orders: Arc::default(),
            checked_by: now.checked_add(CHECKS_PATIENCE).unwrap_or(Timestamp::MAX),
        }
    }

    /// Begins a check.
    pub(crate) fn check(&self) -> Turn {
        Turn::begin(&self.checks)
    }

    /// Begins an order.
    pub(crate) fn order(&self) -> Turn {
        Turn::begin(&self.orders)
    }

    /// Waits until no check is under way, if the pass is young.
    pub(crate) async fn after_checks(&self, clock: &impl Clock) {
        if clock.now() < self.checked_by {
            self.checks.end(clock, self.checked_by).await;
        }
    }

    /// Waits until no order is under way, or for a moment.
    pub(crate) async fn after_orders(&self, clock: &impl Clock) {
        let now = clock.now();
        let by = now.checked_add(ORDERS_PATIENCE).unwrap_or(now);
        self.orders.end(clock, by).await;
    }
}

impl Turn {
    fn begin(under_way: &Arc<UnderWay>) -> Self {
        under_way.count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(under_way))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}

impl UnderWay {
    /// Waits until there are none, or it is time.
    async fn end(&self, clock: &impl Clock, by: Timestamp) {
        if self.count.load(Ordering::SeqCst) == 0 {
            // Who has waited goes first.
            return tokio::task::yield_now().await;
        }
        let none_left = async {
            loop {
                // Made before the count is read: it hears of everything that happens after that.
                let heard = self.none_left.notified();
                if self.count.load(Ordering::SeqCst) == 0 {
                    return;
                }
                heard.await;
            }
        };
        tokio::select! {
            () = none_left => {}
            () = clock.wait_until(by) => {}
        }
    }
}

/// How long after the start of a pass orders wait for checks: a hundred healthy sites are checked in less.
const CHECKS_PATIENCE: SignedDuration = SignedDuration::from_secs(1);

/// How long a certificate that was obtained waits for orders that are not done.
const ORDERS_PATIENCE: SignedDuration = SignedDuration::from_secs(1);
