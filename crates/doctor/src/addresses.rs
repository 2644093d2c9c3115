//! Does DNS know the names of a site, and an address for each that a CA would use?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::future::join_all;
use renewal::finding::{Finding, Severity};
use renewal::name::Name;
use serde::{Deserialize, Serialize};

use crate::address::is_public;
use crate::dns::{Dns, Resolution, Trouble};
use crate::preflight::without_address;

/// What DNS says of the names of a site.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct AddressesSeen {
    /// The names, the site's domain first.
    pub names: Vec<NameSeen>,
    /// Whether the CA is on this network, so that it reaches private addresses.
    pub private_ca: bool,
    /// Whether a name without an address keeps the others from being renewed; else a renewal leaves it out.
    pub all_or_nothing: bool,
}

/// What DNS says of one name.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct NameSeen {
    /// The name.
    pub name: Name,
    /// The addresses of its A records.
    pub v4: Result<Vec<Ipv4Addr>, Trouble>,
    /// The addresses of its AAAA records.
    pub v6: Result<Vec<Ipv6Addr>, Trouble>,
    /// The servers that were asked, for people.
    pub servers: String,
}

/// Asks DNS for all names at once.
pub async fn observe(dns: &Dns, names: impl IntoIterator<Item = &Name>) -> Vec<NameSeen> {
    let asked = names.into_iter().map(|name| async move {
        let Resolution { v4, v6, servers } = dns.resolve(name).await;
        NameSeen {
            name: name.clone(),
            v4,
            v6,
            servers: servers.to_string(),
        }
    });
    join_all(asked).await
}

/// Finds the names that no CA could reach.
#[must_use]
pub fn judge(seen: &AddressesSeen) -> Vec<Finding> {
    let findings = seen.names.iter().enumerate().filter_map(|(at, name)| {
        let resolution = Resolution {
            v4: name.v4.clone(),
            v6: name.v6.clone(),
            servers: name.servers.as_str().into(),
        };
        let (usable, left_out): (Vec<IpAddr>, Vec<IpAddr>) = resolution
            .addresses()
            .partition(|address| seen.private_ca || is_public(*address));
        if !usable.is_empty() {
            return None;
        }
        let finding = without_address(&name.name, &resolution, &left_out);
        let spared = at > 0 && !seen.all_or_nothing;
        Some(if spared {
            finding.severity(Severity::Warning)
        } else {
            finding
        })
    });
    findings.collect()
}

#[cfg(test)]
mod tests {
    use super::{AddressesSeen, judge};
    use crate::testing::told;
    use expect_test::{Expect, expect};

    /// Judges what was recorded of the name www.example.com.
    fn check(v4: &str, v6: &str, expect: Expect) {
        let recorded = format!(
            r#"{{"names": [{{"name": "www.example.com", "v4": {v4}, "v6": {v6}, "servers": "192.0.2.53"}}], "private_ca": false, "all_or_nothing": true}}"#
        );
        let seen: AddressesSeen = serde_json::from_str(&recorded).unwrap();
        expect.assert_eq(&told(&judge(&seen)));
    }

    #[test]
    fn one_public_address_will_do() {
        check(r#"{"Ok": ["1.1.1.1"]}"#, r#"{"Ok": []}"#, expect![""]);
        check(
            r#"{"Err": "Timeout"}"#,
            r#"{"Ok": ["2606:4700::1"]}"#,
            expect![""],
        );
        check(
            r#"{"Ok": ["10.0.0.7", "1.1.1.1"]}"#,
            r#"{"Ok": []}"#,
            expect![""],
        );
    }

    #[test]
    fn no_address_has_a_cause() {
        let none = r#"{"Ok": []}"#;
        check(
            none,
            none,
            expect!["dns-no-address: asked 192.0.2.53: A: no such record; AAAA: no such record"],
        );
        let gone = r#"{"Err": "NoSuchName"}"#;
        check(
            gone,
            gone,
            expect![
                "dns-no-such-name: asked 192.0.2.53: A: there is no such name; AAAA: there is no such name"
            ],
        );
        check(
            r#"{"Err": {"ServerFailure": "Server Failure"}}"#,
            none,
            expect![
                "dns-server-failure: asked 192.0.2.53: A: Server Failure; AAAA: no such record"
            ],
        );
        check(
            r#"{"Err": "Timeout"}"#,
            none,
            expect!["dns-timeout: asked 192.0.2.53: A: no answer in time; AAAA: no such record"],
        );
        check(
            r#"{"Err": {"Unreachable": "no answer at all"}}"#,
            none,
            expect![
                "resolver-unreachable: asked 192.0.2.53: A: no answer at all; AAAA: no such record"
            ],
        );
        check(
            r#"{"Ok": ["10.0.0.7"]}"#,
            r#"{"Ok": ["fd00::7"]}"#,
            expect!["dns-private-address: DNS gives fd00::7, 10.0.0.7"],
        );
    }

    #[test]
    fn a_name_beside_the_domain_may_be_left_out() {
        let severities = |all_or_nothing: bool| {
            let gone = r#""v4": {"Err": "NoSuchName"}, "v6": {"Err": "NoSuchName"}, "servers": """#;
            let recorded = format!(
                r#"{{"names": [{{"name": "a.test", {gone}}}, {{"name": "www.a.test", {gone}}}],
                    "private_ca": false, "all_or_nothing": {all_or_nothing}}}"#
            );
            let findings = judge(&serde_json::from_str(&recorded).unwrap());
            let shown: Vec<_> = findings
                .iter()
                .map(|finding| finding.severity.as_str())
                .collect();
            shown.join(" ")
        };
        assert_eq!(severities(true), "fatal fatal");
        assert_eq!(severities(false), "fatal warning");
    }
}
