//! What have we spent of each of a CA's rate limits, and may we spend one more?
//!
//! A limit is a bucket in the form that Let's Encrypt itself uses, GCRA: one moment per bucket, the
//! theoretical arrival time. [`Ledger::allows`] asks before an order; the other methods take in what was spent
//! when the CA spends it: orders when they are placed, certificates and failures when they happen.
//!
//! What a 429 says goes before our own reckoning: others may have spent from a bucket that we share.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::names::Names;
use crate::policy::Ca;
use crate::retry::within_reason;

pub use self::limits::{Limit, LimitKind, limits};

mod limits;

/// A bucket of one limit: which CA, which limit, whose.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// The CA.
    pub ca: Ca,
    /// The limit.
    pub kind: LimitKind,
    /// Whose bucket: a name, a set of names, or empty for the account's.
    pub scope: String,
}

impl Bucket {
    fn new(ca: &Ca, kind: LimitKind, scope: String) -> Self {
        let ca = ca.clone();
        Self { ca, kind, scope }
    }
}

/// What is spent of every bucket that is not full.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    arrivals: HashMap<Bucket, Timestamp>,
}

/// Why an order must wait.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{kind} of {ca}: used up until {retry_at}")]
pub struct Refusal {
    /// The limit.
    pub kind: LimitKind,
    /// The CA.
    pub ca: Ca,
    /// When it allows the next one.
    pub retry_at: Timestamp,
}

/// An order, as far as limits are concerned.
#[derive(Clone, Copy, Debug)]
pub struct OrderFacts<'a> {
    /// The CA.
    pub ca: &'a Ca,
    /// The names.
    pub names: &'a Names,
    /// Whether the same set was issued within the last 120 days, so that it counts as a renewal.
    pub same_set: bool,
    /// Whether it names the certificate it replaces, inside the suggested window.
    pub replaces_in_window: bool,
}

impl Ledger {
    /// Takes in what was remembered.
    pub fn new(arrivals: impl IntoIterator<Item = (Bucket, Timestamp)>) -> Self {
        Self {
            arrivals: arrivals.into_iter().collect(),
        }
    }

    /// Says whether an order may be placed now.
    ///
    /// # Errors
    ///
    /// The refusal that lasts longest, as the CA itself would answer.
    pub fn allows(&self, order: OrderFacts<'_>, now: Timestamp) -> Result<(), Refusal> {
        let mut worst: Option<Refusal> = None;
        let checked = checked_buckets(order);
        for (bucket, limit) in checked {
            let Some(arrival) = self.arrivals.get(&bucket) else {
                continue;
            };
            let retry_at = limit.allowed_at(*arrival);
            if retry_at > now && worst.as_ref().is_none_or(|worst| worst.retry_at < retry_at) {
                worst = Some(Refusal {
                    kind: bucket.kind,
                    ca: bucket.ca,
                    retry_at,
                });
            }
        }
        worst.map_or(Ok(()), Err)
    }

    /// Takes in that an order was placed; returns the buckets to remember.
    pub fn ordered(&mut self, order: OrderFacts<'_>, now: Timestamp) -> Vec<(Bucket, Timestamp)> {
        if order.same_set || order.replaces_in_window {
            return Vec::new();
        }
        self.spend(order.ca, LimitKind::OrdersPerAccount, String::new(), now)
            .into_iter()
            .collect()
    }

    /// Takes in that a certificate was issued; returns the buckets to remember.
    pub fn issued(&mut self, order: OrderFacts<'_>, now: Timestamp) -> Vec<(Bucket, Timestamp)> {
        self.spend(
            order.ca,
            LimitKind::CertificatesPerExactSet,
            set_scope(order.names),
            now,
        )
        .into_iter()
        .collect()
    }

    /// Takes in that the validation of `name` failed; returns the buckets to remember.
    pub fn failed(&mut self, ca: &Ca, name: &Name, now: Timestamp) -> Vec<(Bucket, Timestamp)> {
        let kinds = [LimitKind::FailuresPerName, LimitKind::OwnFailuresPerName];
        kinds
            .into_iter()
            .filter_map(|kind| self.spend(ca, kind, name.to_string(), now))
            .collect()
    }

