//! Every route and every layer.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::any;
use yelb_service::health::Health;
use yelb_service::observe::Observed;
use yelb_service::problem::{self, Problem};

use crate::page;
use crate::proxy::{self, Upstream};

/// The whole service: what a listener serves, and tests call.
pub fn app(upstream: Upstream, health: &Health) -> Router {
    // Only what begins with /api/ to the letter goes to the app server, as it came.
    let api = Router::new().route("/api/{*path}", any(proxy::forward)).with_state(upstream);
    api.merge(page::router())
        .fallback(async || Problem::not_found())
        .layer(from_fn(around))
        .merge(health.routes())
}

/// What is around every route, from the outside in: the log sees the final answer.
async fn around(request: Request, next: Next) -> Response {
    let observed = Observed::begin(&request);
    let wants_page = problem::wants_page(&request);
    let mut response = observed.run(problem::or_defect(next.run(request))).await;
    if wants_page {
        response = problem::as_page(response);
    }
    observed.end(&response);
    response
}
