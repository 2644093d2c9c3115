//! When may the next request go to an endpoint of the CA?
//!
//! What a CA counts per address and second is over when it was refused once; it costs a wait, and the requests of
//! every other client behind the same address. So they go out no faster than is allowed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use renewal::ledger::endpoint;
use renewal::policy::Ca;
use tokio::time::Instant;

/// The turns of one CA's endpoints.
pub(crate) struct Endpoints {
    began: Instant,
    arrivals: Mutex<HashMap<&'static str, Duration>>,
}

impl Endpoints {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            arrivals: Mutex::default(),
        }
    }

    /// Waits until a request to `uri` may be sent; not at all where the CA says nothing of such a limit.
    pub(crate) async fn turn(&self, ca: &Ca, uri: &Uri) {
        let Some(limit) = endpoint(ca, uri.path()) else {
            return;
        };
        let wait = {
            let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
            let arrival = arrivals.entry(limit.path).or_default();
            let turn = limit.turn(*arrival, self.began.elapsed());
            *arrival = turn.arrival;
            turn.wait
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoints;
    use renewal::policy::Ca;
    use std::time::Duration;
    use tokio::time::Instant;

    /// Sends so many requests side by side; returns how long that takes.
    async fn takes(directory: &str, uri: &'static str, requests: u32) -> Duration {
        let (ca, endpoints) = (Ca(directory.into()), Endpoints::new());
        let uri = uri.parse().unwrap();
        let began = Instant::now();
        let turns = (0..requests).map(|_| endpoints.turn(&ca, &uri));
        futures_util::future::join_all(turns).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn requests_go_out_no_faster_than_the_ca_allows() {
        let staging = "https://acme-staging-v02.api.letsencrypt.org/directory";
        let orders = "https://acme-staging-v02.api.letsencrypt.org/acme/new-order";
        assert_eq!(takes(staging, orders, 40).await, Duration::ZERO);
        assert_eq!(takes(staging, orders, 60).await, Duration::from_secs(1));
        let own = "https://ca.test/acme/new-order";
        assert_eq!(
            takes("https://ca.test/directory", own, 5_000).await,
            Duration::ZERO
        );
    }
}
