//! The servers of a process: they accept until a signal, then drain against one deadline.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use crate::app::App;
pub use crate::connection::OnDisconnect;
pub use crate::workers::Workers;

use crate::connection::{self, Next, Session};
use crate::connections::{Admission, Connections};
use crate::health::Health;
use crate::limits::{self, Limits};
use crate::problem::Chain;
use crate::stop::{StopOptions, StopSignal};
use crate::workers::Worker;

/// How long connections may take to finish, all together. Longer than any request may take (5.5 s through the UI); with the
/// default wait before it (3 s), and the stores (0.4 s), the last traces (0.7 s) and the last lines of the log (0.2 s) after it,
/// the process ends before Docker's kill, 10 s after SIGTERM.
const DRAIN_LIMIT: Duration = Duration::from_millis(5600);
/// After how long an idle connection gives its buffers back; up to 10 s later if it was busy for long. A client that asks again at
/// once, as behind a load balancer, finds them there; 10,000 visitors of a page that asks every few seconds take none.
const REST_AFTER: Duration = Duration::from_millis(100);
/// How long to wait before the next accept when the process has no free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener, and what answers the requests that come in by it.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    address: SocketAddr,
    listener: TcpListener,
    place: Place,
    on_disconnect: OnDisconnect,
    /// Its own, or the ones that all servers share.
    limits: Option<Limits>,
}

/// Where connections are served.
#[derive(Debug)]
enum Place {
    /// On the runtime that accepts them.
    Here(App),
    /// On the worker with the fewest connections.
    Workers(Vec<Worker>),
}

