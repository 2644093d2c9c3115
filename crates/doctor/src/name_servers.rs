//! Do the name servers of a site's names agree, and does each of them answer?
//!
//! A resolver asks one of them and keeps what it heard; a CA asks from several places, and may hear another. So each
//! server that is named as one of the zone's is asked itself, over UDP and TCP: a server that does not know the zone (lame
//! delegation), does not answer, or has an older copy is found before the CA finds it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use futures_util::future::join_all;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{RData, RecordType};
use renewal::finding::{Finding, FindingName, Severity};
use renewal::name::Name;
use serde::{Deserialize, Serialize};

use crate::dns::Dns;
use crate::dns::direct::{Over, Question, ask};
use crate::own::Own;

/// The name servers of a site's names.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct NameServersSeen {
    /// This host's addresses.
    pub own: Own,
    /// The names whose servers are known.
    pub names: Vec<NameServed>,
}

/// The servers of one name.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct NameServed {
    /// The name.
    pub name: Name,
    /// The zone that it is in.
    pub zone: String,
    /// The servers that are named as the zone's.
    pub servers: Vec<ServerSeen>,
}

/// What one server says at one of its addresses.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ServerSeen {
    /// Its name.
    pub name: String,
    /// Its address; `None` when it has none.
    pub address: Option<IpAddr>,
    /// What it says of the name over UDP.
    pub says: Says,
    /// Why it does not answer over TCP; `None` when it does.
    pub tcp: Option<String>,
}

/// What a server says.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    /// These addresses, on its own authority.
    Addresses(BTreeSet<IpAddr>),
    /// The name is another one (CNAME), which may be elsewhere.
    Alias(String),
    /// It does not know the zone; holds its answer.
    Lame(String),
    /// It does not answer; holds why.
    Silent(String),
}

/// Asks the servers of all names; those of which nobody tells the servers are left out.
pub async fn observe(dns: &Dns, names: impl IntoIterator<Item = &Name>) -> Vec<NameServed> {
    let Some(resolver) = dns.resolver() else {
        return Vec::new();
    };
    let each = names.into_iter().filter(|name| name.address().is_none());
    let each = each.map(|name| of_name(dns, resolver, name));
    join_all(each).await.into_iter().flatten().collect()
}

async fn of_name(dns: &Dns, resolver: SocketAddr, name: &Name) -> Option<NameServed> {
    let text = name.as_str().strip_prefix("*.").unwrap_or(name.as_str());
    let (mut zone, mut servers) = nearest(resolver, text).await?;
    // Downwards, for a resolver has no word for a zone whose servers are wrong.
    for _ in 0..ZONES_MAX {
        let Some((below, named)) = delegation(dns, &zone, &servers, text).await else {
            break;
        };
        (zone, servers) = (below, named);
    }
    let asked = servers
        .iter()
        .take(SERVERS_MAX)
        .map(|server| of_server(dns, server, text));
    Some(NameServed {
        name: name.clone(),
        zone,
        servers: join_all(asked).await,
    })
}

/// Returns the longest ending of the name whose servers the resolver knows, and those.
async fn nearest(resolver: SocketAddr, name: &str) -> Option<(String, Vec<String>)> {
    let endings = std::iter::successors(Some(name), |at| Some(at.split_once('.')?.1));
    let asked = endings.map(|at| async move {
        let question = Question {
            name: at,
            kind: RecordType::NS,
            unchecked: true,
        };
        let answer = ask(resolver, question, Over::Udp).await.ok()?;
        let servers = servers_of(&answer.answers, at);
        (!servers.is_empty()).then(|| (at.to_owned(), servers))
    });
    join_all(asked).await.into_iter().flatten().next()
}

