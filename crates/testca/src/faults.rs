//! What shall go wrong, where, for whom and how often?
//!
//! A [`Fault`] is an effect with its aim: an endpoint, a name, a chance, a number of times.
//! Effects come in families, one for each point of a request's life at which something can
//! go wrong; the code at that point takes the family's armed effects and applies them:
//!
//! | family | taken where |
//! | --- | --- |
//! | [`NonceFault`] | a signed request's nonce is checked |
//! | [`Refusal`] | a good request is about to be handled |
//! | [`WireFault`] | the request has arrived; the reply leaves |
//! | [`ReplacesFault`] | an order replaces a certificate |
//! | [`NameFault`] | an order's names are checked, one by one |
//! | [`FinalizationFault`] | a signing request has been found good |
//! | [`ValidationFault`] | a challenge is validated |
//! | [`IssuanceFault`] | a certificate is made |
//! | [`ChainFault`] | a certificate is downloaded |
//! | [`RenewalInfoFault`] | a suggested window is shown |
//!
//! A new effect is a new variant in its family: the compiler then names the one place that
//! must apply it.

use std::sync::Mutex;
use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::random::{Dice, lock};

mod refusals;
mod wire;

pub use refusals::{RateLimit, Refusal, ReplacesRefusal};
pub(crate) use wire::Disturbance;
pub use wire::{ReplyHeader, WireFault};

/// One thing that goes wrong, and its aim.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    effect: Effect,
    endpoint: Option<Endpoint>,
    name: Option<String>,
    chance: f64,
    times: Option<u32>,
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// With a nonce.
    Nonce(NonceFault),
    /// A good request is refused.
    Refusal(Refusal),
    /// On the way there or back.
    Wire(WireFault),
    /// With an order's `replaces`.
    Replaces(ReplacesFault),
    /// With a name of an order.
    Name(NameFault),
    /// After an order's signing request has arrived.
    Finalization(FinalizationFault),
    /// While a challenge is validated.
    Validation(ValidationFault),
    /// With a certificate that is made.
    Issuance(IssuanceFault),
    /// With the chain that is handed out.
    Chain(ChainFault),
    /// With the suggested window.
    RenewalInfo(RenewalInfoFault),
}

/// What goes wrong with a nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NonceFault {
    /// A good one is refused with `badNonce`.
    Refuse,
}

/// What goes wrong with `replaces` (RFC 9773 section 5), in orders that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplacesFault {
    /// It is refused, and the order with it.
    Refuse(ReplacesRefusal),
    /// It is accepted but not echoed.
    Forget,
}

/// What goes wrong with a name of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameFault {
    /// It is forbidden by policy.
    Forbid,
}

/// What goes wrong once an order's signing request has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FinalizationFault {
    /// The order stays `processing` for so many polls.
    Processing {
        /// The polls that still see `processing`.
        polls: u32,
    },
    /// The order is `processing` for one poll and then turns `invalid`.
    Fails,
    /// CAA records are looked up again and forbid every name: the finalization is refused.
    CaaForbids,
}

/// What goes wrong while a challenge is validated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValidationFault {
    /// It takes this much longer.
    Slow(Duration),
    /// A CAA record forbids the certificate.
    CaaForbids,
    /// It fails as seen from another perspective, although the first was content.
    FailsElsewhere,
}

/// What goes wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IssuanceFault {
    /// It is for a key that nobody knows.
    WrongKey,
    /// It covers a name that nobody asked for, and none that somebody did.
    WrongNames,
    /// It lacks the last of several names.
    MissingName,
    /// Its end has passed.
    Expired,
    /// Its beginning is yet to come.
    NotYetValid,
}

/// What goes wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChainFault {
    /// The intermediate is left out.
    LeafOnly,
    /// The intermediate comes first.
    Reversed,
    /// The root follows, which no chain needs.
    WithRoot,
    /// The leaf is followed by an intermediate that did not sign it.
    ForeignIntermediate,
    /// It is cut in the middle of a line, though the HTTP reply is whole.
    Truncated,
    /// Text stands around the certificates, and a private key, a script and a certificate request between them.
    Junk,
}

/// What goes wrong with a suggested window.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RenewalInfoFault {
    /// It ends before it starts, which RFC 9773 section 4.2 calls invalid.
    EndsBeforeStart,
    /// There is none in the answer.
    NoWindow,
    /// The answer has no `Retry-After`.
    NoRetryAfter,
}

/// Which requests, and so which faults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occasion<'a> {
    pub(crate) endpoint: Endpoint,
    /// The names the request is about, where they are known.
    pub(crate) names: &'a [String],
}

/// The armed faults of a running CA.
#[derive(Debug)]
pub(crate) struct Faults {
    armed: Mutex<Vec<Fault>>,
    dice: Dice,
}

/// A family of effects.
pub(crate) trait Family: Sized {
    /// Returns the effect, if it is of this family.
    fn of(effect: &Effect) -> Option<Self>;
}

impl Fault {
    /// Returns a fault that hits every request at which its effect is possible.
    pub fn new(effect: impl Into<Effect>) -> Fault {
        Fault {
            effect: effect.into(),
            endpoint: None,
            name: None,
            chance: 1.0,
            times: None,
        }
    }

    /// Aims at the requests of one endpoint.
    pub fn at(mut self, endpoint: Endpoint) -> Fault {
        self.endpoint = Some(endpoint);
        self
    }

    /// Aims at the requests that are about this name.
    pub fn of_name(mut self, name: &str) -> Fault {
        self.name = Some(name.to_lowercase());
        self
    }

