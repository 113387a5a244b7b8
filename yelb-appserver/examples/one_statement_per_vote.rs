//! The app server's listener with one statement for each vote: what `cargo xtask bench` compares batches with. It takes
//! `DATABASE_URL` and `PORT` as the app server does, and knows `/api/ihop` and nothing else.

use std::process::ExitCode;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use clap::Parser;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tracing::Level;
use yelb_service::config::ProcessConfig;
use yelb_service::health::Health;
use yelb_service::listening;
use yelb_service::server::{self, App, OnDisconnect, Server};
use yelb_service::settings::{self, Environment};
use yelb_service::stop::StopOptions;
use yelb_service::telemetry;

/// As many as the app server has.
const CONNECTIONS: u32 = 4;

#[derive(Parser)]
struct Cli {
    #[arg(long, env = "PORT", default_value_t = 4567, value_parser = listening::port)]
    port: u16,
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    #[command(flatten)]
    process: ProcessConfig,
}

#[tokio::main]
async fn main() -> ExitCode {
    yelb_service::exit("one_statement_per_vote", run().await)
}

async fn run() -> anyhow::Result<()> {
    let (cli, names) = settings::parse::<Cli>(&Environment::of_process(), &[]);
    let _log = telemetry::init_log(&cli.process, Level::INFO);
    let listening = &cli.process.listening;
    let stop = StopOptions::watch(listening.stop_wait)?;
    let listener = listening.bind("PORT", cli.port, &names)?;
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
    let health = Health::default();
    let app = Router::new()
        .route("/api/ihop", get(vote))
        .with_state(pool.connect(cli.database_url.as_deref().unwrap_or_default()).await?)
        .merge(health.routes());
    let server = Server::new("api", listener, App::new(app), OnDisconnect::Complete)?;
    server::run(vec![server], listening.limits, health, stop).await;
    Ok(())
}

async fn vote(State(pool): State<PgPool>) -> Result<String, StatusCode> {
    let vote =
        "update restaurants set count = count + 1 where name = 'ihop' returning count::bigint";
    let count: Result<i64, _> = sqlx::query_scalar(vote).fetch_one(&pool).await;
    count.map(|count| count.to_string()).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}
