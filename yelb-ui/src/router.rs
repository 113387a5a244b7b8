//! Every route and every layer.

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::any;
use tower_http::catch_panic::CatchPanicLayer;
use yelb_service::health::Health;
use yelb_service::observe;
use yelb_service::problem::{self, Problem};

use crate::page;
use crate::proxy::{self, Upstream};

/// The whole service: what a listener serves, and tests call.
pub fn app(upstream: Upstream, health: &Health) -> Router {
    // Only what begins with /api/ to the letter goes to the app server, as it came.
    let api = Router::new().route("/api/{*path}", any(proxy::forward)).with_state(upstream);
    api.merge(page::router())
        .fallback(async || Problem::not_found())
        // The last is the outermost: the log sees the final answer.
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn(problem::negotiate))
        .layer(from_fn(observe::requests))
        .merge(health.routes())
}