/// Returns the zone below `zone` to which its servers refer for the name, and its servers.
async fn delegation(
    dns: &Dns,
    zone: &str,
    servers: &[String],
    name: &str,
) -> Option<(String, Vec<String>)> {
    for server in servers.iter().take(SERVERS_MAX) {
        let Some(address) = address_of(dns, server).await else {
            continue;
        };
        let Ok(answer) = ask(address, of_address(name, RecordType::A), Over::Udp).await else {
            continue;
        };
        if answer.metadata.authoritative || !answer.answers.is_empty() {
            return None;
        }
        let owner = answer
            .authorities
            .iter()
            .find(|record| record.record_type() == RecordType::NS)?;
        let below = owner
            .name
            .to_ascii()
            .trim_end_matches('.')
            .to_ascii_lowercase();
        let is_below =
            below.len() > zone.len() && (name == below || name.ends_with(&format!(".{below}")));
        let named = servers_of(&answer.authorities, &below);
        return (is_below && !named.is_empty()).then_some((below, named));
    }
    None
}

async fn of_server(dns: &Dns, server: &str, name: &str) -> ServerSeen {
    let Some(address) = address_of(dns, server).await else {
        return ServerSeen {
            name: server.to_owned(),
            address: None,
            says: Says::Silent("it has no address".to_owned()),
            tcp: None,
        };
    };
    let (v4, v6, tcp) = tokio::join!(
        ask(address, of_address(name, RecordType::A), Over::Udp),
        ask(address, of_address(name, RecordType::AAAA), Over::Udp),
        ask(address, of_address(name, RecordType::A), Over::Tcp),
    );
    let says = match (v4, v6) {
        (Ok(v4), Ok(v6)) => says(&v4, &v6),
        (Err(why), _) | (_, Err(why)) => Says::Silent(why),
    };
    ServerSeen {
        name: server.to_owned(),
        address: Some(address.ip()),
        says,
        tcp: tcp.err(),
    }
}

fn says(v4: &Message, v6: &Message) -> Says {
    for answer in [v4, v6] {
        let code = answer.metadata.response_code;
        if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return Says::Lame(code.to_string());
        }
        if !answer.metadata.authoritative {
            return Says::Lame("not on its own authority".to_owned());
        }
    }
    let records = || {
        v4.answers
            .iter()
            .chain(&v6.answers)
            .map(|record| &record.data)
    };
    let alias = records().find_map(|data| match data {
        RData::CNAME(target) => Some(target.to_ascii()),
        _ => None,
    });
    match alias {
        Some(target) => Says::Alias(target),
        None => Says::Addresses(records().filter_map(RData::ip_addr).collect()),
    }
}

async fn address_of(dns: &Dns, server: &str) -> Option<SocketAddr> {
    let name = Name::parse(server).ok()?;
    let resolution = dns.resolve(&name).await;
    // By IPv4 where there is one: not every host reaches the other.
    let mut addresses: Vec<IpAddr> = resolution.addresses().collect();
    addresses.sort();
    Some(SocketAddr::new(*addresses.first()?, DNS_PORT))
}

fn of_address(name: &str, kind: RecordType) -> Question<'_> {
    Question {
        name,
        kind,
        unchecked: false,
    }
}

fn servers_of(records: &[hickory_resolver::proto::rr::Record], zone: &str) -> Vec<String> {
    let servers = records.iter().filter_map(|record| match &record.data {
        RData::NS(server)
            if record
                .name
                .to_ascii()
                .trim_end_matches('.')
                .eq_ignore_ascii_case(zone) =>
        {
            Some(server.to_ascii().trim_end_matches('.').to_ascii_lowercase())
        }
        _ => None,
    });
    servers.collect()
}

/// Finds servers that do not do what the others do.
///
/// # Errors
///
/// When nobody tells which servers there are.
pub fn judge(seen: &NameServersSeen) -> Result<Vec<Finding>, String> {
    if seen.names.is_empty() {
        return Err("DNS does not say which servers know the names".to_owned());
    }
    let mut findings: Vec<Finding> = Vec::new();
    for finding in seen.names.iter().flat_map(|name| of_zone(name, &seen.own)) {
        // Names of one zone have its faults in common.
        let known = findings
            .iter()
            .any(|known| (known.name, &known.detail) == (finding.name, &finding.detail));
        if !known {
            findings.push(finding);
        }
    }
    Ok(findings)
}

