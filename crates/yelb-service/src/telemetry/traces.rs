//! Traces: what makes spans of `tracing` OpenTelemetry's, and how they leave the process.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider, TracerProviderBuilder};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::subscriber::{NoSubscriber, with_default};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};
use yelb_resolver::Resolver;

use super::context::{Decision, Ids};
use super::settings::{Exporter, Sampling, TraceSettings};
use super::{otlp, xray};

/// How long a process that ends may go on sending: with the wait for the balancer (3 s), the drain (5.6 s) and the stores'
/// end (0.4 s) before it and the last lines of the log (0.2 s) after it, it still ends before Docker's kill, 10 s after SIGTERM.
const FLUSH_LIMIT: Duration = Duration::from_millis(700);

/// A layer on the log's subscriber.
pub(super) type Bridge = Box<dyn Layer<Registry> + Send + Sync>;

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
        let turn = FLUSH_LIMIT / u32::try_from(settings.exporters.len()).unwrap_or(1);
        let resource = resource(settings.service, settings.attributes);
        let mut builder = builder(settings.sampling).with_resource(resource);
        for exporter in settings.exporters {
            let resolver = resolver.clone();
            // Both take how many spans are sent at once, and how often, from `OTEL_BSP_…`.
            builder = builder.with_span_processor(match exporter {
                Exporter::Xray(address) => {
                    BatchSpanProcessor::builder(xray::exporter(address, resolver)).build()
                }
                Exporter::Otlp(url) => {
                    BatchSpanProcessor::builder(otlp::exporter(&url, resolver)).build()
                }
            });
        }
        Some(Self { provider: builder.build(), turn })
    }

    /// What hands them the spans of this process.
    pub(super) fn bridge(&self) -> Bridge {
        bridge(&self.provider)
    }

    /// Sends what waits. Whatever cannot be sent in time is lost.
    pub(super) async fn shut_down(self) {
        let Self { provider, turn } = self;
        let (done, ended) = oneshot::channel();
        // A thread that is not joined: it blocks until the exporters, which need this runtime, are done.
        std::thread::spawn(move || done.send(provider.shutdown_with_timeout(turn)));
        if !matches!(timeout(FLUSH_LIMIT, ended).await, Ok(Ok(Ok(())))) {
            tracing::warn!(
                "the last traces are lost: the collector did not take them within {} ms",
                FLUSH_LIMIT.as_millis()
            );
        }
    }
}

/// What makes and keeps spans in our way, without anything that sends them.
pub(super) fn builder(sampling: Sampling) -> TracerProviderBuilder {
    // The SDK reads the sampler's variables as well, and would warn about them once more.
    with_default(NoSubscriber::new(), SdkTracerProvider::builder)
        .with_sampler(Decision::new(sampling))
        .with_id_generator(Ids::default())
}

/// The layer that hands our spans, and no library's, to `provider`. The lines of the log stay in the log.
pub(super) fn bridge(provider: &SdkTracerProvider) -> Bridge {
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("yelb"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_filter(filter_fn(|about| about.is_span() && about.target().starts_with("yelb")))
        .boxed()
}

fn resource(service: String, attributes: Vec<KeyValue>) -> Resource {
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attributes(attributes)
        .with_service_name(service)
        .build()
}
