//! One span, one log line and one measurement for each request.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;
use tracing::field::Empty;

use crate::problem::Problem;

/// Middleware: the request's span, its log line with the outcome, and its metrics.
///
/// Fields and metrics are named by OpenTelemetry's semantic conventions for HTTP servers.
pub async fn requests(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = known(request.method());
    let route = route(&request);
    let trace_id = trace_id(request.headers());
    let span = tracing::info_span!(
        "request",
        otel.name = format_args!("{method} {route}"),
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        trace_id,
    );

    let response = next.run(request).instrument(span.clone()).await;

    let seconds = started.elapsed().as_secs_f64();
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    span.in_scope(|| log(&response, method, &route, seconds));
    metrics::histogram!(
        "http_server_request_duration_seconds",
        "http_request_method" => method,
        "http_route" => route,
        "http_response_status_code" => status.as_str().to_owned(),
    )
    .record(seconds);
    response
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
fn known(method: &Method) -> &'static str {
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

/// The id of the trace that the caller began, from `traceparent` (W3C) or `x-amzn-trace-id` (X-Ray), in W3C's form.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    w3c_trace_id(headers).or_else(|| xray_trace_id(headers))
}

fn w3c_trace_id(headers: &HeaderMap) -> Option<String> {
    let mut parts = headers.get("traceparent")?.to_str().ok()?.split('-');
    let (_version, id) = (parts.next()?, parts.next()?);
    is_trace_id(id).then(|| id.to_owned())
}

fn xray_trace_id(headers: &HeaderMap) -> Option<String> {
    let header = headers.get("x-amzn-trace-id")?.to_str().ok()?;
    let root = header.split(';').find_map(|part| part.trim().strip_prefix("Root="))?;
    let mut parts = root.split('-');
    let (version, epoch, unique) = (parts.next()?, parts.next()?, parts.next()?);
    let id = format!("{epoch}{unique}");
    (version == "1" && is_trace_id(&id)).then_some(id)
}

fn is_trace_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(name: &'static str, value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        trace_id(&headers)
    }

    #[test]
    fn the_trace_id_is_read_in_both_forms() {
        let id = Some("67891233abcdef012345678912345678".to_owned());
        assert_eq!(
            id_of("traceparent", "00-67891233abcdef012345678912345678-00f067aa0ba902b7-01"),
            id
        );
        for header in [
            "Root=1-67891233-abcdef012345678912345678",
            "Self=1-67891233-12456789abcdef0123456789;Root=1-67891233-abcdef012345678912345678",
            "Root=1-67891233-abcdef012345678912345678; Parent=53995c3f42cd8ad8; Sampled=1",
        ] {
            assert_eq!(id_of("x-amzn-trace-id", header), id, "{header}");
        }
    }

    #[test]
    fn a_header_that_is_no_trace_is_left_out_of_the_log() {
        assert_eq!(id_of("traceparent", "00-{}-x"), None);
        assert_eq!(id_of("x-amzn-trace-id", "Root=1-2"), None);
    }
}
