//! May this new certificate replace that one?
//!
//! Asked before anything is written where nginx reads. A CA is believed in nothing: a chain that is wrong in
//! any way is refused with the reason, and what is served stays served.

use jiff::{SignedDuration, Timestamp};

use crate::certificate::Certificate;
use crate::name::Name;
use crate::names::Names;

/// What is known of a certificate that was just obtained.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// The leaf's facts.
    pub certificate: &'a Certificate,
    /// Whether the private key at hand belongs to it.
    pub key_fits: bool,
    /// What is wrong with the chain above the leaf, if anything.
    pub chain_fault: Option<String>,
}

/// Says whether `candidate` may serve the site that wants `wanted` instead of `current`.
///
/// # Errors
///
/// The first rule that it breaks.
pub fn accept(
    candidate: &Candidate<'_>,
    wanted: &Names,
    current: Option<&Certificate>,
    now: Timestamp,
) -> Result<(), Rejection> {
    let new = candidate.certificate;
    if !candidate.key_fits {
        return Err(Rejection::KeyDoesNotFit);
    }
    if let Some(name) = new.missing(wanted) {
        return Err(Rejection::NameNotCovered(name.clone()));
    }
    if new.self_signed {
        return Err(Rejection::SelfSigned);
    }
    if let Some(fault) = &candidate.chain_fault {
        return Err(Rejection::Chain(fault.clone()));
    }
    if new.valid.end() <= now {
        return Err(Rejection::Expired(new.valid.end()));
    }
    if new.valid.start() > now.checked_add(CLOCK_TOLERANCE).unwrap_or(now) {
        return Err(Rejection::NotYetValid(new.valid.start()));
    }
    let served = current.filter(|current| !current.self_signed && current.valid.contains(now));
    if let Some(served) = served
        && new.valid.start() < served.valid.start()
        && new.valid.end() < served.valid.end()
    {
        return Err(Rejection::Older {
            new: new.valid.end(),
            served: served.valid.end(),
        });
    }
    Ok(())
}

/// Why a certificate is not deployed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// nginx would refuse the pair.
    #[error("the certificate is not for the key it was requested with")]
    KeyDoesNotFit,
    /// A visitor of this name would be warned.
    #[error("the certificate does not cover {0}")]
    NameNotCovered(Name),
    /// Nobody vouches for it but its own key.
    #[error("the certificate is self-signed")]
    SelfSigned,
    /// Visitors could not build a path to a root.
    #[error("the chain is not whole: {0}")]
    Chain(String),
    /// It is of no use any more.
    #[error("the certificate expired on {0}")]
    Expired(Timestamp),
    /// Visitors would be warned until then. The CA's clock or this host's is wrong.
    #[error("the certificate is not valid before {0}")]
    NotYetValid(Timestamp),
    /// What is served is better.
    #[error(
        "the certificate is older than the one being served: it ends on {new}, that one on {served}"
    )]
    Older {
        /// When the new one ends.
        new: Timestamp,
        /// When the served one ends.
        served: Timestamp,
    },
}

/// A CA's clock may be ahead of ours by this much. Let's Encrypt backdates by an hour; others do not.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

#[cfg(test)]
mod tests {
    use super::{Candidate, accept};
    use crate::certificate::{Certificate, Fingerprint};
    use crate::name::Name;
    use crate::names::Names;
    use crate::window::Window;
    use expect_test::{Expect, expect};

    fn certificate(names: &str, valid: &str) -> Certificate {
        let (start, end) = valid.split_once(' ').unwrap();
        let moment = |day: &str| format!("{day}T00:00:00Z").parse().unwrap();
        Certificate {
            names: names
                .split(' ')
                .filter_map(|name| Name::parse(name).ok())
                .collect(),
            valid: Window::new(moment(start), moment(end)).unwrap(),
            issuer: "Practice CA".into(),
            serial: "01".into(),
            sha256: Fingerprint([1; 32]),
            id: None,
            self_signed: names.contains("self"),
        }
    }

    /// A case is one line: `wanted | new names | new validity | served names | served validity`.
    #[track_caller]
    fn check(case: &str, expect: Expect) {
        let fields: Vec<&str> = case.split('|').map(str::trim).collect();
        let wanted =
            Names::new(fields[0].split(' ').map(|name| Name::parse(name).unwrap())).unwrap();
        let new = certificate(fields[1], fields[2]);
        let served = (fields[3] != "-").then(|| certificate(fields[3], fields[4]));
        let candidate = Candidate {
            certificate: &new,
            key_fits: !fields[1].contains("badkey"),
            chain_fault: fields[1]
                .contains("nochain")
                .then(|| "nothing issued the leaf".to_owned()),
        };
        let answer = accept(
            &candidate,
            &wanted,
            served.as_ref(),
            "2026-02-20T00:00:00Z".parse().unwrap(),
        );
        expect.assert_eq(&answer.map_or_else(
            |rejection| rejection.to_string(),
            |()| "accepted".to_owned(),
        ));
    }

    #[test]
    fn a_good_one_is_accepted() {
        check(
            "a.test | a.test | 2026-02-19 2026-05-20 | - | -",
            expect!["accepted"],
        );
        check(
            "a.test | a.test | 2026-02-19 2026-05-20 | a.test | 2025-12-01 2026-03-01",
            expect!["accepted"],
        );
        check(
            "a.test | a.test | 2026-02-19 2026-02-25 | a.test | 2025-12-01 2026-03-01",
            expect!["accepted"],
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        check(
            "a.test | a.test badkey | 2026-02-19 2026-05-20 | - | -",
            expect!["the certificate is not for the key it was requested with"],
        );
        check(
            "a.test b.test | a.test | 2026-02-19 2026-05-20 | - | -",
            expect!["the certificate does not cover b.test"],
        );
        check(
            "a.test | a.test nochain | 2026-02-19 2026-05-20 | - | -",
            expect!["the chain is not whole: nothing issued the leaf"],
        );
        check(
            "a.test | a.test | 2025-11-19 2026-02-20 | - | -",
            expect!["the certificate expired on 2026-02-20T00:00:00Z"],
        );
        check(
            "a.test | a.test | 2026-02-21 2026-05-20 | - | -",
            expect!["the certificate is not valid before 2026-02-21T00:00:00Z"],
        );
    }

    #[test]
    fn a_self_signed_one_is_none() {
        check(
            "a.test | self a.test | 2026-02-19 2026-05-20 | - | -",
            expect!["the certificate is self-signed"],
        );
    }

    #[test]
    fn an_older_one_does_not_replace_a_valid_one_but_does_replace_a_self_signed_one() {
        check(
            "a.test | a.test | 2025-12-01 2026-03-01 | a.test | 2026-02-01 2026-05-01",
            expect![
                "the certificate is older than the one being served: it ends on 2026-03-01T00:00:00Z, that one on 2026-05-01T00:00:00Z"
            ],
        );
        check(
            "a.test | a.test | 2025-12-01 2026-03-01 | self a.test | 2026-02-01 2036-05-01",
            expect!["accepted"],
        );
    }
}
