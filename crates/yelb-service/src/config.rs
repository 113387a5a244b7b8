//! The settings that every server has.

use yelb_resolver::Resolver;

use crate::listening::Listening;
use crate::telemetry::TelemetryConfig;

/// The settings of every server: where it listens, how it looks up names, and its log and traces.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Process")]
pub struct ProcessConfig {
    /// Where it listens and how it stops.
    #[command(flatten)]
    pub listening: Listening,
    /// Domain under which short host names are looked up first, for ECS
    #[arg(long, env = "SEARCH_DOMAIN", value_name = "DOMAIN")]
    search_domain: Option<Resolver>,
    /// Its log and its traces.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
}

impl ProcessConfig {
    /// How host names are looked up.
    pub fn resolver(&self) -> Resolver {
        self.search_domain.clone().unwrap_or_default()
    }
}
