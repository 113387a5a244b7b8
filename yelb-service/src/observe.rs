//! One span, one log line and one measurement for each request.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use tracing::Instrument;
use tracing::field::Empty;

use crate::method;
use crate::problem::{self, Problem};
use crate::telemetry::propagation::Caller;
use crate::telemetry::span::Span;

/// Answers a request that has been routed: what `answer` logs and calls belongs to it, and a panic is a 500.
pub async fn observe<A>(request: Request, answer: impl FnOnce(Request) -> A) -> Response
where
    A: Future<Output = Response>,
{
    let observed = Observed::begin(&request);
    let wants_page = problem::wants_page(&request);
    let mut response = observed.run(problem::catch_panic(answer(request))).await;
    if wants_page {
        response = problem::as_page(response);
    }
    observed.end(&response);
    response
}

/// A request while it is being answered: its span, in its trace if traces are on, its log line with the outcome, and its
/// metrics.
///
/// Fields and metrics are named by OpenTelemetry's semantic conventions for HTTP servers.
struct Observed {
    started: Instant,
    method: &'static str,
    route: String,
    traced: Span,
    span: tracing::Span,
}

impl Observed {
    /// A request that has come in and is routed.
    fn begin(request: &Request) -> Self {
        let started = Instant::now();
        let method = method::known(request.method());
        let route = route(request);
        let caller = Caller::of(request.headers());
        let traced = Span::of_request(request, method, caller);
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
        Self { started, method, route, traced, span }
    }

    /// Answers it: what that logs and calls belongs to it.
    fn run<A: Future>(&self, answer: A) -> impl Future<Output = A::Output> + use<A> {
        self.traced.run(answer).instrument(self.span.clone())
    }

    /// Says how it was answered.
    fn end(self, response: &Response) {
        let seconds = self.started.elapsed().as_secs_f64();
        let status = response.status();
        self.span.record("http.response.status_code", status.as_u16());
        self.span.in_scope(|| log(response, self.method, &self.route, seconds));
        trace(response, &self.traced);
        metrics::histogram!(
            "http_server_request_duration_seconds",
            "http_request_method" => self.method,
            "http_route" => self.route,
            "http_response_status_code" => status.as_str().to_owned(),
        )
        .record(seconds);
    }
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
