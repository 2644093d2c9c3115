//! What does the practice DNS server know?

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CAA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// The names a DNS server answers for, and how.
#[derive(Clone, Debug)]
pub struct Zone {
    addresses: HashMap<String, Vec<IpAddr>>,
    otherwise: Vec<IpAddr>,
    missing: HashSet<String>,
    failing: HashSet<String>,
    silent: HashSet<String>,
    caa: HashMap<String, Vec<Caa>>,
}

/// A CAA record (RFC 8659 section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caa {
    /// Whether a CA that does not know the tag must refuse.
    pub critical: bool,
    /// `issue`, `issuewild`, `iodef`, or something that nobody knows.
    pub tag: String,
    /// What the tag is set to.
    pub value: String,
}

impl Default for Zone {
    /// Returns a zone in which every name leads to 127.0.0.1.
    fn default() -> Zone {
        Zone::new(&[Ipv4Addr::LOCALHOST.into()])
    }
}

impl Zone {
    /// Returns a zone in which every name has these addresses.
    pub fn new(otherwise: &[IpAddr]) -> Zone {
        Zone {
            addresses: HashMap::new(),
            otherwise: otherwise.to_vec(),
            missing: HashSet::new(),
            failing: HashSet::new(),
            silent: HashSet::new(),
            caa: HashMap::new(),
        }
    }

    /// Gives a name its own addresses; with none, it exists without any.
    pub fn set(&mut self, name: &str, addresses: &[IpAddr]) -> &mut Zone {
        self.forget(name)
            .addresses
            .insert(key(name), addresses.to_vec());
        self
    }

    /// Changes the addresses of all names without their own.
    pub fn set_otherwise(&mut self, addresses: &[IpAddr]) -> &mut Zone {
        self.otherwise = addresses.to_vec();
        self
    }

    /// Lets a name not exist.
    pub fn nxdomain(&mut self, name: &str) -> &mut Zone {
        self.forget(name).missing.insert(key(name));
        self
    }

    /// Lets every question about a name fail with SERVFAIL.
    pub fn servfail(&mut self, name: &str) -> &mut Zone {
        self.forget(name).failing.insert(key(name));
        self
    }

    /// Lets every question about a name go without an answer.
    pub fn silent(&mut self, name: &str) -> &mut Zone {
        self.forget(name).silent.insert(key(name));
        self
    }

    /// Gives a name CAA records.
    pub fn set_caa(&mut self, name: &str, records: &[Caa]) -> &mut Zone {
        self.caa.insert(key(name), records.to_vec());
        self
    }

    /// Forgets what was said about a name: it has the default addresses again.
    pub fn forget(&mut self, name: &str) -> &mut Zone {
        let name = key(name);
        self.addresses.remove(&name);
        self.missing.remove(&name);
        self.failing.remove(&name);
        self.silent.remove(&name);
        self.caa.remove(&name);
        self
    }

    /// Returns the answer to a message; nothing where there shall be none.
    pub(super) fn answer(&self, question: &[u8], over_udp: bool) -> Option<Vec<u8>> {
        let question = Message::from_vec(question).ok()?;
        if question.metadata.message_type != MessageType::Query {
            return None;
        }
        let query = question.queries.first()?;
        let name = key(&query.name().to_ascii());
        if self.silent.contains(&name) {
            return None;
        }
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.metadata.recursion_desired = question.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        if question.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_LIMIT);
            answer.set_edns(edns);
        }
        let (code, records) = if question.metadata.op_code == OpCode::Query {
            self.records(&name, query.name(), query.query_type())
        } else {
            (ResponseCode::NotImp, Vec::new())
        };
        answer.metadata.response_code = code;
        answer.add_answers(records);
        let bytes = answer.to_vec().ok()?;
        let limit = if question.edns.is_some() {
            question.max_payload().clamp(512, UDP_LIMIT)
        } else {
            512
        };
        if over_udp && bytes.len() > limit.into() {
            return answer.truncate().to_vec().ok();
        }
        Some(bytes)
    }

    fn records(&self, key: &str, name: &Name, kind: RecordType) -> (ResponseCode, Vec<Record>) {
        if self.missing.contains(key) {
            return (ResponseCode::NXDomain, Vec::new());
        }
        if self.failing.contains(key) {
            return (ResponseCode::ServFail, Vec::new());
        }
        let data: Vec<RData> = match kind {
            RecordType::A => self.addresses(key).filter_map(ipv4).collect(),
            RecordType::AAAA => self.addresses(key).filter_map(ipv6).collect(),
            RecordType::CAA => self
                .caa
                .get(key)
                .into_iter()
                .flatten()
                .map(Caa::data)
                .collect(),
            // Every other kind exists, too, but has no records here.
            _ => Vec::new(),
        };
        let records = data
            .into_iter()
            .map(|data| Record::from_rdata(name.clone(), TTL, data))
            .collect();
        (ResponseCode::NoError, records)
    }

    fn addresses(&self, key: &str) -> impl Iterator<Item = IpAddr> {
        self.addresses
            .get(key)
            .unwrap_or(&self.otherwise)
            .iter()
            .copied()
    }
}

