//! What do the server blocks of a configuration say?
//!
//! Goes through `http { … }` once, keeps of each server block what the sites are made of, and lets
//! go of the text. What a block inherits is settled at the end, for `http` may say it after the block.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use renewal::site::{Listen, Pair, Place, Server};

use super::challenge_path::{CHALLENGE_PATH, Level, Serving};
use super::pattern::Answers;
use crate::conf::challenge;
use crate::conf::include::{File, Walk};
use crate::conf::listen::{Listening, listening, unsaid};
use crate::conf::read::Reader;
use crate::conf::tree::Directive;

/// A server block, understood.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// What the rules ask about.
    pub(super) server: Server,
    /// Whether it only sends visitors elsewhere.
    pub(super) redirects: bool,
    /// Whether its certificate depends on variables or code, so that no file can be named.
    pub(super) by_variable: bool,
    /// Whether one of its IPv6 sockets takes IPv4 as well.
    pub(super) also_ipv4: bool,
    /// Whether it has a `listen` at all.
    listens_said: bool,
    /// What nginx would refuse in it.
    pub(super) refused: Vec<(Place, String)>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// The server blocks, in the order in which nginx meets them.
    pub(super) blocks: Vec<Block>,
    /// The files that could not be used.
    pub(super) troubles: Vec<crate::conf::include::Trouble>,
}

/// Goes through the configuration whose main file is `main`; `prefix` is nginx's own.
#[must_use]
pub(super) fn gather(reader: &dyn Reader, main: &Path, prefix: &Path) -> Gathered {
    let mut gathering = Gathering {
        prefix,
        answers: Answers::about(CHALLENGE_PATH),
        http: Serving::default(),
        pairs: Lines::default(),
        listens: Listens::default(),
        drafts: Vec::new(),
    };
    let mut walk = Walk::new(reader, main);
    walk.main(main, &mut |walk, file, directive| {
        if directive.is("http") {
            walk.each(file, directive.block(), &mut |walk, file, directive| {
                gathering.in_http(walk, file, directive);
            });
        }
    });
    let Gathering {
        http,
        pairs,
        drafts,
        ..
    } = gathering;
    let mut blocks: Vec<Block> = drafts
        .into_iter()
        .map(|draft| draft.settle(&http, &pairs))
        .collect();
    share_sockets(&mut blocks);
    let troubles = walk.into_troubles();
    Gathered { blocks, troubles }
}

struct Gathering<'a> {
    prefix: &'a Path,
    answers: Answers,
    /// What `http` says to all.
    http: Serving,
    pairs: Lines,
    listens: Listens,
    drafts: Vec<Draft>,
}

/// What `listen` directives say, by how they are written: ten thousand blocks have the same few.
#[derive(Default)]
struct Listens(Vec<(Vec<u8>, Option<Listening>)>);

/// A server block that may still inherit.
struct Draft {
    block: Block,
    level: Level,
    pairs: Lines,
}

/// The certificate lines of one block.
#[derive(Default)]
struct Lines {
    certificates: Vec<(Option<PathBuf>, Place)>,
    keys: Vec<Option<PathBuf>>,
    /// Whether code chooses the certificate.
    by_code: bool,
    /// Whether `ssl on` makes every socket speak TLS, as before nginx 1.25.1.
    tls: bool,
}

impl Gathering<'_> {
    fn in_http(&mut self, walk: &mut Walk<'_>, file: &File, directive: Directive<'_>) {
        let name = directive.name();
        if &*name != b"server" {
            self.pairs.take(walk, file, directive, &name);
            self.http
                .take(directive, &name, self.prefix, &mut self.answers);
            return;
        }
        let server = Server {
            place: file.place(directive),
            ..Server::default()
        };
        let mut draft = Draft {
            block: Block {
                server,
                redirects: false,
                by_variable: false,
                also_ipv4: false,
                listens_said: false,
                refused: Vec::new(),
            },
            level: Level::default(),
            pairs: Lines::default(),
        };
        walk.each_of_server(file, directive.block(), &mut |walk, file, directive| {
            self.in_server(walk, file, directive, &mut draft);
        });
        self.drafts.push(draft);
    }

    fn in_server(
        &mut self,
        walk: &mut Walk<'_>,
        file: &File,
        directive: Directive<'_>,
        draft: &mut Draft,
    ) {
        let name = directive.name();
        let block = &mut draft.block;
        match &*name {
            b"listen" => block.listen(file, directive, &mut self.listens),
            b"server_name" => block.name(file, directive),
            b"location" => self.in_location(walk, file, directive, &mut draft.level),
            b"if" => {
                if let Some(thumbprint) = challenge::thumbprint_of(directive) {
                    block.server.stateless.get_or_insert(thumbprint);
                }
            }
            _ => {
                draft.pairs.take(walk, file, directive, &name);
                draft
                    .level
                    .take(directive, &name, self.prefix, &mut self.answers);
            }
        }
    }

    fn in_location(
        &mut self,
        walk: &mut Walk<'_>,
        file: &File,
        location: Directive<'_>,
        level: &mut Level,
    ) {
        let Some(mut matching) = level.enter(location, &mut self.answers) else {
            return;
        };
        walk.each(file, location.block(), &mut |walk, file, directive| {
            let name = directive.name();
            if &*name == b"location" {
                self.in_location(walk, file, directive, &mut matching.level);
            } else {
                matching
                    .level
                    .take(directive, &name, self.prefix, &mut self.answers);
            }
        });
        level.add(matching);
    }
}

