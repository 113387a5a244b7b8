//! Requests whose end is in doubt never reach the HTTP server.
//!
//! Two parsers that disagree on where a request ends can be played against each other: what the
//! proxy in front takes for a body, the server behind takes for the next request (request
//! smuggling, RFC 9112 section 11.2). The RFC leaves a server room to be lenient, and hyper uses
//! it: it takes Content-Length beside Transfer-Encoding (section 6.1), a repeated equal
//! Content-Length (section 6.3), and a lone LF as the end of a line or an empty line before a
//! request (section 2.2). [`StrictRequests`] stands between the stream and hyper, follows the
//! framing of every request, and refuses all of these, together with the spellings that others are
//! known to read differently (sections 5.1, 5.2 and 7.1). [`Violation`] is the list. Everything
//! else is left to hyper, which parses the same bytes afterwards.
//!
//! A refused request must be answered in its turn, after the requests before it, and only hyper
//! knows when that is. So the bytes up to the violation pass, then come a few that hyper cannot
//! accept at any place (`REFUSED`), then the end of the stream: hyper answers `400 Bad Request`
//! and closes. Every field is checked before the line end that follows it is passed on, so a head
//! that breaks a rule is never complete on hyper's side, and its request is never dispatched.
//!
//! A request whose *chunked body* breaks a rule has been dispatched by then. Its handler gets an
//! error from the body, if it reads the body, and the connection is closed after its answer: what
//! must not happen on a refused request has to wait for the end of the body.
//!
//! Nothing is buffered: bytes are checked where they were read, and of a line that is spread over
//! several reads only the beginning is remembered. Limits on the size of a head stay hyper's.
//!
//! The guard understands requests alone: a connection that is upgraded to something else must not
//! pass through it.

mod message;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod tests;

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

pub use self::message::Violation;
use self::message::{Framing, Refusal};

/// What hyper reads in place of a violation.
///
/// CR and NUL in sequence are an error at every place of a head and of the chunked framing; a NUL
/// alone is accepted in a chunk extension. The empty line is for hyper's sake, too: it looks again
/// at a head that it has seen in part only once the end of the head may be there.
const REFUSED: &[u8] = b"\r\0\r\n\r\n";

/// How long a connection that is closed in the middle of a request is still read from.
///
/// To close a socket that has bytes to read resets the connection, and the reset may overtake the
/// answer.
const LINGER: Duration = Duration::from_secs(1);

/// A stream of HTTP/1 requests of which each has exactly one reading.
#[derive(Debug)]
pub struct StrictRequests<S> {
    stream: S,
    framing: Framing,
    /// After a violation: what is left of [`REFUSED`].
    refused: Option<&'static [u8]>,
    head_limit: Duration,
    /// Which head is being waited for, and until when. Most heads arrive in one read and need no
    /// timer.
    head_timer: Option<(u64, Pin<Box<Sleep>>)>,
    linger: Option<Pin<Box<Sleep>>>,
}

impl<S> StrictRequests<S> {
    /// Guards `stream`. A head must be complete within `head_limit` of its first byte; the time
    /// between requests is not limited here.
    pub fn new(stream: S, head_limit: Duration) -> Self {
        Self {
            stream,
            framing: Framing::default(),
            refused: None,
            head_limit,
            head_timer: None,
            linger: None,
        }
    }

    /// Cuts what was read at the violation; what came after it is dropped.
    fn refuse(&mut self, refusal: Refusal, start: usize, buf: &mut ReadBuf<'_>) {
        tracing::debug!(violation = %refusal.violation, "request refused: {}", refusal.violation);
        buf.set_filled(start + refusal.at);
        self.head_timer = None;
        self.refused = Some(put(REFUSED, buf));
    }

    fn time_head(&mut self) {
        match (self.framing.unfinished_head(), &self.head_timer) {
            (None, _) => self.head_timer = None,
            (Some(head), Some((timed, _))) if head == *timed => {}
            (Some(head), _) => self.head_timer = Some((head, Box::pin(sleep(self.head_limit)))),
        }
    }

    /// Nothing to read for now, which may have lasted too long.
    fn poll_head_limit(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some((_, timer)) = &mut self.head_timer else { return Poll::Pending };
        ready!(timer.as_mut().poll(cx));
        tracing::debug!("connection closed: request head not complete after {:?}", self.head_limit);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> StrictRequests<S> {
    /// Reads and drops what the client still sends, until it has closed its side, too.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        if timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut scratch = [0; 4096];
        loop {
            let mut dropped = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut dropped));
            if read.is_err() || dropped.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StrictRequests<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(rest) = self.refused {
            self.refused = Some(put(rest, buf));
            return Poll::Ready(Ok(()));
        }

        let start = buf.filled().len();
        let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buf) else {
            return self.poll_head_limit(cx);
        };
        read?;
        match self.framing.advance(&buf.filled()[start..]) {
            Ok(()) => self.time_head(),
            Err(refusal) => self.refuse(refusal, start, buf),
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for StrictRequests<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        if self.refused.is_some() || !self.framing.between_requests() {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}

/// Copies what fits and returns the rest.
fn put<'a>(bytes: &'a [u8], buf: &mut ReadBuf<'_>) -> &'a [u8] {
    let (now, later) = bytes.split_at(bytes.len().min(buf.remaining()));
    buf.put_slice(now);
    later
}
