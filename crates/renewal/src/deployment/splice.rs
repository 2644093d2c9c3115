//! What changes in a file, so that it can be changed back with nothing else at hand?

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One stretch of a file that is replaced by another.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Splice {
    /// Where the stretch begins, in bytes.
    pub at: usize,
    /// What is there before.
    #[serde(with = "self")]
    pub removed: Vec<u8>,
    /// What is there afterwards.
    #[serde(with = "self")]
    pub inserted: Vec<u8>,
}

impl Splice {
    /// Returns the shortest splice that makes `after` of `before`.
    #[must_use]
    pub fn between(before: &[u8], after: &[u8]) -> Self {
        let shorter = before.len().min(after.len());
        let alike = |pairs: &mut dyn Iterator<Item = (&u8, &u8)>| {
            pairs.take_while(|(one, other)| one == other).count()
        };
        let at = alike(&mut before.iter().zip(after));
        let same_end = alike(&mut before.iter().rev().zip(after.iter().rev()));
        // The beginning and the end that are alike must not share a byte.
        let same_end = same_end.min(shorter - at);
        Self {
            at,
            removed: before[at..before.len() - same_end].to_owned(),
            inserted: after[at..after.len() - same_end].to_owned(),
        }
    }

    /// Makes it; `None` when the file is another.
    #[must_use]
    pub fn make(&self, before: &[u8]) -> Option<Vec<u8>> {
        replace(before, self.at, &self.removed, &self.inserted)
    }

    /// Makes it undone; `None` when the file is another.
    #[must_use]
    pub fn unmake(&self, after: &[u8]) -> Option<Vec<u8>> {
        replace(after, self.at, &self.inserted, &self.removed)
    }
}

fn replace(file: &[u8], at: usize, old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let (start, rest) = file.split_at_checked(at)?;
    let end = rest.strip_prefix(old)?;
    Some([start, new, end].concat())
}

/// Writes each byte as the character of the same number: text stays readable, and whatever else is there stays too.
fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let text: String = bytes.iter().copied().map(char::from).collect();
    serializer.serialize_str(&text)
}

fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = text.chars().map(|c| u8::try_from(u32::from(c)));
    bytes
        .collect::<Result<_, _>>()
        .map_err(|_| serde::de::Error::custom("a byte is written as a character below U+0100"))
}

#[cfg(test)]
mod tests {
    use super::Splice;

    fn check(before: &[u8], after: &[u8], expected: (usize, &[u8], &[u8])) {
        let splice = Splice::between(before, after);
        let found = (splice.at, &*splice.removed, &*splice.inserted);
        assert_eq!(found, expected);
        assert_eq!(splice.make(before).as_deref(), Some(after));
        assert_eq!(splice.unmake(after).as_deref(), Some(before));
        let text = serde_json::to_string(&splice).unwrap();
        assert_eq!(serde_json::from_str::<Splice>(&text).unwrap(), splice);
    }

    #[test]
    fn what_is_alike_at_both_ends_is_left_out() {
        check(b"", b"", (0, b"", b""));
        check(b"same", b"same", (4, b"", b""));
        check(
            b"server { }",
            b"server { listen 443; }",
            (9, b"", b"listen 443; "),
        );
        check(b"aaa", b"aaaa", (3, b"", b"a"));
        check(b"aaaa", b"aaa", (3, b"a", b""));
        check(b"old", b"new", (0, b"old", b"new"));
        check(b"\xff\0x", b"\xfe\0x", (0, b"\xff", b"\xfe"));
    }

    #[test]
    fn a_file_that_is_another_is_not_changed() {
        let splice = Splice::between(b"server { }", b"server { listen 443; }");
        assert_eq!(splice.unmake(b"server { listen 80; }"), None);
        assert_eq!(splice.unmake(b""), None);
        let splice = Splice::between(b"a old b", b"a new b");
        assert_eq!(splice.make(b"a odd b"), None);
        assert_eq!(splice.make(b"a"), None);
    }
}
