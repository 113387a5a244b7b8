//! `/api`, passed on to the app server.
//!
//! A gateway in the words of RFC 9110 section 3.7: paths, queries, bodies and unknown fields go on as they came, trace
//! headers among them as long as traces are off (else they name our call); what belongs to one connection does not.
//! Nothing is tried twice: a vote is a `GET` here.

use std::convert::Infallible;
use std::error::Error as _;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, uri};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use futures_util::stream;
use hyper::body::Body as _;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;
use tower_http::timeout::TimeoutBody;
use tracing::Instrument;
use yelb_resolver::Resolver;
use yelb_service::observe::observe;
use yelb_service::problem::{Chain, Problem};
use yelb_service::server::App;
use yelb_service::telemetry::span;

use crate::config::Endpoint;
use crate::contact::AppServerContact;

/// How long the app server may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long it may take to begin an answer: longer than its own limit of 5 s, so that its reason arrives, and shorter
/// than the 5.6 s that a process has to drain.
const ANSWER_LIMIT: Duration = Duration::from_millis(5500);
/// How long an answer that has begun may pause.
const PAUSE_LIMIT: Duration = Duration::from_secs(30);
/// Connections are given up before the app server gives them up (ours 75 s, the original's 20 s), so that no vote is sent
/// into one that is being closed.
const POOL_IDLE_LIMIT: Duration = Duration::from_secs(15);

/// Fields that belong to one connection, besides those that `Connection` names (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The app server, as the UI sees it. Cloning it clones a handle to one pool of connections.
#[derive(Debug, Clone)]
pub struct Upstream {
    client: Client<HttpConnector<Resolver>, Body>,
    endpoint: Endpoint,
    contact: AppServerContact,
}

/// Why the app server's answer could not be passed on.
#[derive(Debug, thiserror::Error)]
enum UpstreamError {
    #[error("the client's body is malformed or was cut off")]
    Body { source: legacy::Error },
    #[error("the app server at {endpoint} cannot be reached")]
    Unreachable { endpoint: uri::Authority, source: legacy::Error },
    #[error("the app server at {endpoint} hung up")]
    HungUp { endpoint: uri::Authority, source: legacy::Error },
    #[error("the app server at {endpoint} did not answer in time")]
    Silent { endpoint: uri::Authority },
}

impl UpstreamError {
    /// For counting.
    fn kind(&self) -> &'static str {
        match self {
            Self::Body { .. } => "body",
            Self::Unreachable { .. } => "unreachable",
            Self::HungUp { .. } => "hung_up",
            Self::Silent { .. } => "timeout",
        }
    }
}

impl Upstream {
    /// The app server at `endpoint`. Nothing is connected before the first request.
    ///
    /// `contact` learns from each request how the app server is.
    pub fn new(endpoint: Endpoint, resolver: Resolver, contact: AppServerContact) -> Self {
        let mut connector = HttpConnector::new_with_resolver(resolver);
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        connector.set_nodelay(true);
        // (The client takes another connection if the pooled one turns out closed before it was written to. That is not
        // a second try: no server has seen the first.)
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE_LIMIT)
            .build(connector);
        Self { client, endpoint, contact }
    }

    /// Sends the request as a part of the trace that it belongs to.
    async fn call(&self, mut request: Request) -> Result<Response, UpstreamError> {
        let span = span::of_call("yelb-appserver", request.method(), request.uri());
        span::inject(&span, request.headers_mut());
        let outcome = self.send(request).instrument(span.clone()).await;
        match &outcome {
            Ok(response) => span::call_answered(&span, response.status()),
            Err(error) => span::failed(&span, error.kind(), &Chain(error)),
        }
        outcome
    }

    async fn send(&self, request: Request) -> Result<Response, UpstreamError> {
        let endpoint = || self.endpoint.authority().clone();
        let outcome = match timeout(ANSWER_LIMIT, self.client.request(request)).await {
            Ok(Ok(response)) => {
                Ok(response.map(|body| Body::new(TimeoutBody::new(PAUSE_LIMIT, body))))
            }
            Ok(Err(source)) if source.is_connect() => {
                Err(UpstreamError::Unreachable { endpoint: endpoint(), source })
            }
            Ok(Err(source)) if is_of_the_body(&source) => Err(UpstreamError::Body { source }),
            Ok(Err(source)) => Err(UpstreamError::HungUp { endpoint: endpoint(), source }),
            Err(_) => Err(UpstreamError::Silent { endpoint: endpoint() }),
        };
        match &outcome {
            Ok(response) if is_a_gateways(response.status()) => {
                self.contact
                    .down(&format_args!("a gateway on the way answered {}", response.status()));
            }
            Ok(_) => self.contact.up(),
            // The client's doing, which says nothing of the app server.
            Err(UpstreamError::Body { .. }) => {}
            Err(error) => self.contact.down(&Chain(error)),
        }
        outcome
    }
}

