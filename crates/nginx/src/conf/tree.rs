//! Which directives does a configuration file hold?
//!
//! [`Tree::parse`] reads a file into its tokens and, above them, its directives in the order of the
//! file, each knowing where its block ends. Both are flat lists: no walk needs recursion, and a file
//! costs four allocations. [`Tree::source`] is the file back, byte for byte.
//!
//! The names of directives are not checked: what nginx knows depends on its modules. Only a few
//! of nginx's core are known here, to notice a forgotten `;` or `{` where it happens.

use std::borrow::Cow;
use std::ops::Range;

use super::error::{Fault, MAX_DEPTH, MAX_FILE, Wrong};
use super::token::{Kind, Lexer, Token, unquoted};

/// A configuration file, read.
#[derive(Debug)]
pub struct Tree {
    source: Vec<u8>,
    tokens: Vec<Token>,
    entries: Vec<Entry>,
}

/// A directive of a [`Tree`], with its arguments and its block.
#[derive(Clone, Copy, Debug)]
pub struct Directive<'t> {
    tree: &'t Tree,
    at: u32,
}

/// The directives of one block, or of the file itself.
#[derive(Clone, Debug)]
pub struct Directives<'t> {
    tree: &'t Tree,
    next: u32,
    end: u32,
}

/// Empty buffers with room: ten thousand vhosts are read one after another into the same memory.
#[derive(Debug, Default)]
pub(super) struct Spare {
    /// For the bytes of the next file.
    pub(super) source: Vec<u8>,
    tokens: Vec<Token>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Token of the name.
    name: u32,
    /// Token of the `;` or `{` after the arguments.
    terminator: u32,
    /// Token of the `;` or `}` that ends the whole.
    last: u32,
    /// Line of the name, counted from 1.
    line: u32,
    /// The first entry that does not stand inside this one.
    after: u32,
}

impl Tree {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// What nginx would refuse, in its words, with the line.
    pub fn parse(source: Vec<u8>) -> Result<Tree, Fault> {
        Tree::parse_into(source, Spare::default())
    }

    /// Reads a file into the memory that another tree no longer needs.
    ///
    /// # Errors
    ///
    /// As [`Tree::parse`].
    pub(super) fn parse_into(source: Vec<u8>, mut spare: Spare) -> Result<Tree, Fault> {
        parse(&source, &mut spare)?;
        let Spare {
            tokens, entries, ..
        } = spare;
        Ok(Tree {
            source,
            tokens,
            entries,
        })
    }

    /// Returns the memory of a tree that is no longer needed.
    pub(super) fn into_spare(self) -> Spare {
        let Tree {
            mut source,
            mut tokens,
            mut entries,
        } = self;
        source.clear();
        tokens.clear();
        entries.clear();
        Spare {
            source,
            tokens,
            entries,
        }
    }

    /// Returns the file, byte for byte.
    #[must_use]
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// Returns the tokens, in order and without gaps.
    #[must_use]
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Returns the directives that stand in no block.
    #[must_use]
    pub fn directives(&self) -> Directives<'_> {
        Directives {
            tree: self,
            next: 0,
            end: self.end(),
        }
    }

    /// Returns every directive at every depth, in the order of the file.
    pub fn all(&self) -> impl Iterator<Item = Directive<'_>> {
        (0..self.end()).map(|at| Directive { tree: self, at })
    }

    /// Returns the directive that begins at this offset.
    #[must_use]
    pub fn directive_at(&self, offset: usize) -> Option<Directive<'_>> {
        let found = self
            .entries
            .binary_search_by_key(&offset, |entry| self.token_span(entry.name).start);
        let at = index(found.ok()?);
        Some(Directive { tree: self, at })
    }

    fn end(&self) -> u32 {
        index(self.entries.len())
    }

    fn is_word(&self, token: u32) -> bool {
        matches!(self.tokens[token as usize].kind, Kind::Word | Kind::Quoted)
    }

    /// Returns what a word means to nginx.
    fn meaning(&self, token: u32) -> Cow<'_, [u8]> {
        let written = &self.source[self.token_span(token)];
        if self.tokens[token as usize].kind == Kind::Quoted {
            unquoted(written)
        } else {
            Cow::Borrowed(written)
        }
    }

    fn token_span(&self, token: u32) -> Range<usize> {
        let at = token as usize;
        let end = self
            .tokens
            .get(at + 1)
            .map_or(self.source.len(), |next| next.start as usize);
        self.tokens[at].start as usize..end
    }
}

