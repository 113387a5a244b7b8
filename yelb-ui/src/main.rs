//! Yelb's UI.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tracing::Level;
use yelb_service::health::Health;
use yelb_service::healthcheck::Healthcheck;
use yelb_service::metrics::Metrics;
use yelb_service::server::{self, OnDisconnect, Server, Workers};
use yelb_service::settings::{self, Environment, Names};
use yelb_service::stop::StopOptions;
use yelb_service::{admin, telemetry};
use yelb_ui::answers::Answers;
use yelb_ui::config::{self, Config};
use yelb_ui::contact::AppServerContact;
use yelb_ui::live::Live;
use yelb_ui::upstream::{Origin, Upstream};
use yelb_ui::{proxy, router};

/// jemalloc gives memory back when thousands of connections have closed; glibc's allocator, only the end of its heap.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Yelb's UI: the page, and /api passed on to the app server. Settings come from the environment; a flag wins over the variable
/// of the same meaning.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = telemetry::VARIABLES)]
struct Cli {
    #[command(flatten)]
    config: Config,
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
    let environment = Environment::of_process();
    let (Cli { config, command }, names) = settings::parse(&environment, config::ALIASES);
    let outcome = match command {
        None => serve(config, &environment, &names).await,
        Some(Command::Healthcheck(healthcheck)) => healthcheck.run(config::PORT).await,
    };
    yelb_service::exit("yelb-ui", outcome)
}

async fn serve(config: Config, environment: &Environment, names: &Names) -> anyhow::Result<()> {
    let telemetry = telemetry::init(&config.process, environment, "yelb-ui", Level::INFO);
    let outcome = run(config, names).await;
    telemetry.shutdown().await;
    outcome
}

async fn run(config: Config, names: &Names) -> anyhow::Result<()> {
    let metrics = Metrics::install("yelb-ui", &yelb_ui::upstream::METRICS)?;
    let listening = &config.process.listening;
    let stop = StopOptions::watch(listening.stop_wait)?;
    let page = listening.bind("PORT", config.port, names)?;
    let admin = listening.bind_admin(names)?;

    let contact = AppServerContact::default();
    let health = Health::new([contact.check()]);
    let origin = Origin::new(config.appserver_endpoint);
    let origin = origin.context(
        "cannot use TLS to the app server; install ca-certificates, or set SSL_CERT_FILE",
    )?;
    let resolver = config.process.resolver();
    let upstream = || Upstream::new(origin.clone(), resolver.clone(), contact.clone());
    let live = Live::start(upstream(), contact.clone(), &health);
    let answers = Answers::start(&health);
    let app = || {
        let api = live.clone().before(proxy::app(upstream()));
        router::app(api, &answers, &health, &config.page)
    };
    // If the client disconnects, its request to the app server is cancelled.
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
