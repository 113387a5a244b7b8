//! What a process tells of itself while it runs: its log, and traces if a setting asks for them.
//!
//! - `log` is always there; `settings` says whether traces are;
//! - [`propagation`] reads which trace a request belongs to and tells the next in line, also for the log;
//! - [`span`] is what a request does; `context` puts it into the caller's trace and decides whether it is sampled;
//! - `traces` makes OpenTelemetry's spans of `tracing`'s; `xray` and `otlp` send them, by a `delivery` each.

mod context;
mod delivery;
mod log;
mod otlp;
pub mod propagation;
mod settings;
pub mod span;
mod traces;
mod xray;

use tracing::Level;
use tracing::subscriber::with_default;

pub use log::Log;
pub use settings::{TelemetryConfig, VARIABLES};

use crate::config::ProcessConfig;
use crate::settings::Environment;
use settings::TraceSettings;
use traces::Traces;

/// The telemetry of this process, which is to be shut down at its end.
#[must_use = "traces that were not sent are lost unless it is shut down"]
pub struct Telemetry {
    traces: Option<Traces>,
    /// Last: the end of the traces may have something to say.
    _log: Log,
}

/// Starts log and traces of this process, whose name is `program`; unless it was told otherwise, what is at least of `level` is
/// logged. For `main` alone, within the runtime: both are global.
pub fn init(
    config: &ProcessConfig,
    environment: &Environment,
    program: &str,
    level: Level,
) -> Telemetry {
    let (log, filter) = (Log::on_stderr(), config.telemetry.filter(level));
    // Without traces until it is known whether there are any: a setting that is ignored is logged.
    let traces = with_default(log::subscriber(&filter, &log, None), || {
        let settings = TraceSettings::new(&config.telemetry, environment, program);
        Traces::start(settings, &config.resolver())
    });
    log::start(log::subscriber(&filter, &log, traces.as_ref().map(Traces::bridge)));
    Telemetry { traces, _log: log }
}

/// Starts the log alone, for a command that ends by itself.
pub fn init_log(config: &ProcessConfig, level: Level) -> Log {
    let log = Log::on_stderr();
    log::start(log::subscriber(&config.telemetry.filter(level), &log, None));
    log
}

impl Telemetry {
    /// Sends what was not sent yet, and waits for it a little.
    ///
    /// Not by dropping: that would block the runtime which the exporters run on.
    pub async fn shutdown(self) {
        if let Some(traces) = self.traces {
            traces.shut_down().await;
        }
    }
}
