//! What have we spent of each of a CA's rate limits, and may we spend one more?
//!
//! A limit is a bucket in the form that Let's Encrypt itself uses, GCRA: one moment per bucket, the
//! theoretical arrival time. [`Ledger::reserve`] asks before an order; the other methods take in what was spent
//! when the CA spends it: orders when they are placed, certificates and failures when they happen.
//!
//! | limit | asked before an order | spent | not for |
//! | --- | --- | --- | --- |
//! | accounts per address, per range | always, once the CA told of it | by the CA's word alone | |
//! | orders per account | yes | when it is placed | renewals |
//! | certificates per registered domain | yes | when one is issued | renewals |
//! | certificates per set of names | yes | when one is issued | replacements inside the window |
//! | failures per name | yes | when one happens | replacements inside the window |
//! | failures of a name in a row | yes | when one happens; all is given back by a success | |
//! | our own failures per name and hour | yes | when one happens | |
//! | our own failures per name and day | unless a person asked | when one happens; given back by a success | |
//!
//! What a 429 says goes before our own reckoning: others may have spent from a bucket that we share.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::names::Names;
use crate::policy::Ca;
use crate::retry::within_reason;
use crate::site::Site;

use self::scope::scopes;

pub use self::endpoints::{EndpointLimit, Turn, endpoint};
pub use self::limits::{Limit, LimitKind, limits};

mod endpoints;
mod gcra;
mod limits;
mod scope;

/// A bucket of one limit: which CA, which limit, whose.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// The CA.
    pub ca: Ca,
    /// The limit.
    pub kind: LimitKind,
    /// Whose bucket: a name, a registered domain, a set of names, or empty for the account's.
    pub scope: String,
}

/// How much is left in a bucket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Level {
    /// The theoretical arrival time: the further ahead, the emptier the bucket; in the past when it is full.
    pub arrival: Timestamp,
    /// The moment that the CA named; nothing is spent before it, whatever we reckon.
    pub told_until: Option<Timestamp>,
}

/// A bucket and its level, to be remembered.
pub type Spent = (Bucket, Level);

/// What is spent of every bucket that is not full.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    levels: HashMap<Bucket, Level>,
}

/// Why an order must wait.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{kind} of {ca}{}: used up until {retry_at}", whose(.scope))]
pub struct Refusal {
    /// The limit.
    pub kind: LimitKind,
    /// The CA.
    pub ca: Ca,
    /// Whose bucket it is; empty for the account's.
    pub scope: String,
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
    /// Whether a person asked for it: our own patience is passed over then, and nothing that the CA would refuse.
    pub urgent: bool,
}

impl<'a> OrderFacts<'a> {
    /// Reads from a site what an order for it would be.
    #[must_use]
    pub fn of(site: &'a Site, replaces_in_window: bool, urgent: bool, now: Timestamp) -> Self {
        let current = site.current.as_ref().map(|current| &current.certificate);
        let same_set = current.is_some_and(|certificate| {
            !certificate.self_signed
                && site.wanted.same_set(&certificate.names)
                && now.duration_since(certificate.valid.start()) < SAME_SET_REMEMBERED
        });
        Self {
            ca: &site.policy.ca,
            names: &site.wanted,
            same_set,
            replaces_in_window,
            urgent,
        }
    }
}

impl Ledger {
    /// Takes in what was remembered.
    pub fn new(levels: impl IntoIterator<Item = Spent>) -> Self {
        Self {
            levels: levels.into_iter().collect(),
        }
    }

    /// Takes back what only a clock that was ahead can have written; returns the buckets to remember.
    ///
    /// No bucket can be emptier than empty. Left alone, an order placed while the clock was a year ahead would keep
    /// everybody waiting for a year.
    pub fn mend(&mut self, now: Timestamp) -> Vec<Spent> {
        let mut mended = Vec::new();
        for (bucket, level) in &mut self.levels {
            let before = *level;
            level.told_until = level
                .told_until
                .filter(|until| within_reason(*until, now) >= *until);
            if let Some(limit) = limit_of(bucket) {
                let empty_at = level.told_until.map_or(now, |until| until.max(now));
                level.arrival = level.arrival.min(limit.arrival_when_empty(empty_at));
            }
            if *level != before {
                mended.push((bucket.clone(), *level));
            }
        }
        mended
    }