    /// Hits only with this probability; the options' seed decides when.
    pub fn with_chance(mut self, chance: f64) -> Fault {
        self.chance = chance;
        self
    }

    /// Ends after so many hits.
    pub fn times(mut self, times: u32) -> Fault {
        self.times = Some(times);
        self
    }

    fn is_aimed_at(&self, occasion: Occasion<'_>) -> bool {
        self.endpoint
            .is_none_or(|endpoint| endpoint == occasion.endpoint)
            && self
                .name
                .as_ref()
                .is_none_or(|name| occasion.names.contains(name))
    }
}

impl Faults {
    pub(crate) fn new(faults: Vec<Fault>, seed: u64) -> Faults {
        Faults {
            armed: Mutex::new(faults),
            dice: Dice::new(seed),
        }
    }

    pub(crate) fn set(&self, faults: Vec<Fault>) {
        *lock(&self.armed) = faults;
    }

    pub(crate) fn add(&self, fault: Fault) {
        lock(&self.armed).push(fault);
    }

    pub(crate) fn armed(&self) -> Vec<Fault> {
        lock(&self.armed).clone()
    }

    pub(crate) fn any(&self) -> bool {
        !lock(&self.armed).is_empty()
    }

    /// Returns the first effect of the family that hits, and spends one of its times.
    pub(crate) fn take<F: Family>(&self, occasion: Occasion<'_>) -> Option<F> {
        self.take_while(occasion, 1).pop()
    }

    /// Returns every effect of the family that hits, and spends one time of each.
    pub(crate) fn take_all<F: Family>(&self, occasion: Occasion<'_>) -> Vec<F> {
        self.take_while(occasion, usize::MAX)
    }

    fn take_while<F: Family>(&self, occasion: Occasion<'_>, most: usize) -> Vec<F> {
        let mut taken = Vec::new();
        let mut armed = lock(&self.armed);
        for fault in armed.iter_mut() {
            if taken.len() == most {
                break;
            }
            let Some(effect) = F::of(&fault.effect) else {
                continue;
            };
            if !fault.is_aimed_at(occasion) || !self.dice.happens(fault.chance) {
                continue;
            }
            fault.times = fault.times.map(|times| times.saturating_sub(1));
            taken.push(effect);
        }
        armed.retain(|fault| fault.times != Some(0));
        taken
    }
}

macro_rules! families {
    ($($family:ident in $variant:ident),* $(,)?) => {$(
        impl From<$family> for Effect {
            fn from(effect: $family) -> Effect {
                Effect::$variant(effect)
            }
        }

        impl Family for $family {
            fn of(effect: &Effect) -> Option<$family> {
                if let Effect::$variant(effect) = effect { Some(effect.clone()) } else { None }
            }
        }
    )*};
}

families! {
    NonceFault in Nonce,
    Refusal in Refusal,
    WireFault in Wire,
    ReplacesFault in Replaces,
    NameFault in Name,
    FinalizationFault in Finalization,
    ValidationFault in Validation,
    IssuanceFault in Issuance,
    ChainFault in Chain,
    RenewalInfoFault in RenewalInfo,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occasion(endpoint: Endpoint, names: &[String]) -> Occasion<'_> {
        Occasion { endpoint, names }
    }

    #[test]
    fn a_fault_ends_after_its_times() {
        let faults = Faults::new(vec![Fault::new(ChainFault::LeafOnly).times(2)], 0);
        let hits = (0..5)
            .filter(|_| {
                faults
                    .take::<ChainFault>(occasion(Endpoint::Certificate, &[]))
                    .is_some()
            })
            .count();
        assert_eq!(hits, 2);
        assert!(!faults.any(), "it is gone once it is spent");
    }

    #[test]
    fn a_fault_hits_what_it_is_aimed_at() {
        let faults = Faults::new(
            vec![
                Fault::new(WireFault::LoseReply)
                    .at(Endpoint::Finalize)
                    .of_name("A.test"),
            ],
            0,
        );
        let hits = |endpoint, name: &str| {
            faults
                .take::<WireFault>(occasion(endpoint, &[name.to_owned()]))
                .is_some()
        };
        assert!(hits(Endpoint::Finalize, "a.test"));
        assert!(!hits(Endpoint::Finalize, "b.test"));
        assert!(!hits(Endpoint::Order, "a.test"));
        assert!(
            faults
                .take::<NonceFault>(occasion(Endpoint::Finalize, &["a.test".to_owned()]))
                .is_none()
        );
    }

    #[test]
    fn a_chance_follows_from_the_seed() {
        let hits = |seed| {
            let faults = Faults::new(vec![Fault::new(NonceFault::Refuse).with_chance(0.05)], seed);
            (0..2000)
                .filter(|_| {
                    faults
                        .take::<NonceFault>(occasion(Endpoint::Order, &[]))
                        .is_some()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(hits(3), hits(3));
        assert!(
            (60..140).contains(&hits(3).len()),
            "about one in twenty: {}",
            hits(3).len()
        );
    }

    #[test]
    fn several_effects_hit_at_once() {
        let slow = WireFault::Slow(Duration::from_millis(1));
        let faults = Faults::new(
            vec![Fault::new(slow.clone()), Fault::new(WireFault::LoseReply)],
            0,
        );
        assert_eq!(
            faults.take_all::<WireFault>(occasion(Endpoint::Order, &[])),
            [slow, WireFault::LoseReply]
        );
    }
}