impl Server {
    /// A server called `name` in the log. It serves once [`run`] has it.
    pub fn new(
        name: &'static str,
        listener: TcpListener,
        app: App,
        on_disconnect: OnDisconnect,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self { name, address, listener, place: Place::Here(app), on_disconnect, limits: None })
    }

    /// The same on `workers`, each of which gets its own `app`.
    pub fn on_workers(
        name: &'static str,
        listener: TcpListener,
        workers: &Workers,
        app: impl Fn() -> App,
        on_disconnect: OnDisconnect,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let place = Place::Workers(workers.with(app));
        Ok(Self { name, address, listener, place, on_disconnect, limits: None })
    }

    /// With connections of its own, which others cannot take.
    #[must_use]
    pub(crate) fn with_limits(self, limits: Limits) -> Self {
        Self { limits: Some(limits), ..self }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections until `stop`.
    async fn accept(self, lobby: Lobby, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            let begun = match accepted {
                // Each connection has its own token: a shared token has a lock, and connections would wait for each other.
                Ok((stream, peer)) => self.begin(stream, peer, &lobby, stop.child_token()),
                Err(error) => Err(error),
            };
            if let Err(error) = begun {
                tracing::warn!(
                    server = self.name,
                    %error,
                    "cannot accept a connection: {error}; next attempt in {} ms",
                    ACCEPT_PAUSE.as_millis()
                );
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    /// Hands the connection to the one that serves it.
    fn begin(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        lobby: &Lobby,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let (entry, is_turned_away) = match lobby.connections.admit(peer) {
            Admission::Served(entry) => (Arc::new(entry), false),
            Admission::TurnedAway(entry) => (Arc::new(entry), true),
            Admission::Refused => return Ok(()),
        };
        // Answers are small and sent at once. Nagle's algorithm would only delay them.
        let _ = stream.set_nodelay(true);
        let session = |app: &App| Session {
            peer,
            app: app.clone(),
            on_disconnect: self.on_disconnect,
            health: lobby.health.clone(),
            entry,
            is_turned_away,
            rest_after: REST_AFTER,
        };
        match &self.place {
            Place::Here(app) => {
                lobby.tasks.spawn(serve(stream, session(app), stop));
            }
            Place::Workers(workers) => {
                let worker = Worker::least_busy(workers);
                let (stream, session, place) =
                    (stream.into_std()?, session(worker.app()), worker.place());
                let serving = async move {
                    // Within the worker's runtime, which will tell when there is something to read.
                    match TcpStream::from_std(stream) {
                        Ok(stream) => serve(stream, session, stop).await,
                        Err(error) => {
                            tracing::warn!(%peer, %error, "a connection is closed: {error}");
                        }
                    }
                    drop(place);
                };
                lobby.tasks.spawn_on(serving, worker.runtime());
            }
        }
        Ok(())
    }
}

/// What the connections of a server share.
#[derive(Debug, Clone)]
struct Lobby {
    connections: Connections,
    health: Health,
    tasks: TaskTracker,
}

/// Serves a connection. Most of the memory is for requests; a connection without one waits without this memory.
async fn serve(mut stream: TcpStream, session: Session, stop: CancellationToken) {
    loop {
        let begins = tokio::select! {
            readable = stream.readable() => readable.is_ok(),
            () = stop.cancelled() => false,
            () = session.entry.closed() => false,
            () = sleep(session.first_byte_time()) => false,
        };
        if !begins || Box::pin(answer(&mut stream, &session, &stop)).await == Next::End {
            return;
        }
    }
}

async fn answer(stream: &mut TcpStream, session: &Session, stop: &CancellationToken) -> Next {
    let peer = session.peer;
    connection::serve(stream, session, stop).await.unwrap_or_else(|error| {
        if error.is_parse() {
            // Answered 400 or 431, without an app.
            metrics::counter!("yelb_connections_cut_total", "reason" => "malformed").increment(1);
            tracing::info!(
                %peer,
                error = %Chain(&error),
                "a request that cannot be parsed is refused (400 or 431), and its connection is closed"
            );
        } else {
            // The client is the cause: it has disconnected or was too slow.
            tracing::debug!(%peer, error = %Chain(&error), "connection ended early");
        }
        Next::End
    })
}

/// Serves until a signal, then drains: not ready, wait for the balancers, close all listeners, finish what has begun.
///
/// All connections of all servers share one deadline, whatever their clients do. A second signal ends it at once.
pub async fn run(servers: Vec<Server>, limits: Limits, health: Health, mut stop: StopOptions) {
    let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
    let connections = Connections::new(limits.within(limits::raise_descriptors()));
    for server in servers {
        tracing::info!(server = server.name, address = %server.address, "listening");
        let connections = server.limits.map_or_else(|| connections.clone(), Connections::new);
        let lobby = Lobby { connections, health: health.clone(), tasks: tasks.clone() };
        tasks.spawn(server.accept(lobby, stopping.clone()));
    }
    let wait = match stop.signal().await {
        StopSignal::Terminate => stop.wait(),
        // SIGINT comes from a person at a terminal. So there is no load balancer to wait for.
        StopSignal::Interrupt => Duration::ZERO,
    };
    tokio::select! {
        () = drain(&health, wait, &stopping, &tasks) => tracing::info!("stopped: all requests are finished"),
        _ = stop.signal() => tracing::warn!("second signal: exiting immediately; requests that are not finished get no answer"),
    }
}

async fn drain(health: &Health, wait: Duration, stopping: &CancellationToken, tasks: &TaskTracker) {
    tracing::info!(
        wait_seconds = wait.as_secs(),
        "stopping: /readyz says draining; requests are served for {} s more",
        wait.as_secs()
    );
    health.drain();
    sleep(wait).await;
    stopping.cancel();
    health.close();
    tasks.close();
    if timeout(DRAIN_LIMIT, tasks.wait()).await.is_err() {
        tracing::warn!(
            connections = tasks.len(),
            limit_seconds = DRAIN_LIMIT.as_secs_f64(),
            "{} connections were still open {} s after the listeners; they are closed, and their requests get no answer",
            tasks.len(),
            DRAIN_LIMIT.as_secs_f64()
        );
    }
}
