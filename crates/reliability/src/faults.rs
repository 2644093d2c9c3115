//! What is lost when a system call fails?
//!
//! Every effect on the disk of one run fails, once or from then on, with every error that makes sense there. After it
//! the files are judged as they lie, the run must have said what the cause was, and the next run, undisturbed, comes to
//! the end that it would have come to.

use std::path::Path;

use nix::errno::Errno;

use crate::crew::{Outcome, Trial, every_point};
use crate::effect::Kind;
use crate::judge;
use crate::stage::{GOOD, Said, Stage};
use crate::tracer::{Blow, Traced};

/// An error, and where it can come from.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// What the call returns.
    pub errno: Errno,
    /// Which calls.
    pub kinds: &'static [Kind],
    /// Whether all such calls after it fail too, as on a disk that stays full.
    pub lasting: bool,
}

/// Every fault.
pub const FAULTS: [Fault; 13] = [
    Fault::lasting(Errno::ENOSPC, &GROWING),
    Fault::once(Errno::ENOSPC, &GROWING),
    Fault::lasting(Errno::EACCES, &NAMES),
    Fault::once(Errno::EACCES, &NAMES),
    Fault::lasting(Errno::EROFS, &CHANGING),
    Fault::lasting(Errno::EMFILE, &OPENING),
    Fault::once(Errno::EMFILE, &OPENING),
    Fault::lasting(Errno::EIO, &DISK),
    Fault::once(Errno::EIO, &DISK),
    Fault::once(Errno::EINTR, &INTERRUPTIBLE),
    Fault::lasting(Errno::EXDEV, &[Kind::Rename]),
    Fault::once(Errno::EXDEV, &[Kind::Rename]),
    Fault::lasting(Errno::EPERM, &[Kind::Mode]),
];

impl Fault {
    const fn once(errno: Errno, kinds: &'static [Kind]) -> Self {
        Self {
            errno,
            kinds,
            lasting: false,
        }
    }

    const fn lasting(errno: Errno, kinds: &'static [Kind]) -> Self {
        Self {
            errno,
            kinds,
            lasting: true,
        }
    }

    /// Returns the words for tables.
    #[must_use]
    pub fn words(&self) -> String {
        let how_long = if self.lasting { "from then on" } else { "once" };
        format!("{:?} {how_long}", self.errno)
    }
}

/// Lets every effect fail with one fault, or every few.
#[must_use]
pub fn at_every_effect(
    program: &Path,
    workers: usize,
    first: usize,
    step: usize,
    fault: Fault,
) -> Outcome {
    let make = || Stage::new(program, |_| {});
    every_point(workers, first, step, make, |stage, nth| {
        stage.reset();
        let issued = stage.practice.ca.issued();
        let run = stage.strike_with_opens(Blow::Fail {
            nth,
            errno: fault.errno,
            lasting: fault.lasting,
            kinds: fault.kinds,
        });
        let Some(effect) = &run.struck else {
            return Trial::Beyond;
        };
        let at = || format!("{} at: {effect}", fault.words());
        assert!(
            matches!(run.code, Some(1..=3)),
            "{}: {:?}\n{}\n{}",
            at(),
            run.code,
            run.stdout,
            run.stderr
        );
        names_the_cause(&run, fault, &at());
        let _ = judge::at_any_moment(stage);
        let said = stage.renew();
        judge::converged(&said);
        let remarks = judge::at_the_end(stage);
        let issued = stage.practice.ca.issued() - issued;
        assert_eq!(issued, GOOD.len(), "{}: certificates issued", at());
        Trial::Struck(effect.kind(), remarks)
    })
}

/// Fails when a site came to nothing and nobody was told why.
#[track_caller]
fn names_the_cause(run: &Traced, fault: Fault, at: &str) {
    let said = Said {
        code: run.code,
        json: serde_json::from_str(&run.stdout).unwrap_or_default(),
        stderr: run.stderr.clone(),
    };
    let well = |domain: &&str| ["issued", "renewed"].contains(&said.outcome(domain));
    if GOOD.iter().all(well) {
        return;
    }
    let told = format!("{}{}", run.stdout, run.stderr).to_lowercase();
    let words = match fault.errno {
        Errno::ENOSPC => ["no space left", "disk is full", "disk full"],
        Errno::EACCES => ["permission denied", "permission", "not writable"],
        Errno::EROFS => ["read-only", "readonly", "read only"],
        Errno::EMFILE => ["too many open files", "unable to open", "emfile"],
        Errno::EIO => ["input/output error", "i/o error", "disk i/o"],
        Errno::EXDEV => ["cross-device", "invalid cross", "other file system"],
        Errno::EPERM => ["not permitted", "permission", "rights"],
        _ => ["interrupted", "eintr", "try again"],
    };
    let named = words.iter().any(|word| told.contains(word));
    assert!(named, "{at}: the cause is not told:\n{told}");
}

/// What needs room.
const GROWING: [Kind; 6] = [
    Kind::Make,
    Kind::Write,
    Kind::Database,
    Kind::Folder,
    Kind::Link,
    Kind::Rename,
];
/// What needs rights on a folder.
const NAMES: [Kind; 7] = [
    Kind::Make,
    Kind::Rename,
    Kind::Remove,
    Kind::Folder,
    Kind::Link,
    Kind::Mode,
    Kind::Open,
];
/// What changes the disk.
const CHANGING: [Kind; 8] = [
    Kind::Make,
    Kind::Write,
    Kind::Database,
    Kind::Rename,
    Kind::Remove,
    Kind::Folder,
    Kind::Link,
    Kind::Mode,
];
/// What needs a descriptor.
const OPENING: [Kind; 2] = [Kind::Open, Kind::Make];
/// What a dying disk fails.
const DISK: [Kind; 4] = [Kind::Write, Kind::Database, Kind::Sync, Kind::Open];
/// What a signal may interrupt.
const INTERRUPTIBLE: [Kind; 4] = [Kind::Make, Kind::Write, Kind::Open, Kind::Sync];
