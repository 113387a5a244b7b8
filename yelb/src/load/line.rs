//! One connection at a time, and what can go wrong on it.

use std::fmt;
use std::io::ErrorKind;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::target::Target;

/// More than a poll of a thousand restaurants fills.
const MOST_BYTES: usize = 256 * 1024;
/// A server may close an idle connection just when it is to be used again. Of the request nothing has gone out then, and a
/// fresh connection gets it.
const TRIES_TO_SEND: u32 = 2;

/// Why an attempt was no success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// Nobody listens there.
    Refused,
    /// No connection for another reason: the name, the route, no free port on this side.
    Unreachable,
    /// The connection, or the answer, was not there in time.
    Timeout,
    /// The connection ended before the answer did.
    HungUp,
    /// An answer that is not a success.
    Status(StatusCode),
    /// A success that is not what was asked for.
    BadAnswer,
}

impl Failure {
    /// Whether the answer says that the request itself will not do: to repeat it changes nothing.
    pub(crate) fn is_final(self) -> bool {
        let Self::Status(status) = self else { return false };
        let passing = matches!(status.as_u16(), 408 | 425 | 429);
        status.is_client_error() && !passing
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::Unreachable => f.write_str("cannot connect"),
            Self::Timeout => f.write_str("timeout"),
            Self::HungUp => f.write_str("hung up"),
            Self::Status(status) => write!(f, "status {}", status.as_u16()),
            Self::BadAnswer => f.write_str("bad answer"),
        }
    }
}

/// A connection that is opened when it is needed, and again after it was lost.
#[derive(Debug, Default)]
pub(crate) struct Line {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    sender: SendRequest<Empty<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        // Whoever did not answer in time is not to be read from later.
        self.driver.abort();
    }
}

impl Line {
    /// Connects, unless it is connected.
    pub(crate) async fn connect(
        &mut self,
        target: &Target,
        deadline: Instant,
    ) -> Result<(), Failure> {
        if let Some(open) = &mut self.open
            && let Ok(Ok(())) = timeout_at(deadline, open.sender.ready()).await
        {
            return Ok(());
        }
        self.open = None;
        let opened = timeout_at(deadline, open(target)).await;
        self.open = Some(opened.map_err(|_| Failure::Timeout)??);
        Ok(())
    }

    /// Sends a request and reads the answer to its end.
    pub(crate) async fn ask(
        &mut self,
        target: &Target,
        request: Request<Empty<Bytes>>,
        deadline: Instant,
    ) -> Result<Bytes, Failure> {
        let answer = timeout_at(deadline, self.exchange(target, request, deadline)).await;
        let answer = answer.unwrap_or(Err(Failure::Timeout));
        // After an answer that is only not a success, the connection is as good as before.
        if matches!(answer, Err(Failure::Timeout | Failure::HungUp)) {
            self.open = None;
        }
        answer
    }

    async fn exchange(
        &mut self,
        target: &Target,
        mut request: Request<Empty<Bytes>>,
        deadline: Instant,
    ) -> Result<Bytes, Failure> {
        for _ in 0..TRIES_TO_SEND {
            self.connect(target, deadline).await?;
            let open = self.open.as_mut().ok_or(Failure::HungUp)?;
            match open.sender.try_send_request(request).await {
                Ok(response) => return whole(response).await,
                Err(mut error) => request = error.take_message().ok_or(Failure::HungUp)?,
            }
            self.open = None;
        }
        Err(Failure::HungUp)
    }
}

async fn whole(response: Response<Incoming>) -> Result<Bytes, Failure> {
    let status = response.status();
    let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
    let body = body.map_err(|_| Failure::HungUp)?.to_bytes();
    if status.is_success() { Ok(body) } else { Err(Failure::Status(status)) }
}

async fn open(target: &Target) -> Result<Open, Failure> {
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await;
    let stream = stream.map_err(|error| match error.kind() {
        ErrorKind::ConnectionRefused => Failure::Refused,
        _ => Failure::Unreachable,
    })?;
    // A request is small and whole: waiting to fill a segment only delays it.
    let _ = stream.set_nodelay(true);
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|_| Failure::HungUp)?;
    // Its end is told to whoever asks next.
    let driver = tokio::spawn(async { drop(connection.await) }).abort_handle();
    Ok(Open { sender, driver })
}
