//! The body of an answer, on its way from the app server to the client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

use super::Upstream;
use super::connection::Connection;

/// How long an answer that has begun may pause.
const PAUSE_LIMIT: Duration = Duration::from_secs(30);

/// A body that gives its connection back to the pool once it has ended.
pub(super) struct Answer {
    body: Incoming,
    connection: Option<Connection>,
    upstream: Upstream,
    /// Made when there is something to wait for: most answers come as a whole.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Answer {
    pub(super) fn new(body: Incoming, connection: Connection, upstream: &Upstream) -> Self {
        let connection = Some(connection);
        let mut answer = Self { body, connection, upstream: upstream.clone(), pause: None };
        if answer.body.is_end_stream() {
            answer.give_back();
        }
        answer
    }

    fn give_back(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.upstream.0.pool.put(connection);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            let pause = this.pause.get_or_insert_with(|| Box::pin(sleep(PAUSE_LIMIT)));
            return pause.as_mut().poll(cx).map(|()| Some(Err(io::ErrorKind::TimedOut.into())));
        };
        this.pause = None;
        if frame.is_none() || this.body.is_end_stream() {
            this.give_back();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
