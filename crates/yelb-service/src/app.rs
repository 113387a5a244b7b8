//! An application that answers requests: a router, a service or a function.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use futures_util::FutureExt;
use tower::{Service, ServiceExt};

/// A future of an answer.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// An application that answers requests. Cloning it clones a handle.
///
/// It is not tower's boxed service, because that service and its box would be cloned for each request.
#[derive(Clone)]
pub struct App(Arc<dyn Fn(Request<Body>) -> Answer + Send + Sync>);

impl App {
    /// Answers by a service, such as a router.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        Self::from_fn(move |request| service.clone().oneshot(request).map(infallible).boxed())
    }

    /// Answers by a function.
    pub fn from_fn(answer: impl Fn(Request<Body>) -> Answer + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }

    /// Answers one request.
    pub fn answer(&self, request: Request<Body>) -> Answer {
        (self.0)(request)
    }
}

fn infallible(answer: Result<Response, Infallible>) -> Response {
    answer.unwrap_or_else(|never| match never {})
}

impl Service<Request<Body>> for App {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.answer(request).map(Ok).boxed()
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("App")
    }
}
