//! What is to be done now, why, and when must we look again?
//!
//! [`plan`] asks [`due`](crate::due) about each site and turns the answer into an action. Asking twice, or on
//! two machines, gives the same plan. Cost is linear in the number of sites, and small for those not due.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};

use crate::certificate::{Certificate, CertificateId};
use crate::due::{Due, Reason, due};
use crate::ending;
use crate::finding::{Finding, FindingName, Severity};
use crate::name::Name;
use crate::panel;
use crate::policy::DeadNames;
use crate::retry::Attempts;
use crate::site::{Current, Site};
use crate::suggestion::Suggestion;

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Only these sites, by domain; `None` for all.
    pub only: Option<HashSet<Name>>,
    /// Whether to renew what is not due yet.
    pub force: bool,
    /// Whether sites without a trusted certificate get their first one even when they are not named.
    pub first: bool,
}

impl Wish {
    /// Says whether the wish is about this site.
    #[must_use]
    pub fn includes(&self, domain: &Name) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(domain))
    }
}

/// What is remembered about a site and cannot be seen.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Remembered {
    /// The CA's window for its present certificate.
    pub suggestion: Option<Suggestion>,
    /// Its failures since the last success.
    pub attempts: Option<Attempts>,
    /// When our challenge line was put into its vhost, where it was needed at the last renewal.
    pub line_at: Option<Timestamp>,
}

/// What to do with one site.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Nothing: it is not due.
    Leave,
    /// Nothing, for the reason given: it is only watched.
    Skip(SkipReason),
    /// Nothing before this moment: it failed, and it is too early to try again.
    Postpone(Timestamp),
    /// Deploy the version that was obtained earlier.
    Deploy(u32),
    /// Order a certificate.
    Order {
        /// The certificate it replaces, when the CA's window is open (RFC 9773 section 5).
        replaces: Option<CertificateId>,
        /// Whether a person asked for it, and our own patience is passed over.
        urgent: bool,
    },
}

/// Why a site is only watched.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SkipReason {
    /// `renewal.manage` leaves it out.
    #[error("it is not managed: renewal.manage = \"listed\", and the site is not listed")]
    NotManaged,
    /// It has no certificate, and nobody asked for its first one.
    #[error(
        "it has no certificate of a CA; name it with --domain, or run lets-encrypt:install:certificate"
    )]
    NeverHadOne,
    /// It has a certificate that browsers trust, and the staging CA was asked for.
    #[error(
        "it has a certificate that browsers trust, which one of the staging CA must not replace"
    )]
    TrustedAlready,
    /// CloudPanel says that somebody imported its certificate.
    #[error(
        "its certificate was imported into CloudPanel, so it is only watched; a [[site]] of its own lets clpctl renew it"
    )]
    Imported,
    /// CloudPanel's record of it cannot be read now.
    #[error("CloudPanel's database cannot be read, so what it says of the site is not known")]
    PanelUnreadable,
    /// Its certificate was made elsewhere.
    #[error(
        "its certificate was imported, so it is watched; site:renew-certificates --force or lets-encrypt:install:certificate with its name obtains one of the CA"
    )]
    MadeElsewhere,
    /// Nothing is known of its certificate at this moment.
    #[error(
        "its certificate or key cannot be read now, so nothing is known of it and nothing is ordered; --force orders"
    )]
    CannotRead,
    /// Its certificate is not valid yet, so this host's clock is behind.
    #[error("its certificate is not valid yet: this host's clock is wrong")]
    ClockBehind,
}

/// One site of the plan.
#[derive(Clone, Debug)]
pub struct Item<'a> {
    /// The site.
    pub site: &'a Site,
    /// What to do.
    pub action: Action,
    /// When its certificate is due, and why.
    pub due: Due,
}

/// What to do now, and when to look again.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The sites that the wish is about, in the order in which they were found.
    pub items: Vec<Item<'a>>,
    /// The first moment at which another plan may say something else; `None` when there is no site.
    pub wake_at: Option<Timestamp>,
}

/// Says what to do now.
pub fn plan<'a>(
    sites: impl IntoIterator<Item = (&'a Site, Option<&'a Remembered>)>,
    wish: &Wish,
    now: Timestamp,
) -> Plan<'a> {
    let mut items = Vec::new();
    let mut wake_at: Option<Timestamp> = None;
    for (site, remembered) in sites {
        if !wish.includes(site.domain()) {
            continue;
        }
        let item = decide(site, remembered, wish, now);
        let next = match item.action {
            Action::Leave => Some(item.due.at),
            Action::Postpone(until) => Some(until),
            Action::Skip(SkipReason::CannotRead) => now.checked_add(READ_AGAIN).ok(),
            Action::Skip(_) => ending::next_warning(site, now),
            Action::Deploy(_) | Action::Order { .. } => Some(now),
        };
        let poll_at = remembered
            .and_then(|known| known.suggestion.as_ref())
            .map(|known| known.poll_at);
        wake_at = [wake_at, next, poll_at].into_iter().flatten().min();
        items.push(item);
    }
    Plan { items, wake_at }
}

