//! Yelb's UI.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tracing::Level;
use yelb_service::health::Health;
use yelb_service::healthcheck::Healthcheck;
use yelb_service::listening::{Listening, ProcessFlags};
use yelb_service::metrics::Metrics;
use yelb_service::server::{self, OnDisconnect, Server, Workers};
use yelb_service::settings::Environment;
use yelb_service::stop::StopOptions;
use yelb_service::{admin, telemetry};
use yelb_ui::config::{self, Config};
use yelb_ui::contact::AppServerContact;
use yelb_ui::upstream::{Origin, Upstream};
use yelb_ui::{ADMIN_PORT, proxy, router};

/// Yelb's UI: the page, and /api passed on to the app server.
///
/// Settings come from the environment; a flag wins over the variable of the same meaning.
#[derive(Parser)]
#[command(version, after_help = format!("{}\n{}", config::ALIASES, telemetry::HELP))]
struct Cli {
    /// Port of the page, 0 for any free one [env: `PORT`] [default: 8080]
    #[arg(long, global = true, value_name = "PORT")]
    port: Option<String>,
    /// Where the app server is [env: `YELB_APPSERVER_ENDPOINT`] [default: `http://yelb-appserver:4567`]
    #[arg(long, global = true, value_name = "URL")]
    appserver_endpoint: Option<String>,
    #[command(flatten)]
    process: ProcessFlags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Ask the server on this host whether it lives; exit 0 if so
    Healthcheck(Healthcheck),
}

// Connections are served by workers, which leaves signals, health and metrics to this runtime.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut environment = Environment::of_process();
    environment.set("PORT", cli.port);
    environment.set("YELB_APPSERVER_ENDPOINT", cli.appserver_endpoint);
    cli.process.lay_over(&mut environment);

    let outcome = match cli.command {
        None => serve(&environment).await,
        Some(Command::Healthcheck(healthcheck)) => {
            healthcheck.run(&environment, config::PORT).await
        }
    };
    yelb_service::exit("yelb-ui", outcome)
}

async fn serve(environment: &Environment) -> anyhow::Result<()> {
    let telemetry = telemetry::init(environment, "yelb-ui", Level::INFO)?;
    let outcome = run(environment).await;
    telemetry.shutdown().await;
    outcome
}

async fn run(environment: &Environment) -> anyhow::Result<()> {
    let metrics = Metrics::install()?;
    let listening = Listening::from_environment(environment, ADMIN_PORT)?;
    let stop = StopOptions::watch(listening.stop_wait)?;
    let config = Config::from_environment(environment)?;
    let page = listening.bind("PORT", config.port)?;
    let admin = listening.bind_admin()?;

    let contact = AppServerContact::default();
    let health = Health::new([contact.check()]);
    let origin = Origin::new(config.appserver).context("cannot speak TLS to the app server")?;
    let app = || {
        let upstream = Upstream::new(origin.clone(), config.resolver.clone(), contact.clone());
        router::app(proxy::app(upstream), &health)
    };
    // If the client disconnects, the call of the app server is cancelled.
    let page = Server::on_workers("page", page, &Workers::start()?, app, OnDisconnect::Cancel)?;
    let mut servers = vec![page];
    if let Some(listener) = admin {
        servers.push(admin::server(listener, &health, &metrics)?);
    }
    server::run(servers, listening.limits, health, stop).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