    /// Takes in that the CA refused an order, and named the limit and the moment at which that allows the next one;
    /// returns the bucket to remember.
    ///
    /// A moment beyond reason is a mistake of the CA's, which must not keep all sites waiting for years.
    pub fn told(
        &mut self,
        order: OrderFacts<'_>,
        kind: LimitKind,
        retry_at: Timestamp,
        now: Timestamp,
    ) -> Option<(Bucket, Timestamp)> {
        let scope = match kind {
            LimitKind::OrdersPerAccount => String::new(),
            LimitKind::CertificatesPerExactSet => set_scope(order.names),
            // Which of its names it is about concerns this order alone, which waits for the moment anyway.
            LimitKind::FailuresPerName | LimitKind::OwnFailuresPerName => return None,
        };
        let limit = limits(order.ca).find(|limit| limit.kind == kind)?;
        let bucket = Bucket::new(order.ca, kind, scope);
        let arrival = limit.arrival_that_allows_at(within_reason(retry_at, now));
        self.arrivals.insert(bucket.clone(), arrival);
        Some((bucket, arrival))
    }

    fn spend(
        &mut self,
        ca: &Ca,
        kind: LimitKind,
        scope: String,
        now: Timestamp,
    ) -> Option<(Bucket, Timestamp)> {
        let limit = limits(ca).find(|limit| limit.kind == kind && limit.is_published())?;
        let bucket = Bucket::new(ca, kind, scope);
        let arrival = self.arrivals.entry(bucket.clone()).or_insert(now);
        *arrival = limit.spend(*arrival, now);
        Some((bucket, *arrival))
    }
}

/// Lists the buckets that the CA looks at before it takes an order (Let's Encrypt's exemptions included).
fn checked_buckets(order: OrderFacts<'_>) -> Vec<(Bucket, &'static Limit)> {
    let mut buckets = Vec::new();
    for limit in limits(order.ca) {
        let bucket = |scope| Bucket::new(order.ca, limit.kind, scope);
        // Of a limit that a CA only told of it is not known whom it exempts.
        let renews = limit.is_published() && order.same_set;
        let replaces = limit.is_published() && order.replaces_in_window;
        match limit.kind {
            LimitKind::OrdersPerAccount if renews || replaces => {}
            LimitKind::OrdersPerAccount => buckets.push((bucket(String::new()), limit)),
            LimitKind::CertificatesPerExactSet if replaces => {}
            LimitKind::CertificatesPerExactSet => {
                buckets.push((bucket(set_scope(order.names)), limit));
            }
            LimitKind::FailuresPerName if order.replaces_in_window => {}
            LimitKind::FailuresPerName | LimitKind::OwnFailuresPerName => {
                buckets.extend(
                    order
                        .names
                        .iter()
                        .map(|name| (bucket(name.to_string()), limit)),
                );
            }
        }
    }
    buckets
}

/// Names an exact set the same way, whatever the order of its names.
fn set_scope(names: &Names) -> String {
    let mut sorted: Vec<&str> = names.iter().map(Name::as_str).collect();
    sorted.sort_unstable();
    sorted.join(",")
}

impl Limit {
    /// Returns when the next one is allowed, given the bucket's theoretical arrival time.
    fn allowed_at(&self, arrival: Timestamp) -> Timestamp {
        arrival
            .checked_sub(self.tolerance())
            .unwrap_or(Timestamp::MIN)
    }

    fn arrival_that_allows_at(&self, moment: Timestamp) -> Timestamp {
        moment
            .checked_add(self.tolerance())
            .unwrap_or(Timestamp::MAX)
    }

    fn spend(&self, arrival: Timestamp, now: Timestamp) -> Timestamp {
        arrival
            .max(now)
            .checked_add(self.interval())
            .unwrap_or(Timestamp::MAX)
    }

    /// Returns how far ahead of now the arrival time of an empty bucket may be.
    fn tolerance(&self) -> SignedDuration {
        let times = self.interval().checked_mul(self.count - 1);
        times.unwrap_or(SignedDuration::MAX)
    }

    fn interval(&self) -> SignedDuration {
        self.period / self.count
    }
}

#[cfg(test)]
mod tests {
    use super::{Ledger, OrderFacts};
    use crate::name::Name;
    use crate::names::Names;
    use crate::policy::Ca;
    use jiff::{SignedDuration, Timestamp};

    fn production() -> Ca {
        Ca("https://acme-v02.api.letsencrypt.org/directory".into())
    }

    fn start() -> Timestamp {
        "2026-02-01T00:00:00Z".parse().unwrap()
    }

