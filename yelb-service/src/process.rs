//! A process: bind, serve, stop.

use std::convert::Infallible;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::Service;

use crate::health::Health;
use crate::low_port;
use crate::metrics::Metrics;
use crate::problem::{Chain, Problem};
use crate::serve::{HungUp, serve};
use crate::settings::{Environment, SettingError};

/// How long requests that have begun may take to finish. Longer than any request may take (5 s); with the default
/// [`Listening::stop_wait`] it still ends before Docker's kill, 10 s after SIGTERM.
const GRACE: Duration = Duration::from_secs(6);
/// How long a process that was told to stop goes on accepting, until load balancers have noticed.
const DEFAULT_STOP_WAIT: Duration = Duration::from_secs(3);

/// The flags that every server has.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ProcessFlags {
    /// Address to listen on, loopback unless told otherwise [env: `YELB_BIND`]
    #[arg(long, global = true, value_name = "ADDRESS")]
    bind: Option<String>,
    /// Port of metrics and health, or `off` [env: `YELB_ADMIN_PORT`]
    #[arg(long, global = true, value_name = "PORT")]
    admin_port: Option<String>,
    /// Seconds to go on accepting after SIGTERM, until load balancers have noticed [env: `YELB_STOP_WAIT`] [default: 3]
    #[arg(long, global = true, value_name = "SECONDS")]
    stop_wait: Option<String>,
    /// Domain under which short host names are looked up first [env: `SEARCH_DOMAIN`]
    #[arg(long, global = true, value_name = "DOMAIN")]
    search_domain: Option<String>,
}

impl ProcessFlags {
    /// Lays the flags over the variables of the same meaning.
    pub fn lay_over(self, environment: &mut Environment) {
        environment.set("YELB_BIND", self.bind);
        environment.set("YELB_ADMIN_PORT", self.admin_port);
        environment.set("YELB_STOP_WAIT", self.stop_wait);
        environment.set("SEARCH_DOMAIN", self.search_domain);
    }
}

/// Where a process listens and how it stops.
#[derive(Debug, Clone)]
pub struct Listening {
    /// The address of all its listeners (`YELB_BIND`), loopback unless told otherwise.
    pub bind: IpAddr,
    /// The port of metrics and health (`YELB_ADMIN_PORT`); `None` when it is `off`.
    pub admin_port: Option<u16>,
    /// How long to go on accepting after SIGTERM (`YELB_STOP_WAIT`).
    pub stop_wait: Duration,
}

impl Listening {
    /// Reads the settings that every server has.
    pub fn from_environment(
        environment: &Environment,
        default_admin_port: u16,
    ) -> Result<Self, SettingError> {
        let bind =
            environment.parsed(&["YELB_BIND"], "an IP address such as 127.0.0.1, 0.0.0.0 or ::")?;
        let wait = environment.parsed(&["YELB_STOP_WAIT"], "a number of whole seconds")?;
        Ok(Self {
            bind: bind.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            admin_port: admin_port(environment, default_admin_port)?,
            stop_wait: wait.map_or(DEFAULT_STOP_WAIT, Duration::from_secs),
        })
    }

    /// Binds `port`, which the setting `name` gave.
    pub fn bind(&self, name: &'static str, port: u16) -> Result<TcpListener, SettingError> {
        let address = SocketAddr::new(self.bind, port);
        low_port::listen(address).map_err(|error| {
            let name = if error.kind() == std::io::ErrorKind::AddrNotAvailable {
                "YELB_BIND"
            } else {
                name
            };
            SettingError::new(name, format!("cannot listen on {address} ({error}); give another"))
        })
    }

    /// Binds the admin port, unless it is off.
    pub fn bind_admin(&self) -> Result<Option<TcpListener>, SettingError> {
        match self.admin_port {
            None => Ok(None),
            Some(port) => self.bind("YELB_ADMIN_PORT", port).map(Some),
        }
    }
}

