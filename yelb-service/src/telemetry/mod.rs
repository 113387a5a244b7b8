//! What a process tells of itself while it runs: its log, and traces if somebody wants them.
//!
//! - [`log`] is always there; `settings` says whether traces are;
//! - [`propagation`] reads which trace a request belongs to and tells the next in line, also for the log;
//! - [`span`] is what a request does, as a trace shows it; `traces` decides which are kept and sends them;
//! - `xray` and `otlp` are the two ways out.

mod limits;
pub mod log;
mod otlp;
pub mod propagation;
mod settings;
pub mod span;
mod traces;
mod xray;

use tracing::Level;

pub use settings::HELP;

use crate::settings::{Environment, SettingError};
use settings::TraceSettings;
use traces::Traces;

/// The telemetry of this process, which is to be shut down at its end.
#[must_use = "traces that were not sent are lost unless it is shut down"]
pub struct Telemetry {
    traces: Option<Traces>,
}

/// Starts log and traces of this process, whose name is `program`. For `main` alone, within the runtime: both are global.
pub fn init(
    environment: &Environment,
    program: &str,
    level: Level,
) -> Result<Telemetry, SettingError> {
    log::init(environment, level)?;
    let settings = TraceSettings::from_environment(environment, program)?;
    let resolver = environment.resolver()?;
    Ok(Telemetry { traces: Traces::start(settings, &resolver) })
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
