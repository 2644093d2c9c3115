//! How does a packet fare among the rules of iptables?
//!
//! The form is that of `iptables-save`. ufw's rules are found here too.

use super::{DEPTH_MAX, End, Fit, Packet, Passage};

/// Leads the packet through the chain `INPUT` of the table `filter`.
pub(super) fn passage(text: &str, packet: &Packet<'_>) -> Passage {
    let table = text.split("*filter").nth(1).unwrap_or_default();
    let lines: Vec<&str> = table
        .lines()
        .map(str::trim)
        .take_while(|line| *line != "COMMIT")
        .collect();
    let rules = Rules { lines, packet };
    let mut passage = Passage::default();
    let end = rules.chain("INPUT", 0, Fit::Yes, &mut passage);
    let dropped = rules
        .lines
        .iter()
        .find(|line| line.starts_with(":INPUT DROP"));
    passage.closed = match (end, dropped) {
        (End::Stopped(rule), _) => Some(rule),
        (End::Returned, Some(_)) => Some("iptables -P INPUT DROP".to_owned()),
        (End::Returned | End::Accepted, _) => None,
    };
    passage
}

struct Rules<'a> {
    lines: Vec<&'a str>,
    packet: &'a Packet<'a>,
}

/// What a rule says, as far as it is known.
#[derive(Default)]
struct Rule<'a> {
    fits: Option<Fit>,
    target: &'a str,
    goes: bool,
}

impl Rules<'_> {
    fn chain(&self, name: &str, depth: usize, reached: Fit, passage: &mut Passage) -> End {
        if depth > DEPTH_MAX {
            return End::Returned;
        }
        let begin = format!("-A {name} ");
        for line in self.lines.iter().filter(|line| line.starts_with(&begin)) {
            let rule = self.read(&line[begin.len()..]);
            let fit = rule.fits.unwrap_or(Fit::Yes);
            if fit == Fit::No {
                continue;
            }
            let end = match rule.target {
                "ACCEPT" => End::Accepted,
                "DROP" | "REJECT" | "TARPIT" => End::Stopped(format!("iptables {line}")),
                "RETURN" if fit == Fit::Yes => return End::Returned,
                target => {
                    let end = self.chain(target, depth + 1, reached.and(fit), passage);
                    if rule.goes && end == End::Returned && fit == Fit::Yes {
                        return End::Returned;
                    }
                    end
                }
            };
            match (end, reached.and(fit) == Fit::Yes) {
                (End::Returned, _) => {}
                (end @ (End::Accepted | End::Stopped(_)), true) => return end,
                (End::Accepted, false) => passage.for_some = true,
                (End::Stopped(rule), false) => passage.some.push(rule),
            }
        }
        End::Returned
    }

    fn read<'r>(&self, words: &'r str) -> Rule<'r> {
        let mut rule = Rule::default();
        let mut words = words.split_whitespace();
        let mut negated = false;
        while let Some(word) = words.next() {
            if word == "!" {
                negated = true;
                continue;
            }
            let mut argument = || words.next().unwrap_or_default();
            let fit = match word {
                "-j" | "-g" => {
                    rule.goes = word == "-g";
                    rule.target = argument();
                    break;
                }
                "-p" => Fit::of(matches!(argument(), "tcp" | "6" | "all")),
                "-i" => self.packet.comes_by(argument()),
                "--dport" | "--dports" => self.is_among(argument()),
                "--ctstate" | "--state" => {
                    Fit::of(argument().split(',').any(|state| state == "NEW"))
                }
                "--dst-type" => Fit::of(argument() == "LOCAL"),
                "-m" => match argument() {
                    "tcp" | "multiport" | "comment" | "conntrack" | "state" | "addrtype" => {
                        Fit::Yes
                    }
                    "udp" | "icmp" | "icmp6" | "ipv6-icmp" => Fit::No,
                    _ => Fit::Perhaps,
                },
                "--comment" => {
                    skip_quoted(argument(), &mut words);
                    Fit::Yes
                }
                _ if word.starts_with('-') => Fit::Perhaps,
                _ => Fit::Yes,
            };
            let fit = if negated { fit.not() } else { fit };
            negated = false;
            rule.fits = Some(rule.fits.map_or(fit, |known| known.and(fit)));
        }
        rule
    }

    fn is_among(&self, ports: &str) -> Fit {
        let port = self.packet.port;
        Fit::of(ports.split(',').any(|range| {
            let (first, last) = range.split_once(':').unwrap_or((range, range));
            let first = first.parse().unwrap_or(0);
            let last = if last.is_empty() {
                u16::MAX
            } else {
                last.parse().unwrap_or(0)
            };
            (first..=last).contains(&port)
        }))
    }
}

/// Passes over the rest of a comment in quotes.
fn skip_quoted<'a>(first: &str, words: &mut impl Iterator<Item = &'a str>) {
    let whole = !first.starts_with('"') || (first.len() > 1 && first.ends_with('"'));
    if !whole {
        let _ = words.find(|word| word.ends_with('"'));
    }
}
