//! What happens to a request on its way, and to its reply?

use std::time::Duration;

use crate::reply::{Manner, Reply};

/// What goes wrong on the way there or back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireFault {
    /// The reply comes this much later.
    Slow(Duration),
    /// The connection is closed before the request is looked at.
    DropRequest,
    /// The request is carried out, but the connection is closed instead of the reply.
    LoseReply,
    /// The connection is closed after so many bytes of the reply's body.
    CutReply {
        /// The bytes that still arrive.
        after: usize,
    },
    /// The body breaks off, as JSON: the reply itself is whole.
    BrokenJson,
    /// A page for people comes instead of the reply; the request is carried out.
    Html,
    /// A header is missing.
    Without(ReplyHeader),
    /// Another body comes instead, with the status and the headers of the reply; the request is carried out.
    Says(Vec<u8>),
    /// Where the body says the one, it says the other.
    Rewritten {
        /// What is looked for.
        this: String,
        /// What stands there instead.
        by: String,
    },
    /// The new thing is said to be there: another `Location`.
    Location(String),
    /// A redirect comes instead, to there; the request is carried out.
    Redirect(String),
    /// The body comes byte by byte, with such a pause before each.
    Drip(Duration),
    /// So many bytes follow the body.
    Endless(u64),
}

/// A header that a reply can lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyHeader {
    /// Where the new thing is.
    Location,
    /// The next nonce.
    ReplayNonce,
    /// When to come back.
    RetryAfter,
}

/// All that happens to one request and its reply.
#[derive(Debug, Default)]
pub(crate) struct Disturbance {
    pub(crate) delay: Duration,
    pub(crate) drop_request: bool,
    pub(crate) lose_reply: bool,
    spoil: Vec<WireFault>,
}

impl Disturbance {
    pub(crate) fn of(faults: Vec<WireFault>) -> Disturbance {
        let mut all = Disturbance::default();
        for fault in faults {
            match fault {
                WireFault::Slow(delay) => all.delay += delay,
                WireFault::DropRequest => all.drop_request = true,
                WireFault::LoseReply => all.lose_reply = true,
                WireFault::CutReply { .. }
                | WireFault::BrokenJson
                | WireFault::Html
                | WireFault::Without(_)
                | WireFault::Says(_)
                | WireFault::Rewritten { .. }
                | WireFault::Location(_)
                | WireFault::Redirect(_)
                | WireFault::Drip(_)
                | WireFault::Endless(_) => {
                    all.spoil.push(fault);
                }
            }
        }
        all
    }

    /// Spoils the reply.
    pub(crate) fn spoil(&self, mut reply: Reply) -> Reply {
        for fault in &self.spoil {
            match fault {
                WireFault::CutReply { after } => reply.manner = Manner::Cut { after: *after },
                WireFault::BrokenJson => reply.body.truncate(reply.body.len() / 2),
                WireFault::Html => reply.replace_body("text/html", HTML_PAGE),
                WireFault::Without(header) => reply.remove(header.name()),
                WireFault::Says(body) => reply.body.clone_from(body),
                WireFault::Rewritten { this, by } => {
                    reply.body = String::from_utf8_lossy(&reply.body)
                        .replace(this, by)
                        .into();
                }
                WireFault::Location(url) => {
                    reply.remove("location");
                    reply = reply.with_location(url);
                }
                WireFault::Redirect(url) => {
                    let nonce = reply.nonce();
                    reply = Reply::empty(302).with_location(url).with_nonce(nonce);
                }
                WireFault::Drip(pause) => reply.manner = Manner::Drip(*pause),
                WireFault::Endless(bytes) => reply.manner = Manner::Endless(*bytes),
                WireFault::Slow(_) | WireFault::DropRequest | WireFault::LoseReply => {}
            }
        }
        reply
    }
}

impl ReplyHeader {
    fn name(self) -> &'static str {
        match self {
            ReplyHeader::Location => "location",
            ReplyHeader::ReplayNonce => "replay-nonce",
            ReplyHeader::RetryAfter => "retry-after",
        }
    }
}

const HTML_PAGE: &str =
    "<!doctype html><title>Welcome</title><p>This is not the page you are looking for.</p>\n";
