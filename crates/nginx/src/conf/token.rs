//! Where does one word of a configuration file end and the next begin?
//!
//! A transcription of the rules of nginx's `ngx_conf_read_token`, oddities included:
//!
//! - a space, `;` or `{` ends a word, but `{` does not after `$` (`${name}`);
//! - `}` and `#` are only special where a word could begin;
//! - a quoted word must be followed by space, `;`, `{` or `)`;
//! - a backslash takes the next byte with it, inside quotes and outside;
//! - no word, and no comment, may outgrow nginx's buffer.
//!
//! # Invariants
//!
//! - Every byte belongs to exactly one token, so the tokens in order are the file.
//! - Bytes that are no UTF-8 are as good as any other.

use std::borrow::Cow;

use super::error::{Fault, Wrong};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Blanks and line ends.
    Space,
    /// From `#` up to the end of the line, without the line end.
    Comment,
    /// The name or an argument of a directive that means what is written.
    Word,
    /// The same with quotes or backslashes, which nginx takes away.
    Quoted,
    /// `;`
    Semicolon,
    /// `{`
    Open,
    /// `}`
    Close,
    /// The body of a `*_by_lua_block`, which follows Lua's rules instead.
    Raw,
}

/// A token; it reaches as far as the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Offset of its first byte.
    pub start: u32,
    /// What it is.
    pub kind: Kind,
}

/// Reads one token after another.
pub(super) struct Lexer<'b> {
    bytes: &'b [u8],
    at: usize,
    /// Line of the byte at `at`, counted from 1.
    line: u32,
    /// Whether words of an unfinished directive were read.
    in_directive: bool,
    /// Whether the last token was a quoted word.
    after_quote: bool,
}

impl<'b> Lexer<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Lexer {
            bytes,
            at: 0,
            line: 1,
            in_directive: false,
            after_quote: false,
        }
    }

    pub(super) fn line(&self) -> u32 {
        self.line
    }

    /// Returns the next token, or none at the end of the file.
    #[inline] // a tenth of the whole time, when it is not
    pub(super) fn next(&mut self) -> Result<Option<Token>, Fault> {
        let start = self.at;
        let Some(&first) = self.bytes.get(start) else {
            if self.in_directive {
                return Err(self.fault(Wrong::EndInDirective));
            }
            return Ok(None);
        };
        if self.after_quote {
            self.after_quote = false;
            if !matches!(first, b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' | b')') {
                return Err(self.fault(Wrong::Unexpected(shown(first))));
            }
        }
        let kind = match first {
            b' ' | b'\t' | b'\r' | b'\n' => self.space(),
            b'#' => self.comment()?,
            b';' | b'{' if !self.in_directive => {
                return Err(self.fault(Wrong::Unexpected(shown(first))));
            }
            b'}' if self.in_directive => return Err(self.fault(Wrong::Unexpected('}'))),
            b';' => self.mark(Kind::Semicolon),
            b'{' => self.mark(Kind::Open),
            b'}' => self.mark(Kind::Close),
            b'"' | b'\'' => self.quoted(first)?,
            _ => self.word()?,
        };
        Ok(Some(Token {
            start: to_u32(start),
            kind,
        }))
    }

    /// Reads the body of a Lua block, up to but without the `}` that closes it.
    pub(super) fn lua(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        let Some(length) = super::lua::body(&self.bytes[start..]) else {
            self.line += newlines(&self.bytes[start..]);
            return Err(self.fault(Wrong::EndInBlock));
        };
        self.at += length;
        self.line += newlines(&self.bytes[start..self.at]);
        Ok(Token {
            start: to_u32(start),
            kind: Kind::Raw,
        })
    }

    fn mark(&mut self, kind: Kind) -> Kind {
        self.at += 1;
        self.in_directive = false;
        kind
    }

    fn space(&mut self) -> Kind {
        let rest = &self.bytes[self.at..];
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let length = rest
            .iter()
            .position(|byte| !is_space(byte))
            .unwrap_or(rest.len());
        self.line += newlines(&rest[..length]);
        self.at += length;
        Kind::Space
    }

    fn comment(&mut self) -> Result<Kind, Fault> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
        if length >= BUFFER && rest.len() > BUFFER {
            return Err(self.fault(too_long(rest)));
        }
        self.at += length;
        Ok(Kind::Comment)
    }

    fn word(&mut self) -> Result<Kind, Fault> {
        let start = self.at;
        let line = self.line;
        let mut at = start;
        let mut variable = false;
        let mut kind = Kind::Word;
        let ended = loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let plain = rest
                .iter()
                .position(|&byte| CLASS[usize::from(byte)] != Class::Plain);
            let Some(plain) = plain else {
                at += rest.len();
                break false;
            };
            at += plain;
            variable &= plain == 0;
            match CLASS[usize::from(self.bytes[at])] {
                Class::Plain => {}
                Class::Dollar => variable = true,
                Class::Brace if variable => {}
                Class::Space | Class::Brace => break true,
                Class::Backslash => {
                    variable = false; // `\${` is no variable
                    kind = Kind::Quoted;
                    at += 1;
                    if self.bytes.get(at) == Some(&b'\n') {
                        self.line += 1;
                    }
                }
            }
            at += 1;
        };
        let rest = &self.bytes[start..];
        if at - start >= BUFFER && rest.len() > BUFFER {
            self.line = line;
            return Err(self.fault(too_long(rest)));
        }
        if !ended {
            return Err(self.fault(Wrong::EndInDirective));
        }
        self.at = at;
        self.in_directive = true;
        Ok(kind)
    }

    fn quoted(&mut self, quote: u8) -> Result<Kind, Fault> {
        let start = self.at + 1;
        let line = self.line;
        let mut at = start;
        let closed = loop {
            match self.bytes.get(at) {
                None => break false,
                Some(&byte) if byte == quote => break true,
                Some(b'\n') => self.line += 1,
                Some(b'\\') => {
                    at += 1;
                    if self.bytes.get(at) == Some(&b'\n') {
                        self.line += 1;
                    }
                }
                Some(_) => {}
            }
            at += 1;
        };
        // The byte after the quote must fit too: nginx looks at it before it lets go of the word.
        if at + 1 - start >= BUFFER && self.bytes.len() - start > BUFFER {
            self.line = line;
            return Err(self.fault(Wrong::Unclosed(shown(quote))));
        }
        if !closed {
            return Err(self.fault(Wrong::EndInDirective));
        }
        self.at = at + 1;
        self.in_directive = true;
        self.after_quote = true;
        Ok(Kind::Quoted)
    }

    #[cold]
    fn fault(&self, what: Wrong) -> Fault {
        Fault {
            line: self.line,
            what,
        }
    }
}

