//! What does the client get back?
//!
//! A [`Reply`] is a value until the very end, so that faults can change it.

use std::time::Duration;

use crate::problems::{Problem, RetryAfter};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::Value;

mod body;

pub(crate) use body::ReplyBody;

/// A reply that has not been sent yet.
#[derive(Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) manner: Manner,
}

/// How a body is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// At once, and whole.
    Whole,
    /// The connection is closed in the middle of it.
    Cut {
        /// The bytes that still arrive.
        after: usize,
    },
    /// Byte by byte, with such a pause before each.
    Drip(Duration),
    /// With so many bytes after it.
    Endless(u64),
}

impl Reply {
    pub(crate) fn empty(status: u16) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: HeaderMap::new(),
            body: Vec::new(),
            manner: Manner::Whole,
        }
    }

    pub(crate) fn json(status: u16, document: &Value) -> Reply {
        Reply::with_body(status, "application/json", document.to_string())
    }

    pub(crate) fn html(status: u16, page: &str) -> Reply {
        Reply::with_body(status, "text/html", page)
    }

    pub(crate) fn pem(chain: String) -> Reply {
        Reply::with_body(200, "application/pem-certificate-chain", chain)
    }

    pub(crate) fn problem(problem: &Problem, now: Timestamp) -> Reply {
        let reply = Reply::with_body(
            problem.status,
            "application/problem+json",
            problem.document().to_string(),
        )
        .with_retry_after(problem.retry_after, now);
        match &problem.help {
            Some(help) => reply.with_link(help, "help"),
            None => reply,
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Reply {
        // What we put into headers is made of URLs, dates and numbers; anything else is left out.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(HeaderName::from_static(name), value);
        }
        self
    }

    pub(crate) fn with_location(self, url: &str) -> Reply {
        self.with("location", url)
    }

    pub(crate) fn with_link(self, url: &str, relation: &str) -> Reply {
        self.with("link", &format!("<{url}>;rel=\"{relation}\""))
    }

    pub(crate) fn with_retry_after(
        mut self,
        retry_after: Option<RetryAfter>,
        now: Timestamp,
    ) -> Reply {
        if let Some(retry_after) = retry_after {
            // One may be there already: the last word counts.
            self.remove("retry-after");
            return self.with("retry-after", &retry_after.header(now));
        }
        self
    }

    /// Returns the nonce that comes with it.
    pub(crate) fn nonce(&self) -> Option<HeaderValue> {
        self.headers.get("replay-nonce").cloned()
    }

    pub(crate) fn with_nonce(mut self, nonce: Option<HeaderValue>) -> Reply {
        if let Some(nonce) = nonce {
            self.headers.insert("replay-nonce", nonce);
        }
        self
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.headers.remove(name);
    }

    pub(crate) fn replace_body(&mut self, content_type: &'static str, body: &str) {
        self.headers
            .insert("content-type", HeaderValue::from_static(content_type));
        self.body = body.into();
    }

    pub(crate) fn into_response(self) -> Response<ReplyBody> {
        let mut response = Response::new(ReplyBody::new(self.body.into(), self.manner));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }

    fn with_body(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Reply {
        let mut reply = Reply::empty(status).with("content-type", content_type);
        reply.body = body.into();
        reply
    }
}