    /// Says whether an order may be placed now.
    ///
    /// # Errors
    ///
    /// The refusal that lasts longest, as the CA itself would answer.
    pub fn allows(&self, order: OrderFacts<'_>, now: Timestamp) -> Result<(), Refusal> {
        let mut worst: Option<Refusal> = None;
        for kind in LimitKind::ALL {
            let limit = limits(order.ca).find(|limit| limit.kind == kind);
            // Of a limit that a CA only told of it is not known whom it exempts.
            if limit.is_some() && is_exempt(kind, order) {
                continue;
            }
            for scope in scopes(kind, order.names) {
                let bucket = Bucket {
                    ca: order.ca.clone(),
                    kind,
                    scope,
                };
                let Some(level) = self.levels.get(&bucket) else {
                    continue;
                };
                let reckoned = limit.map(|limit| limit.allowed_at(level.arrival));
                let told = level.told_until;
                let Some(retry_at) = reckoned.max(told).filter(|at| *at > now) else {
                    continue;
                };
                if worst.as_ref().is_none_or(|worst| worst.retry_at < retry_at) {
                    worst = Some(Refusal {
                        kind,
                        ca: bucket.ca,
                        scope: bucket.scope,
                        retry_at,
                    });
                }
            }
        }
        worst.map_or(Ok(()), Err)
    }

    /// Asks for an order and debits it at once, so that orders in flight side by side do not all count on the same
    /// rest.
    ///
    /// # Errors
    ///
    /// As [`Ledger::allows`]; nothing is debited then.
    pub fn reserve(
        &mut self,
        order: OrderFacts<'_>,
        now: Timestamp,
    ) -> Result<Vec<Spent>, Refusal> {
        self.allows(order, now)?;
        Ok(self.ordered(order, now))
    }

    /// Returns the level of the bucket from which an order is spent, to be remembered once it is placed.
    ///
    /// It holds what orders in flight have reserved, so that a crash loses none of them.
    #[must_use]
    pub fn reserved(&self, order: OrderFacts<'_>) -> Vec<Spent> {
        let bucket = Bucket {
            ca: order.ca.clone(),
            kind: LimitKind::OrdersPerAccount,
            scope: String::new(),
        };
        let level = self.levels.get(&bucket).copied();
        level.map(|level| (bucket, level)).into_iter().collect()
    }

    /// Takes in that a reserved order was not placed after all; returns the buckets to remember.
    ///
    /// Let's Encrypt gives it back too (`ratelimits`, refund in `wfe2`).
    pub fn not_placed(&mut self, order: OrderFacts<'_>, now: Timestamp) -> Vec<Spent> {
        if is_exempt(LimitKind::OrdersPerAccount, order) {
            return Vec::new();
        }
        self.change(
            order.ca,
            LimitKind::OrdersPerAccount,
            String::new(),
            now,
            Limit::refund,
        )
        .into_iter()
        .collect()
    }

    /// Takes in that an order was placed that had not been reserved; returns the buckets to remember.
    pub fn ordered(&mut self, order: OrderFacts<'_>, now: Timestamp) -> Vec<Spent> {
        if is_exempt(LimitKind::OrdersPerAccount, order) {
            return Vec::new();
        }
        self.spend(order.ca, LimitKind::OrdersPerAccount, order.names, now)
    }

    /// Takes in that a certificate was issued; returns the buckets to remember.
    pub fn issued(&mut self, order: OrderFacts<'_>, now: Timestamp) -> Vec<Spent> {
        let mut spent = self.spend(
            order.ca,
            LimitKind::CertificatesPerExactSet,
            order.names,
            now,
        );
        // Only the same set is exempt here: a replacement with other names passes the question, and is counted.
        if !order.same_set {
            spent.extend(self.spend(order.ca, LimitKind::CertificatesPerDomain, order.names, now));
        }
        for kind in [LimitKind::FailuresInARow, LimitKind::OwnFailuresPerDay] {
            for scope in scopes(kind, order.names) {
                let bucket = Bucket {
                    ca: order.ca.clone(),
                    kind,
                    scope,
                };
                if let Some(level) = self.levels.get_mut(&bucket) {
                    level.arrival = now;
                    spent.push((bucket, *level));
                }
            }
        }
        spent
    }

