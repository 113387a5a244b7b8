//! Every route and every layer.

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use tower::util::MapRequest;
use yelb_poll::ChoiceId;
use yelb_service::health::Health;
use yelb_service::observe::observe;
use yelb_service::problem::Problem;
use yelb_service::server::App;

use crate::api::{Hostname, IdempotencyKey};
use crate::stores::Votes;
use crate::{AppState, api, cors, request};

/// The methods of a vote, and of all that is only read.
const VOTE: &str = "GET,HEAD,POST,OPTIONS";
const READ: &str = "GET,HEAD,OPTIONS";

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Adds the host's name to each answer. The page shows it after every vote. It also says that this app server counts a vote
/// once for each `Idempotency-Key`, so that the page may send the vote again.
const YELB_HOST: HeaderName = HeaderName::from_static("yelb-host");

/// The whole service: what a listener serves, and tests call.
pub fn app(state: AppState, health: &Health) -> App {
    // Outside of the router, because a path has to be normal before it is matched.
    App::new(MapRequest::new(router(state, health), request::normalize_path))
}

fn router(state: AppState, health: &Health) -> Router {
    let poll = state.poll;
    let hostname = state.hostname.clone();
    let votes = poll.ids().fold(Router::new(), |router, choice| {
        router.route(&format!("/api/{}", poll[choice].id), vote(choice))
    });
    votes
        .route("/api/getvotes", get(api::tally).head(api::head_of_json).options(read))
        .route("/api/pageviews", get(api::view).head(api::head_of_json).options(read))
        .route("/api/getstats", get(api::view_stats).head(api::head_of_json).options(read))
        .route("/api/stream", get(api::watch).head(api::head_of_stream).options(read))
        .route("/api/hostname", get(api::hostname).options(read))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "This method is not allowed here. The Allow field lists those that are.",
            )
        })
        .fallback(nothing_here)
        .with_state(state)
        // One layer: each is one more box around every route, to be cloned for every request.
        .layer(from_fn_with_state(hostname, around))
        .merge(health.routes())
}

/// What is around every route, from the outside in: the log sees the final answer, and nothing is counted for a bad request.
async fn around(State(hostname): State<Hostname>, request: Request, next: Next) -> Response {
    let mut response = observe(request, |request| answer(request, next)).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    if let Some(host) = hostname.in_header() {
        headers.insert(YELB_HOST, host);
    }
    response
}

async fn answer(request: Request, next: Next) -> Response {
    let request = match request::without_body(request).await {
        Ok(request) => request,
        Err(problem) => return problem.into_response(),
    };
    let is_routed = request.extensions().get::<MatchedPath>().is_some();
    let response = next.run(request).await;
    if is_routed { cors::allow(response) } else { response }
}

/// The route of one choice. The route has the choice in it, so that a handler cannot get a choice that does not exist.
fn vote(choice: ChoiceId) -> MethodRouter<AppState> {
    let cast = move |votes: State<Votes>, key: IdempotencyKey| api::cast(votes, choice, key);
    get(cast).post(cast).head(api::head_of_text).options(async || cors::options(VOTE))
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
