//! One span, one log line and one measurement for each request.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::response::Response;
use opentelemetry::trace::TraceId;
use tracing::Instrument;
use tracing::field::display;

use crate::method;
use crate::problem::{self, Problem};
use crate::telemetry::span;

mod active;
mod series;

use active::ActiveRequest;

/// The template of a route, for metrics and the names of spans. The path itself is not used, because clients choose it and
/// could create any number of metrics.
#[derive(Debug, Clone)]
pub enum Route {
    /// A route of a router.
    Matched(MatchedPath),
    /// A route that is known without a router.
    Known(&'static str),
    /// None.
    Unmatched,
}

impl Route {
    /// The route that a router has chosen.
    fn of(request: &Request) -> Self {
        let matched = request.extensions().get::<MatchedPath>();
        matched.map_or(Self::Unmatched, |path| Self::Matched(path.clone()))
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Matched(path) => Some(path.as_str()),
            Self::Known(name) => Some(name),
            Self::Unmatched => None,
        }
    }
}

/// Answers a request that has been routed by a router: see [`observe_as`].
pub async fn observe<A>(request: Request, answer: impl FnOnce(Request) -> A) -> Response
where
    A: Future<Output = Response>,
{
    let route = Route::of(&request);
    observe_as(request, route, answer).await
}

/// Answers a request by `answer`. Calls that `answer` makes belong to the request's trace. A panic is answered 500.
///
/// Fields and metrics are named by OpenTelemetry's semantic conventions for HTTP servers. The fields of the log's line are
/// the event's own: the span has them for traces alone, where they cost nothing unless there are any.
pub async fn observe_as<A>(
    request: Request,
    route: Route,
    answer: impl FnOnce(Request) -> A,
) -> Response
where
    A: Future<Output = Response>,
{
    let started = Instant::now();
    let _active = ActiveRequest::begin();
    let method = method::known(request.method());
    let (span, trace_id) = span::of_request(&request, method, route.name());
    let sender = Sender::of(&request, &route);
    let wants_page = problem::wants_page(&request);
    let mut response = problem::catch_panic(answer(request)).instrument(span.clone()).await;
    if wants_page {
        response = problem::as_page(response);
    }
    let seconds = started.elapsed().as_secs_f64();
    record(&response, &span);
    log(&response, method, &route, sender, trace_id, seconds);
    let route = route.name().unwrap_or(UNMATCHED);
    series::record(method, route, response.status(), seconds);
    response
}

/// What the log says of a request besides its route.
struct Sender {
    client: Option<IpAddr>,
    /// The path, if the route does not tell it.
    path: Option<Box<str>>,
}

impl Sender {
    fn of(request: &Request, route: &Route) -> Self {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let client = span::forwarded_client(request.headers()).or(peer.map(|it| it.0.ip()));
        let path = request.uri().path();
        let is_told = route.name() == Some(path);
        Self { client, path: (!is_told).then(|| span::bounded(path).into()) }
    }
}

/// What log and metrics call a request that met no route.
const UNMATCHED: &str = "unmatched";

/// What the span shows of the answer: a failure with the words of the log.
fn record(response: &Response, span: &tracing::Span) {
    if span.is_disabled() {
        return;
    }
    let status = response.status();
    span::answered(span, status);
    if status.is_server_error() {
        let problem = response.extensions().get::<Problem>();
        let why = problem.map_or_else(|| status.to_string(), Problem::report);
        span::failed(span, status.as_str().to_owned(), &why);
    }
}

fn log(
    response: &Response,
    method: &'static str,
    route: &Route,
    Sender { client, path }: Sender,
    trace_id: Option<TraceId>,
    seconds: f64,
) {
    let status = response.status();
    // Rounded to microseconds.
    let duration_ms = (seconds * 1e6).round() / 1e3;
    let (client, trace_id) = (client.map(display), trace_id.map(display));
    let name = route.name().unwrap_or(UNMATCHED);
    match response.extensions().get::<Problem>() {
        Some(problem) if status.is_server_error() => {
            tracing::error!(
                http.request.method = method,
                http.route = route.name(),
                http.response.status_code = status.as_u16(),
                url.path = path.as_deref(),
                client.address = client,
                trace_id,
                duration_ms,
                error = problem.report(),
                "{method} {name} answered {status}"
            );
        }
        _ => tracing::info!(
            http.request.method = method,
            http.route = route.name(),
            http.response.status_code = status.as_u16(),
            url.path = path.as_deref(),
            client.address = client,
            trace_id,
            duration_ms,
            "{method} {name} answered {}",
            status.as_u16()
        ),
    }
}
