//! Is each text understood, and does what is said of it help?

use expect_test::{Expect, expect};
use http::StatusCode;
use renewal::name::Name;

use self::texts::{ORDERS, VALIDATIONS};
use super::row::Row;
use super::{ValidationRecord, order, orders, refusal, validation, validations};
use crate::problem::{Identifier, Problem, Subproblem};

mod texts;

fn problem(kind: &str, detail: &str) -> Problem {
    Problem {
        kind: format!("urn:ietf:params:acme:error:{kind}"),
        detail: detail.to_owned(),
        ..Problem::default()
    }
}

fn line(diagnosis: &super::Diagnosis) -> String {
    let finding = &diagnosis.findings[0];
    assert!(
        !finding.explanation.is_empty() && !finding.explanation.contains('{'),
        "{finding:?}"
    );
    assert!(
        !finding.fix.is_empty() && !finding.fix.contains('{'),
        "{finding:?}"
    );
    let until = diagnosis
        .retry_at
        .map_or(String::new(), |at| format!(" until {at}"));
    format!(
        "{} {} {:?} {:?}{until}: {}",
        diagnosis.class, finding.name, diagnosis.blame, diagnosis.retry, finding.explanation
    )
}

fn check(texts: &[(&str, &str)], diagnose: impl Fn(&Problem) -> super::Diagnosis, expect: &Expect) {
    let lines: Vec<String> = texts
        .iter()
        .map(|(kind, text)| line(&diagnose(&problem(kind, text))))
        .collect();
    expect.assert_eq(&lines.join("\n"));
}