impl<'t> Directive<'t> {
    /// Returns the name as nginx compares it.
    #[must_use]
    pub fn name(&self) -> Cow<'t, [u8]> {
        self.tree.meaning(self.entry().name)
    }

    /// Says whether this is the name.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        *self.name() == *name.as_bytes()
    }

    /// Returns the arguments as nginx hands them to its modules: without quotes, escapes resolved.
    pub fn arguments(&self) -> impl Iterator<Item = Cow<'t, [u8]>> + use<'t> {
        let tree = self.tree;
        self.argument_tokens().map(move |token| tree.meaning(token))
    }

    /// Returns the first argument.
    #[must_use]
    pub fn argument(&self) -> Option<Cow<'t, [u8]>> {
        self.arguments().next()
    }

    /// Returns where the arguments stand in the file, with their quotes.
    pub fn argument_spans(&self) -> impl Iterator<Item = Range<usize>> + use<'t> {
        let tree = self.tree;
        self.argument_tokens()
            .map(move |token| tree.token_span(token))
    }

    fn argument_tokens(&self) -> impl Iterator<Item = u32> + use<'t> {
        let tree = self.tree;
        let entry = *self.entry();
        (entry.name + 1..entry.terminator).filter(move |&token| tree.is_word(token))
    }

    /// Says whether a block follows the arguments.
    #[must_use]
    pub fn has_block(&self) -> bool {
        let terminator = self.entry().terminator as usize;
        self.tree.tokens[terminator].kind == Kind::Open
    }

    /// Returns the directives of the block; none where there is no block, or one of Lua.
    #[must_use]
    pub fn block(&self) -> Directives<'t> {
        Directives {
            tree: self.tree,
            next: self.at + 1,
            end: self.entry().after,
        }
    }

    /// Returns the line of the name, counted from 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.entry().line
    }

    /// Returns where the whole directive stands, from its name to its `;` or `}`.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.name_span().start..self.tree.token_span(self.entry().last).end
    }

    /// Returns where the name stands.
    #[must_use]
    pub fn name_span(&self) -> Range<usize> {
        self.tree.token_span(self.entry().name)
    }

    /// Returns the offset after the `{`, where there is a block.
    #[must_use]
    pub fn block_start(&self) -> Option<usize> {
        let terminator = self.entry().terminator;
        self.has_block()
            .then(|| self.tree.token_span(terminator).end)
    }

    /// Returns the tree it belongs to.
    #[must_use]
    pub fn tree(&self) -> &'t Tree {
        self.tree
    }

    fn entry(&self) -> &'t Entry {
        &self.tree.entries[self.at as usize]
    }
}

impl<'t> Iterator for Directives<'t> {
    type Item = Directive<'t>;

    fn next(&mut self) -> Option<Directive<'t>> {
        if self.next >= self.end {
            return None;
        }
        let at = self.next;
        self.next = self.tree.entries[at as usize].after;
        Some(Directive {
            tree: self.tree,
            at,
        })
    }
}

fn parse(source: &[u8], into: &mut Spare) -> Result<(), Fault> {
    if source.len() > MAX_FILE {
        let what = Wrong::TooLarge;
        return Err(Fault { line: 1, what });
    }
    let mut lexer = Lexer::new(source);
    let mut building = Building {
        source,
        tokens: &mut into.tokens,
        entries: &mut into.entries,
        open: Vec::new(),
        begun: None,
    };
    while let Some(token) = lexer.next()? {
        let line = lexer.line();
        let lua = building
            .add(token, line)
            .map_err(|what| Fault { line, what })?;
        if lua {
            building.tokens.push(lexer.lua()?);
        }
    }
    if !building.open.is_empty() {
        return Err(Fault {
            line: lexer.line(),
            what: Wrong::EndInBlock,
        });
    }
    Ok(())
}