impl Block {
    fn listen(&mut self, file: &File, directive: Directive<'_>, known: &mut Listens) {
        match known.understand(directive) {
            Some(Listening { listens, also_ipv4 }) => {
                self.server.listens.extend_from_slice(listens);
                self.also_ipv4 |= *also_ipv4;
                self.listens_said = true;
            }
            None => self.refuse(
                file,
                directive,
                "nginx does not take this \"listen\" directive",
            ),
        }
    }

    fn name(&mut self, file: &File, directive: Directive<'_>) {
        for name in directive.arguments() {
            match String::from_utf8(name.into_owned()) {
                Ok(name) => self.server.names.push(name),
                Err(_) => self.refuse(
                    file,
                    directive,
                    "a name in this \"server_name\" directive is not UTF-8",
                ),
            }
        }
    }

    fn refuse(&mut self, file: &File, directive: Directive<'_>, why: &str) {
        self.refused.push((file.place(directive), why.to_owned()));
    }
}

impl Listens {
    /// Returns what the directive says; none when nginx would refuse it.
    fn understand(&mut self, directive: Directive<'_>) -> Option<&Listening> {
        let written = &directive.tree().source()[directive.span()];
        let Self(known) = self;
        let at = known.iter().position(|(text, _)| text == written);
        let at = at.unwrap_or_else(|| {
            if known.len() >= LISTENS_KEPT {
                known.clear();
            }
            known.push((written.to_vec(), listening(directive.arguments())));
            known.len() - 1
        });
        known[at].1.as_ref()
    }
}

impl Draft {
    fn settle(self, http: &Serving, inherited: &Lines) -> Block {
        let Draft {
            mut block,
            level,
            pairs,
        } = self;
        if !block.listens_said {
            block.server.listens.push(unsaid());
        }
        if pairs.tls || inherited.tls {
            block
                .server
                .listens
                .iter_mut()
                .for_each(|listen| listen.tls = true);
        }
        block.server.document_root = level.document_root(http);
        block.server.challenge_folder = level.challenge_folder(http);
        block.redirects = level.redirects();
        block.by_variable = pairs.by_variable(inherited);
        block.server.pair = pairs.pair(inherited);
        block
    }
}

impl Lines {
    fn take(&mut self, walk: &Walk<'_>, file: &File, directive: Directive<'_>, name: &[u8]) {
        let path = || {
            let value = directive.argument()?;
            let no_file = [&b"data:"[..], b"engine:", b"store:"]
                .iter()
                .any(|kind| value.starts_with(kind));
            (!no_file).then(|| super::path_of(&value, walk.folder()))?
        };
        match name {
            b"ssl_certificate" => self.certificates.push((path(), file.place(directive))),
            b"ssl_certificate_key" => self.keys.push(path()),
            b"ssl" => self.tls = directive.argument().as_deref() == Some(b"on"),
            b"ssl_certificate_by_lua_block" | b"ssl_certificate_by_lua_file" => self.by_code = true,
            _ => {}
        }
    }

    fn certificates<'l>(&'l self, inherited: &'l Lines) -> &'l [(Option<PathBuf>, Place)] {
        let own = !self.certificates.is_empty();
        if own {
            &self.certificates
        } else {
            &inherited.certificates
        }
    }

    fn by_variable(&self, inherited: &Lines) -> bool {
        self.by_code
            || inherited.by_code
            || self
                .certificates(inherited)
                .iter()
                .any(|(path, _)| path.is_none())
    }

    /// Returns the first pair of files, each of the two inherited on its own as nginx does.
    fn pair(mut self, inherited: &Lines) -> Option<Pair> {
        let inherits = self.certificates.is_empty();
        if inherits {
            self.certificates.clone_from(&inherited.certificates);
        }
        if self.keys.is_empty() {
            self.keys.clone_from(&inherited.keys);
        }
        let mut pairs = self.certificates.into_iter().zip(self.keys);
        let (certificate, key, place) =
            pairs.find_map(|((certificate, place), key)| Some((certificate?, key?, place)))?;
        Some(Pair {
            certificate,
            key,
            place,
            inherited: inherits,
        })
    }
}

/// Gives every block what any block says of the socket it listens on: nginx has one set of options per socket.
fn share_sockets(blocks: &mut [Block]) {
    // In order, for a host has few addresses: to compare them is quicker than to hash one.
    let mut options: BTreeMap<SocketAddr, (bool, bool)> = BTreeMap::new();
    let is_tcp = |listen: &&mut Listen| !listen.quic;
    for listen in blocks
        .iter()
        .flat_map(|block| &block.server.listens)
        .filter(|listen| !listen.quic)
    {
        let (tls, proxy_protocol) = options.entry(listen.address).or_default();
        *tls |= listen.tls;
        *proxy_protocol |= listen.proxy_protocol;
    }
    for listen in blocks
        .iter_mut()
        .flat_map(|block| &mut block.server.listens)
        .filter(is_tcp)
    {
        (listen.tls, listen.proxy_protocol) = options[&listen.address];
    }
}

/// How many ways of writing a `listen` are kept: more than one host has, and few to search.
const LISTENS_KEPT: usize = 16;
