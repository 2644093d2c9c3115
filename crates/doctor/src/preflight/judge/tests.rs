//! What does each recorded fetch come to? A case is one line.

use std::net::{IpAddr, SocketAddr};

use super::judge;
use crate::dns::{Resolution, Trouble};
use crate::preflight::{Cause, End, Fetch, Hop, Observation, Refusal, Stage, Target};
use expect_test::{Expect, expect};
use renewal::challenge::Probe;
use renewal::name::Name;

/// The single place that calls `judge`. A case is one line per address:
///
/// ```text
/// 192.0.2.1 301 404=body        a redirect was followed, then 404 came
/// 2001:db8::1 connect:timeout   nothing came
/// 192.0.2.1 301 !loop           the redirect was not followed
/// ```
///
/// The body `right` stands for the expected one.
#[track_caller]
fn check(case: &str, expect: Expect) {
    let fetches = case.lines().map(str::trim).filter(|line| !line.is_empty());
    expect.assert_eq(&shown(observation(
        fetches.map(fetch).collect(),
        "none",
        "none",
        "",
    )));
}

#[track_caller]
fn check_dns(v4: &str, v6: &str, left_out: &str, expect: Expect) {
    expect.assert_eq(&shown(observation(Vec::new(), v4, v6, left_out)));
}

fn shown(observation: Observation) -> String {
    let lines: Vec<String> = match judge(&observation) {
        Ok(reached) => {
            let addresses: Vec<_> = reached.iter().map(|r| r.address.to_string()).collect();
            vec![format!("reached: {}", addresses.join(" "))]
        }
        Err(findings) => findings
            .iter()
            .map(|finding| {
                assert!(
                    !finding.detail.is_empty() && !finding.fix.is_empty(),
                    "{finding:?}"
                );
                assert_eq!(finding.severity.as_str(), "fatal", "{finding:?}");
                format!("{}: {}", finding.name, finding.explanation)
            })
            .collect(),
    };
    lines.join("\n")
}

fn observation(fetches: Vec<Fetch>, v4: &str, v6: &str, left_out: &str) -> Observation {
    let trouble = |text: &str| match text {
        "none" => None,
        "nxdomain" => Some(Trouble::NoSuchName),
        "servfail" => Some(Trouble::ServerFailure("Server Failure".to_owned())),
        "timeout" => Some(Trouble::Timeout),
        "dead" => Some(Trouble::Unreachable("connection refused".to_owned())),
        other => panic!("{other}"),
    };
    Observation {
        probe: Probe {
            name: Name::parse("a.example.com").unwrap(),
            token: "t0ken".to_owned(),
            expected: "t0ken.thumb".to_owned(),
        },
        port: 80,
        resolution: Resolution {
            v4: trouble(v4).map_or(Ok(Vec::new()), Err),
            v6: trouble(v6).map_or(Ok(Vec::new()), Err),
            servers: "192.0.2.53".into(),
        },
        left_out: left_out
            .split_whitespace()
            .map(|ip| ip.parse().unwrap())
            .collect(),
        fetches,
    }
}

fn target(tls: bool) -> Target {
    Target {
        tls,
        host: Name::parse("a.example.com").unwrap(),
        port: if tls { 443 } else { 80 },
        path: "/.well-known/acme-challenge/t0ken".to_owned(),
    }
}

