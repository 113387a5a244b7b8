//! The admin port: metrics and health, separate from the port that clients use.

use std::io;

use axum::Router;
use tokio::net::TcpListener;

use crate::health::Health;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::server::{App, OnDisconnect, Server};

/// The server of metrics and health on `listener`.
pub fn server(listener: TcpListener, health: &Health, metrics: &Metrics) -> io::Result<Server> {
    let app = Router::new()
        .merge(health.routes())
        .merge(metrics.routes(health))
        .fallback(async || Problem::not_found());
    let server = Server::new("admin", listener, App::new(app), OnDisconnect::Cancel)?;
    Ok(server.with_limits(Limits::ADMIN))
}