    fn minutes(n: i64) -> Timestamp {
        start().checked_add(SignedDuration::from_mins(n)).unwrap()
    }

    fn names(text: &str) -> Names {
        Names::new(text.split(' ').map(|name| Name::parse(name).unwrap())).unwrap()
    }

    #[test]
    fn three_hundred_new_orders_are_allowed_at_once_and_then_one_in_36_seconds() {
        let (ca, names) = (production(), names("a.test"));
        let order = OrderFacts {
            ca: &ca,
            names: &names,
            same_set: false,
            replaces_in_window: false,
        };
        let mut ledger = Ledger::default();
        for _ in 0..300 {
            assert_eq!(ledger.allows(order, start()), Ok(()));
            ledger.ordered(order, start());
        }
        let refusal = ledger.allows(order, start()).unwrap_err();
        assert_eq!(
            refusal.retry_at.duration_since(start()),
            SignedDuration::from_secs(36)
        );
        let renewal = OrderFacts {
            same_set: true,
            ..order
        };
        assert_eq!(
            ledger.allows(renewal, start()),
            Ok(()),
            "renewals of the same set are exempt"
        );
    }

    #[test]
    fn the_fifth_failure_of_an_hour_is_not_made() {
        let (ca, names) = (Ca("https://ca.test/dir".into()), names("a.test b.test"));
        let order = OrderFacts {
            ca: &ca,
            names: &names,
            same_set: true,
            replaces_in_window: true,
        };
        let mut ledger = Ledger::default();
        for minute in 0..4 {
            assert_eq!(ledger.allows(order, minutes(minute)), Ok(()));
            ledger.failed(&ca, names.domain(), minutes(minute));
        }
        assert!(ledger.allows(order, minutes(4)).is_err());
        assert_eq!(ledger.allows(order, minutes(16)), Ok(()));
    }

    #[test]
    fn what_the_ca_says_goes_first() {
        let (ca, names) = (production(), names("b.test a.test"));
        let order = OrderFacts {
            ca: &ca,
            names: &names,
            same_set: true,
            replaces_in_window: false,
        };
        let mut ledger = Ledger::default();
        let kind = super::LimitKind::CertificatesPerExactSet;
        ledger.told(order, kind, minutes(100), start());
        assert_eq!(
            ledger.allows(order, start()).unwrap_err().retry_at,
            minutes(100)
        );
        assert_eq!(ledger.allows(order, minutes(100)), Ok(()));
    }

    #[test]
    fn what_the_ca_says_of_the_account_holds_for_every_order_and_whatever_the_ca() {
        let (own, others) = (names("a.test"), names("b.test"));
        let private = Ca("https://ca.test/dir".into());
        for (ca, renews) in [
            (production(), false),
            (private.clone(), true),
            (private, false),
        ] {
            let facts = |names| OrderFacts {
                ca: &ca,
                names,
                same_set: renews,
                replaces_in_window: renews,
            };
            let mut ledger = Ledger::default();
            let spent = ledger.ordered(facts(&own), start());
            let kind = super::LimitKind::OrdersPerAccount;
            let told = ledger.told(facts(&own), kind, minutes(30), start());
            let refusal = ledger.allows(facts(&others), start()).unwrap_err();
            assert_eq!(refusal.retry_at, minutes(30), "{ca}");
            assert_eq!(ledger.allows(facts(&others), minutes(30)), Ok(()), "{ca}");
            // The next run knows it as well.
            let remembered = Ledger::new(spent.into_iter().chain(told));
            assert!(remembered.allows(facts(&others), start()).is_err(), "{ca}");
        }
    }

    #[test]
    fn a_mistake_of_the_ca_keeps_nobody_waiting_for_years() {
        let (ca, names) = (production(), names("a.test"));
        let order = OrderFacts {
            ca: &ca,
            names: &names,
            same_set: false,
            replaces_in_window: false,
        };
        let mut ledger = Ledger::default();
        let kind = super::LimitKind::OrdersPerAccount;
        ledger.told(
            order,
            kind,
            "2036-01-01T00:00:00Z".parse().unwrap(),
            start(),
        );
        let refusal = ledger.allows(order, start()).unwrap_err();
        assert_eq!(refusal.retry_at, minutes(8 * 24 * 60));
        // One limit says nothing about a name.
        let kind = super::LimitKind::FailuresPerName;
        assert_eq!(ledger.told(order, kind, minutes(5), start()), None);
    }
}
