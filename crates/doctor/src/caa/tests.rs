//! What do recorded CAA records come to? A case is one line per name on the way up.

use super::{CaaSeen, Climb, Level, judge};
use crate::dns::{CaaRecord, Trouble};
use crate::testing::weighed;
use expect_test::{Expect, expect};
use renewal::name::Name;

/// Judges the name www.a.test. Each line is `NAME CAA [!]TAG VALUE`, a `!` for critical, or `NAME TROUBLE`.
#[track_caller]
fn check(recorded: &str, expect: Expect) {
    check_name("www.a.test", recorded, expect);
}

#[track_caller]
fn check_name(name: &str, recorded: &str, expect: Expect) {
    let mut levels: Vec<Level> = Vec::new();
    for line in recorded
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (at, rest) = line.split_once(' ').unwrap();
        let records = match rest {
            "none" => Ok(Vec::new()),
            "nxdomain" => Err(Trouble::NoSuchName),
            "servfail" => Err(Trouble::ServerFailure("SERVFAIL".to_owned())),
            "timeout" => Err(Trouble::Timeout),
            record => {
                let (tag, value) = record
                    .strip_prefix("CAA ")
                    .unwrap()
                    .split_once(' ')
                    .unwrap();
                Ok(vec![CaaRecord {
                    critical: tag.starts_with('!'),
                    tag: tag.trim_start_matches('!').to_owned(),
                    value: value.to_owned(),
                }])
            }
        };
        match levels.last_mut().filter(|level| level.at == at) {
            Some(Level {
                records: Ok(known), ..
            }) => known.extend(records.unwrap()),
            _ => levels.push(Level {
                at: at.to_owned(),
                records,
            }),
        }
    }
    let seen = CaaSeen {
        identities: vec!["ca.test".to_owned()],
        account: Some("https://ca.test/acct/7".to_owned()),
        method: "http-01".to_owned(),
        names: vec![Climb {
            name: Name::parse(name).unwrap(),
            levels,
        }],
    };
    let recorded = serde_json::to_string(&seen).unwrap();
    let findings = judge(&serde_json::from_str(&recorded).unwrap()).unwrap();
    expect.assert_eq(&weighed(&findings));
}

#[test]
fn without_records_every_ca_may_issue() {
    check("www.a.test none\na.test none\ntest none", expect![""]);
    check(
        "www.a.test nxdomain\na.test none\ntest servfail",
        expect![""],
    );
    check("www.a.test CAA iodef mailto:x@a.test", expect![""]);
    check("www.a.test CAA issuewild ;", expect![""]);
}

#[test]
fn the_nearest_records_count() {
    check(
        "www.a.test CAA issue ca.test\na.test CAA issue other.test",
        expect![""],
    );
    check(
        "www.a.test none\na.test CAA issue other.test\ntest none",
        expect![[r#"caa-forbids fatal: a.test CAA 0 issue "other.test""#]],
    );
    check(
        "www.a.test CAA issue other.test\nwww.a.test CAA ISSUE CA.TEST",
        expect![""],
    );
    check(
        "www.a.test CAA issue ;",
        expect![[r#"caa-forbids fatal: www.a.test CAA 0 issue ";""#]],
    );
    check(
        "www.a.test CAA issue ca.test\nwww.a.test CAA !future x",
        expect![[r#"caa-forbids fatal: www.a.test CAA 128 future "x""#]],
    );
}

#[test]
fn who_cannot_be_asked_stops_the_ca() {
    check(
        "www.a.test servfail\na.test CAA issue ca.test",
        expect!["dns-server-failure warning: CAA of www.a.test: SERVFAIL"],
    );
    check(
        "www.a.test none\na.test timeout",
        expect!["dns-timeout warning: CAA of a.test: no answer in time"],
    );
}

#[test]
fn accounts_and_methods() {
    check(
        "www.a.test CAA issue ca.test; accounturi=https://ca.test/acct/7; validationmethods=http-01",
        expect![""],
    );
    check(
        "www.a.test CAA issue ca.test; accounturi=https://ca.test/acct/8",
        expect![[
            r#"caa-forbids-account fatal: www.a.test CAA 0 issue "ca.test; accounturi=https://ca.test/acct/8""#
        ]],
    );
    check(
        "www.a.test CAA issue ca.test;validationmethods=dns-01",
        expect![[
            r#"caa-forbids-method fatal: www.a.test CAA 0 issue "ca.test;validationmethods=dns-01""#
        ]],
    );
    check(
        "www.a.test CAA issue ca.test;validationmethods=dns-01\nwww.a.test CAA issue ca.test; accounturi=x",
        expect![[r#"
            caa-forbids-method fatal: www.a.test CAA 0 issue "ca.test;validationmethods=dns-01"
            www.a.test CAA 0 issue "ca.test; accounturi=x""#]],
    );
}

#[test]
fn what_makes_no_sense_forbids_unless_another_record_allows() {
    check(
        "www.a.test CAA issue %%%",
        expect![[r#"caa-malformed fatal: www.a.test CAA 0 issue "%%%""#]],
    );
    check(
        "www.a.test CAA issue %%%\nwww.a.test CAA issue ca.test",
        expect![[r#"caa-malformed warning: www.a.test CAA 0 issue "%%%""#]],
    );
}

#[test]
fn wildcards_have_a_tag_of_their_own() {
    check_name(
        "*.a.test",
        "a.test CAA issue ca.test\na.test CAA issuewild ;",
        expect![[r#"caa-forbids fatal: a.test CAA 0 issuewild ";""#]],
    );
    check_name("*.a.test", "a.test CAA issue ca.test", expect![""]);
}
