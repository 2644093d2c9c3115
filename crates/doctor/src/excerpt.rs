//! How is a stranger's text shown?

/// Returns the beginning of `bytes` in quotes, on one line, with nothing a terminal would obey.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::from("“");
    for (count, c) in text.trim_end().chars().enumerate() {
        if count == CHARACTERS_MAX {
            shown.push('…');
            break;
        }
        // Direction marks and other format characters are no control characters, but reorder a line.
        if c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown.push('”');
    shown
}

/// Enough to recognise a page.
const CHARACTERS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::excerpt;
    use expect_test::{Expect, expect};

    fn check(bytes: &[u8], expect: Expect) {
        expect.assert_eq(&excerpt(bytes));
    }

    #[test]
    fn text_is_shown_as_it_is_and_the_rest_is_escaped() {
        check(b"hello\r\n", expect!["“hello”"]);
        check(b"<html>\n<b>", expect![[r"“<html>\n<b>”"]]);
        check(
            "\u{1b}[31mred \u{202e}x ü".as_bytes(),
            expect![[r"“\u{1b}[31mred \u{202e}x ü”"]],
        );
        check(b"\xff\xfe", expect!["“��”"]);
        check(b"", expect!["“”"]);
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(excerpt(&[b'a'; 1_000_000]).chars().count(), 103);
    }
}