fn of_zone(served: &NameServed, own: &Own) -> Vec<Finding> {
    let zone = &served.zone;
    let those = |kind: fn(&ServerSeen) -> bool| -> Vec<String> {
        served
            .servers
            .iter()
            .filter(|server| kind(server))
            .map(line)
            .collect()
    };
    let lame = those(|server| matches!(server.says, Says::Lame(_)));
    let silent = those(|server| matches!(server.says, Says::Silent(_)));
    let no_tcp = those(|server| {
        server.tcp.is_some() && matches!(server.says, Says::Addresses(_) | Says::Alias(_))
    });
    let all = served.servers.len();
    let severity = if lame.len() + silent.len() == all {
        Severity::Fatal
    } else {
        Severity::Warning
    };
    let mut findings = Vec::new();
    if !lame.is_empty() {
        let finding = Finding::new(
            FindingName::DnsServerFailure,
            format!(
                "{} of {all} name servers of {zone} do not know it, though they are named as its servers.",
                lame.len()
            ),
        );
        findings.push(finding.severity(severity).detail(lame.join("\n")).fix(format!(
            "Correct the NS records of {zone} at the registrar, or let those servers serve the zone."
        )));
    }
    if !silent.is_empty() {
        let finding = Finding::new(
            FindingName::DnsTimeout,
            format!(
                "{} of {all} name servers of {zone} do not answer.",
                silent.len()
            ),
        );
        findings.push(finding.severity(severity).detail(silent.join("\n")).fix(
            "See that they run and answer on port 53 over UDP; or take them out of the NS records at the registrar.",
        ));
    }
    if !no_tcp.is_empty() {
        let finding = Finding::new(
            FindingName::DnsTimeout,
            format!("Name servers of {zone} do not answer over TCP, which long answers need."),
        );
        findings.push(
            finding
                .severity(Severity::Warning)
                .detail(no_tcp.join("\n"))
                .fix("Open port 53 there for TCP too."),
        );
    }
    findings.extend(disagreement(served, own));
    findings
}

/// Shows what one server says, or why it does not.
fn line(server: &ServerSeen) -> String {
    let at = server
        .address
        .map(|ip| format!(" ({ip})"))
        .unwrap_or_default();
    let what = match (&server.says, &server.tcp) {
        (Says::Silent(why) | Says::Lame(why), _) => why.clone(),
        (_, Some(why)) => format!("over TCP: {why}"),
        (Says::Addresses(addresses), None) => {
            let shown: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
            shown.join(", ")
        }
        (Says::Alias(target), None) => format!("CNAME {target}"),
    };
    format!("{}{at}: {what}", server.name)
}

/// Says whether the servers have different copies of the zone.
fn disagreement(served: &NameServed, own: &Own) -> Option<Finding> {
    let said: Vec<(&ServerSeen, &BTreeSet<IpAddr>)> = served
        .servers
        .iter()
        .filter_map(|server| match &server.says {
            Says::Addresses(addresses) => Some((server, addresses)),
            Says::Alias(_) | Says::Lame(_) | Says::Silent(_) => None,
        })
        .collect();
    let (_, first) = said.first()?;
    if said.iter().all(|(_, addresses)| addresses == first) {
        return None;
    }
    let strays = said.iter().flat_map(|(_, addresses)| addresses.iter());
    let stray = strays.clone().any(|address| own.excludes(*address))
        || said.iter().any(|(_, set)| set.is_empty());
    let lines: Vec<String> = said
        .iter()
        .map(|(server, addresses)| {
            let shown: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
            format!(
                "{}: {}",
                server.name,
                if shown.is_empty() {
                    "no address".to_owned()
                } else {
                    shown.join(", ")
                }
            )
        })
        .collect();
    let finding = Finding::new(
        FindingName::DnsPointsElsewhere,
        format!(
            "The name servers of {} do not agree on where {} is, and a CA asks any of them.",
            served.zone, served.name
        ),
    );
    let severity = if stray {
        Severity::Error
    } else {
        Severity::Warning
    };
    Some(finding.severity(severity).detail(lines.join("\n")).fix(
        "See that all of them have the newest copy of the zone: raise the serial in its SOA record, and let the \
         secondaries fetch it anew.",
    ))
}

