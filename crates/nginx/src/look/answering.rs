//! Which server block answers a name on an address?
//!
//! nginx's own rule. A connection belongs to the socket of its very address, else to the socket
//! for all addresses of that port. Among the blocks of the socket the first of these answers:
//!
//! 1. the one with this exact name;
//! 2. the one with the longest wildcard in front (`*.example.com`, `.example.com`);
//! 3. the one with the longest wildcard at the end (`mail.*`);
//! 4. the first with a regular expression that matches;
//! 5. the one marked `default_server`, else the first.
//!
//! Of two blocks that claim the same name on the same socket the first has it; nginx warns and ignores the other.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::gather::Block;
use super::pattern;

/// Which server block answers, by its position among the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// This block, by a rule about names.
    Named(usize),
    /// This block, because no name fits and it is the default.
    Default(usize),
    /// This block if its regular expression matches, which only nginx can tell.
    Perhaps(usize),
}

impl Answer {
    /// Returns the position of the block.
    #[must_use]
    pub(super) fn block(self) -> usize {
        match self {
            Answer::Named(block) | Answer::Default(block) | Answer::Perhaps(block) => block,
        }
    }
}

/// A name that two blocks claim on one socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    /// The name, in lower case, as both write it.
    pub(super) name: Arc<str>,
    /// The block that nginx answers with.
    pub(super) keeps: usize,
    /// The block that nginx ignores for this name.
    pub(super) loses: usize,
    /// The socket.
    pub(super) on: SocketAddr,
}

/// The sockets that nginx listens on (TCP), with the names of each.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    /// In the order of the configuration.
    sockets: Vec<Socket>,
    /// A host has few addresses: to compare them is quicker than to hash one.
    by_address: BTreeMap<SocketAddr, usize>,
    exact: Holders,
    /// `example.com` of `.example.com`: no exact name, but taken as one.
    dotted: Holders,
    /// `example.com` of `*.example.com` and `.example.com`.
    leading: Holders,
    /// `mail` of `mail.*`.
    trailing: Holders,
    conflicts: Vec<Conflict>,
}

#[derive(Debug)]
struct Socket {
    address: SocketAddr,
    regexes: Vec<(Arc<str>, usize)>,
    default: usize,
    default_said: bool,
    also_ipv4: bool,
}

/// Which block has a name, on which socket: the same few sockets have nearly all names.
#[derive(Debug, Default)]
struct Holders(HashMap<Arc<str>, Vec<(usize, usize)>>);

impl Sockets {
    /// Sorts the blocks by sockets; `hostname` is what `$hostname` stands for.
    pub(super) fn new(blocks: &[Block], hostname: &str) -> Self {
        let mut sockets = Sockets::default();
        sockets.exact.0.reserve(blocks.len());
        let mut of_block = Vec::new();
        for (at, block) in blocks.iter().enumerate() {
            of_block.clear();
            for listen in block.server.listens.iter().filter(|listen| !listen.quic) {
                let socket = sockets.socket_at(listen.address, at);
                sockets.sockets[socket].take(at, block, listen.default_server);
                of_block.push(socket);
            }
            let names = block.server.names.iter().map(|name| folded(name, hostname));
            let nameless = block.server.names.is_empty().then(|| Arc::from(""));
            for name in names.chain(nameless) {
                sockets.claim(&name, at, &of_block);
            }
        }
        sockets
    }

