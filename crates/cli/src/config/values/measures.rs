//! How are numbers, sizes and lengths of time written?

use std::num::NonZeroU16;

use jiff::SignedDuration;
use toml::de::DeValue;

use super::{Value, cut, expected, quote};

/// How many orders are in flight at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Jobs(pub u16);

/// A number of bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size(pub u64);

/// How long the firewall stays open at most without a word from us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OpenFor(pub SignedDuration);

/// Numbers: an integer in the file, digits elsewhere.
macro_rules! number {
    ($($type:ty, $kind:literal, $make:expr, $show:expr;)+) => {$(
        impl Value for $type {
            const KIND: &'static str = $kind;

            fn from_text(text: &str) -> Result<Self, String> {
                let make: fn(u64) -> Option<Self> = $make;
                text.parse().ok().and_then(make).ok_or_else(|| format!("“{}” is not {}", cut(text), $kind))
            }

            fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
                match value {
                    DeValue::Integer(integer) if integer.radix() == 10 => Self::from_text(&integer.as_str().replace('_', "")),
                    other => Err(expected($kind, other)),
                }
            }

            fn show(&self) -> String {
                let show: fn(&Self) -> u64 = $show;
                show(self).to_string()
            }
        }
    )+};
}

number! {
    NonZeroU16, "a port from 1 to 65535", |n| u16::try_from(n).ok().and_then(NonZeroU16::new), |n| n.get().into();
    Jobs, "a number from 1 to 256", |n| u16::try_from(n).ok().filter(|n| (1..=256).contains(n)).map(Jobs), |n| n.0.into();
    u8, "a number from 0 to 255", |n| u8::try_from(n).ok(), |n| (*n).into();
}

impl Value for Option<SignedDuration> {
    const KIND: &'static str = "auto, or a time such as 30d or 36h";

    fn from_text(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(None);
        }
        let length = parse_duration(text)?;
        if !(BEFORE_EXPIRY_LEAST..=BEFORE_EXPIRY_MOST).contains(&length) {
            return Err(format!("“{text}” is not between an hour and ten years"));
        }
        Ok(Some(length))
    }

    fn show(&self) -> String {
        self.map_or_else(|| quote("auto"), show_duration)
    }
}

impl Value for OpenFor {
    const KIND: &'static str = "a time such as 10m";

    fn from_text(text: &str) -> Result<Self, String> {
        let length = parse_duration(text)?;
        if !(OPEN_FOR_LEAST..=OPEN_FOR_MOST).contains(&length) {
            return Err(format!("“{text}” is not between two seconds and a day"));
        }
        Ok(Self(length))
    }

    fn show(&self) -> String {
        show_duration(self.0)
    }
}

fn show_duration(length: SignedDuration) -> String {
    let seconds = length.as_secs();
    let (count, unit) = UNITS_OF_TIME
        .iter()
        .rev()
        .find(|(_, unit)| seconds % unit == 0)
        .map_or((seconds, 's'), |(letter, unit)| (seconds / unit, *letter));
    quote(&format!("{count}{unit}"))
}

impl Value for Size {
    const KIND: &'static str = "a size such as 500KiB or 10MiB";

    fn from_text(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor = UNITS_OF_SIZE
            .iter()
            .find(|(name, _)| unit.trim().eq_ignore_ascii_case(name))
            .map(|(_, factor)| *factor);
        let bytes = number
            .parse()
            .ok()
            .zip(factor)
            .and_then(|(number, factor): (u64, u64)| number.checked_mul(factor));
        let size = bytes.filter(|bytes| (SIZE_LEAST..=SIZE_MOST).contains(bytes));
        size.map(Self)
            .ok_or_else(|| format!("“{}” is not {} (from 4KiB to 1TiB)", cut(text), Self::KIND))
    }

    fn show(&self) -> String {
        let (name, factor) = UNITS_OF_SIZE
            .iter()
            .rev()
            .find(|(_, factor)| self.0.is_multiple_of(*factor))
            .unwrap_or(&UNITS_OF_SIZE[0]);
        quote(&format!("{}{name}", self.0 / factor))
    }
}

/// Reads a length of time: numbers with units, `30d`, `36h`, `1d12h`.
///
/// # Errors
///
/// Says what a length of time looks like.
pub(crate) fn parse_duration(text: &str) -> Result<SignedDuration, String> {
    let refuse = || {
        format!(
            "“{}” is not a time; write a number with s, m, h, d or w, such as 30d or 36h",
            cut(text)
        )
    };
    let mut rest = text;
    let mut seconds: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest[..digits].parse().map_err(|_| refuse())?;
        let letter = rest[digits..].chars().next().ok_or_else(refuse)?;
        let unit = UNITS_OF_TIME
            .iter()
            .find(|(name, _)| *name == letter)
            .map(|(_, unit)| *unit)
            .ok_or_else(refuse)?;
        seconds = number
            .checked_mul(unit)
            .and_then(|more| seconds.checked_add(more))
            .ok_or_else(refuse)?;
        rest = &rest[digits + letter.len_utf8()..];
    }
    if text.is_empty() {
        Err(refuse())
    } else {
        Ok(SignedDuration::from_secs(seconds))
    }
}

/// Letters of time with their seconds.
const UNITS_OF_TIME: [(char, i64); 5] = [
    ('s', 1),
    ('m', 60),
    ('h', 3_600),
    ('d', 86_400),
    ('w', 604_800),
];

/// Names of sizes with their bytes.
const UNITS_OF_SIZE: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// A smaller log would rotate with every few lines.
const SIZE_LEAST: u64 = 4 << 10;
const SIZE_MOST: u64 = 1 << 40;

/// Less is no time to mend anything; more is longer than any certificate lives.
const BEFORE_EXPIRY_LEAST: SignedDuration = SignedDuration::from_hours(1);
const BEFORE_EXPIRY_MOST: SignedDuration = SignedDuration::from_hours(10 * 366 * 24);

/// It is put off at half its time; a port that stays open for a day is not kept closed.
const OPEN_FOR_LEAST: SignedDuration = SignedDuration::from_secs(2);
const OPEN_FOR_MOST: SignedDuration = SignedDuration::from_hours(24);
