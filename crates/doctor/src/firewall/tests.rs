//! Which rules stop a stranger, and which only some?

use super::{Closed, Family, FirewallSeen, Listed, judge};
use expect_test::{Expect, expect};
use serde_json::json;

fn shown(seen: &FirewallSeen) -> String {
    let findings = judge(seen);
    let lines = findings.iter().map(|finding| {
        format!(
            "{}: {}",
            finding.severity.as_str(),
            finding.detail.replace('\n', " | ")
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Judges rules of iptables for IPv4.
fn tables(rules: &str, expect: Expect) {
    let seen = FirewallSeen {
        port: 80,
        ways: vec!["eth0".to_owned()],
        nft: None,
        tables: vec![Listed {
            family: Family::V4,
            text: format!(
                "# Generated\n*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n*filter\n{rules}\nCOMMIT\n"
            ),
        }],
    };
    expect.assert_eq(&shown(&seen));
}

#[test]
fn rules_of_iptables() {
    let open = ":INPUT ACCEPT [0:0]\n";
    let shut = ":INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n";
    tables(open, expect![""]);
    tables(shut, expect!["error: iptables -P INPUT DROP"]);
    tables(
        &format!("{shut}-A INPUT -p tcp -m multiport --dports 22,80:90 -j ACCEPT"),
        expect![""],
    );
    tables(
        &format!(
            "{shut}-A INPUT -i eth+ -p tcp -m tcp --dport 80 -m comment --comment \"to the web -j DROP\" -j ACCEPT"
        ),
        expect![""],
    );
    tables(
        &format!("{shut}-A INPUT -i docker0 -p tcp --dport 80 -j ACCEPT"),
        expect!["error: iptables -P INPUT DROP"],
    );
    tables(
        &format!("{shut}-A INPUT ! -i lo -p tcp --dport 80 -j ACCEPT"),
        expect![""],
    );
    tables(
        &format!("{open}-A INPUT -p tcp -m tcp --dport 80 -j REJECT --reject-with tcp-reset"),
        expect![
            "error: iptables -A INPUT -p tcp -m tcp --dport 80 -j REJECT --reject-with tcp-reset"
        ],
    );
    tables(
        &format!("{open}-A INPUT -p tcp --dport 443 -j DROP\n-A INPUT -p udp --dport 80 -j DROP"),
        expect![""],
    );
    tables(
        &format!("{open}-A INPUT -p tcp --dport 80 -m geoip --src-cc US -j DROP"),
        expect!["warning: iptables -A INPUT -p tcp --dport 80 -m geoip --src-cc US -j DROP"],
    );
    tables(
        &format!("{shut}-A INPUT -s 173.245.48.0/20 -p tcp --dport 80 -j ACCEPT"),
        expect!["warning: iptables -P INPUT DROP, but for some that pass before"],
    );
}

#[test]
fn chains_of_ufw_are_followed() {
    let ufw = |user: &str| {
        format!(
            ":INPUT DROP [0:0]\n:ufw-before-input - [0:0]\n:ufw-user-input - [0:0]\n-A INPUT -j ufw-before-input\n\
             -A ufw-before-input -i lo -j ACCEPT\n-A ufw-before-input -j ufw-user-input\n{user}"
        )
    };
    tables(
        &ufw("-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT"),
        expect!["error: iptables -P INPUT DROP"],
    );
    tables(
        &ufw("-A ufw-user-input -p tcp -m tcp --dport 80 -j ACCEPT"),
        expect![""],
    );
    // A circle, which the kernel would refuse.
    tables(
        &ufw("-A ufw-user-input -j ufw-before-input"),
        expect!["error: iptables -P INPUT DROP"],
    );
}

/// Judges rules of nftables: those of one chain for input, and those of a chain `web`.
fn nft(policy: &str, rules: serde_json::Value, web: serde_json::Value, expect: Expect) {
    let mut all = vec![
        json!({"metainfo": {"version": "1.0.6"}}),
        json!({"chain": {"family": "inet", "table": "filter", "name": "input", "type": "filter", "hook": "input", "prio": 0, "policy": policy}}),
    ];
    for (chain, rules) in [("input", rules), ("web", web)] {
        for rule in rules.as_array().unwrap() {
            all.push(json!({"rule": {"family": "inet", "table": "filter", "chain": chain, "expr": rule}}));
        }
    }
    let seen = FirewallSeen {
        port: 80,
        ways: vec!["eth0".to_owned()],
        nft: Some(json!({"nftables": all})),
        tables: Vec::new(),
    };
    expect.assert_eq(&shown(&seen));
}

fn is(left: serde_json::Value, right: serde_json::Value) -> serde_json::Value {
    json!({"match": {"op": "==", "left": left, "right": right}})
}

#[test]
fn rules_of_nftables() {
    let port = |right| {
        is(
            json!({"payload": {"protocol": "tcp", "field": "dport"}}),
            right,
        )
    };
    let lo = is(json!({"meta": {"key": "iif"}}), json!("lo"));
    let from = |right| {
        is(
            json!({"payload": {"protocol": "ip", "field": "saddr"}}),
            right,
        )
    };
    let (accept, drop) = (json!({"accept": null}), json!({"drop": null}));
    nft("accept", json!([]), json!([]), expect![""]);
    nft(
        "drop",
        json!([[lo, accept]]),
        json!([]),
        expect!["fatal: nft inet filter input: policy drop"],
    );
    nft(
        "drop",
        json!([[port(json!({"set": [22, 80]})), accept]]),
        json!([]),
        expect![""],
    );
    nft(
        "drop",
        json!([[port(json!({"range": [79, 81]})), {"counter": {}}, accept]]),
        json!([]),
        expect![""],
    );
    nft(
        "accept",
        json!([[port(json!(80)), drop]]),
        json!([]),
        expect!["fatal: nft inet filter input: tcp dport 80 drop"],
    );
    nft(
        "accept",
        json!([[port(json!(443)), drop]]),
        json!([]),
        expect![""],
    );
    nft(
        "accept",
        json!([[from(json!("@countries")), port(json!(80)), drop]]),
        json!([]),
        expect!["warning: nft inet filter input: ip saddr @countries tcp dport 80 drop"],
    );
    nft(
        "drop",
        json!([[port(json!(80)), {"limit": {"rate": 1, "per": "minute"}}, accept]]),
        json!([]),
        expect!["warning: nft inet filter input: policy drop, but for some that pass before"],
    );
}

#[test]
fn chains_of_nftables_are_followed() {
    let port = |right| {
        is(
            json!({"payload": {"protocol": "tcp", "field": "dport"}}),
            right,
        )
    };
    let (accept, drop) = (json!({"accept": null}), json!({"drop": null}));
    nft(
        "accept",
        json!([[port(json!(80)), {"jump": {"target": "web"}}]]),
        json!([[{"reject": {"type": "tcp reset"}}]]),
        expect!["fatal: nft inet filter web: reject"],
    );
    nft(
        "drop",
        json!([[{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["established", accept], ["invalid", drop]]}}}],
               [{"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[80, {"goto": {"target": "web"}}]]}}}]]),
        json!([[accept]]),
        expect![""],
    );
    // A set that somebody opens for the minutes of a validation.
    nft(
        "drop",
        json!([[port(json!("@opened")), accept]]),
        json!([]),
        expect!["warning: nft inet filter input: policy drop, but for some that pass before"],
    );
}

#[test]
fn nonsense_stops_nobody() {
    for text in [
        "{}",
        "[]",
        "null",
        r#"{"nftables": 7}"#,
        r#"{"nftables": [{"chain": 7}, {"rule": null}]}"#,
    ] {
        let seen = FirewallSeen {
            port: 80,
            nft: serde_json::from_str(text).ok(),
            ..FirewallSeen::default()
        };
        assert_eq!(shown(&seen), "", "{text}");
    }
    tables(
        "-A INPUT\n-A INPUT -j\n-A INPUT --dport x -j DROP\n:INPUT",
        expect![""],
    );
}

#[test]
fn one_family_will_do() {
    let closed = |v4: bool, v6: bool| Closed {
        v4: v4.then(|| "four".to_owned()),
        v6: v6.then(|| "six".to_owned()),
    };
    let to = |closed: Closed, addresses: &str| {
        let addresses: Vec<_> = addresses
            .split(' ')
            .map(|text| text.parse().unwrap())
            .collect();
        closed.to(&addresses).map(str::to_owned)
    };
    assert_eq!(to(closed(true, false), "1.1.1.1"), Some("four".to_owned()));
    assert_eq!(to(closed(true, false), "1.1.1.1 2606:4700::1"), None);
    assert_eq!(to(closed(false, true), "1.1.1.1 2606:4700::1"), None);
    assert_eq!(
        to(closed(false, true), "2606:4700::1"),
        Some("six".to_owned())
    );
    assert_eq!(
        to(closed(true, true), "2606:4700::1 1.1.1.1"),
        Some("six".to_owned())
    );
}
