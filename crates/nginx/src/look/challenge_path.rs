//! In which folder would nginx look for the file of a challenge?
//!
//! [`Level`] is told every directive of a server block, then of the locations that could answer, and chooses among
//! them as nginx's `ngx_http_core_find_location` does:
//!
//! 1. an exact location (`=`) wins;
//! 2. else the longest prefix is kept, and what stands inside it is asked in the same way;
//! 3. unless that settled it, or the prefix is `^~`, the first regular expression that matches wins,
//!    and what stands inside it is asked.
//!
//! Locations that can't match are not entered.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use renewal::site::ChallengeFolder;

use super::pattern::Answers;
use crate::conf::tree::Directive;

/// What a location, or the server block itself, does with the request for a challenge.
#[derive(Clone, Debug, Default)]
pub(super) struct Serving {
    folder: Option<Folder>,
    /// Whether anyone may fetch; none when nothing is said.
    allowed: Option<bool>,
    /// Whether a password is asked for; none when nothing is said.
    password: Option<bool>,
    /// Whether something else than a file answers: a redirect, another server.
    elsewhere: bool,
    /// Whether that is a redirect.
    redirects: bool,
}

#[derive(Clone, Debug)]
enum Folder {
    Root(Rc<Path>),
    /// An `alias`, and how much of the path it stands for.
    Alias(Rc<Path>, usize),
    /// One that depends on variables.
    Variable,
}

/// The locations of one block, as far as they match.
#[derive(Debug, Default)]
pub(super) struct Level {
    /// What the block itself says.
    pub(super) serving: Serving,
    exact: Option<Box<Level>>,
    longest: Option<Longest>,
    first_regex: Option<Box<Level>>,
    /// Whether a regular expression that stands before any that matches can't be understood.
    unknown_regex: bool,
    /// The document root of `location /`, for a server block that has none.
    root_of_all: Option<PathBuf>,
    /// Whether `location /` redirects.
    all_redirected: bool,
}

#[derive(Debug)]
struct Longest {
    length: usize,
    no_regex: bool,
    level: Box<Level>,
}

/// How a location is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match {
    Exact,
    Prefix { length: usize, no_regex: bool },
    Regex,
}

/// A location that the path of a challenge matches, to be filled and handed to [`Level::add`].
#[derive(Debug)]
pub(super) struct Matching {
    how: Match,
    /// What the location says.
    pub(super) level: Level,
}

impl Level {
    /// Takes in a directive that is no location.
    pub(super) fn take(
        &mut self,
        directive: Directive<'_>,
        name: &[u8],
        prefix: &Path,
        answers: &mut Answers,
    ) {
        self.serving.take(directive, name, prefix, answers);
    }

    /// Returns what to fill when the path of a challenge matches this location.
    pub(super) fn enter(
        &mut self,
        location: Directive<'_>,
        answers: &mut Answers,
    ) -> Option<Matching> {
        let mut words = location.arguments();
        let (first, second) = (words.next()?, words.next());
        let (modifier, pattern) = match &second {
            Some(pattern) => (&first[..], &pattern[..]),
            None => split_modifier(&first),
        };
        let path = CHALLENGE_PATH.as_bytes();
        let how = match modifier {
            b"=" if pattern == path => Match::Exact,
            b"" | b"^~" if path.starts_with(pattern) => Match::Prefix {
                length: pattern.len(),
                no_regex: modifier == b"^~",
            },
            b"~" | b"~*" => match answers.matches(pattern, modifier == b"~*") {
                Some(true) => Match::Regex,
                Some(false) => return None,
                None => {
                    self.unknown_regex |= self.first_regex.is_none();
                    return None;
                }
            },
            _ => return None,
        };
        let level = Level::default();
        Some(Matching { how, level })
    }

    /// Takes in a location that was filled.
    pub(super) fn add(&mut self, matching: Matching) {
        let Matching { how, mut level } = matching;
        if let (Match::Prefix { length, .. }, Some(Folder::Alias(_, replaced))) =
            (how, &mut level.serving.folder)
        {
            *replaced = length;
        } else if let Some(folder @ Folder::Alias(..)) = &mut level.serving.folder {
            *folder = Folder::Variable; // made of what the expression captured
        }
        let level = Box::new(level);
        match how {
            Match::Exact => self.exact = Some(level),
            Match::Regex => {
                self.first_regex.get_or_insert(level);
            }
            Match::Prefix { length, no_regex } => {
                if length == 1 {
                    self.root_of_all = level.serving.root().map(Path::to_owned);
                    self.all_redirected = level.serving.redirects;
                }
                if self
                    .longest
                    .as_ref()
                    .is_none_or(|longest| longest.length < length)
                {
                    self.longest = Some(Longest {
                        length,
                        no_regex,
                        level,
                    });
                }
            }
        }
    }

    /// Returns the document root: the block's own, else that of its `location /`.
    #[must_use]
    pub(super) fn document_root(&self, inherited: &Serving) -> Option<PathBuf> {
        let own = self.serving.folder.is_some().then_some(&self.serving);
        let root = own.or(self.root_of_all.is_none().then_some(inherited));
        root.map_or_else(
            || self.root_of_all.clone(),
            |serving| serving.root().map(Path::to_owned),
        )
    }

    /// Says whether the block does nothing but send visitors elsewhere.
    #[must_use]
    pub(super) fn redirects(&self) -> bool {
        self.serving.redirects || self.all_redirected
    }

