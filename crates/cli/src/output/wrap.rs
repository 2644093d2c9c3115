//! How does text fit into a narrow terminal?

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Appends `text` to `out`, each line after the first indented, broken between words to fit `width` columns.
pub fn push_wrapped(out: &mut String, text: &str, indent: usize, width: Option<usize>) {
    let room = width.map_or(usize::MAX, |width| {
        width.saturating_sub(indent).max(ROOM_LEAST)
    });
    let mut first = true;
    for line in text.lines() {
        let mut used = 0;
        let mut fresh = true;
        for word in line.split_whitespace() {
            let word = clean(word);
            let wide = word.width();
            if !first && fresh {
                next_line(out, indent);
            } else if !fresh && used + 1 + wide > room {
                next_line(out, indent);
                used = 0;
            } else if !fresh {
                out.push(' ');
                used += 1;
            }
            out.push_str(&word);
            used += wide;
            (first, fresh) = (false, false);
        }
    }
    out.push('\n');
}

/// Shortens text to so many columns, with an ellipsis.
#[must_use]
pub fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut used = 0;
    let mut kept = String::new();
    for character in text.chars() {
        used += character.width().unwrap_or(0);
        if used >= columns {
            break;
        }
        kept.push(character);
    }
    kept + "…"
}

/// Makes control characters visible, so that a log line or a reply of a stranger cannot steer the terminal.
#[must_use]
pub fn clean(text: &str) -> String {
    if !text.contains(is_steering) {
        return text.to_owned();
    }
    let mut cleaned = String::with_capacity(text.len());
    for character in text.chars() {
        if is_steering(character) {
            cleaned.extend(character.escape_unicode());
        } else {
            cleaned.push(character);
        }
    }
    cleaned
}

/// Control characters, and those that turn the direction of text around (Unicode TR 9).
pub(crate) fn is_steering(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn next_line(out: &mut String, indent: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', indent));
}

/// In less room nothing can be read; let the terminal break the line.
const ROOM_LEAST: usize = 20;

#[cfg(test)]
mod tests {
    use super::{clean, cut, push_wrapped};
    use expect_test::expect;

    #[test]
    fn text_is_broken_between_words_and_control_characters_are_shown() {
        let mut out = String::from("fix: ");
        push_wrapped(
            &mut out,
            "let nginx listen on port 80,\nor \u{1b}[31mredirect",
            7,
            Some(30),
        );
        expect![[r#"
            fix: let nginx listen on
                   port 80,
                   or \u{1b}[31mredirect
        "#]]
        .assert_eq(&out);
        let mut out = String::new();
        push_wrapped(&mut out, &"x".repeat(50), 0, Some(10));
        assert_eq!(out.len(), 51);
    }

    #[test]
    fn columns_are_counted_not_bytes() {
        assert_eq!(cut("例え.example", 6), "例え.…");
        assert_eq!(cut("a.test", 6), "a.test");
        assert_eq!(clean("a\u{202e}b\t"), "a\\u{202e}b\\u{9}");
    }
}
