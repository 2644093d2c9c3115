//! Which files does the pattern of an `include` name?
//!
//! As glob(3) does it without flags, which is what nginx calls: `*`, `?` and `[…]` do not match a
//! leading dot nor a slash, a backslash takes a special byte's meaning away, the result is in byte
//! order, and nothing that does not match is there: `*.conf` leaves `x.conf.bak` alone.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::read::Reader;

/// Says whether an `include` with this value is a pattern, by nginx's own test.
#[must_use]
pub fn is_pattern(value: &[u8]) -> bool {
    value.iter().any(|b| matches!(b, b'*' | b'?' | b'['))
}

/// Returns the files that an absolute pattern names, in byte order.
///
/// # Errors
///
/// A folder that is there but can't be listed. (A folder that is not there holds no match.)
pub fn expand(reader: &dyn Reader, pattern: &[u8]) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern
        .split(|&b| b == b'/')
        .filter(|part| !part.is_empty())
    {
        let mut next = Vec::new();
        for folder in found {
            if is_pattern(part) {
                add_matches(reader, &folder, part, &mut next)?;
            } else {
                next.push(folder.join(OsStr::from_bytes(&without_escapes(part))));
            }
        }
        found = next;
    }
    let ends_in_pattern = pattern
        .rsplit(|&b| b == b'/')
        .next()
        .is_some_and(is_pattern);
    if !ends_in_pattern {
        found.retain(|path| reader.exists(path));
    }
    // Stable, for that takes what is in order already as it is: the matches of one folder are.
    found.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    Ok(found)
}

/// Says whether a file name matches one component of a pattern.
#[must_use]
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') && !pattern.starts_with(b"\\.")
    {
        return false;
    }
    // Where to go on when what follows the last `*` does not fit: one byte further on.
    let mut retry: Option<(&[u8], &[u8])> = None;
    let (mut pattern, mut name) = (pattern, name);
    loop {
        let step = match pattern.first() {
            Some(b'*') => {
                pattern = &pattern[1..];
                retry = Some((pattern, name));
                continue;
            }
            Some(_) => one(pattern, name),
            None if name.is_empty() => return true,
            None => None,
        };
        if let Some(length) = step {
            pattern = &pattern[length..];
            name = &name[1..];
        } else {
            let Some((after_star, [_, shorter @ ..])) = retry else {
                return false;
            };
            (pattern, name) = (after_star, shorter);
            retry = Some((pattern, name));
        }
    }
}

fn add_matches(
    reader: &dyn Reader,
    folder: &Path,
    part: &[u8],
    into: &mut Vec<PathBuf>,
) -> io::Result<()> {
    let mut names = match reader.list(folder) {
        Ok(names) => names,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    names.retain(|name| matches(part, name.as_bytes()));
    names.sort_unstable();
    into.reserve(names.len());
    for name in names {
        let mut path = PathBuf::with_capacity(folder.as_os_str().len() + 1 + name.len());
        path.push(folder);
        path.push(name);
        into.push(path);
    }
    Ok(())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Matches one byte of the name; returns how much of the pattern that took.
fn one(pattern: &[u8], name: &[u8]) -> Option<usize> {
    let &byte = name.first()?;
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', set @ ..] => match class(set, byte) {
            Some((true, length)) => Some(1 + length),
            Some((false, _)) => None,
            None => (byte == b'[').then_some(1), // an unclosed bracket is itself
        },
        [b'\\', escaped, ..] => (byte == *escaped).then_some(2),
        [plain, ..] => (byte == *plain).then_some(1),
        [] => None,
    }
}

/// Says whether the set, after its `[`, holds the byte, and how long it is up to its `]`.
fn class(set: &[u8], byte: u8) -> Option<(bool, usize)> {
    let negated = matches!(set.first(), Some(b'!' | b'^'));
    let mut at = usize::from(negated);
    let first = at;
    let mut holds = false;
    loop {
        match &set[at..] {
            [] => return None,
            [b']', ..] if at > first => return Some((holds != negated, at + 1)),
            [b'[', b':', rest @ ..] => {
                let length = rest.windows(2).position(|w| w == b":]")?;
                holds |= is_in_class(&rest[..length], byte);
                at += length + 4;
            }
            rest => {
                let (low, length) = member(rest)?;
                at += length;
                if let [b'-', high, ..] = &set[at..]
                    && *high != b']'
                {
                    let (high, length) = member(&set[at + 1..])?;
                    at += 1 + length;
                    holds |= (low..=high).contains(&byte);
                } else {
                    holds |= low == byte;
                }
            }
        }
    }
}

