//! One connection to the app server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::origin::Origin;

/// How old a connection may become, less up to a third, so that not all are replaced at once. Younger than what the app server
/// gives up by itself (ours 75 s, the original's 20 s), so that no vote is sent into one that is being closed; and old
/// age is how an app server behind a balancer or a sidecar comes to be used.
const AGE: Duration = Duration::from_secs(9);
/// The room for the head of an answer.
const HEAD_ROOM: usize = 64 * 1024;

/// A connection, owned by the request that uses it or by the pool.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Body>,
    address: SocketAddr,
    until: Instant,
    is_new: bool,
}

/// Connects to `address` of `origin`, and speaks HTTP/1.1.
pub(super) async fn open(
    origin: &Origin,
    address: SocketAddr,
    limit: Duration,
) -> io::Result<Connection> {
    timeout(limit, connect(origin, address)).await?
}

async fn connect(origin: &Origin, address: SocketAddr) -> io::Result<Connection> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    // The kernel has chosen the local port at random, so it serves as a random number.
    let until = Instant::now() + AGE - AGE * u32::from(stream.local_addr()?.port() % 1000) / 3000;
    let sender = if origin.is_tls() {
        speak(origin.encrypt(stream).await?).await?
    } else {
        speak(stream).await?
    };
    Ok(Connection { sender, address, until, is_new: true })
}

async fn speak<S>(stream: S) -> io::Result<SendRequest<Body>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = Builder::new().max_buf_size(HEAD_ROOM).handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(io::Error::other)?;
    // If the connection fails, the request on it gets the error.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

impl Connection {
    /// Sends a request, and waits for the head of the answer.
    pub(super) async fn send(
        &mut self,
        request: Request,
    ) -> Result<Response<Incoming>, TrySendError<Request>> {
        // It may still be at the end of the exchange before. If it is closed, sending fails.
        let _ = self.sender.ready().await;
        self.sender.try_send_request(request).await
    }

    /// Whether another request may be sent on it.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        now < self.until && !self.sender.is_closed()
    }

    /// To be used once more.
    pub(super) fn again(self) -> Self {
        Self { is_new: false, ..self }
    }

    /// Whether no request was sent on it before.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}
