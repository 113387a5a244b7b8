//! What a request does, as a trace shows it: the request itself, a call of another server, a call of a store.
//!
//! With traces off none of it costs more than a look whether they are on. Attributes are named by OpenTelemetry's
//! semantic conventions; `peer.service` is what X-Ray's map names a node by.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Display;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header, uri};
use futures_util::FutureExt as _;
use futures_util::future::Either;
use opentelemetry::trace::{
    FutureExt, SpanBuilder, SpanContext, SpanKind, SpanRef, Status, TraceContextExt, Tracer,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::SdkTracer;

use super::propagation::{self, Caller};
use super::traces;
use crate::method;
use crate::problem::Chain;

/// What a client sends, and causes, go into a span up to this length: an X-Ray document has to fit into a packet.
const LONGEST: usize = 512;

/// Something that is being done. It is over when its last handle is dropped, also where it is given up in the middle.
#[derive(Debug, Clone, Default)]
pub struct Span(Option<Context>);

impl Span {
    /// A request that has come in. `caller` is what it says of its trace.
    pub(crate) fn of_request(
        request: &Request,
        method: &'static str,
        caller: Option<Caller>,
    ) -> Self {
        let begin = |tracer| Self::begin_request(tracer, request, method, caller);
        traces::tracer().map(begin).unwrap_or_default()
    }

    fn begin_request(
        tracer: &SdkTracer,
        request: &Request,
        method: &'static str,
        caller: Option<Caller>,
    ) -> Self {
        let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        let verb = verb(method);
        let name = route.map_or(Cow::Borrowed(verb), |route| format!("{verb} {route}").into());
        let span = SpanBuilder::from_name(name).with_kind(SpanKind::Server);
        Self(Some(traces::join_trace(tracer, span, caller))).described(|| {
            let mut attributes = attributes_of_request(request, method);
            attributes.extend(route.map(|route| KeyValue::new("http.route", route.to_owned())));
            attributes
        })
    }

    /// A request that is sent to the server `peer` while the current one is answered.
    pub fn of_call(peer: &'static str, method: &Method, url: &Uri) -> Self {
        let method = method::known(method);
        Self::within(SpanKind::Client, verb(method)).described(|| {
            let mut attributes = vec![
                KeyValue::new("http.request.method", method),
                KeyValue::new("url.full", bounded(&without_query(url))),
                KeyValue::new("peer.service", peer),
            ];
            attributes.extend(url.authority().into_iter().flat_map(address));
            attributes
        })
    }

    /// Begins a part of what is being done now.
    fn within(kind: SpanKind, name: &'static str) -> Self {
        let Some(tracer) = traces::tracer() else { return Self(None) };
        let current = Context::current();
        // Nobody asked for what a process does by itself.
        if !current.has_active_span() {
            return Self(None);
        }
        let span = SpanBuilder::from_name(name).with_kind(kind);
        let span = tracer.build_with_context(span, &current);
        Self(Some(Context::new().with_span(span)))
    }

    /// With these attributes, which are not even made for a span that is not kept.
    fn described(self, attributes: impl FnOnce() -> Vec<KeyValue>) -> Self {
        if let Some(span) = self.0.as_ref().map(Context::span).filter(SpanRef::is_recording) {
            span.set_attributes(attributes());
        }
        self
    }

    /// Does `work` as this: what it calls belongs to it.
    // No `async fn`: that would hold the work twice, as it came and as it is awaited.
    pub fn run<W: Future>(&self, work: W) -> impl Future<Output = W::Output> + use<W> {
        match &self.0 {
            None => Either::Left(work),
            Some(context) => Either::Right(work.with_context(context.clone())),
        }
    }

    /// Which span it is, for those who have to be told; `None` with traces off.
    pub fn context(&self) -> Option<SpanContext> {
        let context = self.0.as_ref()?.span().span_context().clone();
        context.is_valid().then_some(context)
    }

    /// Tells the next in line that this is the caller. With traces off the headers stay as they came.
    pub fn inject(&self, headers: &mut HeaderMap) {
        if let Some(context) = self.context() {
            propagation::inject(&context, headers);
        }
    }

    /// How it was answered.
    pub(crate) fn answered(&self, status: StatusCode) {
        if let Some(context) = &self.0 {
            let code = i64::from(status.as_u16());
            context.span().set_attribute(KeyValue::new("http.response.status_code", code));
        }
    }

    /// How a call of ours was answered. To its caller anything from 400 on is a failure.
    pub fn call_answered(&self, status: StatusCode) {
        self.answered(status);
        if status.is_client_error() || status.is_server_error() {
            self.failed(status.as_str().to_owned(), &status);
        }
    }

    /// It came to nothing: `kind` is for counting, `why` is the whole chain of causes.
    pub fn failed(&self, kind: impl Into<Value>, why: &dyn Display) {
        let Some(context) = &self.0 else { return };
        let (span, kind) = (context.span(), kind.into());
        if !span.is_recording() {
            return;
        }
        let why = bounded(&why.to_string());
        // X-Ray takes the cause from an event of this name, others from the status.
        let exception = vec![
            KeyValue::new("exception.type", kind.clone()),
            KeyValue::new("exception.message", why.clone()),
        ];
        span.add_event("exception", exception);
        span.set_attribute(KeyValue::new("error.type", kind));
        span.set_status(Status::error(why));
    }
}

/// A store, as traces show it.
#[derive(Debug, Clone)]
pub struct Peer {
    /// A file is a part of this process; nobody is called.
    kind: SpanKind,
    attributes: Arc<[KeyValue]>,
}

impl Peer {
    /// A server: `name` is its name on a map, `system` and `namespace` are what it is and which part of it is used.
    pub fn server(
        name: &'static str,
        system: &'static str,
        namespace: Option<String>,
        address: Option<(String, u16)>,
    ) -> Self {
        let mut attributes =
            vec![KeyValue::new("db.system.name", system), KeyValue::new("peer.service", name)];
        attributes.extend(namespace.map(|namespace| KeyValue::new("db.namespace", namespace)));
        if let Some((host, port)) = address {
            attributes.push(KeyValue::new("server.address", host));
            attributes.push(KeyValue::new("server.port", i64::from(port)));
        }
        Self { kind: SpanKind::Client, attributes: attributes.into() }
    }

    /// A file.
    pub fn embedded(system: &'static str) -> Self {
        Self {
            kind: SpanKind::Internal,
            attributes: [KeyValue::new("db.system.name", system)].into(),
        }
    }

    /// Asks the store as a part of the request that is being answered, and marks the span if that fails.
    ///
    /// `what` is the operation and what it is done to, such as `UPDATE restaurants`.
    pub fn ask<T, E, W>(
        &self,
        what: &'static str,
        work: W,
    ) -> impl Future<Output = Result<T, E>> + use<T, E, W>
    where
        E: Error,
        W: Future<Output = Result<T, E>>,
    {
        let span = Span::within(self.kind.clone(), what).described(|| self.attributes_of(what));
        span.run(work).inspect(move |outcome| {
            if let Err(error) = outcome {
                span.failed("unavailable", &Chain(error));
            }
        })
    }

    fn attributes_of(&self, what: &'static str) -> Vec<KeyValue> {
        let operation = what.split(' ').next().unwrap_or(what);
        let own = [
            KeyValue::new("db.operation.name", operation),
            KeyValue::new("db.query.summary", what),
        ];
        self.attributes.iter().cloned().chain(own).collect()
    }
}

/// The method as it stands in a span's name.
fn verb(method: &'static str) -> &'static str {
    if method == "_OTHER" { "HTTP" } else { method }
}

fn attributes_of_request(request: &Request, method: &'static str) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("http.request.method", method),
        KeyValue::new("url.scheme", "http"),
        KeyValue::new("url.path", bounded(request.uri().path())),
    ];
    let text = |name| request.headers().get(name)?.to_str().ok();
    let host = text(header::HOST).map(bounded).and_then(|host| host.parse::<uri::Authority>().ok());
    attributes.extend(host.iter().flat_map(address));
    let agent = text(header::USER_AGENT);
    attributes.extend(agent.map(|agent| KeyValue::new("user_agent.original", bounded(agent))));
    attributes
}

fn address(authority: &uri::Authority) -> Vec<KeyValue> {
    let host = KeyValue::new("server.address", authority.host().to_owned());
    let port = authority.port_u16().map(|port| KeyValue::new("server.port", i64::from(port)));
    [host].into_iter().chain(port).collect()
}

/// Nothing of ours is in a query, and nobody knows what else is.
fn without_query(url: &Uri) -> String {
    let text = url.to_string();
    text.split('?').next().unwrap_or_default().to_owned()
}

/// As much of it as a span has room for.
fn bounded(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST)].to_owned()
}

#[cfg(test)]
mod tests;
