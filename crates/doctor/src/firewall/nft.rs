//! How does a packet fare among nftables' rules?
//!
//! The form is that of libnftables-json(5). Tables that iptables made hold parts that only iptables can read; they are
//! left to [`tables`](super::tables).

use serde_json::Value;

use super::{DEPTH_MAX, End, Family, Fit, Packet, Passage};

/// Leads the packet through all chains that it meets on its way in.
pub(super) fn passage(rules: &Value, packet: &Packet<'_>) -> Passage {
    let all = rules["nftables"].as_array().map_or(&[][..], Vec::as_slice);
    let mut passage = Passage::default();
    let mut hooks: Vec<&Value> = all
        .iter()
        .map(|item| &item["chain"])
        .filter(|chain| is_met(chain))
        .collect();
    // Prerouting comes before input; within a hook the order makes no difference to what is stopped.
    hooks.sort_by_key(|chain| chain["hook"] != "prerouting");
    for chain in hooks {
        let ruleset = Ruleset {
            all,
            packet,
            table: chain,
        };
        if !ruleset.is_of_family() || ruleset.is_opaque() {
            continue;
        }
        let mut one = Passage::default();
        let end = ruleset.chain(text(&chain["name"]), 0, Fit::Yes, &mut one);
        let policy = || format!("{} policy drop", ruleset.name_of(text(&chain["name"])));
        one.closed = match end {
            End::Stopped(rule) => Some(rule),
            End::Returned if chain["policy"] == "drop" => Some(policy()),
            End::Returned | End::Accepted => None,
        };
        passage.add(one);
    }
    passage
}

fn is_met(chain: &Value) -> bool {
    let hook = text(&chain["hook"]);
    chain["type"] == "filter" && (hook == "input" || hook == "prerouting")
}

/// The rules of one table, and the packet.
struct Ruleset<'a> {
    all: &'a [Value],
    packet: &'a Packet<'a>,
    table: &'a Value,
}

impl Ruleset<'_> {
    fn rules(&self) -> impl Iterator<Item = &Value> {
        let ours = |rule: &&Value| {
            rule["family"] == self.table["family"] && rule["table"] == self.table["table"]
        };
        self.all.iter().map(|item| &item["rule"]).filter(ours)
    }

    fn is_of_family(&self) -> bool {
        match text(&self.table["family"]) {
            "ip" => self.packet.family == Family::V4,
            "ip6" => self.packet.family == Family::V6,
            family => family == "inet",
        }
    }

    /// Says whether iptables made it, whose parts are no nftables expressions.
    fn is_opaque(&self) -> bool {
        self.rules()
            .any(|rule| parts(rule).iter().any(|part| !part["xt"].is_null()))
    }

    fn name_of(&self, chain: &str) -> String {
        let (family, table) = (text(&self.table["family"]), text(&self.table["table"]));
        format!("nft {family} {table} {chain}:")
    }

    /// Leads the packet, which gets here as `fit` says, through one chain.
    fn chain(&self, name: &str, depth: usize, reached: Fit, passage: &mut Passage) -> End {
        if depth > DEPTH_MAX {
            return End::Returned;
        }
        for rule in self.rules().filter(|rule| rule["chain"] == name) {
            let fit = parts(rule)
                .iter()
                .fold(Fit::Yes, |fit, part| fit.and(self.fits(part)));
            if fit == Fit::No {
                continue;
            }
            let shown = || format!("{} {}", self.name_of(name), show(rule));
            let sure = reached.and(fit) == Fit::Yes;
            for verdict in parts(rule).iter().flat_map(|part| self.verdicts(part)) {
                let end = match verdict {
                    Verdict::Accept => End::Accepted,
                    Verdict::Stop => End::Stopped(shown()),
                    Verdict::Return if fit == Fit::Yes => return End::Returned,
                    Verdict::Return => continue,
                    Verdict::Jump(target) => {
                        self.chain(target, depth + 1, reached.and(fit), passage)
                    }
                    Verdict::Goto(target) => {
                        let end = self.chain(target, depth + 1, reached.and(fit), passage);
                        if end == End::Returned && fit == Fit::Yes {
                            return End::Returned;
                        }
                        end
                    }
                };
                match (end, sure) {
                    (End::Returned, _) => {}
                    (end @ (End::Accepted | End::Stopped(_)), true) => return end,
                    (End::Accepted, false) => passage.for_some = true,
                    (End::Stopped(rule), false) => passage.some.push(rule),
                }
            }
        }
        End::Returned
    }

    fn fits(&self, part: &Value) -> Fit {
        let condition = &part["match"];
        if condition.is_null() {
            // A limit that is used up for one is not used up for another.
            let depends = ["limit", "quota", "ct count"]
                .iter()
                .any(|key| !part[*key].is_null());
            return if depends { Fit::Perhaps } else { Fit::Yes };
        }
        let fit = self.equals(&condition["left"], &condition["right"]);
        match text(&condition["op"]) {
            "!=" => fit.not(),
            "==" | "in" => fit,
            _ => Fit::Perhaps,
        }
    }

    /// Says whether what is on the left has a value on the right for our packet.
    fn equals(&self, left: &Value, right: &Value) -> Fit {
        let (payload, meta) = (&left["payload"], text(&left["meta"]["key"]));
        let (protocol, field) = (text(&payload["protocol"]), text(&payload["field"]));
        let family = match self.packet.family {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        };
        match (protocol, field, meta) {
            ("tcp" | "th", "dport", _) => holds(right, |value| is_port(value, self.packet.port)),
            ("tcp", ..) => Fit::Perhaps,
            ("udp" | "icmp" | "icmpv6" | "sctp" | "dccp" | "arp" | "vlan", ..) => Fit::No,
            ("ip", "protocol", _) | ("ip6", "nexthdr", _) | (_, _, "l4proto") => {
                holds(right, |value| Some(value == "tcp" || value == 6))
            }
            ("ip", ..) if family != "ipv4" => Fit::No,
            ("ip6", ..) if family != "ipv6" => Fit::No,
            (_, _, "nfproto") => holds(right, |value| Some(value == family)),
            (_, _, "protocol") => {
                let known = if family == "ipv4" { "ip" } else { "ip6" };
                holds(right, |value| Some(value == known))
            }
            (_, _, "iif" | "iifname") => holds(right, |value| {
                Some(self.packet.comes_by(value.as_str()?) == Fit::Yes)
            }),
            _ if left["ct"]["key"] == "state" => holds(right, |value| Some(value == "new")),
            _ if left["fib"]["result"] == "type" => holds(right, |value| Some(value == "local")),
            _ => Fit::Perhaps,
        }
    }

    fn verdicts<'p>(&self, part: &'p Value) -> Vec<Verdict<'p>> {
        let map = &part["vmap"];
        if !map.is_null() {
            let pairs = map["data"]["set"].as_array().into_iter().flatten();
            let fitting = pairs.filter(|pair| self.equals(&map["key"], &pair[0]) == Fit::Yes);
            return fitting.filter_map(|pair| verdict(&pair[1])).collect();
        }
        verdict(part).into_iter().collect()
    }
}

