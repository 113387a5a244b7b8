//! One connection: HTTP/1.1 in, a service's answers out.

mod refusal;
mod watched;

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, header};
use axum::response::Response;
use futures_util::FutureExt;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, sink};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::connections::Entry;
use crate::health::Health;
use watched::{Client, Watched};

/// The longest time from one answer to the complete head of the next request. hyper has one timer for the idle time and the
/// head. An ALB closes an idle connection after 60 s. This limit is longer, so that the ALB never sends a request on a
/// connection that the server is closing.
const HEAD_LIMIT: Duration = Duration::from_secs(75);
/// The room for a head: request line and fields together.
const HEAD_ROOM: usize = 64 * 1024;
/// How long a connection beyond the limit may last, for one request.
const TURNED_AWAY_TIME: Duration = Duration::from_secs(5);
/// How long the server reads from a connection before it closes it. Closing a socket with unread bytes resets the connection,
/// and the client may then lose the answer (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(1);
/// How much is read at a time meanwhile.
const LINGER_ROOM: usize = 1024;

/// What happens to a request if its client disconnects before the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisconnect {
    /// The request is cancelled.
    Cancel,
    /// The request is completed. The answer is sent if the client still reads.
    Complete,
}

/// What a connection is served with.
pub(crate) struct Session {
    pub(crate) peer: SocketAddr,
    pub(crate) app: App,
    pub(crate) on_disconnect: OnDisconnect,
    pub(crate) health: Health,
    pub(crate) entry: Arc<Entry>,
    /// There are too many connections: only health checks are answered.
    pub(crate) is_turned_away: bool,
    /// The time after which an idle connection gives its buffers back.
    pub(crate) rest_after: Duration,
}

impl Session {
    /// How long the client may take to send anything.
    pub(crate) fn first_byte_time(&self) -> Duration {
        if self.is_turned_away { TURNED_AWAY_TIME } else { HEAD_LIMIT }
    }
}

/// What is next on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The client's next request, when it comes.
    Rest,
    /// Nothing.
    End,
}

/// Serves a connection until either side closes it, or until it has to make room for another one. After `stop` it closes as
/// soon as it is idle. A connection that stays idle gives back hyper's buffers of 16 KiB.
pub(crate) async fn serve(
    stream: &mut impl Client,
    session: &Session,
    stop: &CancellationToken,
) -> hyper::Result<Next> {
    let watch_for_end = session.on_disconnect == OnDisconnect::Cancel;
    let stream = Watched::new(stream, Arc::clone(&session.entry), watch_for_end);
    let time = session.is_turned_away.then_some(TURNED_AWAY_TIME);
    tokio::select! {
        outcome = converse(stream, session, stop) => outcome,
        // No request is in progress on this connection.
        () = session.entry.closed() => Ok(Next::End),
        () = pause(time) => Ok(Next::End),
    }
}

/// Waits forever if there is no limit.
async fn pause(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => pending().await,
    }
}

async fn converse(
    stream: Watched<impl Client>,
    session: &Session,
    stop: &CancellationToken,
) -> hyper::Result<Next> {
    let service = service_fn(|request| answer(session, request));
    let mut connection = http1().serve_connection(TokioIo::new(stream), service);
    let mut next = Next::End;
    let ended = tokio::select! {
        outcome = poll_fn(|cx| connection.poll_without_shutdown(cx)) => Some(outcome),
        () = session.entry.rested(session.rest_after) => {
            next = Next::Rest;
            None
        }
        () = stop.cancelled() => None,
    };
    let outcome = match ended {
        Some(outcome) => outcome,
        None => {
            Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|cx| connection.poll_without_shutdown(cx)).await
        }
    };
    // The buffer of a large head is freed.
    let (stream, has_more) = {
        let parts = connection.into_parts();
        (parts.io.into_inner(), !parts.read_buf.is_empty())
    };
    if next == Next::Rest && outcome.is_ok() && !has_more {
        return Ok(next);
    }
    if outcome.as_ref().is_err_and(|error| !error.is_parse()) {
        // The connection is broken, its client is too slow, or the answer broke off: there is no whole answer to wait for.
        return outcome.map(|()| Next::End);
    }
    tokio::select! {
        // Our side is closed in any case.
        biased;
        // Later errors of this client are ignored.
        _ = timeout(LINGER, linger(stream)) => {}
        () = stop.cancelled() => {}
    }
    outcome.map(|()| Next::End)
}

/// Answers one request. A request with a body is the last one on its connection. Two parsers may disagree about where a body
/// ends, and the bytes after it must never be read as a request (RFC 9112 section 11.2). While the process drains, every
/// request is the last one, so that the client sends the next request to another process.
///
/// A pipelined request waits for other connections. hyper answers sixteen pipelined requests in a row. With thousands of such
/// clients, another client would wait for seconds.
fn answer(
    session: &Session,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response, Infallible>> + Unpin {
    let has_body = !request.body().is_end_stream();
    let mut request = request.map(|body| if has_body { Body::new(body) } else { Body::empty() });
    let mut place = has_body.then(|| session.entry.body_place()).flatten();
    let has_no_place = has_body && place.is_none();
    let refusal = refusal::of(&request, session.is_turned_away)
        .or_else(|| has_no_place.then(refusal::too_many_bodies));
    let is_last = has_body || refusal.is_some() || session.is_turned_away;
    session.entry.begin_request(is_last);
    let mut answer = match refusal {
        Some(problem) => refusal::answer(request, problem),
        None => {
            request.extensions_mut().insert(ConnectInfo(session.peer));
            session.app.answer(request)
        }
    };
    let mut others_first = !session.entry.was_awaited();
    poll_fn(move |cx| {
        if mem::take(&mut others_first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut response = ready!(answer.poll_unpin(cx));
        if is_last || session.health.is_draining() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        session.entry.end_request();
        drop(place.take());
        Poll::Ready(Ok(response))
    })
}

/// Closes the sending side. Then reads and ignores what the client sends, until the client closes its side.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.shutdown().await?;
    // A small buffer: thousands of clients may be refused at once.
    tokio::io::copy_buf(&mut BufReader::with_capacity(LINGER_ROOM, stream), &mut sink()).await?;
    Ok(())
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_ROOM)
        // hyper could watch for a disconnect while a request is answered. But this would cost a read and 8 KiB for each
        // request.
        .half_close(true)
        // The original's spelling of field names, which people read in `curl -i`.
        .title_case_headers(true);
    builder
}

#[cfg(test)]
mod tests;