/// Returns what a word means: without its quotes, and with the escapes that nginx knows resolved.
pub(super) fn unquoted(word: &[u8]) -> Cow<'_, [u8]> {
    let inner = match word {
        [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner,
        _ => word,
    };
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut plain = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((&byte, after)) = rest.split_first() {
        let (meant, taken) = match (byte, after.first()) {
            (b'\\', Some(&next @ (b'"' | b'\'' | b'\\'))) => (next, 2),
            (b'\\', Some(b't')) => (b'\t', 2),
            (b'\\', Some(b'r')) => (b'\r', 2),
            (b'\\', Some(b'n')) => (b'\n', 2),
            _ => (byte, 1),
        };
        plain.push(meant);
        rest = &rest[taken..];
    }
    Cow::Owned(plain)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Plain,
    Space,
    Brace,
    Dollar,
    Backslash,
}

const CLASS: [Class; 256] = {
    let mut class = [Class::Plain; 256];
    class[b' ' as usize] = Class::Space;
    class[b'\t' as usize] = Class::Space;
    class[b'\r' as usize] = Class::Space;
    class[b'\n' as usize] = Class::Space;
    class[b';' as usize] = Class::Space;
    class[b'{' as usize] = Class::Brace;
    class[b'$' as usize] = Class::Dollar;
    class[b'\\' as usize] = Class::Backslash;
    class
};

fn newlines(bytes: &[u8]) -> u32 {
    to_u32(bytes.iter().filter(|&&b| b == b'\n').count())
}

fn too_long(rest: &[u8]) -> Wrong {
    let start = &rest[..rest.len().min(10)];
    Wrong::TooLong(String::from_utf8_lossy(start).into_owned())
}

fn shown(byte: u8) -> char {
    char::from(byte)
}

fn to_u32(offset: usize) -> u32 {
    u32::try_from(offset).expect("a file is not read when it is larger than MAX_FILE")
}

/// nginx's `NGX_CONF_BUFFER`, in bytes: what must fit into it whole.
const BUFFER: usize = 4096;