    /// Takes in that the validation of `name` failed; returns the buckets to remember.
    pub fn failed(&mut self, ca: &Ca, name: &Name, now: Timestamp) -> Vec<Spent> {
        let kinds = [
            LimitKind::FailuresPerName,
            LimitKind::FailuresInARow,
            LimitKind::OwnFailuresPerName,
            LimitKind::OwnFailuresPerDay,
        ];
        let names = Names::from(name.clone());
        kinds
            .into_iter()
            .flat_map(|kind| self.spend(ca, kind, &names, now))
            .collect()
    }

    /// Takes in that the CA refused an order, and named the limit, whose bucket it is where that matters, and the
    /// moment at which it allows the next one; returns the buckets to remember.
    ///
    /// A moment beyond reason is a mistake of the CA's, which must not keep all sites waiting for years.
    pub fn told(
        &mut self,
        order: OrderFacts<'_>,
        kind: LimitKind,
        about: Option<&Name>,
        retry_at: Timestamp,
        now: Timestamp,
    ) -> Vec<Spent> {
        let about = about.cloned().map(Names::from);
        let names = match (kind.is_about_names(), &about) {
            (true, Some(named)) => named,
            // Which of its names it is about concerns this order alone, which waits for the moment anyway.
            (true, None) if order.names.as_slice().len() > 1 => return Vec::new(),
            (true, None) | (false, _) => order.names,
        };
        let until = within_reason(retry_at, now);
        let limit = limits(order.ca).find(|limit| limit.kind == kind);
        let mut told = Vec::new();
        for scope in scopes(kind, names) {
            let bucket = Bucket {
                ca: order.ca.clone(),
                kind,
                scope,
            };
            let level = self.level(bucket.clone(), now);
            level.told_until = Some(until);
            if let Some(limit) = limit {
                // One is allowed at that moment, and the next as the bucket fills.
                level.arrival = level.arrival.max(limit.arrival_that_allows_at(until));
            }
            told.push((bucket, *level));
        }
        told
    }

    fn spend(&mut self, ca: &Ca, kind: LimitKind, names: &Names, now: Timestamp) -> Vec<Spent> {
        let spend = |limit: &Limit, arrival| limit.spend(arrival, now);
        scopes(kind, names)
            .into_iter()
            .filter_map(|scope| self.change(ca, kind, scope, now, spend))
            .collect()
    }

    /// Changes the level of a bucket, where the CA has such a limit.
    fn change(
        &mut self,
        ca: &Ca,
        kind: LimitKind,
        scope: String,
        now: Timestamp,
        change: impl Fn(&Limit, Timestamp) -> Timestamp,
    ) -> Option<Spent> {
        let limit = limits(ca).find(|limit| limit.kind == kind)?;
        let ca = ca.clone();
        let bucket = Bucket { ca, kind, scope };
        let level = self.level(bucket.clone(), now);
        level.arrival = change(limit, level.arrival);
        Some((bucket, *level))
    }

    fn level(&mut self, bucket: Bucket, now: Timestamp) -> &mut Level {
        self.levels.entry(bucket).or_insert(Level {
            arrival: now,
            told_until: None,
        })
    }
}

/// Says whether Let's Encrypt does not look at this limit for such an order (`wfe2/wfe.go`, `NewOrder`).
fn is_exempt(kind: LimitKind, order: OrderFacts<'_>) -> bool {
    match kind {
        LimitKind::OrdersPerAccount | LimitKind::CertificatesPerDomain => {
            order.same_set || order.replaces_in_window
        }
        LimitKind::CertificatesPerExactSet | LimitKind::FailuresPerName => order.replaces_in_window,
        LimitKind::OwnFailuresPerDay => order.urgent,
        LimitKind::RegistrationsPerAddress
        | LimitKind::RegistrationsPerRange
        | LimitKind::FailuresInARow
        | LimitKind::OwnFailuresPerName => false,
    }
}

fn limit_of(bucket: &Bucket) -> Option<&'static Limit> {
    limits(&bucket.ca).find(|limit| limit.kind == bucket.kind)
}

fn whose(scope: &str) -> String {
    if scope.is_empty() {
        String::new()
    } else {
        format!(" for {scope}")
    }
}

/// Let's Encrypt's memory of sets of names (`FQDNSetTimestampsForWindow` in `wfe2/wfe.go`).
const SAME_SET_REMEMBERED: SignedDuration = SignedDuration::from_hours(120 * 24);

#[cfg(test)]
mod tests;