/// Whether the request failed because the rest of its body, which is read while it is sent on, did not come.
fn is_of_the_body(error: &legacy::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<hyper::Error>());
    cause.is_some_and(hyper::Error::is_user)
}

/// Whether an answer is from a gateway that could not reach the app server, such as a sidecar. The app server itself never
/// gives one of these.
fn is_a_gateways(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT)
}

/// Passes on to the app server what begins with `/api/`, and its answers back.
pub fn app(upstream: Upstream) -> App {
    let forwarded = Router::new()
        .route("/api/", any(forward))
        .route("/api/{*path}", any(forward))
        .with_state(upstream)
        .layer(from_fn(around));
    App::new(forwarded)
}

async fn around(request: Request, next: Next) -> Response {
    observe(request, |request| next.run(request)).await
}

async fn forward(
    State(upstream): State<Upstream>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
) -> Result<Response, Problem> {
    let is_head = request.method() == Method::HEAD;
    readdress(&mut request, peer, &upstream.endpoint);
    let mut response = upstream.call(request).await?;
    if is_head {
        // A stream, because axum tells the length of what it knows to be empty, where the app server tells none.
        let nothing = stream::empty::<Result<Bytes, Infallible>>();
        *response.body_mut() = Body::from_stream(nothing);
    }
    // The version, too, belongs to one connection.
    *response.version_mut() = Version::HTTP_11;
    remove_hop_by_hop(response.headers_mut());
    Ok(response)
}

/// Addresses the request to the app server, and says on whose behalf it comes.
fn readdress(request: &mut Request, peer: SocketAddr, endpoint: &Endpoint) {
    *request.uri_mut() = upstream_uri(request.uri(), endpoint);
    *request.version_mut() = Version::HTTP_11;
    let length = request.body().size_hint().exact();
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    frame(headers, length);
    // The server in front of us has answered it.
    headers.remove(header::EXPECT);
    append(headers, FORWARDED_FOR, &peer.ip().to_canonical().to_string());
    append(headers, header::VIA, "1.1 yelb-ui");
    // What a load balancer in front has said stands.
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    let host = HeaderValue::from_str(endpoint.authority().as_str())
        .expect("an authority is visible ASCII");
    if let Some(asked) = headers.insert(header::HOST, host) {
        headers.entry(FORWARDED_HOST).or_insert(asked);
    }
}

/// Says where the body ends in one way, whatever the client has said.
fn frame(headers: &mut HeaderMap, length: Option<u64>) {
    match length {
        Some(length) if headers.contains_key(header::CONTENT_LENGTH) => {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        Some(_) => {}
        None => {
            headers.remove(header::CONTENT_LENGTH);
            // hyper takes a GET of unknown length for one without a body, unless it is told.
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}

/// The same path and query, to the byte, at the app server.
fn upstream_uri(sent: &Uri, endpoint: &Endpoint) -> Uri {
    let mut parts = uri::Parts::default();
    parts.scheme = Some(uri::Scheme::HTTP);
    parts.authority = Some(endpoint.authority().clone());
    parts.path_and_query = sent.path_and_query().cloned();
    Uri::from_parts(parts).expect("it has scheme, authority and, as it met the route, a path")
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}

/// Adds to the end of a field that is a list.
fn append(headers: &mut HeaderMap, name: HeaderName, last: &str) {
    let before = headers.get_all(&name).iter().filter_map(|value| value.to_str().ok());
    let list = before.chain([last]).collect::<Vec<_>>().join(", ");
    if let Ok(list) = HeaderValue::from_str(&list) {
        headers.insert(name, list);
    }
}

impl From<UpstreamError> for Problem {
    fn from(error: UpstreamError) -> Self {
        let (status, detail) = match error {
            UpstreamError::Body { .. } => {
                let detail = "The body is malformed or was cut off.";
                return Self::new(StatusCode::BAD_REQUEST, detail);
            }
            UpstreamError::Unreachable { .. } => {
                (StatusCode::BAD_GATEWAY, "The app server cannot be reached.")
            }
            UpstreamError::HungUp { .. } => (
                StatusCode::BAD_GATEWAY,
                "The app server hung up before it answered. A vote was not confirmed.",
            ),
            UpstreamError::Silent { .. } => (
                StatusCode::GATEWAY_TIMEOUT,
                "The app server did not answer in time. A vote was not confirmed.",
            ),
        };
        Self::new(status, detail).retry_after(Duration::from_secs(1)).because(error)
    }
}
