//! The app server, as the UI sees it.

mod body;
mod connection;
mod origin;
mod pool;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, uri};
use axum::response::Response;
use tokio::time::{sleep, timeout};
use tracing::Instrument;
use yelb_resolver::Resolver;
use yelb_service::problem::Chain;
use yelb_service::telemetry::span;

use crate::contact::AppServerContact;
use body::Answer;
use connection::Connection;
use pool::{Pool, Taken};

pub use origin::Origin;

/// How long the app server may take to accept a connection, at all its addresses together.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long it may take to begin an answer: longer than its own limit of 5 s, so that its reason arrives, and shorter
/// than the 5.6 s that a process has to drain.
const ANSWER_LIMIT: Duration = Duration::from_millis(5500);
/// How often its name is looked up while there are requests. With the age that a connection may have it is at most 15 s
/// until an address that has left DNS is left, and a new one used.
const LOOK_UP_INTERVAL: Duration = Duration::from_secs(5);

/// The app server, and one worker's connections to it. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub struct Upstream(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    origin: Origin,
    resolver: Resolver,
    contact: AppServerContact,
    pool: Pool,
    /// Held by the request that looks the name up while the others wait for it.
    look_up: tokio::sync::Mutex<()>,
}

/// Why the app server's answer could not be passed on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    #[error("the client's body is malformed or was cut off")]
    Body { source: hyper::Error },
    #[error("the app server at {endpoint} cannot be reached")]
    Unreachable { endpoint: uri::Authority, source: io::Error },
    #[error("the app server at {endpoint} hung up")]
    Disconnected { endpoint: uri::Authority, source: hyper::Error },
    #[error("the app server at {endpoint} did not answer in time")]
    Silent { endpoint: uri::Authority },
}

impl UpstreamError {
    /// For counting.
    fn kind(&self) -> &'static str {
        match self {
            Self::Body { .. } => "body",
            Self::Unreachable { .. } => "unreachable",
            Self::Disconnected { .. } => "hung_up",
            Self::Silent { .. } => "timeout",
        }
    }
}

impl Upstream {
    /// The app server at `origin`. Nothing is connected before the first request.
    ///
    /// `contact` learns from each request how the app server is.
    pub fn new(origin: Origin, resolver: Resolver, contact: AppServerContact) -> Self {
        let (pool, look_up) = (Pool::default(), tokio::sync::Mutex::default());
        Self(Arc::new(Shared { origin, resolver, contact, pool, look_up }))
    }

    /// Where it is.
    pub(crate) fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// Sends the request as a part of the trace that it belongs to.
    pub(crate) async fn call(&self, mut request: Request) -> Result<Response, UpstreamError> {
        let url = self.0.origin.url();
        let span = span::of_call("yelb-appserver", request.method(), url, request.uri().path());
        span::inject(&span, request.headers_mut());
        let outcome = self.send(request).instrument(span.clone()).await;
        match &outcome {
            Ok(response) => span::call_answered(&span, response.status()),
            Err(error) => span::failed(&span, error.kind(), &Chain(error)),
        }
        outcome
    }

    async fn send(&self, request: Request) -> Result<Response, UpstreamError> {
        let mut asked = None;
        let outcome = match timeout(ANSWER_LIMIT, self.exchange(request, &mut asked)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(UpstreamError::Silent { endpoint: self.0.origin.authority() }),
        };
        let contact = &self.0.contact;
        match &outcome {
            Ok(response) if is_a_gateways(response.status()) => {
                contact.down(&format_args!("a gateway on the way answered {}", response.status()));
            }
            Ok(_) => contact.up(),
            // The client's doing, which says nothing of the app server.
            Err(UpstreamError::Body { .. }) => {}
            Err(error) => {
                if let Some(address) = asked {
                    self.0.pool.skip(address);
                }
                contact.down(&Chain(error));
            }
        }
        outcome
    }

    /// Sends the request on one connection, once, and notes whose address was `asked`.
    async fn exchange(
        &self,
        mut request: Request,
        asked: &mut Option<SocketAddr>,
    ) -> Result<Response, UpstreamError> {
        loop {
            let mut connection = self.connection().await?;
            *asked = Some(connection.address());
            match connection.send(request).await {
                Ok(response) => {
                    return Ok(response.map(|body| Body::new(Answer::new(body, connection, self))));
                }
                // It was closed before a byte of the request was written: no server has seen it.
                Err(mut error) if error.message().is_some() && !connection.is_new() => {
                    request = error.take_message().expect("it is there");
                }
                Err(error) => return Err(self.failed(error.into_error())),
            }
        }
    }

    fn failed(&self, source: hyper::Error) -> UpstreamError {
        // The rest of the body, which is read while it is sent on, did not come.
        if source.is_user() {
            UpstreamError::Body { source }
        } else {
            UpstreamError::Disconnected { endpoint: self.0.origin.authority(), source }
        }
    }

    /// A connection that is free, or a new one. An address that cannot be reached costs no request: none was sent.
    async fn connection(&self) -> Result<Connection, UpstreamError> {
        let unreachable =
            |source| UpstreamError::Unreachable { endpoint: self.0.origin.authority(), source };
        let mut failures = 0;
        loop {
            match self.0.pool.take() {
                Taken::Free(connection) => return Ok(connection),
                Taken::Nothing => self.find().await.map_err(unreachable)?,
                Taken::Address { address, of } => {
                    let limit = CONNECT_LIMIT / u32::try_from(of).unwrap_or(u32::MAX);
                    match connection::open(&self.0.origin, address, limit).await {
                        Ok(connection) => return Ok(connection),
                        Err(error) => {
                            self.0.pool.skip(address);
                            failures += 1;
                            if failures >= of {
                                return Err(unreachable(error));
                            }
                        }
                    }
                }
            }
        }
    }

    /// Looks the app server's addresses up, and goes on to do so while they are used.
    async fn find(&self) -> io::Result<()> {
        let _others_wait = self.0.look_up.lock().await;
        if self.0.pool.is_empty() {
            let addresses = self.0.addresses().await?;
            self.0.pool.set(&addresses);
            tokio::spawn(keep(Arc::clone(&self.0)));
        }
        Ok(())
    }
}

impl Shared {
    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let (host, port) = self.origin.host_and_port();
        let addresses = self.resolver.resolve(host, port).await?;
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(addresses)
    }
}

/// Follows the app server's name for as long as its connections are used.
async fn keep(shared: Arc<Shared>) {
    loop {
        sleep(LOOK_UP_INTERVAL).await;
        if !shared.pool.sweep() {
            return;
        }
        match shared.addresses().await {
            Ok(addresses) => shared.pool.set(&addresses),
            // The addresses of before may be as good as ever: it may be the name server that is down.
            Err(error) => tracing::debug!(%error, "cannot look up the app server"),
        }
    }
}

/// Whether an answer is from a gateway that could not reach the app server, such as a sidecar. The app server itself never
/// gives one of these.
fn is_a_gateways(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT)
}
