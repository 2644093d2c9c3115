//! The port to time.

use jiff::Timestamp;

/// Tells the time and waits.
pub trait Clock: Send + Sync {
    /// Returns the present moment.
    fn now(&self) -> Timestamp;

    /// Waits until `moment`; returns at once when it is past. MUST notice a clock that is set forward within a
    /// minute.
    fn wait_until(&self, moment: Timestamp) -> impl Future<Output = ()> + Send;
}