struct Building<'s> {
    source: &'s [u8],
    tokens: &'s mut Vec<Token>,
    entries: &'s mut Vec<Entry>,
    /// Entries whose block is not closed yet, outermost first.
    open: Vec<u32>,
    /// Token and line of the name of the directive that is being read.
    begun: Option<(u32, u32)>,
}

impl Building<'_> {
    /// Takes the next token; says whether Lua code follows.
    fn add(&mut self, token: Token, line: u32) -> Result<bool, Wrong> {
        let at = index(self.tokens.len());
        self.tokens.push(token);
        match token.kind {
            Kind::Space | Kind::Comment | Kind::Raw => {}
            Kind::Word | Kind::Quoted => {
                self.begun.get_or_insert((at, line));
            }
            Kind::Semicolon => {
                let name = self.begin(at);
                if NEEDS_BLOCK.contains(&self.text(name)) && self.in_server_context() {
                    return Err(Wrong::NoOpening(self.shown(name)));
                }
            }
            Kind::Open => return self.open(at),
            Kind::Close => self.close(at)?,
        }
        Ok(false)
    }

    /// Makes the entry whose arguments end at `terminator`; returns the token of its name.
    fn begin(&mut self, terminator: u32) -> u32 {
        let (name, line) = self
            .begun
            .take()
            .expect("the lexer wants a word before `;` and `{`");
        let after = index(self.entries.len()) + 1;
        self.entries.push(Entry {
            name,
            terminator,
            last: terminator,
            line,
            after,
        });
        name
    }

    fn open(&mut self, at: u32) -> Result<bool, Wrong> {
        let in_server_context = self.in_server_context();
        let name = self.begin(at);
        if TAKES_NO_BLOCK.contains(&self.text(name)) && in_server_context {
            return Err(Wrong::NotTerminated(self.shown(name)));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(Wrong::TooDeep);
        }
        self.open.push(index(self.entries.len()) - 1);
        Ok(self.text(name).ends_with(b"_by_lua_block"))
    }

    fn close(&mut self, at: u32) -> Result<(), Wrong> {
        let opened = self.open.pop().ok_or(Wrong::Unexpected('}'))?;
        let after = index(self.entries.len());
        let entry = &mut self.entries[opened as usize];
        entry.last = at;
        entry.after = after;
        Ok(())
    }

    /// Says whether words mean directives here, and not keys of a `map` or types of a `types`.
    fn in_server_context(&self) -> bool {
        self.open.last().is_none_or(|&parent| {
            let parent = self.text(self.entries[parent as usize].name);
            [&b"http"[..], b"server", b"location"].contains(&parent)
        })
    }

    fn text(&self, token: u32) -> &[u8] {
        let at = token as usize;
        let start = self.tokens[at].start as usize;
        let end = self
            .tokens
            .get(at + 1)
            .map_or(start, |next| next.start as usize);
        &self.source[start..end]
    }

    fn shown(&self, token: u32) -> String {
        String::from_utf8_lossy(self.text(token)).into_owned()
    }
}

fn index(count: usize) -> u32 {
    u32::try_from(count)
        .expect("a file of at most MAX_FILE bytes holds fewer things than a u32 counts")
}

/// Directives of nginx's core that end with `;`, and are wrong with a block.
const TAKES_NO_BLOCK: [&[u8]; 11] = [
    b"listen",
    b"server_name",
    b"root",
    b"alias",
    b"index",
    b"include",
    b"return",
    b"rewrite",
    b"ssl_certificate",
    b"ssl_certificate_key",
    b"access_log",
];

/// Directives of nginx's core that are nothing without a block.
const NEEDS_BLOCK: [&[u8]; 4] = [b"http", b"server", b"location", b"events"];

#[cfg(test)]
mod tests;