fn member(set: &[u8]) -> Option<(u8, usize)> {
    match set {
        [b'\\', escaped, ..] => Some((*escaped, 2)),
        [plain, ..] => Some((*plain, 1)),
        [] => None,
    }
}

fn is_in_class(name: &[u8], byte: u8) -> bool {
    match name {
        b"alpha" => byte.is_ascii_alphabetic(),
        b"digit" => byte.is_ascii_digit(),
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"lower" => byte.is_ascii_lowercase(),
        b"upper" => byte.is_ascii_uppercase(),
        b"xdigit" => byte.is_ascii_hexdigit(),
        b"punct" => byte.is_ascii_punctuation(),
        b"space" => byte.is_ascii_whitespace() || byte == 0x0b,
        _ => false,
    }
}

fn without_escapes(part: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(part.len());
    let mut bytes = part.iter();
    while let Some(&byte) = bytes.next() {
        let meant = if byte == b'\\' {
            bytes.next()
        } else {
            Some(&byte)
        };
        plain.extend(meant);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::read::InMemory;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(pattern: &str, expected: &Expect) {
        let files = [
            "/etc/nginx/sites-enabled/a.conf",
            "/etc/nginx/sites-enabled/B.conf",
            "/etc/nginx/sites-enabled/b.conf.bak",
            "/etc/nginx/sites-enabled/c.bak.conf",
            "/etc/nginx/sites-enabled/.hidden.conf",
            "/etc/nginx/sites-enabled/d[1].conf",
            "/etc/nginx/sites-enabled/e-7.conf",
            "/etc/nginx/other/a.conf",
        ];
        let reader: InMemory = files.iter().map(|file| (*file, "")).collect();
        let found = expand(&reader, pattern.as_bytes()).unwrap();
        let shown: Vec<String> = found
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        expected.assert_eq(&shown.join("\n"));
    }

    #[test]
    fn only_what_the_pattern_matches_is_there() {
        check(
            "/etc/nginx/sites-enabled/*.conf",
            &expect![[r#"
            /etc/nginx/sites-enabled/B.conf
            /etc/nginx/sites-enabled/a.conf
            /etc/nginx/sites-enabled/c.bak.conf
            /etc/nginx/sites-enabled/d[1].conf
            /etc/nginx/sites-enabled/e-7.conf"#]],
        );
    }

    #[test]
    fn a_leading_dot_wants_a_dot() {
        check(
            "/etc/nginx/sites-enabled/.*",
            &expect!["/etc/nginx/sites-enabled/.hidden.conf"],
        );
        check("/etc/nginx/sites-enabled/?hidden.conf", &expect![""]);
        check("/etc/nginx/sites-enabled/[.]hidden.conf", &expect![""]);
    }

    #[test]
    fn sets_ranges_and_escapes() {
        check(
            "/etc/nginx/sites-enabled/[a-c].conf",
            &expect!["/etc/nginx/sites-enabled/a.conf"],
        );
        check(
            "/etc/nginx/sites-enabled/[!a-c].conf",
            &expect!["/etc/nginx/sites-enabled/B.conf"],
        );
        check(
            "/etc/nginx/sites-enabled/e-[[:digit:]].conf",
            &expect!["/etc/nginx/sites-enabled/e-7.conf"],
        );
        check(
            r"/etc/nginx/sites-enabled/*\[1].conf",
            &expect!["/etc/nginx/sites-enabled/d[1].conf"],
        );
        check("/etc/nginx/sites-enabled/[", &expect![""]);
    }

    #[test]
    fn a_folder_can_be_a_pattern() {
        check(
            "/etc/nginx/*/a.conf",
            &expect![[r#"
            /etc/nginx/other/a.conf
            /etc/nginx/sites-enabled/a.conf"#]],
        );
        check("/etc/nothing/*.conf", &expect![""]);
    }

    #[test]
    fn many_stars_are_not_slow() {
        let name = [b'a'; 2000];
        assert!(!matches(b"*a*a*a*a*a*a*a*a*b", &name));
        assert!(matches(b"*a*a*a*a*a*a*a*a*", &name));
    }
}
