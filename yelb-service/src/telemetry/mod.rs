//! What a process tells of itself while it runs: its log, and traces if somebody wants them.
//!
//! - [`log`] is always there; `settings` says whether traces are;
//! - [`propagation`] reads which trace a request belongs to and tells the next in line, also for the log;
//! - [`span`] is what a request does; `context` puts it into the caller's trace and decides whether it is sampled;
//! - `traces` makes OpenTelemetry's spans of `tracing`'s; `xray` and `otlp` send them, by a `delivery` each.

mod context;
mod delivery;
pub mod log;
mod otlp;
pub mod propagation;
mod settings;
pub mod span;
mod traces;
mod xray;

use tracing::Level;
use tracing::subscriber::with_default;

pub use settings::HELP;

use crate::settings::{Environment, SettingError};
use log::Log;
use settings::TraceSettings;
use traces::Traces;

/// The telemetry of this process, which is to be shut down at its end.
#[must_use = "traces that were not sent are lost unless it is shut down"]
pub struct Telemetry {
    traces: Option<Traces>,
    /// Last: the end of the traces may have something to say.
    _log: Log,
}

/// Starts log and traces of this process, whose name is `program`. For `main` alone, within the runtime: both are global.
pub fn init(
    environment: &Environment,
    program: &str,
    level: Level,
) -> Result<Telemetry, SettingError> {
    let log = Log::on_stderr();
    // Without traces until it is known whether there are any: a setting that is ignored is logged.
    let traces = with_default(log::subscriber(environment, level, &log, None)?, || {
        let settings = TraceSettings::from_environment(environment, program)?;
        Ok(Traces::start(settings, &environment.resolver()?))
    })?;
    log::start(log::subscriber(environment, level, &log, traces.as_ref().map(Traces::bridge))?);
    Ok(Telemetry { traces, _log: log })
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