/// Reads a port under `names`, 0 meaning any free one.
pub fn port(
    environment: &Environment,
    names: &[&'static str],
    default: u16,
) -> Result<u16, SettingError> {
    Ok(environment.parsed(names, "a port from 0 to 65535")?.unwrap_or(default))
}

fn admin_port(environment: &Environment, default: u16) -> Result<Option<u16>, SettingError> {
    match environment.get("YELB_ADMIN_PORT")? {
        Some(given) if given.value == "off" => Ok(None),
        Some(given) => {
            let expected = "must be a port from 0 to 65535, or `off`";
            given.value.parse().map(Some).map_err(|_| SettingError::new(given.name, expected))
        }
        None => Ok(Some(default)),
    }
}

/// Where a listener on `address` can be reached from the same host.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The servers of one process, in the order in which they stop: whoever sends requests to another comes first.
pub struct Process {
    health: Health,
    stop_wait: Duration,
    servers: Vec<Server>,
    signals: std::io::Result<Signals>,
}

struct Server {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Process {
    /// A process that serves nothing yet. From now on it does not miss a signal.
    pub fn new(health: Health, stop_wait: Duration) -> Self {
        Self { health, stop_wait, servers: Vec::new(), signals: Signals::watch() }
    }

    /// Serves `app` on `listener` from now on. `name` is for the log.
    pub fn serve<A>(
        &mut self,
        name: &'static str,
        listener: TcpListener,
        app: A,
        hung_up: HungUp,
    ) -> std::io::Result<SocketAddr>
    where
        A: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
        A::Future: Send,
    {
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let stopped = async { stopped.await.unwrap_or(()) };
        let task = tokio::spawn(serve(listener, app, hung_up, stopped, GRACE));
        self.servers.push(Server { stop, task });
        tracing::info!(server = name, %address, "listening");
        Ok(address)
    }

    /// Serves metrics and health on `listener`, unless the admin port is off.
    pub fn serve_admin(
        &mut self,
        listener: Option<TcpListener>,
        metrics: &Metrics,
    ) -> std::io::Result<()> {
        let Some(listener) = listener else { return Ok(()) };
        let app = Router::new()
            .merge(self.health.routes())
            .merge(metrics.routes(&self.health))
            .fallback(async || Problem::not_found());
        self.serve("admin", listener, app, HungUp::Dropped)?;
        Ok(())
    }

    /// Serves until SIGTERM or SIGINT, then drains: not ready, wait for the balancer, stop accepting, finish.
    ///
    /// A second signal ends the process at once.
    pub async fn run_until_told(self) -> anyhow::Result<()> {
        let mut signals = self.signals?;
        let patience = match signals.next().await {
            Told::Terminate => self.stop_wait,
            // Somebody at a keyboard, not a balancer.
            Told::Interrupt => Duration::ZERO,
        };
        tokio::select! {
            () = stop(&self.health, self.servers, patience) => tracing::info!("stopped"),
            _ = signals.next() => tracing::warn!("told twice: stopped at once"),
        }
        Ok(())
    }
}

async fn stop(health: &Health, servers: Vec<Server>, patience: Duration) {
    tracing::info!(wait_seconds = patience.as_secs(), "stopping");
    health.drain();
    tokio::time::sleep(patience).await;
    for Server { stop, task } in servers {
        // A server that has ended already cannot be told, and need not.
        let _ = stop.send(());
        let _ = task.await;
    }
}

/// SIGTERM and SIGINT. Until they are watched the kernel acts on them: it ends the process, or, if that is the first of
/// its container, drops them.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

enum Told {
    Terminate,
    Interrupt,
}

impl Signals {
    fn watch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Terminate,
            _ = self.interrupt.recv() => Told::Interrupt,
        }
    }
}

/// Ends the process: with 0, or with one line on standard error and 2 for a setting that cannot be used, 1 for all else.
///
/// At once: the runtime would wait for look-ups of names that are under way.
pub fn exit(name: &str, outcome: anyhow::Result<()>) -> ! {
    let Err(error) = outcome else { std::process::exit(0) };
    // Nobody may be listening on standard error; the code still tells.
    let _ = writeln!(std::io::stderr(), "{name}: {}", Chain(error.as_ref()));
    std::process::exit(if error.is::<SettingError>() { 2 } else { 1 })
}