#[test]
fn what_is_said_of_validations() {
    let name = Name::parse("a.test").unwrap();
    check(
        VALIDATIONS,
        |problem| validation(&name, problem, &[], &[]),
        &expect![[r#"
            NET_CONNECT_TIMEOUT port-80-timeout Site AfterChange: a.test does not answer the CA at 192.0.2.1, port 80
            NET_CONNECT_TIMEOUT port-80-no-ipv6 Site AfterChange: a.test does not answer the CA at 2001:db8::1, port 80
            NET_IO_TIMEOUT port-80-timeout Site Later: a.test at 192.0.2.1 was too slow to answer the CA
            NET_IO_TIMEOUT port-80-timeout Site Later: a.test at 192.0.2.1 was too slow to answer the CA
            NET_REFUSED port-80-refused Site AfterChange: nothing listens for a.test at 192.0.2.1, port 80
            NET_REFUSED port-80-no-ipv6 Site AfterChange: nothing listens for a.test at 2001:db8::1, port 80
            NET_REFUSED port-80-refused Site AfterChange: nothing listens for a.test at its address, port 80
            NET_UNREACH port-80-no-ipv6 Site AfterChange: there is no way to 2001:db8::1, the address of a.test
            NET_UNREACH port-80-timeout Site AfterChange: there is no way to its address, the address of a.test
            NET_RESET challenge-connection-closed Site AfterChange: a.test at 192.0.2.1 closes the connection before it answers
            NET_OTHER challenge-connection-closed Site AfterChange: a.test at 192.0.2.1 does not answer in HTTP
            TLS_ON_PLAIN challenge-redirect-elsewhere Site AfterChange: a.test redirects the challenge to https, where plain HTTP is spoken
            TLS_ON_PLAIN challenge-redirect-elsewhere Site AfterChange: a.test redirects the challenge to https, where plain HTTP is spoken
            H2C challenge-connection-closed Site AfterChange: a.test speaks HTTP/2 on port 80, which clients without TLS do not expect
            TLS_ALERT challenge-connection-closed Site AfterChange: a.test redirects the challenge to https, and TLS fails there
            HTTP_STATUS challenge-forbidden Site AfterChange: a.test answered the challenge with 403
            HTTP_STATUS challenge-not-found Site AfterChange: a.test answered the challenge with 404
            HTTP_STATUS challenge-server-error Site AfterChange: a.test answered the challenge with 502
            HTTP_STATUS challenge-wrong-answer Site AfterChange: a.test answered the challenge with 204
            HTTP_WRONG_BODY challenge-wrong-answer Site AfterChange: a.test answered the challenge with a page
            HTTP_STATUS challenge-not-found Site AfterChange: a.test answered the challenge with 404
            HTTP_KEYAUTH_MISMATCH challenge-wrong-answer Site AfterChange: a.test answered the challenge for another account or another order
            NET_IO challenge-connection-closed Site Later: a.test at 192.0.2.1 closes the connection in the middle of its answer
            REDIRECT_LOOP challenge-redirect-loop Site AfterChange: a.test redirects the challenge in a circle
            REDIRECT_LOOP challenge-redirect-loop Site AfterChange: a.test redirects the challenge in a circle
            REDIRECT_LOOP challenge-redirect-loop Site AfterChange: a.test redirects the challenge in a circle
            REDIRECT_PORT challenge-redirect-port Site AfterChange: a.test redirects the challenge to a port that the CA does not follow
            REDIRECT_SCHEME challenge-redirect-malformed Site AfterChange: a.test redirects the challenge to something that is neither http nor https
            REDIRECT_HOST challenge-redirect-malformed Site AfterChange: a.test redirects the challenge to a URL without a host
            REDIRECT_MISSING_SLASH challenge-redirect-malformed Site AfterChange: a.test redirects the challenge to a URL with a slash missing after the host
            REDIRECT_HOST challenge-redirect-elsewhere Site AfterChange: a.test redirects the challenge to a place that the CA does not follow
            REDIRECT_HOST challenge-redirect-elsewhere Site AfterChange: a.test redirects the challenge to a place that the CA does not follow
            REDIRECT_CODE challenge-redirect-elsewhere Site AfterChange: a.test redirects the challenge with a status that the CA does not follow
            REDIRECT_LONG challenge-redirect-malformed Site AfterChange: a.test redirects the challenge to a URL that is too long
            REDIRECT_TLS_OLD challenge-redirect-elsewhere Site AfterChange: a.test redirects the challenge to a server whose TLS is too old for the CA
            DNS_NXDOMAIN dns-no-such-name Site AfterChange: a.test does not exist in DNS
            DNS_SERVFAIL dns-server-failure Site Later: the DNS servers of a.test fail; often its DNSSEC is broken
            DNS_TIMEOUT dns-timeout Site Later: the DNS servers of a.test do not answer the CA in time
            DNS_TIMEOUT dns-timeout Site Later: the DNS servers of a.test do not answer the CA in time
            DNS_NET dns-timeout Site Later: the CA cannot reach the DNS servers of a.test
            DNS_RESOLVER ca-busy Ca WhenTold: the CA's own DNS resolver failed
            CAA_TRUNCATED caa-malformed Site AfterChange: the CAA records of a.test do not fit into one answer
            DNS_DNSSEC dnssec-bogus Site AfterChange: the DNSSEC signatures of a.test are broken
            DNS_DNSSEC dnssec-bogus Site AfterChange: the DNSSEC signatures of a.test are broken
            DNS_RCODE dns-server-failure Site AfterChange: the DNS servers of a.test refuse to answer for it
            DNS_NO_ADDR dns-no-address Site AfterChange: a.test has no public address in DNS
            DNS_NO_ADDR dns-no-address Site AfterChange: a.test has no public address in DNS
            CAA_FORBIDS caa-forbids Site AfterChange: a CAA record of a.test or a parent domain forbids this CA
            CAA_RECHECK caa-forbids Site AfterChange: a CAA record that forbids this CA appeared while the order was open
            CAA_FORBIDS caa-forbids Site AfterChange: a CAA record of a.test or a parent domain forbids this CA
            DNS01_MISSING challenge-wrong-answer Site Later: the CA found no challenge record for a.test
            DNS01_WRONG challenge-wrong-answer Site Later: the CA found another challenge record for a.test
            PERSIST_MISSING challenge-wrong-answer Site AfterChange: the CA found no lasting record for a.test
            PERSIST_ACCOUNT caa-forbids-account Site AfterChange: a record of a.test allows another account only
            PERSIST_POLICY challenge-wrong-answer Site AfterChange: a record of a.test does not allow this kind of name
            ALPN_NONE challenge-wrong-answer Site AfterChange: the server at a.test does not answer the challenge over TLS
            ALPN_NONE challenge-wrong-answer Site AfterChange: the server at a.test does not answer the challenge over TLS
            ALPN_WRONG challenge-wrong-answer Site AfterChange: another server answers the challenge over TLS at a.test"#]],
    );
}

#[test]
fn what_is_said_of_requests() {
    check(
        ORDERS,
        |problem| refusal(StatusCode::BAD_REQUEST, problem),
        &expect![[r#"
            NAME_BAD name-not-allowed Site Never: a.lan ends in no public top-level domain
            NAME_BAD name-not-allowed Site Never: com is a top-level domain
            NAME_BAD name-not-allowed Site Never: no public CA issues for a_b.test
            NAME_BAD name-not-allowed Site Never: no public CA issues for x.test
            NAME_BAD name-not-allowed Site Never: no public CA issues for x.test
            NAME_BAD name-not-allowed Site Never: no public CA issues for x.test
            NAME_BAD name-not-allowed Site Never: no public CA issues for xn--x.test
            NAME_BAD name-not-allowed Site Never: no public CA issues for x.test.
            NAME_BAD name-not-allowed Site Never: localhost has no dot, so it is no public name
            NAME_BAD name-not-allowed Site Never: no public CA issues for x..test
            NAME_BAD name-not-allowed Site Never: no public CA issues for ab--c.test
            POLICY_BLOCK name-not-allowed Site Never: the CA does not issue for bank.test, by its policy
            NAME_BAD name-not-allowed Site Never: no public CA issues for *.*.test
            NAME_BAD name-not-allowed Site Never: no public CA issues for a.*.test
            NAME_RECURSIVE name-not-allowed Site Never: www.www.a.test repeats a label, as a catch-all that adds `www.` again and again makes them
            PROFILE_BAD order-rejected Host AfterPerson: the CA does not know the profile in acme.profile
            CLIENT_BUG order-rejected Ca WhenTold: the CA does not hold the order for ready
            ACCOUNT_GONE account-gone Host AfterPerson: our account at the CA was deactivated or revoked
            ACCOUNT_GONE account-gone Host AfterPerson: our account at the CA was deactivated or revoked
            CA_BUSY ca-busy Ca WhenTold: the CA is overloaded
            CA_BUSY ca-busy Ca WhenTold: the CA is overloaded
            RL_REGISTRATIONS rate-limited Ca WhenTold until 2026-02-01T10:00:00Z: this host made too many accounts at this CA
            RL_REGISTRATIONS_V6 rate-limited Ca WhenTold until 2026-02-01T10:00:00Z: this host's IPv6 network made too many accounts at this CA
            RL_ORDERS rate-limited Ca WhenTold until 2026-02-01T10:00:00Z: our account has placed too many orders at this CA lately
            RL_FAILURES rate-limited Ca WhenTold until 2026-02-01T10:00:00Z: the validation of this name failed too often within an hour
            RL_DOMAIN rate-limited Ca WhenTold until 2026-02-01T10:00:00Z: too many certificates were issued for this registered domain lately, by anybody
            RL_SAME_SET rate-limited Ca WhenTold until 2026-02-01T10:00:00Z: this exact set of names got too many certificates in a week
            RL_SAME_SET rate-limited Ca WhenTold: this exact set of names got too many certificates in a week
            RL_REGISTRATIONS rate-limited Ca WhenTold: this host made too many accounts at this CA
            RL_REGISTRATIONS_V6 rate-limited Ca WhenTold: this host's IPv6 network made too many accounts at this CA
            RL_ORDERS rate-limited Ca WhenTold: our account has placed too many orders at this CA lately
            RL_FAILURES rate-limited Ca WhenTold: the validation of this name failed too often within an hour
            RL_DOMAIN rate-limited Ca WhenTold: too many certificates were issued for this registered domain lately, by anybody
            RL_OTHER rate-limited Ca WhenTold: a rate limit of the CA is used up
            PAUSED account-paused Site AfterPerson: the CA has paused this name for our account, because its validation failed for months
            NOT_ALLOWED order-rejected Host AfterPerson: the CA does not allow our account to do this
            ACCOUNT_GONE account-gone Host AfterPerson: the CA does not know our account any more, and did not make it again
            ACCOUNT_EXTERNAL order-rejected Host AfterPerson: this CA wants an external account binding (RFC 8555 section 7.3.4), which clpctl does not offer
            OTHER order-rejected Ca Later: the CA refuses the request"#]],
    );
}

#[test]
fn every_row_is_met_by_a_text() {
    let texts: Vec<&str> = VALIDATIONS
        .iter()
        .chain(ORDERS)
        .map(|(_, text)| super::Detail::read(text).core)
        .collect();
    let met = |rows: &'static [Row], before: &'static [Row]| {
        for row in rows {
            let first = |text: &str| {
                super::row::find(before.iter().chain(rows), text)
                    .is_some_and(|found| std::ptr::eq(found, row))
            };
            assert!(
                texts.iter().any(|text| first(text)),
                "no text for “{}”",
                row.pattern
            );
        }
    };
    met(validations::ROWS, &[]);
    met(orders::ROWS, &[]);
}

#[test]
fn an_address_that_is_not_ours_comes_first() {
    let name = Name::parse("a.test").unwrap();
    let own = ["192.0.2.9".parse().unwrap()];
    let findings = |text: &str, used: Option<&str>| {
        let records = [ValidationRecord {
            address_used: used.map(|used| used.parse().unwrap()),
            ..ValidationRecord::default()
        }];
        let diagnosis = validation(&name, &problem("connection", text), &records, &own);
        let names: Vec<&str> = diagnosis
            .findings
            .iter()
            .map(|finding| finding.name.as_str())
            .collect();
        names.join(" ")
    };
    assert_eq!(
        findings(
            "192.0.2.1: Fetching http://a.test/x: Connection refused",
            None
        ),
        "dns-points-elsewhere port-80-refused"
    );
    assert_eq!(
        findings(
            "2001:db8::1: Fetching http://a.test/x: Connection refused",
            None
        ),
        "ipv6-points-elsewhere port-80-no-ipv6"
    );
    assert_eq!(
        findings(
            "192.0.2.9: Fetching http://a.test/x: Connection refused",
            None
        ),
        "port-80-refused"
    );
    assert_eq!(
        findings("Connection refused", Some("192.0.2.1")),
        "dns-points-elsewhere port-80-refused"
    );
    assert_eq!(
        findings("DNS problem: NXDOMAIN looking up A for a.test", None),
        "dns-no-such-name"
    );
}

#[test]
fn a_fault_that_only_some_locations_saw_says_so() {
    let name = Name::parse("a.test").unwrap();
    let text = "During secondary validation: 192.0.2.1: Fetching http://a.test/x: Timeout during connect (likely firewall problem)";
    let diagnosis = validation(&name, &problem("connection", text), &[], &[]);
    assert!(diagnosis.findings[0].fix.contains("block countries"));
}

#[test]
fn each_subproblem_is_a_finding_about_its_name() {
    let sub = |name: &str, detail: &str| Subproblem {
        kind: "urn:ietf:params:acme:error:rejectedIdentifier".to_owned(),
        detail: detail.to_owned(),
        identifier: Some(Identifier {
            kind: "dns".to_owned(),
            value: name.to_owned(),
        }),
    };
    let whole = Problem {
        subproblems: vec![
            sub(
                "bank.test",
                "The ACME server refuses to issue a certificate for this domain name, because it is forbidden by policy",
            ),
            sub(
                "a.lan",
                "Domain name does not end with a valid public suffix (TLD)",
            ),
        ],
        ..problem(
            "rejectedIdentifier",
            "Cannot issue for \"bank.test\": forbidden by policy (and 1 more problems. Refer to sub-problems for more information.)",
        )
    };
    let diagnosis = order(&whole);
    let said: Vec<&str> = diagnosis
        .findings
        .iter()
        .map(|finding| &*finding.explanation)
        .collect();
    assert_eq!(
        said,
        [
            "the CA does not issue for bank.test, by its policy",
            "a.lan ends in no public top-level domain"
        ]
    );
}

#[test]
fn a_reply_with_nothing_in_it_is_judged_by_its_status() {
    let judged = |status| {
        refusal(StatusCode::from_u16(status).unwrap(), &Problem::default()).findings[0]
            .name
            .as_str()
    };
    assert_eq!(judged(503), "ca-busy");
    assert_eq!(judged(429), "ca-busy");
    assert_eq!(judged(400), "order-rejected");
}
