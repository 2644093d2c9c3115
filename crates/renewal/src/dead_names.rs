//! May a name that cannot be proved be left out, so that the others get their certificate?
//!
//! Asked when the site's domain came through the checks and an alias did not, so it is no fault of the host. A name set
//! that changes is free of the CA's limits in the window that it suggests for renewing, and that is when the checks
//! are made.
//!
//! | the alias | then |
//! | --- | --- |
//! | the site's policy says that its names are not left out, or a person listed them | all or nothing |
//! | leads nowhere, elsewhere, or to something that does not answer the CA | it is left out |
//! | stumbles over what may pass: a DNS server that fails, a server error | all or nothing, until a week before the end; then it is left out |

use jiff::{SignedDuration, Timestamp};

use crate::finding::{Finding, FindingName};
use crate::name::Name;
use crate::names::Names;
use crate::policy::DeadNames;
use crate::site::Site;

/// A name that did not come through, and why: the cause first.
pub type Stumbled = (Name, Vec<Finding>);

/// What is ordered instead.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Narrowed {
    /// The names that are left.
    pub wanted: Names,
    /// What is to be said of those left out.
    pub findings: Vec<Finding>,
}

/// Leaves the names out that did not come through; `None` when it is all or nothing.
#[must_use]
pub fn leave_out(site: &Site, stumbled: &[Stumbled], now: Timestamp) -> Option<Narrowed> {
    let dead = |name: &Name| stumbled.iter().any(|(other, _)| other == name);
    if site.policy.dead_names == DeadNames::Fail || stumbled.is_empty() || dead(site.domain()) {
        return None;
    }
    let waits = |(_, findings): &Stumbled| {
        let lasting = findings.iter().any(|finding| lasts(finding.name));
        !lasting && !is_near_end(site, now)
    };
    if stumbled.iter().any(waits) {
        return None;
    }
    let left = site.wanted.iter().filter(|name| !dead(name));
    Some(Narrowed {
        wanted: Names::new(left.cloned())?,
        findings: stumbled.iter().map(|one| said(site, one)).collect(),
    })
}

/// Says whether a cause stays until somebody does something about it.
fn lasts(cause: FindingName) -> bool {
    matches!(
        cause,
        FindingName::DnsNoSuchName
            | FindingName::DnsNoAddress
            | FindingName::DnsPrivateAddress
            | FindingName::DnsPointsElsewhere
            | FindingName::Ipv6PointsElsewhere
            | FindingName::Port80Refused
            | FindingName::NameNotServed
            | FindingName::NameNotPublic
            | FindingName::ChallengeForbidden
            | FindingName::ChallengeNotFound
            | FindingName::ChallengeWrongAnswer
            | FindingName::ChallengeRedirectLoop
            | FindingName::ChallengeRedirectElsewhere
            | FindingName::ChallengeRedirectPort
            | FindingName::ChallengeRedirectMalformed
            | FindingName::ChallengeBlockedByRule
            | FindingName::ChallengeConnectionClosed
    )
}

/// Says whether the site's certificate is about to end, so that every name would go down with the dead one.
fn is_near_end(site: &Site, now: Timestamp) -> bool {
    let Some(current) = &site.current else {
        return false;
    };
    let certificate = &current.certificate;
    !certificate.self_signed && certificate.valid.end().duration_since(now) <= NEAR_END
}

fn said(site: &Site, (name, findings): &Stumbled) -> Finding {
    let cause = findings.first();
    let why = cause.map_or_else(String::new, |cause| {
        format!("{}: {} {}", cause.name, cause.explanation, cause.detail)
    });
    Finding::new(
        FindingName::NameLeftOut,
        format!(
            "{name} could not be proved, so the certificate of {} is renewed without it.",
            site.domain()
        ),
    )
    .detail(why.trim())
    .fix(format!(
        "Mend its DNS and order it again (clpctl lets-encrypt:install:certificate --domainName={} \
         --subjectAlternativeName={name}), or take it out of server_name.",
        site.domain()
    ))
}