fn decide<'a>(
    site: &'a Site,
    remembered: Option<&Remembered>,
    wish: &Wish,
    now: Timestamp,
) -> Item<'a> {
    let suggestion = remembered.and_then(|known| known.suggestion.as_ref());
    let mut due = due_of(site, suggestion, now);
    let item = |action, due| Item { site, action, due };
    if let Some(why) = watched(site, wish) {
        return item(Action::Skip(why), due);
    }
    let staging = site.policy.ca.is_staging();
    let trusted = site.current.as_ref().filter(|current| {
        let certificate = &current.certificate;
        !certificate.self_signed && (staging || !certificate.is_staging())
    });
    let real = |current: &Current| {
        let certificate = &current.certificate;
        !certificate.is_staging() && certificate.valid.contains(now)
    };
    if staging && trusted.is_some_and(real) {
        return item(Action::Skip(SkipReason::TrustedAlready), due);
    }
    if trusted.is_some_and(|current| now < current.certificate.valid.start()) && !wish.force {
        return item(Action::Skip(SkipReason::ClockBehind), due);
    }
    if let Some(version) = deployable(site, now) {
        due = Due {
            at: now,
            reason: Reason::Undeployed,
        };
        return item(Action::Deploy(version), due);
    }
    let named = wish.first || wish.only.is_some() || site.policy.listed;
    if trusted.is_none() && !named {
        return item(Action::Skip(SkipReason::NeverHadOne), due);
    }
    let asked = if site.is_imported() {
        Some(Reason::Imported)
    } else {
        wish.force.then_some(Reason::Forced)
    };
    if let Some(reason) = asked.filter(|_| due.at > now) {
        due = Due { at: now, reason };
    }
    if due.at > now {
        return item(Action::Leave, due);
    }
    let attempts = remembered.and_then(|known| known.attempts.as_ref());
    let too_early = attempts.filter(|attempts| attempts.too_early(&site.wanted, now).is_some());
    // Force overrides our own patience, never a moment that the CA named.
    if let Some(attempts) = too_early.filter(|attempts| attempts.told || !wish.force) {
        return item(Action::Postpone(attempts.retry_at), due);
    }
    let id = trusted.and_then(|current| current.certificate.id.as_ref());
    let replaces =
        id.filter(|id| suggestion.is_some_and(|known| known.id == **id && known.open(now)));
    item(
        Action::Order {
            replaces: replaces.cloned(),
            urgent: wish.force,
        },
        due,
    )
}

/// Says why the site is only watched, whatever is due.
fn watched(site: &Site, wish: &Wish) -> Option<SkipReason> {
    if !site.policy.managed {
        return Some(SkipReason::NotManaged);
    }
    let imported = site.is_imported();
    if imported && !(wish.only.is_some() && (wish.force || wish.first)) {
        return Some(SkipReason::MadeElsewhere);
    }
    let unread = |finding: &Finding| {
        finding.name == FindingName::FileNotUsable && finding.severity == Severity::Fatal
    };
    if site.findings.iter().any(unread) && !wish.force {
        return Some(SkipReason::CannotRead);
    }
    // What was imported here stands in the panel's record as imported, too.
    panel::watched(site).filter(|why| !(imported && *why == SkipReason::Imported))
}

/// Asks when the site's certificate is due; one of the staging CA is, as soon as a real CA is meant.
fn due_of(site: &Site, suggestion: Option<&Suggestion>, now: Timestamp) -> Due {
    let current = site.current.as_ref();
    let due = due(
        &site.wanted,
        current,
        site.policy.before_expiry,
        suggestion,
        now,
    );
    let held = site.chosen().zip(current);
    let due = match held {
        Some((choice, current)) => choice.hold(due, current.certificate.valid.end()),
        None => due,
    };
    let practised = current.is_some_and(|current| current.certificate.is_staging());
    if practised && !site.policy.ca.is_staging() && due.at > now {
        return Due {
            at: now,
            reason: Reason::Staging,
        };
    }
    due
}

/// Returns the version that was obtained earlier and is still worth deploying.
fn deployable(site: &Site, now: Timestamp) -> Option<u32> {
    let undeployed = site.undeployed.as_ref()?;
    if site
        .chosen()
        .is_some_and(|choice| undeployed.version <= choice.newest)
    {
        return None;
    }
    let certificate = &undeployed.certificate;
    let whole = certificate.missing(&site.wanted).is_none() || was_narrowed(site, certificate);
    let good = certificate.valid.contains(now) && whole;
    good.then_some(undeployed.version)
}

/// Says whether it lacks only names that were left out because they were dead when it was ordered: those that
/// nobody wants but the certificate before.
fn was_narrowed(site: &Site, certificate: &Certificate) -> bool {
    let Some(current) = &site.current else {
        return false;
    };
    site.policy.dead_names == DeadNames::Drop
        && certificate.covers(site.domain())
        && current.certificate.valid.start() < certificate.valid.start()
        && current.certificate.missing(&site.wanted).is_none()
}

/// A disk or a limit that is in trouble for a moment is asked again soon.
const READ_AGAIN: SignedDuration = SignedDuration::from_mins(10);

#[cfg(test)]
mod tests;
