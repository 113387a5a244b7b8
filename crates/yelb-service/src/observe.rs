//! One span, one log line and one measurement for each request.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use tracing::Instrument;

use crate::method;
use crate::problem::{self, Problem};
use crate::telemetry::span;

/// Answers a request that has been routed: what `answer` logs and calls belongs to it, and a panic is a 500.
///
/// Fields and metrics are named by OpenTelemetry's semantic conventions for HTTP servers.
pub async fn observe<A>(request: Request, answer: impl FnOnce(Request) -> A) -> Response
where
    A: Future<Output = Response>,
{
    let started = Instant::now();
    let method = method::known(request.method());
    let route = route(&request);
    let span = span::of_request(&request, method, route.as_deref());
    let wants_page = problem::wants_page(&request);
    let mut response = problem::catch_panic(answer(request)).instrument(span.clone()).await;
    if wants_page {
        response = problem::as_page(response);
    }
    let seconds = started.elapsed().as_secs_f64();
    let route = route.unwrap_or_else(|| "unmatched".to_owned());
    record(&response, &span);
    span.in_scope(|| log(&response, method, &route, seconds));
    metrics::histogram!(
        "http_server_request_duration_seconds",
        "http_request_method" => method,
        "http_route" => route,
        "http_response_status_code" => response.status().as_str().to_owned(),
    )
    .record(seconds);
    response
}

/// The route's template, never the path as sent: that one is the client's, and without bound.
fn route(request: &Request) -> Option<String> {
    request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned())
}

/// What the span shows of the answer: a failure with the words of the log.
fn record(response: &Response, span: &tracing::Span) {
    let status = response.status();
    span::answered(span, status);
    if status.is_server_error() {
        let problem = response.extensions().get::<Problem>();
        let why = problem.map_or_else(|| status.to_string(), Problem::report);
        span::failed(span, status.as_str().to_owned(), &why);
    }
}

fn log(response: &Response, method: &str, route: &str, seconds: f64) {
    let status = response.status();
    let duration_ms = seconds * 1e3;
    match response.extensions().get::<Problem>() {
        Some(problem) if status.is_server_error() => {
            tracing::error!(
                duration_ms,
                error = problem.report(),
                "{method} {route} answered {status}"
            );
        }
        _ => tracing::info!(duration_ms, "{method} {route} answered {}", status.as_u16()),
    }
}