fn fetch(line: &str) -> Fetch {
    let (address, rest) = line.split_once(' ').unwrap();
    let address = SocketAddr::new(address.parse::<IpAddr>().unwrap(), 80);
    let mut hops = Vec::new();
    let mut hop = |status: &str| {
        let tls = !hops.is_empty();
        hops.push(Hop {
            target: target(tls),
            address,
            status: status.parse().unwrap(),
            location: status
                .starts_with('3')
                .then(|| target(true).to_string().into_bytes()),
        });
    };
    let mut end = None;
    for word in rest.split(' ') {
        end = Some(if let Some((status, body)) = word.split_once('=') {
            hop(status);
            End::Answered(
                body.replace("right", "t0ken.thumb")
                    .replace('_', " ")
                    .into_bytes(),
            )
        } else if let Some(refusal) = word.strip_prefix('!') {
            End::NotFollowed(refused(refusal))
        } else if word == "unresolved" {
            End::Unresolved {
                host: Name::parse("b.example.com").unwrap(),
                resolution: observation(Vec::new(), "nxdomain", "nxdomain", "").resolution,
            }
        } else if let Some((stage, cause)) = word.split_once(':') {
            End::Failed {
                target: target(false),
                address,
                stage: match stage {
                    "connect" => Stage::Connect,
                    "tls" => Stage::Tls,
                    _ => Stage::Answer,
                },
                cause: match cause {
                    "refused" => Cause::Refused,
                    "timeout" | "unknown" => Cause::Timeout(std::time::Duration::from_secs(10)),
                    "closed" => Cause::Closed,
                    "nonsense" => Cause::Nonsense("nonsense".to_owned()),
                    _ => Cause::Unreachable("no route".to_owned()),
                },
                inconclusive: cause == "unknown",
            }
        } else {
            hop(word);
            continue;
        });
    }
    // A redirect over TLS leads to the place that failed.
    if let Some(End::Failed { target: place, .. }) = &mut end
        && !hops.is_empty()
    {
        *place = target(true);
    }
    Fetch {
        address,
        hops,
        end: end.unwrap(),
    }
}

fn refused(word: &str) -> Refusal {
    match word {
        "loop" => Refusal::Loop,
        "many" => Refusal::TooMany,
        "port" => Refusal::Port {
            port: 8443,
            allowed: vec![80, 443],
        },
        "scheme" => Refusal::Scheme("ftp".to_owned()),
        "status" => Refusal::Status(303),
        "local" => Refusal::NotPublic("10.0.0.1".to_owned()),
        "slash" => Refusal::MissingSlash("a.example.com.well-known".to_owned()),
        "host" => Refusal::NoHost,
        "location" => Refusal::NoLocation,
        other => panic!("{other}"),
    }
}

#[test]
fn the_right_answer_is_reached() {
    check("192.0.2.1 200=right", expect!["reached: 192.0.2.1:80"]);
    check("192.0.2.1 200=right_\n", expect!["reached: 192.0.2.1:80"]);
    check("192.0.2.1 301 200=right", expect!["reached: 192.0.2.1:80"]);
    check(
        "192.0.2.1 200=right\n192.0.2.2 200=right\n2001:db8::1 200=right",
        expect!["reached: 192.0.2.1:80 192.0.2.2:80 [2001:db8::1]:80"],
    );
}

