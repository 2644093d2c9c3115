//! Which two faults hide each other?
//!
//! Both are made; one is found first, and when it is mended the other is found.

use super::fault::{Asked, Fault, Make};

/// Two faults of one site: lines in its vhost, and records of its name.
pub(crate) struct Pair {
    /// Its name, which is also the first label of its site.
    pub(crate) name: &'static str,
    /// What is wrong with the name, and with the vhost.
    pub(crate) what: [&'static str; 2],
    /// The records.
    pub(crate) records: &'static [&'static str],
    /// The lines.
    pub(crate) lines: &'static str,
    /// What is found first, and then.
    pub(crate) findings: [&'static str; 2],
}

impl Pair {
    /// Returns the fault that is in the vhost.
    pub(crate) fn of_the_vhost(&self) -> Fault {
        Fault {
            name: self.name,
            what: self.what[1],
            make: Make::Lines(self.lines),
            verdict: "will-fail",
            finding: self.findings[1],
            fix: "",
            asked: Asked::Refuses,
        }
    }
}

pub(crate) fn pairs() -> Vec<Pair> {
    vec![
        pair(
            "gonedenied",
            ["the name does not exist", "`deny all`"],
            &[],
            "deny all;",
            ["dns-no-such-name", "challenge-forbidden"],
        ),
        pair(
            "movedcircle",
            ["the name leads to another host", "a redirect to itself"],
            &["A 93.184.216.99"],
            "return 301 http://$host$request_uri;",
            ["dns-points-elsewhere", "challenge-redirect-loop"],
        ),
        pair(
            "staledenied",
            ["the AAAA record is another host's", "`deny all`"],
            &["A 93.184.215.7", "AAAA 2a01:4f8:bb::99"],
            "deny all;",
            ["ipv6-points-elsewhere", "challenge-forbidden"],
        ),
        pair(
            "privateagent",
            [
                "the name has a private address",
                "an `if` on the user agent",
            ],
            &["A 10.9.8.7"],
            "if ($http_user_agent ~* letsencrypt) { return 403; }",
            ["dns-private-address", "challenge-blocked-by-rule"],
        ),
        pair(
            "emptygateway",
            [
                "the name has no address",
                "a proxy to an application that is down",
            ],
            &["TXT \"x\""],
            "location / { proxy_pass http://127.0.0.1:9; }",
            ["dns-no-address", "challenge-server-error"],
        ),
        pair(
            "loopport",
            ["a CNAME to itself", "a redirect to port 8080"],
            &["CNAME loopport.example.net."],
            "return 301 http://$host:8080$request_uri;",
            ["dns-server-failure", "challenge-redirect-port"],
        ),
    ]
}

fn pair(
    name: &'static str,
    what: [&'static str; 2],
    records: &'static [&'static str],
    lines: &'static str,
    findings: [&'static str; 2],
) -> Pair {
    Pair {
        name,
        what,
        records,
        lines,
        findings,
    }
}
