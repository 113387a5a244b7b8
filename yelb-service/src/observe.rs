//! One span, one log line and one measurement for each request.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;
use tracing::field::Empty;

use crate::problem::Problem;
use crate::telemetry::propagation::Caller;
use crate::telemetry::span::Span;

/// Middleware: the request's span, in its trace if traces are on, its log line with the outcome, and its metrics.
///
/// Fields and metrics are named by OpenTelemetry's semantic conventions for HTTP servers.
pub async fn requests(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = known(request.method());
    let route = route(&request);
    let caller = Caller::of(request.headers());
    let traced = Span::of_request(&request, method, caller);
    let trace_id =
        traced.context().map(|span| span.trace_id()).or(caller.map(|caller| caller.trace_id));
    let span = tracing::info_span!(
        "request",
        otel.name = format_args!("{method} {route}"),
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        trace_id = trace_id.map(tracing::field::display),
    );

    let response = traced.run(next.run(request)).instrument(span.clone()).await;

    let seconds = started.elapsed().as_secs_f64();
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    span.in_scope(|| log(&response, method, &route, seconds));
    trace(&response, &traced);
    metrics::histogram!(
        "http_server_request_duration_seconds",
        "http_request_method" => method,
        "http_route" => route,
        "http_response_status_code" => status.as_str().to_owned(),
    )
    .record(seconds);
    response
}

/// What the trace shows of the answer: a failure with the words of the log.
fn trace(response: &Response, span: &Span) {
    let status = response.status();
    span.answered(status);
    if status.is_server_error() {
        let problem = response.extensions().get::<Problem>();
        let why = problem.map_or_else(|| status.to_string(), Problem::report);
        span.failed(status.as_str().to_owned(), &why);
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

/// The route's template, never the path as sent: that one is the client's, and without bound.
fn route(request: &Request) -> String {
    match request.extensions().get::<MatchedPath>() {
        Some(path) => path.as_str().to_owned(),
        None => "unmatched".to_owned(),
    }
}

/// The method, or `_OTHER` for one that HTTP does not define, as the semantic conventions ask.
pub(crate) fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        "CONNECT" => "CONNECT",
        "TRACE" => "TRACE",
        _ => "_OTHER",
    }
}
