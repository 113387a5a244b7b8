//! The SDK's side of a caller's trace: its parent, its id, and whether the trace is sampled.

use opentelemetry::Context;
use opentelemetry::KeyValue;
use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState,
};
use opentelemetry_aws::trace::XrayIdGenerator;
use opentelemetry_sdk::trace::{
    IdGenerator, Sampler, SamplingDecision, SamplingResult, ShouldSample,
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::propagation::Caller;
use super::settings::Sampling;

/// Starts `span` as our part of the caller's trace, or as a trace of our own. `None` with traces off.
pub(super) fn start(span: &Span, caller: Option<Caller>) -> Option<SpanContext> {
    if span.is_disabled() {
        return None;
    }
    let parent = caller.map_or_else(Context::new, remote);
    span.set_parent(parent.clone()).ok()?;
    // The ids are made here and now, with the caller in sight of `Ids`.
    let _current = parent.attach();
    Some(span.context().span().span_context().clone())
}

/// The SDK knows a parent or none; what a caller without one says is kept beside it.
fn remote(caller: Caller) -> Context {
    let context = Context::new().with_value(caller);
    let Some(parent) = caller.parent else { return context };
    let flags = TraceFlags::default().with_sampled(caller.sampled == Some(true));
    let parent = SpanContext::new(caller.trace_id, parent, flags, true, TraceState::NONE);
    context.with_remote_span_context(parent)
}

/// Ids in X-Ray's form: the time in front. Every other collector takes them, too.
///
/// A load balancer has chosen the id of its trace, but is no parent, and the SDK takes a trace's id from nothing else.
#[derive(Debug, Default)]
pub(super) struct Ids(XrayIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        let chosen = Context::map_current(|context| Some(context.get::<Caller>()?.trace_id));
        chosen.unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

/// Whether a trace is sampled: as the caller has decided, if that is to be obeyed and the caller has decided.
#[derive(Debug, Clone)]
pub(super) struct Decision {
    parent_based: bool,
    root: Sampler,
}

impl Decision {
    pub(super) fn new(sampling: Sampling) -> Self {
        Self {
            parent_based: sampling.parent_based,
            root: Sampler::TraceIdRatioBased(sampling.ratio),
        }
    }

    fn before(context: &Context) -> Option<bool> {
        let parent = context.span();
        let parent = parent.span_context();
        if parent.is_valid() && !parent.is_remote() {
            return Some(parent.is_sampled());
        }
        context.get::<Caller>()?.sampled
    }
}

impl ShouldSample for Decision {
    fn should_sample(
        &self,
        context: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        // A trace is of a request: what a process does by itself begins none.
        let begins = !context.is_some_and(Context::has_active_span);
        let before = context.filter(|_| self.parent_based).and_then(Self::before);
        let decision = match before {
            _ if begins && *kind != SpanKind::Server => SamplingDecision::Drop,
            Some(true) => SamplingDecision::RecordAndSample,
            Some(false) => SamplingDecision::Drop,
            None => self.root.should_sample(None, trace_id, name, kind, attributes, links).decision,
        };
        SamplingResult { decision, attributes: Vec::new(), trace_state: TraceState::NONE }
    }
}
