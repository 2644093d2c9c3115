//! How fast may a CA's endpoints be asked?
//!
//! Let's Encrypt counts these per address, in front of the CA proper, and answers 503 rather than 429. They are full
//! again after a second, so nothing of them is remembered between runs: whoever asks a CA keeps one arrival time per
//! endpoint and lets [`EndpointLimit::turn`] say when to ask.

use std::time::Duration;

use crate::policy::Ca;

/// So many a second for long, and so many more at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EndpointLimit {
    /// How the path of its URLs begins.
    pub path: &'static str,
    /// How many a second.
    pub per_second: u32,
    /// How many at once.
    pub burst: u32,
}

/// When a request may be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Turn {
    /// How long to wait before it.
    pub wait: Duration,
    /// The endpoint's theoretical arrival time after it.
    pub arrival: Duration,
}

/// Finds the limit that a request to `path` at `ca` counts against; `None` where nothing is known of one.
#[must_use]
pub fn endpoint(ca: &Ca, path: &str) -> Option<&'static EndpointLimit> {
    let limits: &[EndpointLimit] = match &*ca.0 {
        "https://acme-v02.api.letsencrypt.org/directory" => &LETS_ENCRYPT,
        "https://acme-staging-v02.api.letsencrypt.org/directory" => &LETS_ENCRYPT_STAGING,
        _ => &[],
    };
    limits.iter().find(|limit| path.starts_with(limit.path))
}

impl EndpointLimit {
    /// Takes a request's turn. Both moments are counted from any beginning; `arrival` is what the last turn left, or
    /// zero.
    #[must_use]
    pub fn turn(&self, arrival: Duration, now: Duration) -> Turn {
        let interval = Duration::from_secs(1) / self.per_second;
        let at = arrival.max(now);
        let tolerance = interval * (self.burst - 1);
        Turn {
            wait: (at - now).saturating_sub(tolerance),
            arrival: at + interval,
        }
    }
}

/// <https://letsencrypt.org/docs/rate-limits/>, as of 2026-08-05. The last is for everything else.
static LETS_ENCRYPT: [EndpointLimit; 7] = [
    at("/directory", 40, 40),
    at("/acme/new-nonce", 20, 10),
    at("/acme/new-acct", 5, 15),
    at("/acme/new-order", 300, 200),
    at("/acme/revoke-cert", 10, 100),
    at("/acme/renewal-info", 1_000, 100),
    at("/acme/", 250, 125),
];

/// <https://letsencrypt.org/docs/staging-environment/>, as of 2026-08.
static LETS_ENCRYPT_STAGING: [EndpointLimit; 7] = [
    at("/directory", 40, 40),
    at("/acme/new-nonce", 20, 10),
    at("/acme/new-acct", 5, 15),
    at("/acme/new-order", 20, 40),
    at("/acme/revoke-cert", 10, 100),
    at("/acme/renewal-info", 1_000, 100),
    at("/acme/", 20, 20),
];

const fn at(path: &'static str, per_second: u32, burst: u32) -> EndpointLimit {
    EndpointLimit {
        path,
        per_second,
        burst,
    }
}

#[cfg(test)]
mod tests {
    use super::endpoint;
    use crate::policy::Ca;
    use std::time::Duration;

    fn production() -> Ca {
        Ca("https://acme-v02.api.letsencrypt.org/directory".into())
    }

    /// Sends so many requests at once; returns when the last one goes out, in milliseconds.
    fn last_of(path: &str, requests: u32) -> u128 {
        let limit = endpoint(&production(), path).unwrap();
        let mut arrival = Duration::ZERO;
        let mut wait = Duration::ZERO;
        for _ in 0..requests {
            let turn = limit.turn(arrival, Duration::ZERO);
            (arrival, wait) = (turn.arrival, turn.wait);
        }
        wait.as_millis()
    }

    #[test]
    fn a_burst_goes_out_at_once_and_the_rest_as_fast_as_it_may() {
        assert_eq!(last_of("/acme/new-nonce", 10), 0);
        assert_eq!(last_of("/acme/new-nonce", 30), 1_000);
        assert_eq!(last_of("/acme/new-order", 200), 0);
        assert_eq!(last_of("/acme/new-order", 500), 999);
        assert_eq!(last_of("/acme/authz/1/2", 125 + 500), 2_000);
        assert_eq!(last_of("/acme/revoke-cert", 110), 1_000);
    }

    #[test]
    fn other_cas_say_nothing_of_it() {
        let private = Ca("https://ca.test/directory".into());
        assert_eq!(endpoint(&private, "/acme/new-order"), None);
        assert_eq!(endpoint(&production(), "/elsewhere"), None);
    }
}