    /// Returns where nginx would look for the file of a challenge; none when it would not.
    #[must_use]
    pub(super) fn challenge_folder(&self, inherited: &Serving) -> Option<ChallengeFolder> {
        if self.serving.elsewhere {
            return None; // said for the whole block, before any location is chosen
        }
        self.choose(inherited).0?.challenge_folder()
    }

    /// Returns what answers, none if that is unknown, and whether the search is settled.
    fn choose(&self, outer: &Serving) -> (Option<Serving>, bool) {
        let here = self.serving.inside(outer);
        if let Some(exact) = &self.exact {
            return (Some(exact.serving.inside(&here)), true);
        }
        let mut chosen = Some(here.clone());
        let mut no_regex = false;
        if let Some(longest) = &self.longest {
            let (inner, settled) = longest.level.choose(&here);
            if settled {
                return (inner, true);
            }
            (chosen, no_regex) = (inner, longest.no_regex);
        }
        if no_regex {
            return (chosen, false);
        }
        if self.unknown_regex {
            return (None, true);
        }
        match &self.first_regex {
            Some(regex) => (regex.choose(&here).0, true),
            None => (chosen, false),
        }
    }
}

impl Serving {
    /// Takes in a directive of `http`, a server block or a location.
    pub(super) fn take(
        &mut self,
        directive: Directive<'_>,
        name: &[u8],
        prefix: &Path,
        answers: &mut Answers,
    ) {
        let argument = directive.argument();
        let argument = argument.as_deref().unwrap_or_default();
        match name {
            b"root" => self.folder = Some(Folder::of(argument, prefix, Folder::Root)),
            b"alias" => {
                let alias = |path| Folder::Alias(path, 0);
                self.folder = Some(Folder::of(argument, prefix, alias));
            }
            // The first rule that fits decides, and the CA may come from anywhere.
            b"allow" | b"deny" if argument == b"all" => {
                self.allowed.get_or_insert(name == b"allow");
            }
            b"auth_basic" => self.password = Some(argument != b"off"),
            b"return" => {
                self.elsewhere = true;
                self.redirects |= argument.starts_with(b"30") || argument.starts_with(b"http");
            }
            b"rewrite" if answers.matches(argument, false) != Some(false) => {
                self.elsewhere = true;
                self.redirects |= directive.arguments().skip(1).any(|word| is_redirect(&word));
            }
            b"proxy_pass"
            | b"fastcgi_pass"
            | b"uwsgi_pass"
            | b"scgi_pass"
            | b"grpc_pass"
            | b"memcached_pass"
            | b"internal"
            | b"stub_status"
            | b"empty_gif"
            | b"content_by_lua_block"
            | b"content_by_lua_file" => self.elsewhere = true,
            _ => {}
        }
    }

    /// Returns what holds inside `outer`.
    fn inside(&self, outer: &Serving) -> Serving {
        Serving {
            folder: self.folder.as_ref().or(outer.folder.as_ref()).cloned(),
            allowed: self.allowed.or(outer.allowed),
            password: self.password.or(outer.password),
            elsewhere: self.elsewhere,
            redirects: self.redirects,
        }
    }

    fn root(&self) -> Option<&Path> {
        match self.folder.as_ref()? {
            Folder::Root(path) => Some(path),
            Folder::Alias(..) | Folder::Variable => None,
        }
    }

    fn challenge_folder(&self) -> Option<ChallengeFolder> {
        if self.elsewhere || self.allowed == Some(false) || self.password == Some(true) {
            return None;
        }
        match self.folder.as_ref()? {
            Folder::Root(path) => Some(ChallengeFolder::Root(path.to_path_buf())),
            Folder::Alias(path, replaced) => {
                // nginx puts the rest of the path after the alias, without a slash between.
                let rest = CHALLENGE_PATH.get(*replaced..)?;
                let mut file = path.as_os_str().to_owned();
                file.push(rest);
                let file = PathBuf::from(file);
                let named_by_token = file.file_name()? == TOKEN;
                named_by_token.then(|| {
                    file.parent()
                        .map(|folder| ChallengeFolder::Alias(folder.to_owned()))
                })?
            }
            Folder::Variable => None,
        }
    }
}

impl Folder {
    fn of(value: &[u8], prefix: &Path, kind: impl FnOnce(Rc<Path>) -> Folder) -> Folder {
        match super::path_of(value, prefix) {
            Some(path) => kind(path.into()),
            None => Folder::Variable,
        }
    }
}

/// Splits what nginx also accepts: a modifier without a space before the pattern.
pub(super) fn split_modifier(joined: &[u8]) -> (&[u8], &[u8]) {
    let length = match joined {
        [b'=', ..] => 1,
        [b'^', b'~', ..] | [b'~', b'*', ..] => 2,
        [b'~', ..] => 1,
        _ => 0,
    };
    joined.split_at(length)
}

fn is_redirect(word: &[u8]) -> bool {
    [&b"http://"[..], b"https://", b"$scheme"]
        .iter()
        .any(|start| word.starts_with(start))
        || [&b"permanent"[..], b"redirect"].contains(&word)
}

/// The path that is asked about: that of a challenge, with a token as a CA would make it.
pub(super) const CHALLENGE_PATH: &str =
    "/.well-known/acme-challenge/kGx3Vn0Zt8qYw5Rb1Jd7Lc4Mf9Hs2Pa6Ue-TgQi_XoB";

const TOKEN: &str = "kGx3Vn0Zt8qYw5Rb1Jd7Lc4Mf9Hs2Pa6Ue-TgQi_XoB";
