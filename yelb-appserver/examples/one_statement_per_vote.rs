//! The app server's listener with one statement for each vote: what `cargo xtask bench` compares batches with. It takes
//! `DATABASE_URL` and `PORT` as the app server does, and knows `/api/ihop` and nothing else.

use std::process::ExitCode;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tracing::Level;
use yelb_service::health::Health;
use yelb_service::listening::{self, Listening};
use yelb_service::server::{self, App, OnDisconnect, Server};
use yelb_service::settings::Environment;
use yelb_service::stop::StopOptions;
use yelb_service::telemetry;

/// As many as the app server has.
const CONNECTIONS: u32 = 4;

#[tokio::main]
async fn main() -> ExitCode {
    yelb_service::exit("one_statement_per_vote", run().await)
}

async fn run() -> anyhow::Result<()> {
    let environment = Environment::of_process();
    let _log = telemetry::log::init(&environment, Level::INFO)?;
    let listening = Listening::from_environment(&environment, 0)?;
    let stop = StopOptions::watch(listening.stop_wait)?;
    let listener = listening.bind("PORT", listening::port(&environment, &["PORT"], 4567)?)?;
    let url = environment.get("DATABASE_URL")?.map_or("", |given| given.value);
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
    let health = Health::default();
    let app = Router::new()
        .route("/api/ihop", get(vote))
        .with_state(pool.connect(url).await?)
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