/// What may pass had weeks to do so by then: renewals begin a month before the end.
const NEAR_END: SignedDuration = SignedDuration::from_hours(7 * 24);

#[cfg(test)]
mod tests {
    use super::leave_out;
    use crate::finding::{Finding, FindingName};
    use crate::name::Name;
    use crate::names::Names;
    use crate::panel::fixture::{NOW, site};
    use crate::policy::DeadNames;
    use expect_test::{Expect, expect};

    /// A case: what the file holds, then `NAME CAUSE` for each name that did not come through.
    #[track_caller]
    fn check(file: &str, stumbled: &[&str], policy: DeadNames, expect: Expect) {
        let name = |text: &str| Name::parse(text).unwrap();
        let mut site = site("a.test", file);
        site.wanted = Names::new(["a.test", "www.a.test", "b.test"].map(name)).unwrap();
        site.policy.dead_names = policy;
        let stumbled: Vec<_> = stumbled
            .iter()
            .map(|one| {
                let (of, cause) = one.split_once(' ').unwrap();
                let cause: FindingName = cause.parse().unwrap();
                (
                    name(of),
                    vec![Finding::new(cause, "It is so.").detail("DNS says so.")],
                )
            })
            .collect();
        let answer = leave_out(&site, &stumbled, NOW.parse().unwrap());
        let said = answer.map_or("all or nothing".to_owned(), |narrowed| {
            let findings = narrowed.findings.iter();
            let findings = findings.map(|one| format!("\n{} {}", one.explanation, one.detail));
            format!("{}{}", narrowed.wanted, findings.collect::<String>())
        });
        expect.assert_eq(&said);
    }

    #[test]
    fn an_alias_that_leads_nowhere_is_left_out_and_that_is_said() {
        check(
            "1 until 02-20",
            &["www.a.test dns-no-such-name"],
            DeadNames::Drop,
            expect![[r#"
                a.test, b.test
                www.a.test could not be proved, so the certificate of a.test is renewed without it. dns-no-such-name: It is so. DNS says so."#]],
        );
        check(
            "self",
            &["www.a.test challenge-not-found", "b.test port-80-refused"],
            DeadNames::Drop,
            expect![[r#"
                a.test
                www.a.test could not be proved, so the certificate of a.test is renewed without it. challenge-not-found: It is so. DNS says so.
                b.test could not be proved, so the certificate of a.test is renewed without it. port-80-refused: It is so. DNS says so."#]],
        );
    }

    #[test]
    fn the_domain_itself_never_is_and_nothing_is_where_the_policy_says_so() {
        let all = || expect!["all or nothing"];
        check(
            "1 until 02-20",
            &["a.test dns-no-such-name"],
            DeadNames::Drop,
            all(),
        );
        check(
            "1 until 02-20",
            &["www.a.test dns-no-such-name"],
            DeadNames::Fail,
            all(),
        );
        check("1 until 02-20", &[], DeadNames::Drop, all());
    }

    #[test]
    fn what_may_pass_is_waited_for_until_the_end_is_near() {
        let passing = ["www.a.test dns-timeout"];
        check(
            "1 until 02-20",
            &passing,
            DeadNames::Drop,
            expect!["all or nothing"],
        );
        check("self", &passing, DeadNames::Drop, expect!["all or nothing"]);
        check(
            "1 until 02-08",
            &passing,
            DeadNames::Drop,
            expect![[r#"
                a.test, b.test
                www.a.test could not be proved, so the certificate of a.test is renewed without it. dns-timeout: It is so. DNS says so."#]],
        );
        check(
            "1 until 02-20",
            &[
                "b.test dns-no-such-name",
                "www.a.test challenge-server-error",
            ],
            DeadNames::Drop,
            expect!["all or nothing"],
        );
    }
}
