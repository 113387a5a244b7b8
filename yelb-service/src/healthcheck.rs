//! Asking a process whether it lives, from inside an image that has neither shell nor curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::body::Body;
use axum::http::{Request, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Shorter than any orchestrator's own limit, so that the reason is ours to tell.
const LIMIT: Duration = Duration::from_secs(1);

/// Asks the server that listens on `bind` and `port` for `path`. An error says what it answered instead of 200.
pub async fn ask(bind: IpAddr, port: u16, path: &str) -> anyhow::Result<()> {
    let address = SocketAddr::new(reachable(bind), port);
    let asked = || format!("asked http://{address}{path}");
    timeout(LIMIT, request(address, path))
        .await
        .map_err(|_| anyhow::anyhow!("no answer within {} s", LIMIT.as_secs()))
        .and_then(|outcome| outcome)
        .with_context(asked)
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

/// Where a listener on `bind` can be reached from the same host.
fn reachable(bind: IpAddr) -> IpAddr {
    match bind {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}
