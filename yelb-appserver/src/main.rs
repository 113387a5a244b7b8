//! Yelb's app server.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing::Level;
use yelb_appserver::config::{self, Config};
use yelb_appserver::{ADMIN_PORT, router};
use yelb_service::healthcheck::Healthcheck;
use yelb_service::listening::{Listening, ProcessFlags};
use yelb_service::metrics::Metrics;
use yelb_service::server::{self, OnDisconnect, Server};
use yelb_service::settings::Environment;
use yelb_service::stop::StopOptions;
use yelb_service::{admin, telemetry};

/// Yelb's app server: votes, page views and stats over HTTP.
///
/// Settings come from the environment; a flag wins over the variable of the same meaning.
#[derive(Parser)]
#[command(version, after_help = format!("{}\n{}", config::ALIASES, telemetry::HELP))]
struct Cli {
    /// Port of the API, 0 for any free one [env: `PORT`] [default: 4567]
    #[arg(long, global = true, value_name = "PORT")]
    port: Option<String>,
    #[command(flatten)]
    stores: config::StoreFlags,
    #[command(flatten)]
    process: ProcessFlags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Apply the pending migrations and exit
    Migrate,
    /// Ask the server on this host whether it lives; exit 0 if so
    Healthcheck(Healthcheck),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut environment = Environment::of_process();
    environment.set("PORT", cli.port);
    cli.stores.lay_over(&mut environment);
    cli.process.lay_over(&mut environment);

    let outcome = match cli.command {
        None => serve(&environment).await,
        Some(Command::Migrate) => migrate(&environment).await,
        Some(Command::Healthcheck(healthcheck)) => {
            healthcheck.run(&environment, config::PORT).await
        }
    };
    yelb_service::exit("yelb-appserver", outcome)
}

async fn serve(environment: &Environment) -> anyhow::Result<()> {
    let telemetry = telemetry::init(environment, "yelb-appserver", Level::INFO)?;
    let outcome = run(environment).await;
    telemetry.shutdown().await;
    outcome
}

async fn run(environment: &Environment) -> anyhow::Result<()> {
    let metrics = Metrics::install()?;
    let listening = Listening::from_environment(environment, ADMIN_PORT)?;
    let stop = StopOptions::watch(listening.stop_wait)?;
    let config = Config::from_environment(environment, None)?;
    let api = listening.bind("PORT", config.port)?;
    let admin = listening.bind_admin()?;

    let (state, health, stores) = yelb_appserver::start(&config).await?;
    let app = router::app(state, &health);
    // A vote that was sent whole is counted, whether or not its client waits for the answer.
    let mut servers = vec![Server::new("api", api, app, OnDisconnect::Complete)?];
    if let Some(listener) = admin {
        servers.push(admin::server(listener, &health, &metrics)?);
    }
    server::run(servers, listening.limits, health, stop).await;
    stores.close().await;
    Ok(())
}

async fn migrate(environment: &Environment) -> anyhow::Result<()> {
    let _log = telemetry::log::init(environment, Level::INFO)?;
    let config = Config::from_environment(environment, None)?;
    yelb_appserver::migrate(&config).await
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
