//! Prometheus metrics, on the admin port.

mod description;
mod histograms;
mod process;

use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::build_info;
use crate::health::Health;

pub use description::{Kind, Metric, OF_EVERY_SERVER};
pub use histograms::Histograms;
/// The unit of a metric.
pub use metrics::Unit;

/// The bounds of OpenTelemetry's semantic conventions for `http.server.request.duration`, in seconds, and three smaller ones,
/// because most answers take much less than 5 ms, the smallest of them.
const DURATION_BUCKETS: [f64; 17] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0,
];

/// Short, because measurements are kept one by one until the next upkeep.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(200);

/// The metrics of this process. Cloning it clones a handle.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Starts to record. `own` are the metrics that `program` has besides those of every server.
    ///
    /// The recorder is global: `main` calls this once, within the runtime.
    pub fn install(program: &'static str, own: &[Metric]) -> Result<Self, BuildError> {
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(
                Matcher::Suffix("_duration_seconds".to_owned()),
                &DURATION_BUCKETS,
            )?
            .install_recorder()?;
        OF_EVERY_SERVER.iter().chain(own).for_each(|metric| metric.describe());
        process::describe();
        build_info::record(program);
        tokio::spawn(upkeep(handle.clone()));
        Ok(Self(handle))
    }

    /// `/metrics`, in the Prometheus text format. Each request for it reads the state of the dependencies and of the process.
    pub fn routes(&self, health: &Health) -> Router {
        let (Self(handle), health) = (self.clone(), health.clone());
        let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
        Router::new().route(
            "/metrics",
            get(async move || {
                health.record();
                process::record();
                (text, handle.render())
            }),
        )
    }
}

/// Sorts measurements into their buckets. Without it, each measurement stays in memory until `/metrics` is read.
async fn upkeep(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP_INTERVAL).await;
        handle.run_upkeep();
    }
}
