//! What a request does, as spans: the request itself, its call of another server, and by [`run`] what it asks of a store.
//!
//! Fields are named by OpenTelemetry's semantic conventions; `peer.service` is what X-Ray's map names a node by. Spans that
//! only a trace shows are of the level `TRACE`: with traces off they cost no more than a look at the level.

use std::error::Error;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header, uri};
use futures_util::FutureExt;
use opentelemetry::trace::{SpanContext, Status, TraceContextExt, TraceId};
use opentelemetry::{KeyValue, Value};
use tracing::field::Empty;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::context;
use super::propagation::{self, Caller};
use crate::method;
use crate::problem::Chain;

/// What a client sends, and causes, go into a span up to this length: an X-Ray document has to fit into a packet.
const LONGEST: usize = 512;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A request that has come in, in the trace of its caller, and the trace's id, if it has one.
pub(crate) fn of_request(
    request: &Request,
    method: &'static str,
    route: Option<&str>,
) -> (Span, Option<TraceId>) {
    let caller = Caller::of(request.headers());
    let verb = verb(method);
    let span = tracing::trace_span!(
        "request",
        otel.name = route.map_or_else(|| verb.to_owned(), |route| format!("{verb} {route}")),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
    );
    let started = context::start(&span, caller);
    if started.as_ref().is_some_and(SpanContext::is_sampled) {
        span.context().span().set_attributes(attributes_of(request));
    }
    let trace_id = caller.map(|caller| caller.trace_id);
    (span, trace_id.or_else(|| Some(started?.trace_id())))
}

/// A request for `path` that is sent to the server `peer` at `url` while the current one is answered.
pub fn of_call(peer: &'static str, method: &Method, url: &Uri, path: &str) -> Span {
    let method = method::known(method);
    tracing::trace_span!(
        "call",
        otel.name = verb(method),
        otel.kind = "client",
        http.request.method = method,
        http.response.status_code = Empty,
        url.full = bounded(&format!("{}{path}", url.to_string().trim_end_matches('/'))),
        peer.service = peer,
        server.address = url.host(),
        server.port = url.port_u16().map(i64::from),
    )
}

/// Tells the next in line that `span` is the caller. With traces off the headers stay as they came.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    if span.is_disabled() {
        return;
    }
    let context = span.context();
    if context.has_active_span() {
        propagation::inject(context.span().span_context(), headers);
    }
}

/// Does `work` as `span`, and marks the span if that fails.
// No `async fn`: that would hold the work twice, as it came and as it is awaited.
pub fn run<T, E, W>(span: Span, work: W) -> impl Future<Output = Result<T, E>> + use<T, E, W>
where
    E: Error,
    W: Future<Output = Result<T, E>>,
{
    work.instrument(span.clone()).inspect(move |outcome| {
        if let Err(error) = outcome {
            failed(&span, "unavailable", &Chain(error));
        }
    })
}

/// How a request was answered.
pub(crate) fn answered(span: &Span, status: StatusCode) {
    // A number to OpenTelemetry only if it has a sign.
    span.record("http.response.status_code", i64::from(status.as_u16()));
}

/// How a call of ours was answered. To its caller anything from 400 on is a failure.
pub fn call_answered(span: &Span, status: StatusCode) {
    answered(span, status);
    if status.is_client_error() || status.is_server_error() {
        failed(span, status.as_str().to_owned(), &status);
    }
}

/// It came to nothing: `kind` is for counting, `why` is the whole chain of causes.
pub fn failed(span: &Span, kind: impl Into<Value>, why: &dyn Display) {
    let context = span.context();
    let span = context.span();
    if !span.is_recording() {
        return;
    }
    let (kind, why) = (kind.into(), bounded(&why.to_string()).to_owned());
    // X-Ray takes the cause from an event of this name, others from the status.
    let exception = vec![
        KeyValue::new("exception.type", kind.clone()),
        KeyValue::new("exception.message", why.clone()),
    ];
    span.add_event("exception", exception);
    span.set_attribute(KeyValue::new("error.type", kind));
    span.set_status(Status::error(why));
}

/// The method as it stands in a span's name.
fn verb(method: &'static str) -> &'static str {
    if method == "_OTHER" { "HTTP" } else { method }
}

/// What a trace has of a request besides the fields of its span.
fn attributes_of(request: &Request) -> Vec<KeyValue> {
    let text = |name| request.headers().get(name)?.to_str().ok();
    let mut attributes = vec![
        KeyValue::new("url.scheme", scheme(text(FORWARDED_PROTO))),
        KeyValue::new("url.path", bounded(request.uri().path()).to_owned()),
    ];
    let host = text(header::HOST).and_then(|host| bounded(host).parse::<uri::Authority>().ok());
    if let Some(host) = host {
        attributes.push(KeyValue::new("server.address", host.host().to_owned()));
        let port = host.port_u16().map(|port| KeyValue::new("server.port", i64::from(port)));
        attributes.extend(port);
    }
    let agent = text(header::USER_AGENT).map(|agent| bounded(agent).to_owned());
    attributes.extend(agent.map(|agent| KeyValue::new("user_agent.original", agent)));
    let client = text(FORWARDED_FOR).and_then(client);
    attributes.extend(client.map(|client| KeyValue::new("client.address", client.to_string())));
    attributes
}

/// What the client has spoken to a load balancer in front. Nothing else is spoken here.
fn scheme(forwarded: Option<&str>) -> &'static str {
    let is_https = forwarded.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    if is_https { "https" } else { "http" }
}

/// The client of the first proxy on the way. Without a proxy there is none, because X-Ray's segments would say that there
/// was one.
fn client(forwarded_for: &str) -> Option<IpAddr> {
    let first = forwarded_for.split(',').next()?.trim();
    first.parse().ok().or_else(|| Some(first.parse::<SocketAddr>().ok()?.ip()))
}

/// As much of it as a span has room for.
fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
mod tests;
