//! To which earlier certificate of its lineage may a site go back?
//!
//! To one that could be served today: valid, whole, with its key, covering all that the site's visitors use, and not
//! revoked. That it is older is what is wanted, so of the rules of [`acceptance`](crate::acceptance) only that one
//! does not apply.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::acceptance::{Candidate, Rejection, accept};
use crate::certificate::Certificate;
use crate::site::Site;
use crate::window::Window;

/// A member of a lineage, as it lies on disk.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its number.
    pub number: u32,
    /// What is known of it; else why it cannot be read.
    pub state: Result<Facts, String>,
}

/// What is known of a member of a lineage.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The leaf.
    pub certificate: Arc<Certificate>,
    /// Whether the private key beside it belongs to it.
    pub key_fits: bool,
    /// What is wrong with the chain above the leaf, if anything.
    pub chain_fault: Option<String>,
    /// Whether it was revoked, or is about to be.
    pub revoked: bool,
    /// Whether its key must not be used again.
    pub key_burnt: bool,
}

/// Says which version the site is to serve: the one that was asked for, else the newest earlier one that may be
/// served.
///
/// # Errors
///
/// Says why not; for each version, when none was asked for.
pub fn choose<'a>(
    versions: &'a [Version],
    site: &Site,
    asked: Option<u32>,
    now: Timestamp,
) -> Result<(u32, &'a Facts), RollbackError> {
    let served = site.current.as_ref().and_then(|current| current.version);
    if let Some(asked) = asked {
        let known = || versions.iter().map(|version| version.number).collect();
        let version = versions
            .iter()
            .find(|version| version.number == asked)
            .ok_or_else(|| RollbackError::NoSuchVersion {
                asked,
                known: Numbers(known()),
            })?;
        if served == Some(asked) {
            return Err(RollbackError::Served(asked));
        }
        return fit(version, site, now)
            .map(|facts| (asked, facts))
            .map_err(|why| RollbackError::Unfit { asked, why });
    }
    let mut earlier: Vec<&Version> = versions
        .iter()
        .filter(|version| served.is_none_or(|served| version.number < served))
        .collect();
    earlier.sort_by_key(|version| std::cmp::Reverse(version.number));
    let mut refused = Vec::new();
    for version in earlier {
        match fit(version, site, now) {
            Ok(facts) => return Ok((version.number, facts)),
            Err(why) => refused.push((version.number, why)),
        }
    }
    Err(RollbackError::NoneEarlier(Refusals(refused)))
}

/// Says whether the version could be served today.
///
/// # Errors
///
/// Why not.
pub fn fit<'a>(version: &'a Version, site: &Site, now: Timestamp) -> Result<&'a Facts, Unfit> {
    let facts = version
        .state
        .as_ref()
        .map_err(|why| Unfit::Unreadable(why.clone()))?;
    if facts.key_burnt {
        return Err(Unfit::KeyBurnt);
    }
    if facts.revoked {
        return Err(Unfit::Revoked);
    }
    let candidate = Candidate {
        certificate: &facts.certificate,
        key_fits: facts.key_fits,
        chain_fault: facts.chain_fault.clone(),
    };
    // No certificate to compare with: older is what was asked for.
    accept(&candidate, &site.wanted, None, now)?;
    let served = site
        .current
        .as_ref()
        .map(|current| &current.certificate)
        .filter(|served| !served.self_signed && served.valid.contains(now));
    let narrower = served.and_then(|served| facts.certificate.missing(&served.names));
    match narrower {
        Some(name) => Err(Rejection::NameNotCovered(name.clone()).into()),
        None => Ok(facts),
    }
}

/// Says whether the window in which the CA wants the certificate renewed shows that the CA has given it up: it lies in
/// the past while the certificate is young (RFC 9773 section 4.2).
#[must_use]
pub fn withdrawn(certificate: &Certificate, window: Window, now: Timestamp) -> bool {
    window.end() <= now && now < certificate.valid.at(1, 2)
}

/// Why a version cannot be served.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// Its files.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// Browsers would refuse it, sooner or later.
    #[error("it is revoked")]
    Revoked,
    /// Somebody else may have its key.
    #[error("its key was revoked as compromised, and is never used again")]
    KeyBurnt,
    /// A rule for every certificate.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

/// A site cannot go back.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RollbackError {
    /// The lineage has no such version.
    #[error("there is no version {asked}; there is {known}")]
    NoSuchVersion {
        /// Its number.
        asked: u32,
        /// Those there are.
        known: Numbers,
    },
    /// It is the one that is served.
    #[error("version {0} is the one that is served")]
    Served(u32),
    /// It may not be served.
    #[error("version {asked} cannot be served: {why}")]
    Unfit {
        /// Its number.
        asked: u32,
        /// Why not.
        why: Unfit,
    },
    /// No earlier one may be served.
    #[error("no earlier certificate can be served: {0}")]
    NoneEarlier(Refusals),
}

/// Numbers of versions, for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Numbers(pub Vec<u32>);

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let numbers: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&numbers.join(", "))
    }
}

