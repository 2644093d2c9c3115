//! Where does the body of a `*_by_lua_block` end?
//!
//! At the first `}` that closes no `{` of the Lua code. Braces inside Lua's strings, long brackets
//! (`[[…]]`, `[==[…]==]`) and comments do not count.

/// Returns the length of the Lua code that `bytes` begin with, up to the `}` that closes the block.
pub(super) fn body(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut open = 0_usize;
    loop {
        let rest = &bytes[at..];
        at += match rest.first()? {
            b'{' => {
                open += 1;
                1
            }
            b'}' if open == 0 => return Some(at),
            b'}' => {
                open -= 1;
                1
            }
            &quote @ (b'"' | b'\'') => string(rest, quote)?,
            b'-' if rest.starts_with(b"--") => 2 + comment(&rest[2..])?,
            b'[' => long_bracket(rest)?.unwrap_or(1),
            _ => 1,
        };
    }
}

fn string(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        match *bytes.get(at)? {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

fn comment(bytes: &[u8]) -> Option<usize> {
    if bytes.first() == Some(&b'[')
        && let Some(length) = long_bracket(bytes)?
    {
        return Some(length);
    }
    bytes.iter().position(|&b| b == b'\n')
}

/// Returns the length of a long bracket, `Some(None)` when there is none here, `None` when it does not end.
fn long_bracket(bytes: &[u8]) -> Option<Option<usize>> {
    let level = bytes[1..].iter().take_while(|&&b| b == b'=').count();
    if bytes.get(1 + level) != Some(&b'[') {
        return Some(None);
    }
    let mut close = vec![b'='; level + 2];
    close[0] = b']';
    close[level + 1] = b']';
    let inside = &bytes[level + 2..];
    let end = inside.windows(close.len()).position(|w| w == close)?;
    Some(Some(level + 2 + end + close.len()))
}

#[cfg(test)]
mod tests {
    use super::body;

    #[track_caller]
    fn check(code: &str, rest: Option<&str>) {
        let found = body(code.as_bytes()).map(|length| &code[length..]);
        assert_eq!(found, rest, "{code}");
    }

    #[test]
    fn the_brace_that_opens_nothing_ends_the_body() {
        check("} x", Some("} x"));
        check(" a = { b = {} } } x", Some("} x"));
        check("{", None);
        check("", None);
    }

    #[test]
    fn braces_in_strings_do_not_count() {
        check(r#" ngx.say("}") } x"#, Some("} x"));
        check(r#" ngx.say("\"}", '\'}') } x"#, Some("} x"));
        check(r#" ngx.say("} "#, None);
        check(r#" "\"#, None);
    }

    #[test]
    fn braces_in_comments_do_not_count() {
        check(" -- }\n } x", Some("} x"));
        check(" --[[ }\n} ]] } x", Some("} x"));
        check(" --[==[ ]] } ]==] } x", Some("} x"));
        check(" -- } x", None);
    }

    #[test]
    fn braces_in_long_brackets_do_not_count() {
        check(" s = [[ } ]] } x", Some("} x"));
        check(" s = [=[ ]] } ]=] } x", Some("} x"));
        check(" t[1] = a[b[2]] } x", Some("} x"));
        check(" s = [[ } ", None);
    }
}