/// More zones in one another than any name has.
const ZONES_MAX: usize = 4;

/// Nobody has more that count.
const SERVERS_MAX: usize = 8;

const DNS_PORT: u16 = 53;

#[cfg(test)]
mod tests {
    use super::{NameServersSeen, judge};
    use expect_test::{Expect, expect};

    /// Judges two servers; each is what it says, and perhaps why not over TCP.
    fn check(first: &str, second: &str, expect: Expect) {
        let server = |name: &str, rest: &str| {
            format!(r#"{{"name": "{name}.test", "address": "192.0.2.53", {rest}}}"#)
        };
        let (first, second) = (server("ns1", first), server("ns2", second));
        let recorded = format!(
            r#"{{"own": {{"addresses": ["1.1.1.1"], "named": true}},
                "names": [{{"name": "a.test", "zone": "a.test", "servers": [{first}, {second}]}}]}}"#
        );
        let seen: NameServersSeen = serde_json::from_str(&recorded).unwrap();
        let shown: Vec<String> = judge(&seen)
            .unwrap()
            .iter()
            .map(|finding| {
                let detail = finding.detail.replace('\n', " | ");
                format!("{} {}: {detail}", finding.severity.as_str(), finding.name)
            })
            .collect();
        expect.assert_eq(&shown.join("\n"));
    }

    #[test]
    fn each_server_counts() {
        let well = r#""says": {"addresses": ["1.1.1.1"]}, "tcp": null"#;
        let lame = r#""says": {"lame": "Query Refused"}, "tcp": null"#;
        let silent = r#""says": {"silent": "no answer in time"}, "tcp": "no answer in time"#;
        let silent = format!("{silent}\"");
        check(well, well, expect![""]);
        check(
            well,
            lame,
            expect!["warning dns-server-failure: ns2.test (192.0.2.53): Query Refused"],
        );
        check(
            lame,
            lame,
            expect![
                "fatal dns-server-failure: ns1.test (192.0.2.53): Query Refused | ns2.test (192.0.2.53): Query Refused"
            ],
        );
        check(
            well,
            &silent,
            expect!["warning dns-timeout: ns2.test (192.0.2.53): no answer in time"],
        );
        check(
            &silent,
            &silent,
            expect![
                "fatal dns-timeout: ns1.test (192.0.2.53): no answer in time | ns2.test (192.0.2.53): no answer in time"
            ],
        );
        check(
            well,
            r#""says": {"addresses": ["9.9.9.9"]}, "tcp": null"#,
            expect!["error dns-points-elsewhere: ns1.test: 1.1.1.1 | ns2.test: 9.9.9.9"],
        );
        check(
            well,
            r#""says": {"addresses": ["1.1.1.1"]}, "tcp": "Connection refused""#,
            expect!["warning dns-timeout: ns2.test (192.0.2.53): over TCP: Connection refused"],
        );
        check(
            r#""says": {"alias": "b.test."}, "tcp": null"#,
            well,
            expect![""],
        );
    }

    #[test]
    fn without_servers_nothing_is_said() {
        let none = r#"{"own": {"addresses": [], "named": false}, "names": []}"#;
        assert!(judge(&serde_json::from_str(none).unwrap()).is_err());
    }
}
