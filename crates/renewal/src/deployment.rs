//! Which steps make a new certificate the served one, and what remains to be done after a crash?
//!
//! ```text
//! Begun ──► Switched ──► Tested ──► Reloaded ──► Settled
//!   │           │           │
//!   └───────────┴───────────┴──► Reverted
//! ```
//!
//! Each phase is written down before the next step is taken. Every step can be repeated, so after a crash the
//! steps after the last phase on record are simply taken (again); [`Phase::remaining`] is that rule.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::certificate::Fingerprint;
use crate::name::Name;

pub use self::splice::Splice;

mod splice;

/// A batch of switches with one test and one reload.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// What is switched, in order; undone in the opposite order.
    pub switches: Vec<Switch>,
    /// How far it is.
    pub phase: Phase,
    /// When it began.
    pub begun_at: Timestamp,
}

/// Everything that is needed to switch one site over, to finish that after a crash, and to undo it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Switch {
    /// The site's domain.
    pub domain: Name,
    /// The links to exchange, if a certificate is deployed.
    pub links: Option<LinkSwitch>,
    /// The plain files to replace, where a panel projects the site's certificate to such.
    #[serde(default)]
    pub pair: Option<PairSwitch>,
    /// The vhost files to edit.
    pub edits: Vec<Edit>,
}

/// A replacement of a key and a certificate that lie in plain files, by a version of the lineage.
///
/// Each file is only written while it is what it was when this was worked out, so what somebody else puts there
/// meanwhile is kept.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PairSwitch {
    /// The lineage's folder name.
    pub lineage: String,
    /// The version to put there.
    pub to: u32,
    /// The private key's file; it goes first.
    pub key: FileSwitch,
    /// The file of the leaf and its issuers.
    pub certificate: FileSwitch,
}

/// A replacement of one file.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct FileSwitch {
    /// The file.
    pub file: PathBuf,
    /// What it is before; `None` when it is not there.
    pub before: Option<Fingerprint>,
    /// What it is afterwards.
    pub after: Fingerprint,
}

/// An exchange of the four links of a lineage.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LinkSwitch {
    /// The lineage's folder name.
    pub lineage: String,
    /// The version linked before; `None` for a new lineage.
    pub from: Option<u32>,
    /// The version to link.
    pub to: u32,
    /// The leaf that must be served afterwards.
    pub serves: Fingerprint,
}

/// An edit of one file.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// The file.
    pub file: PathBuf,
    /// What the whole file is before.
    pub before: Fingerprint,
    /// What it is afterwards.
    pub after: Fingerprint,
    /// What changes, to the byte.
    pub splice: Splice,
    /// What changes, as a phrase for people.
    pub what: String,
}

/// How far a deployment is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Written down; switches may or may not have been made.
    Begun,
    /// All switches are made.
    Switched,
    /// nginx accepts the configuration.
    Tested,
    /// nginx was told to reload.
    Reloaded,
    /// What is served was looked at; nothing remains.
    Settled,
    /// All switches are undone; nothing remains.
    Reverted,
}

/// A step of a deployment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Make every switch that is not made.
    Switch,
    /// Ask nginx whether it accepts the configuration.
    Test,
    /// Tell nginx to reload.
    Reload,
    /// Look at what is served, and forget what an undo would need.
    Verify,
}

impl Phase {
    /// Returns the steps that remain when this phase is the last on record.
    #[must_use]
    pub fn remaining(self) -> &'static [Step] {
        match self {
            Self::Begun => &[Step::Switch, Step::Test, Step::Reload, Step::Verify],
            Self::Switched => &[Step::Test, Step::Reload, Step::Verify],
            // The reload is not on record: whether nginx heard it is unknown, and a second one does no harm.
            Self::Tested => &[Step::Reload, Step::Verify],
            Self::Reloaded => &[Step::Verify],
            Self::Settled | Self::Reverted => &[],
        }
    }

    /// Takes in that `step` was done.
    ///
    /// # Errors
    ///
    /// When that step was not the next one: a defect of the driver.
    pub fn after(self, step: Step) -> Result<Self, OutOfOrder> {
        if self.remaining().first() != Some(&step) {
            return Err(OutOfOrder { phase: self, step });
        }
        Ok(match step {
            Step::Switch => Self::Switched,
            Step::Test => Self::Tested,
            Step::Reload => Self::Reloaded,
            Step::Verify => Self::Settled,
        })
    }

    /// Says whether the switches can still be undone without nginx having seen them.
    #[must_use]
    pub fn can_revert(self) -> bool {
        match self {
            Self::Begun | Self::Switched | Self::Tested => true,
            Self::Reloaded | Self::Settled | Self::Reverted => false,
        }
    }
}

/// A step was taken that is not the next one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the step {step:?} does not follow the phase {phase:?}")]
pub struct OutOfOrder {
    phase: Phase,
    step: Step,
}

#[cfg(test)]
mod tests {
    use super::{Phase, Step};

    const PHASES: [Phase; 6] = [
        Phase::Begun,
        Phase::Switched,
        Phase::Tested,
        Phase::Reloaded,
        Phase::Settled,
        Phase::Reverted,
    ];

    #[test]
    fn cut_anywhere_the_remaining_steps_lead_to_the_end() {
        for phase in PHASES {
            let end = phase
                .remaining()
                .iter()
                .try_fold(phase, |phase, step| phase.after(*step));
            assert!(
                matches!(end, Ok(Phase::Settled | Phase::Reverted)),
                "{phase:?}: {end:?}"
            );
        }
    }

    #[test]
    fn a_step_out_of_order_is_refused() {
        for phase in PHASES {
            for step in [Step::Switch, Step::Test, Step::Reload, Step::Verify] {
                let next = phase.remaining().first() == Some(&step);
                assert_eq!(phase.after(step).is_ok(), next, "{phase:?} {step:?}");
            }
        }
    }
}