impl Caa {
    /// Returns a record that lets this issuer issue; `;` lets nobody.
    pub fn issue(issuer: &str) -> Caa {
        Caa {
            critical: false,
            tag: "issue".to_owned(),
            value: issuer.to_owned(),
        }
    }

    fn data(&self) -> RData {
        let mut caa = CAA::new_issue(self.critical, None, Vec::new());
        caa.tag.clone_from(&self.tag);
        caa.value = self.value.clone().into_bytes();
        RData::CAA(caa)
    }
}

fn ipv4(address: IpAddr) -> Option<RData> {
    match address {
        IpAddr::V4(address) => Some(RData::A(A(address))),
        IpAddr::V6(_) => None,
    }
}

fn ipv6(address: IpAddr) -> Option<RData> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(RData::AAAA(AAAA(address))),
    }
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Answers may change at any time, so nobody shall keep them. In seconds.
const TTL: u32 = 0;

/// The largest answer over UDP, in bytes (DNS flag day 2020).
const UDP_LIMIT: u16 = 1232;

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use hickory_proto::op::Query;
    use std::str::FromStr;

    fn zone() -> Zone {
        let mut zone = Zone::default();
        zone.set(
            "two.test",
            &["::1".parse().unwrap(), "127.0.0.2".parse().unwrap()],
        )
        .set("none.test", &[])
        .nxdomain("gone.test")
        .servfail("broken.test")
        .silent("silent.test")
        .set_caa("caa.test", &[Caa::issue(";")]);
        zone
    }

    fn check(name: &str, kind: RecordType, expected: &Expect) {
        let mut question = Message::query();
        question.add_query(Query::query(Name::from_str(name).unwrap(), kind));
        let seen = match zone().answer(&question.to_vec().unwrap(), true) {
            None => "silence".to_owned(),
            Some(answer) => {
                let answer = Message::from_vec(&answer).unwrap();
                assert_eq!(answer.metadata.id, question.metadata.id);
                let data: Vec<String> = answer
                    .answers
                    .iter()
                    .map(|record| record.data.to_string())
                    .collect();
                format!("{} {data:?}", answer.metadata.response_code)
            }
        };
        expected.assert_eq(&seen);
    }

    #[test]
    fn names_have_their_addresses_or_the_default() {
        check(
            "other.test.",
            RecordType::A,
            &expect![[r#"No Error ["127.0.0.1"]"#]],
        );
        check("other.test.", RecordType::AAAA, &expect!["No Error []"]);
        check(
            "TWO.test.",
            RecordType::A,
            &expect![[r#"No Error ["127.0.0.2"]"#]],
        );
        check(
            "two.test.",
            RecordType::AAAA,
            &expect![[r#"No Error ["::1"]"#]],
        );
        check("none.test.", RecordType::A, &expect!["No Error []"]);
        check("other.test.", RecordType::TXT, &expect!["No Error []"]);
    }

    #[test]
    fn names_fail_as_told() {
        check(
            "gone.test.",
            RecordType::A,
            &expect!["Non-Existent Domain []"],
        );
        check(
            "broken.test.",
            RecordType::AAAA,
            &expect!["Server Failure []"],
        );
        check("silent.test.", RecordType::A, &expect!["silence"]);
    }

    #[test]
    fn caa_is_empty_unless_set() {
        check("other.test.", RecordType::CAA, &expect!["No Error []"]);
        check(
            "caa.test.",
            RecordType::CAA,
            &expect![[r#"No Error ["0 issue \";\""]"#]],
        );
    }

    #[test]
    fn what_is_no_question_gets_no_answer() {
        assert_eq!(zone().answer(b"", true), None);
        assert_eq!(zone().answer(&[0xff; 64], true), None);
    }

    #[test]
    fn an_answer_too_long_for_udp_is_cut() {
        let mut zone = Zone::default();
        let many: Vec<IpAddr> = (0..200)
            .map(|last| IpAddr::from([127, 0, 0, last]))
            .collect();
        zone.set("many.test", &many);
        let mut question = Message::query();
        question.add_query(Query::query(
            Name::from_str("many.test.").unwrap(),
            RecordType::A,
        ));
        let ask = |over_udp| {
            Message::from_vec(&zone.answer(&question.to_vec().unwrap(), over_udp).unwrap()).unwrap()
        };
        assert!(ask(true).metadata.truncation);
        assert_eq!(ask(false).answers.len(), 200);
    }
}
