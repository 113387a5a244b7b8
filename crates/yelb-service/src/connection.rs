//! One connection: HTTP/1.1 in, a service's answers out.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, header};
use axum::response::Response;
use futures_util::TryFutureExt;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

/// What answers requests.
pub type App = BoxCloneSyncService<Request<Body>, Response, Infallible>;

/// How long a connection may take from one answer to the whole head of the next request. hyper has one timer for the idle
/// time and the head. Longer than the 60 s after which an ALB drops its side, so that the balancer never sends a request
/// into a connection that we are closing.
const HEAD_LIMIT: Duration = Duration::from_secs(75);
/// The room for a head: request line and fields together.
const HEAD_ROOM: usize = 64 * 1024;
/// How long a closing connection is still read from: to close a socket that has bytes to read resets the connection, and
/// the reset may overtake the answer (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(1);

/// What becomes of a request whose client closes its side before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisconnect {
    /// It is cancelled. To notice, each request takes a read that finds nothing, and a buffer of 8 KiB for it.
    Cancel,
    /// It is completed, and answered if the client still listens.
    Complete,
}

/// Serves one connection until either side closes it. After `stop` it closes as soon as it is idle.
pub(crate) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    app: App,
    on_disconnect: OnDisconnect,
    stop: CancellationToken,
) -> hyper::Result<()> {
    let service = service_fn(|request| answer(&app, request, peer));
    let mut connection = http1(on_disconnect).serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        outcome = poll_fn(|cx| connection.poll_without_shutdown(cx)) => Some(outcome),
        () = stop.cancelled() => None,
    };
    let outcome = match ended {
        Some(outcome) => outcome,
        None => {
            Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|cx| connection.poll_without_shutdown(cx)).await
        }
    };
    let stream = connection.into_parts().io.into_inner();
    tokio::select! {
        // Our side is closed in any case.
        biased;
        // What the client does from now on is its own business.
        _ = timeout(LINGER, linger(stream)) => {}
        () = stop.cancelled() => {}
    }
    outcome
}

/// Answers one request. A request that has a body is the last one on its connection: where a body ends, two parsers may see
/// differently, and what follows it must never be read as a request (RFC 9112 section 11.2).
fn answer(
    app: &App,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> impl Future<Output = Result<Response, Infallible>> + Unpin + use<> {
    let has_body = !request.body().is_end_stream();
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    app.clone().oneshot(request).map_ok(move |mut response| {
        if has_body {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    })
}

/// Closes our side, then drops what the client still sends until it closes its own.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(())
}

fn http1(on_disconnect: OnDisconnect) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_ROOM)
        .half_close(on_disconnect == OnDisconnect::Complete)
        // The original's spelling of field names, which people read in `curl -i`.
        .title_case_headers(true);
    builder
}

#[cfg(test)]
mod tests;
