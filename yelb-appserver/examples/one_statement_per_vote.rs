//! The app server's listener and its store without rounds: one statement for each vote. It is what `cargo xtask bench` compares
//! rounds with; it takes the app server's settings and knows `/api/ihop` and nothing else.

use std::process::ExitCode;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tracing::Level;
use yelb_appserver::config::{Config, VotesAt};
use yelb_db::{Poll, Postgres, Restaurant, Round, VoteStore};
use yelb_service::health::{Dependency, Health};
use yelb_service::listening::Listening;
use yelb_service::server::{self, App, OnDisconnect, Server};
use yelb_service::settings::Environment;
use yelb_service::stop::StopOptions;
use yelb_service::telemetry;

#[tokio::main]
async fn main() -> ExitCode {
    yelb_service::exit("one_statement_per_vote", run().await)
}

async fn run() -> anyhow::Result<()> {
    let environment = Environment::of_process();
    telemetry::log::init(&environment, Level::INFO)?;
    let config = Config::from_environment(&environment)?;
    let listening = Listening::from_environment(&environment, 0)?;
    let stop = StopOptions::watch(listening.stop_wait)?;
    let listener = listening.bind("PORT", config.port)?;
    let VotesAt::Postgres(options) = config.votes else {
        anyhow::bail!("DATABASE_URL: must be a URL: postgres://user@host:5432/database");
    };
    let (poll, dependency) = (Poll::default(), Dependency::new("votes", "postgresql"));
    let ihop = poll.restaurant("ihop").expect("it stands for election").clone();
    let store = Postgres::keep(options, config.migrate, poll, config.names, dependency.clone());
    let health = Health::new([dependency]);

    let app = Router::new()
        .route("/api/ihop", get(vote))
        .with_state((VoteStore::Postgres(store), ihop))
        .merge(health.routes());
    let server = Server::new("api", listener, App::new(app), OnDisconnect::Complete)?;
    server::run(vec![server], health, stop).await;
    Ok(())
}

async fn vote(
    State((store, ihop)): State<(VoteStore, Restaurant)>,
) -> Result<String, (StatusCode, String)> {
    let mut round = Round::default();
    let ticket = round.add(&ihop, None);
    let away = |error: &dyn std::fmt::Display| (StatusCode::SERVICE_UNAVAILABLE, error.to_string());
    let counted = store.count(&round).await.map_err(|error| away(&error))?;
    let count = counted.count(ticket).map_err(|error| away(&error))?;
    Ok(count.to_string())
}