#[test]
fn ipv6_goes_first_and_is_forgiven_only_when_it_cannot_be_connected_to() {
    check(
        "2001:db8::1 200=right\n192.0.2.1 connect:refused",
        expect!["reached: [2001:db8::1]:80"],
    );
    check(
        "2001:db8::1 200=right\n192.0.2.1 404=x",
        expect!["reached: [2001:db8::1]:80"],
    );
    check(
        "2001:db8::1 connect:timeout\n192.0.2.1 200=right",
        expect!["reached: 192.0.2.1:80"],
    );
    check(
        "2001:db8::1 connect:refused\n192.0.2.1 200=right",
        expect!["reached: 192.0.2.1:80"],
    );
    check(
        "2001:db8::1 404=x\n192.0.2.1 200=right",
        expect![
            "challenge-not-found: a.example.com does not know the challenge (404, at 2001:db8::1): another server block, folder or host answers."
        ],
    );
    check(
        "2001:db8::1 answer:timeout\n192.0.2.1 200=right",
        expect![
            "port-80-timeout: Port 80 of 2001:db8::1, where a.example.com points, does not answer: no answer within 10s."
        ],
    );
    check(
        "2001:db8::1 connect:refused",
        expect![
            "port-80-no-ipv6: a.example.com has the IPv6 address 2001:db8::1, but port 80 does not answer there."
        ],
    );
    check(
        "2001:db8::1 connect:refused\n192.0.2.1 403=x",
        expect![[r#"
            challenge-forbidden: a.example.com forbids the challenge (403, at 192.0.2.1).
            port-80-no-ipv6: a.example.com has the IPv6 address 2001:db8::1, but port 80 does not answer there."#]],
    );
    check(
        "2001:db8::1 301 connect:timeout\n192.0.2.1 200=right",
        expect![
            "challenge-redirect-elsewhere: a.example.com redirects the challenge to a.example.com:443, which does not answer: no answer within 10s."
        ],
    );
    check(
        "2001:db8::1 200=right\n2001:db8::2 connect:timeout\n192.0.2.1 404=x",
        expect![[r#"
            challenge-not-found: a.example.com does not know the challenge (404, at 192.0.2.1): another server block, folder or host answers.
            port-80-no-ipv6: a.example.com has the IPv6 address 2001:db8::2, but port 80 does not answer there."#]],
    );
}

#[test]
fn any_ipv4_address_may_be_picked() {
    check(
        "192.0.2.1 200=right\n192.0.2.2 404=x",
        expect![
            "challenge-not-found: a.example.com does not know the challenge (404, at 192.0.2.2): another server block, folder or host answers."
        ],
    );
    check(
        "192.0.2.1 404=x\n192.0.2.2 404=x",
        expect![
            "challenge-not-found: a.example.com does not know the challenge (404, at 192.0.2.1): another server block, folder or host answers."
        ],
    );
    check(
        "192.0.2.1 404=x\n192.0.2.2 connect:refused",
        expect![[r#"
        challenge-not-found: a.example.com does not know the challenge (404, at 192.0.2.1): another server block, folder or host answers.
        port-80-refused: Nothing listens on port 80 of 192.0.2.2, where a.example.com points."#]],
    );
}

#[test]
fn what_this_host_cannot_tell_is_left_to_the_ca() {
    check("192.0.2.1 connect:unknown", expect!["reached: "]);
    check(
        "2001:db8::1 connect:unknown\n192.0.2.1 200=right",
        expect!["reached: 192.0.2.1:80"],
    );
    check(
        "2001:db8::1 connect:unknown\n192.0.2.1 404=x",
        expect![
            "challenge-not-found: a.example.com does not know the challenge (404, at 192.0.2.1): another server block, folder or host answers."
        ],
    );
    check("2001:db8::1 connect:unknown", expect!["reached: "]);
}

#[test]
fn connections_that_fail() {
    check(
        "192.0.2.1 connect:refused",
        expect![
            "port-80-refused: Nothing listens on port 80 of 192.0.2.1, where a.example.com points."
        ],
    );
    check(
        "192.0.2.1 connect:timeout",
        expect![
            "port-80-timeout: Port 80 of 192.0.2.1, where a.example.com points, does not answer: no answer within 10s."
        ],
    );
    check(
        "192.0.2.1 connect:unreachable",
        expect![
            "port-80-timeout: Port 80 of 192.0.2.1, where a.example.com points, does not answer: no route."
        ],
    );
    check(
        "192.0.2.1 answer:timeout",
        expect![
            "port-80-timeout: Port 80 of 192.0.2.1, where a.example.com points, does not answer: no answer within 10s."
        ],
    );
    check(
        "192.0.2.1 answer:closed",
        expect![
            "challenge-connection-closed: 192.0.2.1:80 takes the connection for a.example.com, but does not answer: the connection is closed before the answer is complete."
        ],
    );
    check(
        "192.0.2.1 answer:nonsense",
        expect![
            "challenge-wrong-answer: What listens on port 80 of 192.0.2.1 is no plain HTTP server."
        ],
    );
}

#[test]
fn wrong_answers() {
    check(
        "192.0.2.1 401=x",
        expect![
            "challenge-forbidden: a.example.com asks for a password before it answers the challenge (401, at 192.0.2.1)."
        ],
    );
    check(
        "192.0.2.1 403=x",
        expect!["challenge-forbidden: a.example.com forbids the challenge (403, at 192.0.2.1)."],
    );
    check(
        "192.0.2.1 404=x",
        expect![
            "challenge-not-found: a.example.com does not know the challenge (404, at 192.0.2.1): another server block, folder or host answers."
        ],
    );
    check(
        "192.0.2.1 410=x",
        expect![
            "challenge-not-found: a.example.com does not know the challenge (410, at 192.0.2.1): another server block, folder or host answers."
        ],
    );
    check(
        "192.0.2.1 502=x",
        expect![
            "challenge-server-error: a.example.com answers the challenge with a server error (502, at 192.0.2.1)."
        ],
    );
    check(
        "192.0.2.1 204=",
        expect![
            "challenge-wrong-answer: a.example.com answers the challenge with status 204 instead of 200 (at 192.0.2.1)."
        ],
    );
    check(
        "192.0.2.1 400=The_plain_HTTP_request_was_sent_to_HTTPS_port",
        expect![
            "challenge-wrong-answer: a.example.com expects TLS on the port where the CA speaks plain HTTP (400, at 192.0.2.1)."
        ],
    );
    check(
        "192.0.2.1 200=<html>",
        expect![
            "challenge-wrong-answer: a.example.com answers the challenge with another page (at 192.0.2.1): a catch-all rule, or another host."
        ],
    );
    check(
        "192.0.2.1 200=",
        expect![
            "challenge-wrong-answer: a.example.com answers the challenge with an empty page (at 192.0.2.1)."
        ],
    );
    check(
        "192.0.2.1 200=t0ken.other",
        expect![
            "challenge-wrong-answer: Another ACME account answers the challenges of a.example.com (at 192.0.2.1)."
        ],
    );
    check(
        "192.0.2.1 200=right!",
        expect![
            "challenge-wrong-answer: a.example.com adds something to the answer of the challenge (at 192.0.2.1)."
        ],
    );
}

#[test]
fn redirects_that_fail() {
    check(
        "192.0.2.1 301 !loop",
        expect![
            "challenge-redirect-loop: a.example.com redirects the challenge in a circle: it leads to a place it came from."
        ],
    );
    check(
        "192.0.2.1 301 !many",
        expect![
            "challenge-redirect-loop: a.example.com redirects the challenge in a circle: the CA follows 10 redirects, and there are more."
        ],
    );
    check(
        "192.0.2.1 301 !port",
        expect![
            "challenge-redirect-port: a.example.com redirects the challenge to port 8443, where the CA does not go: the CA follows to the ports 80, 443, not 8443."
        ],
    );
    check(
        "192.0.2.1 301 !scheme",
        expect![
            "challenge-redirect-elsewhere: a.example.com redirects the challenge to a place where the CA does not go: the CA follows http and https, not ftp."
        ],
    );
    check(
        "192.0.2.1 303 !status",
        expect![
            "challenge-redirect-elsewhere: a.example.com redirects the challenge to a place where the CA does not go: status 303 is no redirect that a CA follows."
        ],
    );
    check(
        "192.0.2.1 301 !local",
        expect![
            "challenge-redirect-elsewhere: a.example.com redirects the challenge to a place where the CA does not go: 10.0.0.1 cannot be reached from outside."
        ],
    );
    check(
        "192.0.2.1 301 !slash",
        expect![
            "challenge-redirect-malformed: a.example.com redirects the challenge to something that is no address: a “/” is missing between the host and the path, which makes the host a.example.com.well-known."
        ],
    );
    check(
        "192.0.2.1 301 !host",
        expect![
            "challenge-redirect-malformed: a.example.com redirects the challenge to something that is no address: the Location has no host."
        ],
    );
}

#[test]
fn more_redirects_that_fail() {
    check(
        "192.0.2.1 301 !location",
        expect![
            "challenge-redirect-malformed: a.example.com redirects the challenge to something that is no address: the redirect has no Location."
        ],
    );
    check(
        "192.0.2.1 301 unresolved",
        expect![
            "challenge-redirect-elsewhere: a.example.com redirects the challenge to b.example.com, which DNS does not know."
        ],
    );
    check(
        "192.0.2.1 301 connect:refused",
        expect![
            "port-443-refused: a.example.com redirects the challenge to HTTPS, but nothing listens at a.example.com:443."
        ],
    );
    check(
        "192.0.2.1 301 connect:timeout",
        expect![
            "challenge-redirect-elsewhere: a.example.com redirects the challenge to a.example.com:443, which does not answer: no answer within 10s."
        ],
    );
    check(
        "192.0.2.1 301 tls:nonsense",
        expect![
            "challenge-redirect-elsewhere: a.example.com redirects the challenge to HTTPS at a.example.com:443, where no TLS 1.2 or better is spoken: nonsense."
        ],
    );
    check(
        "192.0.2.1 301 answer:closed",
        expect![
            "challenge-connection-closed: 192.0.2.1:80 takes the connection for a.example.com, but does not answer: the connection is closed before the answer is complete."
        ],
    );
    check(
        "192.0.2.1 301 answer:timeout",
        expect![
            "challenge-server-error: a.example.com redirects the challenge to a.example.com:443, which takes too long to answer: no answer within 10s."
        ],
    );
    check(
        "192.0.2.1 301 answer:nonsense",
        expect![
            "challenge-wrong-answer: a.example.com redirects the challenge to a.example.com:443, which is no HTTP server."
        ],
    );
}

#[test]
fn names_without_an_address() {
    check_dns(
        "nxdomain",
        "nxdomain",
        "",
        expect![
            "dns-no-such-name: a.example.com does not exist in DNS, so no CA can find this host by it."
        ],
    );
    check_dns(
        "none",
        "none",
        "",
        expect!["dns-no-address: a.example.com exists in DNS but has no address."],
    );
    check_dns(
        "servfail",
        "none",
        "",
        expect!["dns-server-failure: The DNS servers of a.example.com answer with an error."],
    );
    check_dns(
        "servfail",
        "timeout",
        "",
        expect!["dns-server-failure: The DNS servers of a.example.com answer with an error."],
    );
    check_dns(
        "timeout",
        "none",
        "",
        expect!["dns-timeout: The DNS servers of a.example.com do not answer in time."],
    );
    check_dns(
        "dead",
        "dead",
        "",
        expect![
            "resolver-unreachable: This host's DNS server does not answer, so nothing is known about the site's names."
        ],
    );
    check_dns(
        "none",
        "none",
        "10.0.0.1 fd00::1",
        expect![
            "dns-private-address: a.example.com has only addresses that nobody outside can reach."
        ],
    );
}

#[test]
fn a_finding_in_full() {
    let findings = judge(&observation(
        vec![
            fetch("192.0.2.1 301 404=<h1>t0ken_not_found"),
            fetch("192.0.2.2 404=\u{1b}[2J"),
        ],
        "none",
        "none",
        "",
    ))
    .unwrap_err();
    expect![[r#"
        [
            Finding {
                name: ChallengeNotFound,
                severity: Fatal,
                explanation: "a.example.com does not know the challenge (404, at 192.0.2.1): another server block, folder or host answers.",
                detail: "http://a.example.com/.well-known/acme-challenge/TOKEN at 192.0.2.1:80: 301 to “https://a.example.com/.well-known/acme-challenge/TOKEN”; https://a.example.com/.well-known/acme-challenge/TOKEN at 192.0.2.1:80: 404, “<h1>TOKEN not found”\nhttp://a.example.com/.well-known/acme-challenge/TOKEN at 192.0.2.2:80: 404, “\\u{1b}[2J”",
                fix: "See that the address is this host's, and that the server block that answers the name on port 80 is the site's own.",
            },
        ]
    "#]].assert_debug_eq(&findings);
}
