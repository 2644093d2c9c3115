//! At which link does a chain of signatures break (DNSSEC)?
//!
//! A resolver that checks signatures says no more than that it failed. It is asked for the same with checking switched
//! off; when it then knows the answer, the signatures are to blame, and the usual faults are looked for from the name
//! upwards (RFC 4035 section 5): a DS record that no key of the zone fits, signatures that have ended or not begun, none
//! at all.

use std::net::SocketAddr;

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use jiff::Timestamp;

use super::direct::{Over, Question, ask, is_answer};

/// Returns what is broken, as a phrase; `None` when signatures are not to blame, or the resolver checks none.
pub(super) async fn broken(resolver: SocketAddr, name: &str) -> Option<String> {
    let unchecked = records(resolver, name, RecordType::A).await?;
    if !is_answer(&unchecked) {
        return None;
    }
    let mut zone = Some(name);
    while let Some(at) = zone.filter(|at| !at.is_empty()) {
        if let Some(why) = broken_at(resolver, at, &unchecked).await {
            return Some(why);
        }
        zone = at.split_once('.').map(|(_, above)| above);
    }
    // A server that failed for another reason has no answer now either, but may have recovered in between.
    let why = period(&unchecked)?;
    Some(format!(
        "the resolver refuses what it learns of {name}; {why}"
    ))
}

/// Looks at one zone; `None` when there is none, or nothing wrong is seen.
async fn broken_at(resolver: SocketAddr, zone: &str, answer: &Message) -> Option<String> {
    let (ds, keys) = tokio::join!(
        records(resolver, zone, RecordType::DS),
        records(resolver, zone, RecordType::DNSKEY)
    );
    let (ds, keys) = (ds?, keys?);
    let wanted: Vec<u16> = data(&ds, RecordType::DS)
        .filter_map(|ds| word(ds, 0))
        .collect();
    let there: Vec<u16> = data(&keys, RecordType::DNSKEY).map(key_tag).collect();
    let list = |tags: &[u16]| {
        let shown: Vec<String> = tags.iter().map(u16::to_string).collect();
        shown.join(", ")
    };
    if wanted.is_empty() && there.is_empty() {
        return None;
    }
    if there.is_empty() {
        return Some(format!(
            "the DS record of {zone} (key {}) is there, but the zone has no key",
            list(&wanted)
        ));
    }
    if !wanted.is_empty() && !wanted.iter().any(|tag| there.contains(tag)) {
        return Some(format!(
            "the DS record of {zone} is for key {}, and the zone has {}",
            list(&wanted),
            list(&there)
        ));
    }
    let signed = data(&keys, RecordType::RRSIG)
        .chain(data(answer, RecordType::RRSIG))
        .next();
    if signed.is_none() {
        return Some(format!(
            "{zone} is not signed, though its DS record says so"
        ));
    }
    None
}

/// Says how long the signatures of an answer hold; what time it is, the reader knows.
fn period(answer: &Message) -> Option<String> {
    let periods =
        data(answer, RecordType::RRSIG).map(|signature| (long(signature, 12), long(signature, 8)));
    let (first, last) = periods.reduce(|(first, last), (other_first, other_last)| {
        (first.max(other_first), last.min(other_last))
    })?;
    let moment = |seconds: u32| Timestamp::from_second(seconds.into()).ok();
    Some(format!(
        "its signatures hold from {} to {}",
        moment(first)?,
        moment(last)?
    ))
}

/// Asks the resolver, with its checks switched off.
async fn records(resolver: SocketAddr, name: &str, kind: RecordType) -> Option<Message> {
    let question = Question {
        name,
        kind,
        unchecked: true,
    };
    let answer = ask(resolver, question, Over::Udp).await.ok()?;
    if answer.metadata.truncation {
        return ask(resolver, question, Over::Tcp).await.ok();
    }
    Some(answer)
}

/// Returns the bare data of the records of one kind in an answer.
fn data(answer: &Message, kind: RecordType) -> impl Iterator<Item = &[u8]> {
    let of_kind = move |record: &&Record| record.record_type() == kind;
    answer
        .answers
        .iter()
        .filter(of_kind)
        .filter_map(|record| match &record.data {
            RData::Unknown { rdata, .. } => Some(&rdata.anything[..]),
            _ => None,
        })
}

/// Returns the number by which DS records and signatures name a key (RFC 4034 appendix B).
fn key_tag(key: &[u8]) -> u16 {
    let sum = key.iter().enumerate().fold(0_u32, |sum, (at, byte)| {
        let byte = u32::from(*byte);
        sum + if at % 2 == 0 { byte << 8 } else { byte }
    });
    ((sum + (sum >> 16)) & 0xffff) as u16
}

fn word(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(data.get(at..at + 2)?.try_into().ok()?))
}

fn long(data: &[u8], at: usize) -> u32 {
    let bytes = data.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_be_bytes)
}