    /// Returns the addresses nginx listens on, in order.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.by_address.keys().copied().collect()
    }

    /// Returns the names claimed twice on one socket, in the order of the configuration.
    pub(super) fn conflicts(&self) -> &[Conflict] {
        &self.conflicts
    }

    /// Returns the block that answers `name` on a connection to `to`; none when nginx does not listen there.
    ///
    /// `name` is the host of the request, or of SNI, without a port; empty when there is none.
    pub(super) fn answering(&self, to: SocketAddr, name: &str) -> Option<Answer> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let socket = self.socket_of(to)?;
        let named = self.named(socket, &name).map(Answer::Named);
        Some(named.unwrap_or_else(|| self.sockets[socket].without_name(&name)))
    }

    fn socket_at(&mut self, address: SocketAddr, block: usize) -> usize {
        *self.by_address.entry(address).or_insert_with(|| {
            self.sockets.push(Socket {
                address,
                regexes: Vec::new(),
                default: block,
                default_said: false,
                also_ipv4: false,
            });
            self.sockets.len() - 1
        })
    }

    fn socket_of(&self, to: SocketAddr) -> Option<usize> {
        let port = to.port();
        let at = |ip: IpAddr| self.by_address.get(&SocketAddr::new(ip, port)).copied();
        let any_ipv6 = || at(Ipv6Addr::UNSPECIFIED.into());
        let exact = at(to.ip());
        match to.ip() {
            IpAddr::V6(_) => exact.or_else(any_ipv6),
            IpAddr::V4(_) => exact
                .or_else(|| at(Ipv4Addr::UNSPECIFIED.into()))
                .or_else(|| any_ipv6().filter(|&socket| self.sockets[socket].also_ipv4)),
        }
    }

    /// Gives a name to a block on its sockets, where no block has it yet.
    ///
    /// As `ngx_hash_add_key`, by which `.example.com` is refused whole where `example.com` is taken.
    fn claim(&mut self, name: &Arc<str>, block: usize, sockets: &[usize]) {
        if let Some(pattern) = name.strip_prefix('~') {
            let pattern: Arc<str> = pattern.into();
            for &socket in sockets {
                self.sockets[socket]
                    .regexes
                    .push((Arc::clone(&pattern), block));
            }
            return;
        }
        let part = |part: Option<&str>| part.filter(|part| !part.is_empty()).map(Arc::<str>::from);
        let dotted = part(name.strip_prefix('.'));
        let leading = part(name.strip_prefix("*."));
        let trailing = part(name.strip_suffix(".*"));
        for &socket in sockets {
            let taken = if let Some(parent) = &dotted {
                let taken = self.exact.holder(socket, parent);
                taken
                    .or_else(|| self.dotted.claim(socket, parent, block))
                    .or_else(|| self.leading.claim(socket, parent, block))
            } else if let Some(parent) = &leading {
                self.leading.claim(socket, parent, block)
            } else if let Some(stem) = &trailing {
                self.trailing.claim(socket, stem, block)
            } else {
                let taken = self.dotted.holder(socket, name);
                taken.or_else(|| self.exact.claim(socket, name, block))
            };
            if let Some(keeps) = taken.filter(|&keeps| keeps != block) {
                self.conflicts.push(Conflict {
                    name: Arc::clone(name),
                    keeps,
                    loses: block,
                    on: self.sockets[socket].address,
                });
            }
        }
    }

    fn named(&self, socket: usize, name: &str) -> Option<usize> {
        let exact = self.exact.holder(socket, name);
        let itself = || {
            let dotted = self.dotted.holder(socket, name)?;
            self.leading
                .holder(socket, name)
                .filter(|&leading| leading == dotted)
        };
        let leading = || {
            let parents = std::iter::successors(Some(name), |name| Some(name.split_once('.')?.1));
            parents
                .skip(1)
                .find_map(|parent| self.leading.holder(socket, parent))
        };
        let trailing = || {
            let stems = std::iter::successors(Some(name), |name| Some(name.rsplit_once('.')?.0));
            stems
                .skip(1)
                .find_map(|stem| self.trailing.holder(socket, stem))
        };
        exact.or_else(itself).or_else(leading).or_else(trailing)
    }
}

impl Socket {
    fn take(&mut self, at: usize, block: &Block, default_server: bool) {
        self.also_ipv4 |= block.also_ipv4 && self.address.is_ipv6();
        if default_server && !self.default_said {
            self.default = at;
            self.default_said = true;
        }
    }

    fn without_name(&self, name: &str) -> Answer {
        for (pattern, block) in &self.regexes {
            let any_case = pattern.bytes().any(|b| b.is_ascii_uppercase());
            match pattern::matches(pattern, any_case, name) {
                Some(true) => return Answer::Named(*block),
                Some(false) => {}
                None => return Answer::Perhaps(*block),
            }
        }
        Answer::Default(self.default)
    }
}

impl Holders {
    fn holder(&self, socket: usize, name: &str) -> Option<usize> {
        if self.0.is_empty() {
            return None;
        }
        let holders = self.0.get(name)?;
        holders
            .iter()
            .find(|(on, _)| *on == socket)
            .map(|(_, block)| *block)
    }

    /// Gives the name to the block; returns the block that has it already.
    fn claim(&mut self, socket: usize, name: &Arc<str>, block: usize) -> Option<usize> {
        let holders = match self.0.get_mut(name) {
            Some(holders) => holders,
            None => self.0.entry(Arc::clone(name)).or_default(),
        };
        let holder = holders.iter().find(|(on, _)| *on == socket);
        if let Some((_, keeps)) = holder {
            return Some(*keeps);
        }
        holders.push((socket, block));
        None
    }
}

/// Returns a server name as nginx compares it.
fn folded(name: &str, hostname: &str) -> Arc<str> {
    let name = if name.eq_ignore_ascii_case("$hostname") {
        hostname
    } else {
        name
    };
    let folds = !name.starts_with('~') && name.bytes().any(|byte| byte.is_ascii_uppercase());
    if folds {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    }
}
