//! Traces: which are kept, which ids they have, and how they leave the process.

use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::trace::{
    Link, SpanBuilder, SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_aws::trace::XrayIdGenerator;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, IdGenerator, Sampler, SamplingDecision, SamplingResult,
    SdkTracer, SdkTracerProvider, ShouldSample, SpanData, SpanExporter, SpanLimits,
};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::limits::FLUSH_LIMIT;
use super::otlp::Otlp;
use super::propagation::Caller;
use super::settings::{Exporter, Sampling, TraceSettings};
use super::xray;
use yelb_resolver::Resolver;

/// How long a span waits for others to be sent with it.
const GATHERING: Duration = Duration::from_secs(1);
/// How many spans may wait. What comes on top is lost rather than kept, and the log says so.
const QUEUE: usize = 2048;
/// How many are sent at once.
const BATCH: usize = 512;

/// What makes spans, once traces are on.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// What makes spans, if anybody wants them.
pub(super) fn tracer() -> Option<&'static SdkTracer> {
    TRACER.get()
}

/// The traces of this process, on their way out.
pub(super) struct Traces {
    provider: SdkTracerProvider,
    /// How long each exporter may go on at the end. They take turns.
    turn: Duration,
}

impl Traces {
    /// Starts to send traces, unless there is nowhere to send them.
    pub(super) fn start(settings: TraceSettings, resolver: &Resolver) -> Option<Self> {
        if settings.exporters.is_empty() {
            return None;
        }
        let runtime = Handle::current();
        let turn = FLUSH_LIMIT / u32::try_from(settings.exporters.len()).unwrap_or(1);
        let mut builder = builder(settings.sampling)
            .with_resource(resource(settings.service, settings.attributes));
        for exporter in settings.exporters {
            tracing::info!(exporter = %Place(&exporter), "sending traces");
            builder = builder.with_span_processor(match exporter {
                Exporter::Xray(address) => {
                    batched("xray", xray::exporter(address, resolver.clone(), runtime.clone()))
                }
                Exporter::Otlp(url) => {
                    batched("otlp", Otlp::new(url, resolver.clone(), runtime.clone()))
                }
            });
        }
        let provider = builder.build();
        // A second call finds the first one's, as with the log.
        let _ = TRACER.set(provider.tracer("yelb"));
        Some(Self { provider, turn })
    }

    /// Sends what waits. Whatever cannot be sent in time is lost.
    pub(super) async fn shut_down(self) {
        let Self { provider, turn } = self;
        let (done, ended) = oneshot::channel();
        // A thread that nobody joins: it blocks until the exporters, which need this runtime, are done.
        std::thread::spawn(move || done.send(provider.shutdown_with_timeout(turn)));
        if !matches!(timeout(FLUSH_LIMIT, ended).await, Ok(Ok(Ok(())))) {
            tracing::warn!("the last traces may not have been sent");
        }
    }
}

/// What makes and keeps spans in our way, without anything that sends them.
pub(super) fn builder(sampling: Sampling) -> opentelemetry_sdk::trace::TracerProviderBuilder {
    // Given, so that the SDK does not look for limits in the environment by itself.
    let limits = SpanLimits {
        max_events_per_span: 8,
        max_attributes_per_span: 32,
        max_links_per_span: 8,
        max_attributes_per_event: 8,
        max_attributes_per_link: 8,
    };
    SdkTracerProvider::builder()
        .with_sampler(Decision::new(sampling))
        .with_id_generator(Ids::default())
        .with_span_limits(limits)
}

fn resource(service: String, attributes: Vec<KeyValue>) -> Resource {
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attributes(attributes)
        .with_service_name(service)
        .build()
}

fn batched(name: &'static str, exporter: impl SpanExporter + 'static) -> BatchSpanProcessor {
    let config = BatchConfigBuilder::default()
        .with_scheduled_delay(GATHERING)
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH);
    let exporter = Watched { name, exporter, failing: AtomicBool::new(false) };
    BatchSpanProcessor::builder(exporter).with_batch_config(config.build()).build()
}

// ---- beginning a trace

thread_local! {
    /// The id for the next trace that begins on this thread, where a load balancer has chosen one.
    static CHOSEN: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// Begins our part of the trace of `caller`, or a trace of our own.
pub(super) fn join_trace(tracer: &SdkTracer, span: SpanBuilder, caller: Option<Caller>) -> Context {
    let before = caller.map_or_else(Context::new, remote);
    // The SDK keeps a trace's id only together with a parent, which a load balancer does not have.
    CHOSEN.set(caller.filter(|caller| caller.parent.is_none()).map(|caller| caller.trace_id));
    let span = tracer.build_with_context(span, &before);
    CHOSEN.set(None);
    Context::new().with_span(span)
}

fn remote(caller: Caller) -> Context {
    let context = Context::new().with_value(caller);
    let Some(parent) = caller.parent else { return context };
    let flags = TraceFlags::default().with_sampled(caller.sampled == Some(true));
    context.with_remote_span_context(SpanContext::new(
        caller.trace_id,
        parent,
        flags,
        true,
        TraceState::NONE,
    ))
}

/// Ids in X-Ray's form: the time in front. Everybody else takes them, too.
#[derive(Debug, Default)]
struct Ids(XrayIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        CHOSEN.take().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

/// Who decides whether a trace is kept: whoever decided before us, if that is to be obeyed and somebody did.
#[derive(Debug, Clone)]
struct Decision {
    parent_based: bool,
    root: Sampler,
}

impl Decision {
    fn new(sampling: Sampling) -> Self {
        Self {
            parent_based: sampling.parent_based,
            root: Sampler::TraceIdRatioBased(sampling.ratio),
        }
    }

    fn before(context: &Context) -> Option<bool> {
        match context.get::<Caller>() {
            Some(caller) => caller.sampled,
            None => context.has_active_span().then(|| context.span().span_context().is_sampled()),
        }
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
        let decision = match context.filter(|_| self.parent_based).and_then(Self::before) {
            Some(true) => SamplingDecision::RecordAndSample,
            Some(false) => SamplingDecision::Drop,
            None => self.root.should_sample(None, trace_id, name, kind, attributes, links).decision,
        };
        SamplingResult { decision, attributes: Vec::new(), trace_state: TraceState::NONE }
    }
}

// ---- sending

/// An exporter whose failures are told: once when they begin, and once when they end.
#[derive(Debug)]
struct Watched<E> {
    name: &'static str,
    exporter: E,
    failing: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let outcome = self.exporter.export(batch).await;
        let exporter = self.name;
        match (&outcome, self.failing.swap(outcome.is_err(), Ordering::Relaxed)) {
            (Err(error), false) => tracing::warn!(exporter, %error, "traces cannot be sent"),
            (Ok(()), true) => tracing::info!(exporter, "traces are sent again"),
            _ => {}
        }
        outcome
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// An exporter as the log shows it.
struct Place<'a>(&'a Exporter);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Exporter::Xray(address) => write!(f, "xray at {}:{}", address.host, address.port),
            Exporter::Otlp(url) => write!(f, "otlp at {url}"),
        }
    }
}
