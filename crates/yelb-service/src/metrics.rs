//! Prometheus metrics, on the admin port.

use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::build_info;
use crate::health::Health;

/// The bounds of OpenTelemetry's semantic conventions for `http.server.request.duration`, in seconds, and three below
/// them: an answer takes well under the 5 ms at which they begin.
const DURATION_BUCKETS: [f64; 17] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0,
];

/// Short, because whatever is measured between two of them is kept one by one.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(200);

/// The metrics of this process. Cloning it clones a handle.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Starts to record, first which build of the program this is. For `main` alone, within the runtime: it is global.
    pub fn install(program: &'static str) -> Result<Self, BuildError> {
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(
                Matcher::Suffix("_duration_seconds".to_owned()),
                &DURATION_BUCKETS,
            )?
            .install_recorder()?;
        build_info::record(program);
        tokio::spawn(upkeep(handle.clone()));
        Ok(Self(handle))
    }

    /// `/metrics`, in the Prometheus text format. How the dependencies are is looked up when it is asked for.
    pub fn routes(&self, health: &Health) -> Router {
        let (Self(handle), health) = (self.clone(), health.clone());
        let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
        Router::new().route(
            "/metrics",
            get(async move || {
                health.record();
                (text, handle.render())
            }),
        )
    }
}

/// Sorts what was measured into its buckets. Without it every single measurement is kept until the metrics are read.
async fn upkeep(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP_INTERVAL).await;
        handle.run_upkeep();
    }
}
