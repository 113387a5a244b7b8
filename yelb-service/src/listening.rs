//! Where a process listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;

use crate::limits::Limits;
use crate::privileged_port;
use crate::settings::{Environment, SettingError};

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
    /// How many connections there may be (`YELB_MAX_CONNECTIONS`, `YELB_MAX_CONNECTIONS_PER_CLIENT`).
    pub limits: Limits,
}

impl Listening {
    /// Reads the settings that every server has.
    pub fn from_environment(
        environment: &Environment,
        default_admin_port: u16,
    ) -> Result<Self, SettingError> {
        let bind =
            environment.parsed(&["YELB_BIND"], "an IP address such as 127.0.0.1, 0.0.0.0 or ::")?;
        let expected = "a number of whole seconds, 65535 at most";
        let wait: Option<u16> = environment.parsed(&["YELB_STOP_WAIT"], expected)?;
        Ok(Self {
            bind: bind.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            admin_port: admin_port(environment, default_admin_port)?,
            stop_wait: wait
                .map_or(DEFAULT_STOP_WAIT, |seconds| Duration::from_secs(seconds.into())),
            limits: Limits::from_environment(environment)?,
        })
    }

    /// Binds `port`, which the setting `name` gave.
    pub fn bind(&self, name: &'static str, port: u16) -> Result<TcpListener, SettingError> {
        let address = SocketAddr::new(self.bind, port);
        privileged_port::listen(address).map_err(|error| {
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
