//! The servers of a process: they accept until a signal, then drain against one deadline.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use crate::connection::{App, OnDisconnect};

use crate::connection;
use crate::health::Health;
use crate::problem::Chain;
use crate::stop::{StopOptions, StopSignal};

/// How long connections may take to finish, all together. Longer than any request may take (5.5 s through the UI); with the
/// default wait before it (3 s), the stores (0.4 s) and the last traces (0.9 s) after it the process ends before Docker's kill,
/// 10 s after SIGTERM.
const DRAIN_LIMIT: Duration = Duration::from_millis(5600);
/// How long to pause when the process is out of file descriptors, rather than spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener, and what answers the requests that come in by it.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    address: SocketAddr,
    listener: TcpListener,
    app: App,
    on_disconnect: OnDisconnect,
}

impl Server {
    /// A server called `name` in the log. It serves once [`run`] has it.
    pub fn new(
        name: &'static str,
        listener: TcpListener,
        app: App,
        on_disconnect: OnDisconnect,
    ) -> io::Result<Self> {
        Ok(Self { name, address: listener.local_addr()?, listener, app, on_disconnect })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections until `stop`.
    async fn accept(self, stop: CancellationToken, tasks: TaskTracker) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    // A token of its own: one that all connections share they would wait for each other to look at.
                    tasks.spawn(self.connection(stream, peer, stop.child_token()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + use<> {
        // Answers are small and whole: waiting to fill a segment only delays them.
        let _ = stream.set_nodelay(true);
        let serving = connection::serve(stream, peer, self.app.clone(), self.on_disconnect, stop);
        async move {
            if let Err(error) = serving.await {
                // The client's doing: it hung up, was too slow, or did not speak HTTP.
                tracing::debug!(%peer, error = %Chain(&error), "connection ended early");
            }
        }
    }
}

/// Serves until a signal, then drains: not ready, wait for the balancers, close all listeners, finish what has begun.
///
/// All connections of all servers share one deadline, whatever their clients do. A second signal ends it at once.
pub async fn run(servers: Vec<Server>, health: Health, mut stop: StopOptions) {
    let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
    for server in servers {
        tracing::info!(server = server.name, address = %server.address, "listening");
        tasks.spawn(server.accept(stopping.clone(), tasks.clone()));
    }
    let wait = match stop.signal().await {
        StopSignal::Terminate => stop.wait(),
        // A person at a keyboard, not a balancer.
        StopSignal::Interrupt => Duration::ZERO,
    };
    tokio::select! {
        () = drain(&health, wait, &stopping, &tasks) => tracing::info!("stopped"),
        _ = stop.signal() => tracing::warn!("second signal: exiting immediately"),
    }
}

async fn drain(health: &Health, wait: Duration, stopping: &CancellationToken, tasks: &TaskTracker) {
    tracing::info!(wait_seconds = wait.as_secs(), "stopping");
    health.drain();
    sleep(wait).await;
    stopping.cancel();
    tasks.close();
    if timeout(DRAIN_LIMIT, tasks.wait()).await.is_err() {
        tracing::warn!(
            connections = tasks.len(),
            limit_seconds = DRAIN_LIMIT.as_secs_f64(),
            "connections were still open at the end of the drain, and are cut off"
        );
    }
}
