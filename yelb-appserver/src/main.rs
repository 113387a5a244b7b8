//! Yelb's app server.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing::Level;
use yelb_appserver::config::{self, Config};
use yelb_appserver::router;
use yelb_db::Location;
use yelb_poll::Poll;
use yelb_service::healthcheck::Healthcheck;
use yelb_service::metrics::Metrics;
use yelb_service::server::{self, OnDisconnect, Server};
use yelb_service::settings::{self, Environment, Names};
use yelb_service::stop::StopOptions;
use yelb_service::{admin, telemetry};

/// Yelb's app server: votes, page views and stats over HTTP. It needs a store for the votes and one for the page views. Settings
/// come from the environment; a flag wins over the variable of the same meaning.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = config::variables())]
struct Cli {
    #[command(flatten)]
    config: Config,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Apply the pending migrations and exit
    Migrate(Box<Config>),
    /// Ask the server on this host whether it lives; exit 0 if so
    Healthcheck(Healthcheck),
}

#[tokio::main]
async fn main() -> ExitCode {
    let environment = Environment::of_process();
    let (Cli { config, command }, names) = settings::parse(&environment, config::ALIASES);
    let outcome = match command {
        None => serve(&config, &environment, &names).await,
        Some(Command::Migrate(config)) => migrate(&config, &environment, &names).await,
        Some(Command::Healthcheck(healthcheck)) => healthcheck.run(config::PORT).await,
    };
    yelb_service::exit("yelb-appserver", outcome)
}

async fn serve(config: &Config, environment: &Environment, names: &Names) -> anyhow::Result<()> {
    let stores = config.stores.location(names, environment, None)?;
    let telemetry = telemetry::init(&config.process, environment, "yelb-appserver", Level::INFO);
    let outcome = run(config, &stores, names).await;
    telemetry.shutdown().await;
    outcome
}

async fn run(config: &Config, stores: &Location, names: &Names) -> anyhow::Result<()> {
    let metrics = Metrics::install("yelb-appserver", &yelb_appserver::stores::METRICS)?;
    let listening = &config.process.listening;
    let stop = StopOptions::watch(listening.stop_wait)?;
    let api = listening.bind("PORT", config.port, names)?;
    let admin = listening.bind_admin(names)?;

    let resolver = config.process.resolver();
    let (state, health, stores) = yelb_appserver::start(stores, &resolver, names).await?;
    let app = router::app(state, &health);
    // A complete vote is counted, also if its client has disconnected.
    let mut servers = vec![Server::new("api", api, app, OnDisconnect::Complete)?];
    if let Some(listener) = admin {
        servers.push(admin::server(listener, &health, &metrics)?);
    }
    server::run(servers, listening.limits, health, stop).await;
    stores.close().await;
    Ok(())
}

async fn migrate(config: &Config, environment: &Environment, names: &Names) -> anyhow::Result<()> {
    let _log = telemetry::init_log(&config.process, Level::INFO);
    let stores = config.stores.location(names, environment, None)?;
    Ok(yelb_db::migrate(&stores, Poll::default(), &config.process.resolver()).await?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
