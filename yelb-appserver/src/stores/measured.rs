//! How long requests wait for a store, for the metrics.

use std::time::Instant;

use futures_util::FutureExt;
use metrics::Histogram;
use yelb_db::{StoreError, StoreKind};
use yelb_service::metrics::{Histograms, Kind, Metric, Unit};

/// The metrics of the app server, besides those of every server.
pub const METRICS: [Metric; 3] = [
    Metric {
        name: "yelb_votes_total",
        kind: Kind::Counter,
        unit: Unit::Count,
        labels: &["restaurant"],
        help: "Votes that were acknowledged. A retry that got the first answer again is included.",
    },
    Metric {
        name: "yelb_page_views_total",
        kind: Kind::Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Page views that were counted.",
    },
    Metric {
        name: "db_client_operation_duration_seconds",
        kind: Kind::Histogram,
        unit: Unit::Seconds,
        labels: &["db_system_name", "db_query_summary", "error_type"],
        help: "Time that a request waited for a store: for its batch and for the statement. \
               error_type is there if the store did not do it.",
    },
];

/// System, operation with its object, and what failed: empty if nothing did.
type Labels = (&'static str, &'static str, &'static str);

thread_local! {
    static KNOWN: Histograms<Labels> = const { Histograms::new() };
}

/// Measures `work`, which is the operation `what` (such as `UPDATE restaurants`) of a store.
pub(super) fn wait<T>(
    kind: &'static StoreKind,
    what: &'static str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> impl Future<Output = Result<T, StoreError>> {
    let started = Instant::now();
    work.inspect(move |outcome| {
        let failure = outcome.as_ref().err().map_or("", error_type);
        let seconds = started.elapsed().as_secs_f64();
        KNOWN.with(|known| known.record((kind.system, what, failure), seconds, registered));
    })
}

fn registered((system, what, failure): Labels) -> Histogram {
    let mut labels = vec![("db_system_name", system), ("db_query_summary", what)];
    if !failure.is_empty() {
        labels.push(("error_type", failure));
    }
    metrics::histogram!("db_client_operation_duration_seconds", &labels)
}

fn error_type(error: &StoreError) -> &'static str {
    match error {
        StoreError::Down => "down",
        StoreError::Overloaded => "overloaded",
        StoreError::TimedOut => "timeout",
        StoreError::Refused { .. } => "refused",
        StoreError::Failed { .. } => "failed",
        StoreError::NotReady(_) => "not_ready",
    }
}