enum Verdict<'a> {
    Accept,
    Stop,
    Return,
    Jump(&'a str),
    Goto(&'a str),
}

fn verdict(part: &Value) -> Option<Verdict<'_>> {
    let object = part.as_object()?;
    let key = object.keys().next()?;
    Some(match key.as_str() {
        "accept" => Verdict::Accept,
        "drop" | "reject" => Verdict::Stop,
        "return" => Verdict::Return,
        "jump" => Verdict::Jump(text(&part["jump"]["target"])),
        "goto" => Verdict::Goto(text(&part["goto"]["target"])),
        _ => return None,
    })
}

/// Says whether one of the values on the right is the packet's; a named set may hold anything.
fn holds(right: &Value, is: impl Fn(&Value) -> Option<bool>) -> Fit {
    let named = |value: &Value| value.as_str().is_some_and(|text| text.starts_with('@'));
    let values: &[Value] = match (&right["set"], right) {
        (Value::Array(values), _) | (_, Value::Array(values)) => values,
        (_, one) => std::slice::from_ref(one),
    };
    if values.iter().any(named) {
        return Fit::Perhaps;
    }
    let answers: Vec<Option<bool>> = values.iter().map(is).collect();
    if answers.contains(&Some(true)) {
        Fit::Yes
    } else if answers.contains(&None) {
        Fit::Perhaps
    } else {
        Fit::No
    }
}

fn is_port(value: &Value, port: u16) -> Option<bool> {
    let value = if value["elem"].is_null() {
        value
    } else {
        &value["elem"]["val"]
    };
    if let [first, last] = value["range"].as_array().map_or(&[][..], Vec::as_slice) {
        return Some((first.as_u64()?..=last.as_u64()?).contains(&u64::from(port)));
    }
    Some(value.as_u64()? == u64::from(port))
}

fn parts(rule: &Value) -> &[Value] {
    rule["expr"].as_array().map_or(&[], Vec::as_slice)
}

/// Shows a rule nearly as it was written.
fn show(rule: &Value) -> String {
    let words: Vec<String> = parts(rule).iter().filter_map(show_part).collect();
    words.join(" ")
}

fn show_part(part: &Value) -> Option<String> {
    let condition = &part["match"];
    if condition.is_null() {
        let key = part.as_object()?.keys().next()?;
        let target = text(&part[key]["target"]);
        return match key.as_str() {
            "counter" | "log" | "comment" => None,
            _ if target.is_empty() => Some(key.clone()),
            _ => Some(format!("{key} {target}")),
        };
    }
    let left = &condition["left"];
    let name = match (&left["payload"], &left["meta"], &left["ct"]) {
        (Value::Object(payload), ..) => {
            format!("{} {}", text(&payload["protocol"]), text(&payload["field"]))
        }
        (_, Value::Object(meta), _) => text(&meta["key"]).to_owned(),
        (_, _, Value::Object(ct)) => format!("ct {}", text(&ct["key"])),
        _ => left.to_string(),
    };
    let operator = if condition["op"] == "!=" { "!= " } else { "" };
    Some(format!(
        "{name} {operator}{}",
        show_value(&condition["right"])
    ))
}

fn show_value(value: &Value) -> String {
    let list = |values: &[Value], with: &str| {
        let shown: Vec<String> = values.iter().map(show_value).collect();
        shown.join(with)
    };
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => list(values, ","),
        Value::Object(object) => match (&value["set"], &value["range"], &value["prefix"]) {
            (Value::Array(values), ..) => format!("{{ {} }}", list(values, ", ")),
            (_, Value::Array(values), _) => list(values, "-"),
            (_, _, Value::Object(prefix)) => format!("{}/{}", text(&prefix["addr"]), prefix["len"]),
            _ => serde_json::to_string(object).unwrap_or_default(),
        },
        other => other.to_string(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
