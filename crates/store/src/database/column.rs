//! How does each value stand in a column?
//!
//! Moments are microseconds since 1970: 64 bits hold every year that jiff knows, which nanoseconds would not
//! (a certificate may end in the year 9999). Names of a list are joined by spaces, which no name contains.

use jiff::Timestamp;
use renewal::name::Name;
use renewal::names::Names;
use renewal::ports::Stamp;
use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::trouble::{Answer, Trouble};

pub(super) fn text<'row>(row: &'row Row<'_>, index: usize) -> Answer<&'row str> {
    Ok(row.get_ref(index)?.as_str()?)
}

pub(super) fn optional_text(row: &Row<'_>, index: usize) -> Answer<Option<String>> {
    Ok(row.get_ref(index)?.as_str_or_null()?.map(str::to_owned))
}

pub(super) fn number(row: &Row<'_>, index: usize) -> Answer<i64> {
    Ok(row.get_ref(index)?.as_i64()?)
}

pub(super) fn count(row: &Row<'_>, index: usize) -> Answer<u32> {
    let number = number(row, index)?;
    u32::try_from(number).map_err(|_| Trouble::value("a count", number))
}

pub(super) fn bytes<'row>(row: &'row Row<'_>, index: usize) -> Answer<&'row [u8]> {
    Ok(row.get_ref(index)?.as_blob()?)
}

pub(super) fn is_null(row: &Row<'_>, index: usize) -> Answer<bool> {
    Ok(row.get_ref(index)? == ValueRef::Null)
}

pub(super) fn name(row: &Row<'_>, index: usize) -> Answer<Name> {
    parse_name(text(row, index)?)
}

pub(super) fn name_list(row: &Row<'_>, index: usize) -> Answer<Vec<Name>> {
    let text = text(row, index)?;
    text.split(' ')
        .filter(|part| !part.is_empty())
        .map(parse_name)
        .collect()
}

pub(super) fn names(row: &Row<'_>, index: usize) -> Answer<Names> {
    Names::new(name_list(row, index)?)
        .ok_or_else(|| Trouble::value("a list of names", "it is empty"))
}

pub(super) fn moment(row: &Row<'_>, index: usize) -> Answer<Timestamp> {
    Timestamp::from_microsecond(number(row, index)?)
        .map_err(|error| Trouble::value("a moment", error))
}

pub(super) fn stamp(bytes: &[u8]) -> Answer<Stamp> {
    let whole: &[u8; STAMP_BYTES] = bytes
        .try_into()
        .map_err(|_| Trouble::value("a stamp", format_args!("it has {} bytes", bytes.len())))?;
    let part = |from: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&whole[from..from + 8]);
        u64::from_le_bytes(eight)
    };
    let modified = u128::from(part(8)) | (u128::from(part(16)) << 64);
    Ok(Stamp {
        inode: part(0),
        modified_ns: modified.cast_signed(),
        size: part(24),
    })
}

/// Writes a moment, rounded down to the microsecond.
pub(super) fn from_moment(moment: Timestamp) -> i64 {
    moment.as_microsecond()
}

/// Writes names in their order.
pub(super) fn from_names(names: &[Name]) -> String {
    let mut joined = String::with_capacity(names.len() * 24);
    for name in names {
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(name.as_str());
    }
    joined
}

/// Writes a stamp. It is only ever compared, so it need not be readable.
pub(super) fn from_stamp(stamp: &Stamp) -> [u8; STAMP_BYTES] {
    let mut bytes = [0; STAMP_BYTES];
    bytes[..8].copy_from_slice(&stamp.inode.to_le_bytes());
    bytes[8..24].copy_from_slice(&stamp.modified_ns.to_le_bytes());
    bytes[24..].copy_from_slice(&stamp.size.to_le_bytes());
    bytes
}

fn parse_name(text: &str) -> Answer<Name> {
    Name::parse(text).map_err(|error| Trouble::value("a name", error))
}

/// Inode, nanoseconds, size.
const STAMP_BYTES: usize = 32;
