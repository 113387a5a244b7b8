//! How long the app server takes, for the metrics.

use std::time::Instant;

use axum::http::Method;
use axum::response::Response;
use metrics::Histogram;
use yelb_service::method;
use yelb_service::metrics::{Histograms, Kind, Metric, Unit};

use super::UpstreamError;

/// The metrics of yelb-ui, besides those of every server.
pub const METRICS: [Metric; 1] = [Metric {
    name: "http_client_request_duration_seconds",
    kind: Kind::Histogram,
    unit: Unit::Seconds,
    labels: &["http_request_method", "http_response_status_code", "error_type"],
    help: "Time from the head of a request to the app server to the head of its answer. \
           error_type is there in place of the status if no answer came.",
}];

/// Method, and the status or what failed.
type Labels = (&'static str, Result<u16, &'static str>);

thread_local! {
    static KNOWN: Histograms<Labels> = const { Histograms::new() };
}

/// A call of the app server, which begins now.
pub(super) struct Call {
    method: &'static str,
    started: Instant,
}

impl Call {
    pub(super) fn begin(method: &Method) -> Self {
        Self { method: method::known(method), started: Instant::now() }
    }

    /// It has ended.
    pub(super) fn end(self, outcome: &Result<Response, UpstreamError>) {
        let outcome = match outcome {
            Ok(response) => Ok(response.status().as_u16()),
            Err(error) => Err(error.kind()),
        };
        let seconds = self.started.elapsed().as_secs_f64();
        KNOWN.with(|known| known.record((self.method, outcome), seconds, registered));
    }
}

fn registered((method, outcome): Labels) -> Histogram {
    let (name, value) = match outcome {
        Ok(status) => ("http_response_status_code", status.to_string()),
        Err(kind) => ("error_type", kind.to_owned()),
    };
    let labels = [("http_request_method", method.to_owned()), (name, value)];
    metrics::histogram!("http_client_request_duration_seconds", &labels)
}
