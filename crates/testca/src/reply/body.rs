//! In which manner does a reply's body go out?

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::Manner;

/// A body that may end too early, or hardly at all.
#[derive(Debug)]
pub(crate) struct ReplyBody {
    /// Its length, where it has one.
    promised: Option<u64>,
    left: Bytes,
    then: Then,
}

#[derive(Debug)]
enum Then {
    Whole,
    /// What was sent must leave our buffers before the connection is closed.
    CutAfterFlush,
    CutNow,
    Drip(Duration, Pin<Box<Sleep>>),
    Endless(u64),
}

impl ReplyBody {
    pub(super) fn new(body: Bytes, manner: Manner) -> ReplyBody {
        let promised = Some(body.len() as u64);
        let (promised, left, then) = match manner {
            Manner::Whole => (promised, body, Then::Whole),
            Manner::Cut { after } => {
                let sent = body.slice(..after.min(body.len().saturating_sub(1)));
                (promised, sent, Then::CutAfterFlush)
            }
            Manner::Drip(pause) => (promised, body, Then::Drip(pause, Box::pin(sleep(pause)))),
            Manner::Endless(bytes) => (None, body, Then::Endless(bytes)),
        };
        ReplyBody {
            promised,
            left,
            then,
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let body = &mut *self;
        if let Then::Drip(pause, timer) = &mut body.then {
            if body.left.is_empty() {
                return Poll::Ready(None);
            }
            std::task::ready!(timer.as_mut().poll(cx));
            *timer = Box::pin(sleep(*pause));
            return Poll::Ready(Some(Ok(Frame::data(body.left.split_to(1)))));
        }
        if !body.left.is_empty() {
            let bytes = std::mem::take(&mut body.left);
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match &mut body.then {
            Then::Whole | Then::Drip(..) | Then::Endless(0) => Poll::Ready(None),
            Then::CutAfterFlush => {
                body.then = Then::CutNow;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Then::CutNow => Poll::Ready(Some(Err(io::Error::other("cut on purpose")))),
            Then::Endless(more) => {
                let size = (*more).min(BLANKS.len() as u64);
                *more -= size;
                let blanks = &BLANKS[..usize::try_from(size).unwrap_or(0)];
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(blanks)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && matches!(self.then, Then::Whole | Then::Endless(0))
    }

    fn size_hint(&self) -> SizeHint {
        self.promised
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// What an endless body goes on with: JSON has no end of blanks.
static BLANKS: [u8; 64 << 10] = [b' '; 64 << 10];
