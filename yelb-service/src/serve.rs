//! One listener: HTTP/1.1 in, a service's answers out, and a stop that lets what has begun finish.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tower::{Service, ServiceExt};

use crate::framing::StrictRequests;

/// How long a client may take to send the head of a request it has begun.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// How long a connection may idle between requests: longer than the 60 s after which an ALB drops its side, so that the
/// balancer never sends a request into a connection that we are closing.
const IDLE_LIMIT: Duration = Duration::from_secs(75);
/// The room for a head: request line and fields together.
const HEAD_ROOM: usize = 64 * 1024;
/// How long to pause when the process is out of file descriptors, rather than spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What becomes of a request whose client closes its side before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HungUp {
    /// It is given up. To notice, each request takes a read that finds nothing, and a buffer of 8 KiB for it.
    Dropped,
    /// It is finished, and answered if the client still listens.
    Finished,
}

/// Serves `app` on `listener` until `stop`, then gives what has begun `grace` to finish.
pub async fn serve<A>(
    listener: TcpListener,
    app: A,
    hung_up: HungUp,
    stop: impl Future<Output = ()>,
    grace: Duration,
) where
    A: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    A::Future: Send,
{
    let connections = GracefulShutdown::new();
    let builder = http1(hung_up);
    accept(&listener, &builder, &connections, app, stop).await;
    drop(listener);
    if timeout(grace, connections.shutdown()).await.is_err() {
        tracing::warn!(
            grace_seconds = grace.as_secs(),
            "requests were still open when the grace ended"
        );
    }
}

async fn accept<A>(
    listener: &TcpListener,
    builder: &http1::Builder,
    connections: &GracefulShutdown,
    app: A,
    stop: impl Future<Output = ()>,
) where
    A: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    A::Future: Send,
{
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => return,
        };
        match accepted {
            Ok((stream, peer)) => spawn_connection(stream, peer, builder, connections, app.clone()),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn spawn_connection<A>(
    stream: TcpStream,
    peer: SocketAddr,
    builder: &http1::Builder,
    connections: &GracefulShutdown,
    app: A,
) where
    A: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    A::Future: Send,
{
    // Answers are small and whole: waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let app = app.map_request(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let io = TokioIo::new(StrictRequests::new(stream, HEAD_LIMIT));
    let connection = builder.serve_connection(io, TowerToHyperService::new(app));
    let watched = connections.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = watched.await {
            // The client's doing: it hung up, dawdled, or did not speak HTTP.
            tracing::debug!(%peer, error = %crate::problem::Chain(&error), "connection ended early");
        }
    });
}

fn http1(hung_up: HungUp) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_LIMIT)
        .max_buf_size(HEAD_ROOM)
        .half_close(hung_up == HungUp::Finished)
        // The original's spelling of field names, which people read in `curl -i`.
        .title_case_headers(true);
    builder
}
