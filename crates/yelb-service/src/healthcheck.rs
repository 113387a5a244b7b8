//! The subcommand that asks a server for its health, for images without a shell or curl.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use axum::body::Body;
use axum::http::{Request, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::listening;

/// The time limit. It is shorter than that of orchestrators, so that the health check itself reports the reason.
const LIMIT: Duration = Duration::from_secs(1);

/// The subcommand `healthcheck`.
#[derive(Debug, Clone, clap::Args)]
pub struct Healthcheck {
    /// Ask whether it is ready for traffic, too
    #[arg(long)]
    ready: bool,
    /// Port that the server listens on, its default port unless given
    #[arg(long, env = "PORT", value_name = "PORT", value_parser = port)]
    port: Option<u16>,
    /// Address that the server listens on
    #[arg(long, env = "YELB_BIND", value_name = "ADDRESS", default_value = "127.0.0.1", value_parser = listening::address)]
    bind: IpAddr,
}

fn port(text: &str) -> Result<u16, &'static str> {
    let port = text.parse().ok().filter(|&port| port != 0);
    port.ok_or("expected the port that the server listens on, from 1 to 65535")
}

impl Healthcheck {
    /// Asks the server that runs with the same settings on this host. An error says what it answered instead of 200.
    pub async fn run(self, default_port: u16) -> anyhow::Result<()> {
        let port = self.port.unwrap_or(default_port);
        let address = listening::reachable(SocketAddr::new(self.bind, port));
        let path = if self.ready { "/readyz" } else { "/livez" };
        ask(address, path).await.with_context(|| format!("http://{address}{path}"))
    }
}

async fn ask(address: SocketAddr, path: &str) -> anyhow::Result<()> {
    timeout(LIMIT, request(address, path))
        .await
        .unwrap_or_else(|_| Err(anyhow!("no answer within {} s", LIMIT.as_secs())))
}

async fn request(address: SocketAddr, path: &str) -> anyhow::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request =
        Request::get(path).header(header::HOST, address.to_string()).body(Body::empty())?;
    let response = sender.send_request(request).await?;
    ensure!(response.status().is_success(), "it answered {}", response.status());
    Ok(())
}
