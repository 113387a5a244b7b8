//! Every route and every layer.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{from_fn, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Extension, Router};
use tower::{Layer, Service};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use yelb_db::Restaurant;
use yelb_service::health::Health;
use yelb_service::observe;
use yelb_service::problem::{self, Problem};

use crate::{AppState, api, cors, request};

/// The methods of a vote, and of all that is only read.
const VOTE: &str = "GET,HEAD,POST,OPTIONS";
const READ: &str = "GET,HEAD,OPTIONS";

/// The whole service: what a listener serves, and tests call.
pub fn app(
    state: AppState,
    health: &Health,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + use<>
{
    // Outside of the router, because a path has to be plain before it is matched.
    tower::util::MapRequestLayer::new(request::with_plain_path).layer(router(state, health))
}

fn router(state: AppState, health: &Health) -> Router {
    let no_store = SetResponseHeaderLayer::overriding(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-store"),
    );
    let votes =
        state.votes.poll().restaurants().iter().fold(Router::new(), |router, restaurant| {
            router.route(&format!("/api/{restaurant}"), ballot(restaurant.clone()))
        });
    votes
        .route("/api/getvotes", get(api::tally).options(read))
        .route("/api/pageviews", get(api::view).head(api::views).options(read))
        .route("/api/getstats", get(api::view_stats).head(api::current_stats).options(read))
        .route("/api/hostname", get(api::hostname).options(read))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "The methods that are allowed here are listed in Allow.",
            )
        })
        .layer(map_response(cors::allow))
        .fallback(nothing_here)
        .with_state(state)
        // The last is the outermost: the log sees the final answer, and nothing is counted for a bad request.
        .layer(from_fn(request::whole))
        .layer(from_fn(request::check_query))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn(problem::negotiate))
        .layer(no_store)
        .layer(from_fn(observe::requests))
        .merge(health.routes())
}

/// The route of one restaurant. It carries the name, so that a handler cannot meet a stranger.
fn ballot(restaurant: Restaurant) -> MethodRouter<AppState> {
    let options = async || cors::options(VOTE);
    get(api::cast).post(api::cast).head(api::count).options(options).layer(Extension(restaurant))
}

async fn read() -> Response<Body> {
    cors::options(READ)
}

async fn nothing_here(request: Request) -> Response {
    if request.method() == Method::OPTIONS && request.uri().path() == "*" {
        // Asks of the server as a whole (RFC 9110 section 9.3.7).
        return (StatusCode::NO_CONTENT, [(header::ALLOW, VOTE)]).into_response();
    }
    Problem::not_found().into_response()
}
