//! What did a person decide about a lineage, that no rule undoes by itself?
//!
//! A [`Choice`] is about one certificate, the one that was served when it was made. As soon as another one is served it
//! says nothing any more, so it need not be taken back.
//!
//! | the certificate was | so |
//! | --- | --- |
//! | imported | it is watched, and renewed when somebody asks for it by the site's name |
//! | rolled back to | newer ones that were there then are left alone; see [`Choice::hold`] |
//!
//! It is kept on disk beside the lineage and not among what a run remembers: a lost database must not lead to a
//! certificate of the CA in the place of one that somebody bought.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::certificate::Fingerprint;
use crate::due::{Due, Reason};
use crate::revocation::Revoked;

/// What people decided about one lineage.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// The certificates that somebody chose; at most one choice about each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
    /// The certificates that are revoked, or about to be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<Revoked>,
}

impl Decided {
    /// Says whether nothing was decided.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the choice about this leaf.
    #[must_use]
    pub fn choice(&self, leaf: Fingerprint) -> Option<&Choice> {
        self.choices.iter().find(|choice| choice.leaf == leaf)
    }

    /// Takes in a choice. An imported certificate stays one, however it comes to be served again.
    pub fn choose(&mut self, choice: Choice) {
        let before = self.choices.iter().position(|one| one.leaf == choice.leaf);
        let before = before.map(|index| self.choices.remove(index));
        let imported = before.is_some_and(|before| before.how == How::Imported);
        self.choices.push(Choice {
            how: if imported { How::Imported } else { choice.how },
            ..choice
        });
    }

    /// Returns what is remembered of the revocation of this leaf.
    #[must_use]
    pub fn revoked(&self, leaf: Fingerprint) -> Option<&Revoked> {
        self.revoked.iter().find(|revoked| revoked.leaf == leaf)
    }
}

/// A certificate that a person chose.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// How.
    pub how: How,
    /// The leaf.
    pub leaf: Fingerprint,
    /// When.
    pub at: Timestamp,
    /// The newest version of the lineage at that moment: those up to it were seen, and passed over.
    pub newest: u32,
}

/// How a certificate was chosen.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// It was made elsewhere.
    Imported,
    /// It is an earlier one of the lineage.
    RolledBack,
}

impl How {
    /// Returns the word for the history.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::RolledBack => "rolled-back",
        }
    }
}

impl Choice {
    /// Says when a certificate that ends at `end` is due, if the rules say `due`.
    ///
    /// Who goes back to an earlier certificate has a reason, and is given time to mend it: what was due already when
    /// the choice was made waits until half of the time that was left then is over. What becomes due later, or for a
    /// reason that did not stand then, stays due.
    #[must_use]
    pub fn hold(&self, due: Due, end: Timestamp) -> Due {
        let held = self.how == How::RolledBack && due.at <= self.at && self.knew(&due.reason);
        if !held {
            return due;
        }
        let left = end.duration_since(self.at);
        Due {
            at: self.at.checked_add(left / 2).unwrap_or(end),
            reason: Reason::RolledBack,
        }
    }

    /// Says whether the reason was one of time alone, and stood when the choice was made.
    fn knew(&self, reason: &Reason) -> bool {
        match reason {
            Reason::Third | Reason::Half | Reason::Policy(_) | Reason::Suggested(_) => true,
            // The CA moves the window into the past when it wants the certificate gone.
            Reason::SuggestedEarlier(window) => window.end() <= self.at,
            Reason::Missing
            | Reason::SelfSigned
            | Reason::Staging
            | Reason::KeyDoesNotFit
            | Reason::Expired(_)
            | Reason::NameNotCovered(_)
            | Reason::Forced
            | Reason::Imported
            | Reason::RolledBack
            | Reason::Undeployed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Choice, How};
    use crate::certificate::Fingerprint;
    use crate::due::{Due, Reason};
    use crate::window::Window;
    use expect_test::{Expect, expect};
    use jiff::Timestamp;

    fn moment(day: &str) -> Timestamp {
        format!("{day}T00:00:00Z").parse().unwrap()
    }

    /// Chosen on 2026-03-01; the certificate ends on 2026-03-21.
    #[track_caller]
    fn check(how: How, due: &str, reason: Reason, expect: Expect) {
        let choice = Choice {
            how,
            leaf: Fingerprint([1; 32]),
            at: moment("2026-03-01"),
            newest: 3,
        };
        let due = Due {
            at: moment(due),
            reason,
        };
        let held = choice.hold(due, moment("2026-03-21"));
        expect.assert_eq(&format!("{}: {}", held.at, held.reason));
    }

    fn window(end: &str) -> Window {
        Window::new(moment("2026-02-01"), moment(end)).unwrap()
    }

    #[test]
    fn what_was_due_already_waits_for_half_of_what_was_left() {
        check(
            How::RolledBack,
            "2026-02-20",
            Reason::Third,
            expect![
                "2026-03-11T00:00:00Z: it was rolled back to, and half of the time that was left then is over"
            ],
        );
        check(
            How::RolledBack,
            "2026-02-03",
            Reason::SuggestedEarlier(window("2026-02-04")),
            expect![
                "2026-03-11T00:00:00Z: it was rolled back to, and half of the time that was left then is over"
            ],
        );
    }

    #[test]
    fn what_becomes_due_later_or_for_another_reason_stays_due() {
        check(
            How::RolledBack,
            "2026-03-05",
            Reason::Third,
            expect!["2026-03-05T00:00:00Z: a third of its life is left"],
        );
        check(
            How::RolledBack,
            "2026-03-01",
            Reason::SelfSigned,
            expect!["2026-03-01T00:00:00Z: the certificate is self-signed"],
        );
        check(
            How::RolledBack,
            "2026-02-20",
            Reason::SuggestedEarlier(window("2026-03-02")),
            expect![
                "2026-02-20T00:00:00Z: the CA's window for renewing ended on 2026-03-02T00:00:00Z"
            ],
        );
        check(
            How::Imported,
            "2026-02-20",
            Reason::Third,
            expect!["2026-02-20T00:00:00Z: a third of its life is left"],
        );
    }
}
