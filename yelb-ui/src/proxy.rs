//! The proxy of `/api` to the app server.
//!
//! A gateway in the words of RFC 9110 section 3.7: paths, queries, bodies and unknown fields go on as they came, trace headers
//! among them as long as traces are off (else they name our call); what belongs to one connection does not. The proxy sends no
//! request twice, because here a `GET` can be a vote.

mod fields;
mod route;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use yelb_service::observe::observe_as;
use yelb_service::problem::Problem;
use yelb_service::server::App;

use crate::upstream::{Upstream, UpstreamError};

/// Passes on to the app server what begins with `/api/`, and its answers back.
///
/// Not a router: all requests are handled alike. The module `route` names their routes for log, metrics and traces.
pub fn app(upstream: Upstream) -> App {
    App::from_fn(move |request| {
        let upstream = upstream.clone();
        let route = route::of(request.uri().path());
        observe_as(request, route, move |request| answer(upstream, request)).boxed()
    })
}

async fn answer(upstream: Upstream, request: Request) -> Response {
    if request.method() == Method::CONNECT {
        let detail =
            "CONNECT is not supported: this server forwards requests to the app server only.";
        return Problem::new(StatusCode::NOT_IMPLEMENTED, detail).into_response();
    }
    let is_head = request.method() == Method::HEAD;
    match forward(&upstream, request).await {
        Ok(mut response) if is_head => {
            // A stream, because the server tells the length of what it knows to be empty, where the app server tells none.
            let nothing = stream::empty::<Result<Bytes, Infallible>>();
            *response.body_mut() = Body::from_stream(nothing);
            response
        }
        Ok(response) => response,
        Err(error) => Problem::from(error).into_response(),
    }
}

async fn forward(upstream: &Upstream, mut request: Request) -> Result<Response, UpstreamError> {
    let peer = request.extensions_mut().remove::<ConnectInfo<SocketAddr>>();
    let ConnectInfo(peer) = peer.expect("the server tells who is connected");
    *request.uri_mut() = upstream.origin().target(request.uri()).expect("it begins with /api/");
    *request.version_mut() = Version::HTTP_11;
    fields::of_request(&mut request, peer, upstream.origin());
    let mut response = upstream.call(request).await?;
    // The version, too, belongs to one connection.
    *response.version_mut() = Version::HTTP_11;
    fields::remove_hop_by_hop(response.headers_mut());
    Ok(response)
}

impl From<UpstreamError> for Problem {
    fn from(error: UpstreamError) -> Self {
        let (status, detail) = match error {
            UpstreamError::Body { .. } => {
                let detail = "The body is malformed or incomplete. A vote was not counted.";
                return Self::new(StatusCode::BAD_REQUEST, detail);
            }
            UpstreamError::Unreachable { .. } => (
                StatusCode::BAD_GATEWAY,
                "The app server cannot be reached. A vote was not counted. Retry later.",
            ),
            UpstreamError::Disconnected { .. } => (
                StatusCode::BAD_GATEWAY,
                "The app server closed the connection before it answered. A vote may or may not have been counted. \
                 Retry with the same Idempotency-Key.",
            ),
            UpstreamError::Silent { .. } => (
                StatusCode::GATEWAY_TIMEOUT,
                "The app server did not answer in time. A vote may or may not have been counted. \
                 Retry with the same Idempotency-Key.",
            ),
        };
        Self::new(status, detail).retry_after(Duration::from_secs(1)).because(error)
    }
}
