//! What `/metrics` says of each metric. docs/observe.md has the same sentences; a test of `yelb` compares them.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// The description of a metric. Names follow Prometheus' rules: they end with the unit, and counters with `_total`.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its unit.
    pub unit: Unit,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// One or more sentences for `# HELP`.
    pub help: &'static str,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows while the process runs.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

impl Kind {
    /// As `# TYPE` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Metric {
    /// Makes `/metrics` show the description, once there is a value.
    pub(super) fn describe(self) {
        let Self { name, kind, unit, help, .. } = self;
        match kind {
            Kind::Counter => describe_counter!(name, unit, help),
            Kind::Gauge => describe_gauge!(name, unit, help),
            Kind::Histogram => describe_histogram!(name, unit, help),
        }
    }
}

/// The metrics of every server.
pub const OF_EVERY_SERVER: [Metric; 6] = [
    Metric {
        name: "http_server_request_duration_seconds",
        kind: Kind::Histogram,
        unit: Unit::Seconds,
        labels: &["http_request_method", "http_route", "http_response_status_code"],
        help: "Time from the head of a request to the head of its answer.",
    },
    Metric {
        name: "http_server_active_requests",
        kind: Kind::Gauge,
        unit: Unit::Count,
        labels: &[],
        help: "Requests that wait for the head of their answer.",
    },
    Metric {
        name: "yelb_dependency_up",
        kind: Kind::Gauge,
        unit: Unit::Count,
        labels: &["dependency", "kind"],
        help: "1 if the store (or, for yelb-ui, the app server) is up, else 0.",
    },
    Metric {
        name: "yelb_connections_cut_total",
        kind: Kind::Counter,
        unit: Unit::Count,
        labels: &["reason"],
        help: "Connections of clients that the server refused or closed early.",
    },
    Metric {
        name: "yelb_log_lines_dropped_total",
        kind: Kind::Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Lines of the log that were dropped because standard error was read too slowly.",
    },
    Metric {
        name: "yelb_build_info",
        kind: Kind::Gauge,
        unit: Unit::Count,
        labels: &["program", "version", "revision"],
        help: "Always 1. The labels name the build; revision is there if the build knew its commit.",
    },
];