/// Versions that cannot be served, each with its reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusals(pub Vec<(u32, Unfit)>);

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("there is none");
        }
        let lines = self
            .0
            .iter()
            .map(|(number, why)| format!("version {number}: {why}"));
        f.write_str(&lines.collect::<Vec<_>>().join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::{Facts, Version, choose};
    use crate::certificate::{Certificate, Fingerprint};
    use crate::name::Name;
    use crate::names::Names;

    use crate::site::{Current, Site};
    use crate::window::Window;
    use expect_test::{Expect, expect};
    use std::sync::Arc;

    /// `NUMBER names START END NOTES`, such as `2 a.test 2026-01-01 2026-04-01 revoked`.
    fn version(line: &str) -> Version {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = fields[0].parse().unwrap();
        if fields[1] == "unreadable" {
            return Version {
                number,
                state: Err("cert1.pem is damaged".to_owned()),
            };
        }
        let day = |day: &str| format!("{day}T00:00:00Z").parse().unwrap();
        let note = |word: &str| fields[4..].contains(&word);
        let names = fields[1].split(',').map(|name| Name::parse(name).unwrap());
        Version {
            number,
            state: Ok(Facts {
                certificate: Arc::new(Certificate {
                    names: names.collect(),
                    valid: Window::new(day(fields[2]), day(fields[3])).unwrap(),
                    issuer: "Practice CA".into(),
                    serial: fields[0].into(),
                    sha256: Fingerprint([u8::try_from(number).unwrap(); 32]),
                    id: None,
                    self_signed: note("self"),
                }),
                key_fits: !note("badkey"),
                chain_fault: note("nochain").then(|| "an issuer is missing".to_owned()),
                revoked: note("revoked") || note("burnt"),
                key_burnt: note("burnt"),
            }),
        }
    }

    /// The last line is the version that is served. The site wants a.test.
    #[track_caller]
    fn check(lines: &[&str], asked: Option<u32>, expect: Expect) {
        let versions: Vec<Version> = lines.iter().map(|line| version(line)).collect();
        let served = versions.last().unwrap();
        let site = Site {
            current: served.state.as_ref().ok().map(|facts| Current {
                certificate: Arc::clone(&facts.certificate),
                path: "/live/a.test/fullchain.pem".into(),
                version: Some(served.number),
                key_fits: true,
            }),
            ..Site::new(Names::from(Name::parse("a.test").unwrap()))
        };
        let chosen = choose(
            &versions,
            &site,
            asked,
            "2026-02-20T00:00:00Z".parse().unwrap(),
        );
        expect.assert_eq(&chosen.map_or_else(
            |error| error.to_string(),
            |(number, _)| format!("version {number}"),
        ));
    }

    const OLD: &str = "1 a.test 2025-10-01 2025-12-30";
    const GOOD: &str = "2 a.test 2025-12-20 2026-03-20";
    const SERVED: &str = "4 a.test 2026-02-18 2026-05-18";

    #[test]
    fn the_newest_earlier_one_that_is_good_is_taken() {
        check(&[OLD, GOOD, SERVED], None, expect!["version 2"]);
        check(
            &[OLD, GOOD, "3 a.test 2026-01-20 2026-04-20 revoked", SERVED],
            None,
            expect!["version 2"],
        );
        check(&[OLD, GOOD, SERVED], Some(2), expect!["version 2"]);
    }

    #[test]
    fn a_newer_one_is_taken_when_it_is_asked_for() {
        let newer = "5 a.test 2026-02-19 2026-05-19";
        check(&[OLD, newer, GOOD], Some(5), expect!["version 5"]);
        check(
            &[OLD, newer, GOOD],
            None,
            expect![
                "no earlier certificate can be served: version 1: the certificate expired on 2025-12-30T00:00:00Z"
            ],
        );
    }

    #[test]
    fn what_cannot_be_served_is_refused_with_the_reason() {
        for (line, expected) in [
            (
                OLD,
                expect![
                    "version 1 cannot be served: the certificate expired on 2025-12-30T00:00:00Z"
                ],
            ),
            (
                "1 unreadable",
                expect!["version 1 cannot be served: it cannot be read: cert1.pem is damaged"],
            ),
            (
                "1 a.test 2026-02-01 2026-05-01 revoked",
                expect!["version 1 cannot be served: it is revoked"],
            ),
            (
                "1 a.test 2026-02-01 2026-05-01 burnt",
                expect![
                    "version 1 cannot be served: its key was revoked as compromised, and is never used again"
                ],
            ),
            (
                "1 a.test 2026-02-01 2026-05-01 badkey",
                expect![
                    "version 1 cannot be served: the certificate is not for the key it was requested with"
                ],
            ),
            (
                "1 a.test 2026-02-01 2026-05-01 nochain",
                expect!["version 1 cannot be served: the chain is not whole: an issuer is missing"],
            ),
            (
                "1 b.test 2026-02-01 2026-05-01",
                expect!["version 1 cannot be served: the certificate does not cover a.test"],
            ),
        ] {
            check(&[line, SERVED], Some(1), expected);
        }
        check(
            &[OLD, SERVED],
            Some(4),
            expect!["version 4 is the one that is served"],
        );
        check(
            &[OLD, SERVED],
            Some(7),
            expect!["there is no version 7; there is 1, 4"],
        );
        check(
            &[SERVED],
            None,
            expect!["no earlier certificate can be served: there is none"],
        );
    }

    #[test]
    fn one_that_covers_less_than_what_is_served_is_refused() {
        check(
            &[
                "1 a.test 2026-02-01 2026-05-01",
                "2 a.test,www.a.test 2026-02-02 2026-05-02",
            ],
            Some(1),
            expect!["version 1 cannot be served: the certificate does not cover www.a.test"],
        );
    }
}
