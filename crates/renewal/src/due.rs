//! When is one certificate due for renewal?
//!
//! [`due`] is asked about one certificate and answers with a moment and a reason.
//! The first rule that applies wins:
//!
//! | rule | renew |
//! | --- | --- |
//! | there is no certificate | at once |
//! | it is self-signed, which counts as none | at once |
//! | its private key does not fit | at once |
//! | it has expired | at once |
//! | it does not cover a wanted name | at once |
//! | the site's policy names a time before the end | then |
//! | the CA suggests a window (ARI, RFC 9773 section 4.2) | at the chosen moment inside it |
//! | it lives longer than ten days | when a third of its life is left |
//! | it lives ten days or less | when half of its life is left |
//!
//! Where a person went back to an earlier certificate, [`Choice::hold`](crate::choice::Choice::hold) may put the moment
//! off.
//!
//! # Invariants
//!
//! - The answer is a pure function of the question, so planning is idempotent.
//! - A fleet does not renew in the same second: the rules by lifetime come early by a part of a day that
//!   comes from a hash of the site's domain, at most a hundredth of the life.
//! - A renewal is never put off past the certificate's end.

use jiff::{SignedDuration, Timestamp};

use crate::name::Name;
use crate::names::Names;
use crate::site::Current;
use crate::spread;
use crate::suggestion::Suggestion;
use crate::window::Window;

/// When to renew, and why then.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Due {
    /// The moment; in the past when it should have happened already.
    pub at: Timestamp,
    /// The rule that set it.
    pub reason: Reason,
}

impl Due {
    /// Says what the moment means while it is still ahead.
    #[must_use]
    pub fn ahead(&self) -> String {
        let at = self.at;
        match &self.reason {
            Reason::Suggested(_) => {
                format!("not due before {at}, a moment in the window that the CA suggests")
            }
            Reason::Third | Reason::Half => format!("not due before {at}, when {}", self.reason),
            Reason::Policy(before) => {
                format!("not due before {at}, {} before its end", words(*before))
            }
            Reason::RolledBack => format!(
                "not due before {at}: it was rolled back to, and half of the time that was left then is not over"
            ),
            Reason::Missing
            | Reason::SelfSigned
            | Reason::Staging
            | Reason::KeyDoesNotFit
            | Reason::Expired(_)
            | Reason::NameNotCovered(_)
            | Reason::SuggestedEarlier(_)
            | Reason::Forced
            | Reason::Imported
            | Reason::Undeployed => format!("not due before {at}: {}", self.reason),
        }
    }
}

/// The rule that made a certificate due. Shown to people, so it reads as a phrase.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The site has none, or its file cannot be read.
    #[error("there is no certificate")]
    Missing,
    /// Nobody but the host itself vouches for it.
    #[error("the certificate is self-signed")]
    SelfSigned,
    /// It was only for trying things out.
    #[error("the certificate is from the CA's staging directory, which no browser trusts")]
    Staging,
    /// nginx could not even start with the pair.
    #[error("the private key does not belong to the certificate")]
    KeyDoesNotFit,
    /// Every visitor is warned already.
    #[error("it expired on {0}")]
    Expired(Timestamp),
    /// A name was added to the site.
    #[error("the certificate does not cover {0}")]
    NameNotCovered(Name),
    /// The site's policy.
    #[error("less than {} of its life are left", words(*.0))]
    Policy(SignedDuration),
    /// The CA's window, and the moment in it.
    #[error("the CA suggests renewing between {} and {}", .0.start(), .0.end())]
    Suggested(Window),
    /// The CA's window is wholly past: revoked, or about to be; or we are late.
    #[error("the CA's window for renewing ended on {}", .0.end())]
    SuggestedEarlier(Window),
    /// The usual rule.
    #[error("a third of its life is left")]
    Third,
    /// The rule for certificates that live ten days or less.
    #[error("half of its life is left")]
    Half,
    /// Somebody asked for it.
    #[error("it was asked for (--force)")]
    Forced,
    /// Somebody wants one of the CA in the place of one that was made elsewhere.
    #[error("the certificate was imported, and one of the CA was asked for")]
    Imported,
    /// Somebody went back to it, and has had time to mend what was the reason.
    #[error("it was rolled back to, and half of the time that was left then is over")]
    RolledBack,
    /// A certificate that was obtained and could not be deployed.
    #[error("a certificate obtained earlier is not deployed yet")]
    Undeployed,
}

/// Says when the certificate of the site that wants `wanted` is due.
#[must_use]
pub fn due(
    wanted: &Names,
    current: Option<&Current>,
    before_expiry: Option<SignedDuration>,
    suggestion: Option<&Suggestion>,
    now: Timestamp,
) -> Due {
    let at_once = |reason| Due { at: now, reason };
    let Some(current) = current else {
        return at_once(Reason::Missing);
    };
    let certificate = &current.certificate;
    if certificate.self_signed {
        return at_once(Reason::SelfSigned);
    }
    if !current.key_fits {
        return at_once(Reason::KeyDoesNotFit);
    }
    let end = certificate.valid.end();
    if end <= now {
        return at_once(Reason::Expired(end));
    }
    if let Some(name) = certificate.missing(wanted) {
        return at_once(Reason::NameNotCovered(name.clone()));
    }
    if let Some(before) = before_expiry {
        let at = end.checked_sub(before).unwrap_or(Timestamp::MIN);
        return Due {
            at: at.min(end),
            reason: Reason::Policy(before),
        };
    }
    let chosen = suggestion
        .filter(|suggestion| certificate.id.as_ref() == Some(&suggestion.id))
        .and_then(|suggestion| suggestion.chosen.as_ref());
    if let Some(chosen) = chosen {
        let past = chosen.window.end() <= now;
        let reason = if past {
            Reason::SuggestedEarlier(chosen.window)
        } else {
            Reason::Suggested(chosen.window)
        };
        return Due {
            at: chosen.at.min(end),
            reason,
        };
    }
    by_lifetime(wanted.domain(), certificate.valid)
}

/// Applies the rules that need nothing but the certificate's own dates.
fn by_lifetime(domain: &Name, valid: Window) -> Due {
    let (part, whole, reason) = if valid.length() > SHORT_LIVED {
        (2, 3, Reason::Third)
    } else {
        (1, 2, Reason::Half)
    };
    let early_most = valid.length().as_secs() / SPREAD_DIVISOR;
    let early = early_most * i64::from(spread::spread(domain.as_str())) / i64::from(spread::WHOLE);
    let at = valid
        .at(part, whole)
        .checked_sub(SignedDuration::from_secs(early));
    Due {
        at: at.unwrap_or(valid.start()),
        reason,
    }
}

/// Writes a length of time as people say it: `30 days`, `12 hours`.
fn words(length: SignedDuration) -> String {
    let hours = length.as_hours();
    if hours >= 48 && hours % 24 == 0 {
        format!("{} days", hours / 24)
    } else {
        format!("{hours} hours")
    }
}

/// Certificates that live no longer than this are renewed at half their life.
const SHORT_LIVED: SignedDuration = SignedDuration::from_hours(10 * 24);

/// The spread over time is at most this part of the life: 22 hours of 90 days, 1.6 hours of 160 hours.
const SPREAD_DIVISOR: i64 = 100;

#[cfg(test)]
mod tests;
