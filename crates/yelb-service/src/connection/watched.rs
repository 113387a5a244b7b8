//! A socket with limits of time and memory for its client.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::connections::Entry;

/// How long a head may take from its first byte.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a client may read nothing of an answer.
pub(super) const STALL_TIME: Duration = Duration::from_secs(30);

/// The transport of a connection.
pub(crate) trait Client: AsyncRead + AsyncWrite + Unpin {
    /// Resolves when there is something to read, and returns whether it is the end of the stream. Does not read.
    fn poll_is_at_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>>;
}

impl Client for TcpStream {
    fn poll_is_at_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.poll_peek(cx, &mut ReadBuf::new(&mut [0])).map_ok(|bytes| bytes == 0)
    }
}

impl<C: Client> Client for &mut C {
    fn poll_is_at_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        (**self).poll_is_at_end(cx)
    }
}

/// A stream with limits on how long its client keeps it waiting. The timers are made only when there is something to wait for.
pub(super) struct Watched<S> {
    stream: S,
    entry: Arc<Entry>,
    /// Whether it fails when the client closes its side while a request is answered.
    watch_for_end: bool,
    head: Head,
    /// Runs while the client does not read.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// What has come of the next request's head.
#[derive(Default)]
struct Head {
    /// After how many requests.
    after: u64,
    bytes: usize,
    /// How many of them are counted in the room that all heads share.
    counted: usize,
    time: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, entry: Arc<Entry>, watch_for_end: bool) -> Self {
        Self { stream, entry, watch_for_end, head: Head::default(), stalled: None }
    }

    /// Notes that more bytes of a head have arrived. If they belong to the next request, the limits begin again.
    fn head_grows(&mut self, bytes: usize) {
        let after = self.entry.requests();
        if after != self.head.after {
            self.entry.leave_room(self.head.counted);
            self.head = Head { after, ..Head::default() };
        }
        self.head.bytes += bytes;
    }

    /// There is nothing more to read for now. A head that has begun has to go on, and has to have room.
    fn wait_for_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.head_grows(0);
        if self.entry.is_busy() {
            return Poll::Pending;
        }
        if self.head.bytes == 0 {
            self.entry.await_client();
            return Poll::Pending;
        }
        let more = self.head.bytes - self.head.counted;
        self.head.counted = self.head.bytes;
        if more > 0 && !self.entry.take_room(more, self.head.bytes) {
            return Poll::Ready(cut("large_head"));
        }
        let time = self.head.time.get_or_insert_with(|| Box::pin(sleep(HEAD_TIME)));
        ready!(time.as_mut().poll(cx));
        Poll::Ready(cut("slow_head"))
    }

    /// Closes the connection of a client that has read nothing for too long.
    fn written<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if self.stalled.take().is_some() {
                self.entry.goes_on();
            }
            return written;
        }
        let time = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL_TIME)));
        ready!(time.as_mut().poll(cx));
        Poll::Ready(cut("slow_reader"))
    }
}

fn cut<T>(reason: &'static str) -> io::Result<T> {
    metrics::counter!("yelb_connections_cut_total", "reason" => reason).increment(1);
    Err(io::Error::new(io::ErrorKind::TimedOut, reason))
}

impl<S> Drop for Watched<S> {
    fn drop(&mut self) {
        self.entry.leave_room(self.head.counted);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Ready(outcome) => {
                this.entry.end_rest();
                this.head_grows(buffer.filled().len() - before);
                Poll::Ready(outcome)
            }
            Poll::Pending => this.wait_for_head(cx),
        }
    }
}

impl<S: Client> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.written(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes each time it has nothing else to do, and so while it waits for an answer to send.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.watch_for_end
            && let Poll::Ready(true) = this.stream.poll_is_at_end(cx)?
        {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
