//! Where a process listens.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::limits::Limits;
use crate::privileged_port;
use crate::settings::{Names, SettingError};

/// Where a process listens and how it stops.
#[derive(Debug, Clone, clap::Args)]
pub struct Listening {
    /// Address to listen on; 0.0.0.0 or :: for all addresses of the host
    #[arg(long, env = "YELB_BIND", value_name = "ADDRESS", default_value = "127.0.0.1", value_parser = address)]
    pub bind: IpAddr,
    /// Port of metrics and health, 0 for any free one, or `off`
    #[arg(long, env = "YELB_ADMIN_PORT", value_name = "PORT", default_value = "9464")]
    pub admin_port: AdminPort,
    /// Seconds to go on accepting after SIGTERM, until load balancers have noticed
    #[arg(long, env = "YELB_STOP_WAIT", value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    pub stop_wait: Duration,
    /// How many connections there may be.
    #[command(flatten)]
    pub limits: Limits,
}

/// The port of metrics and health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminPort {
    /// There is none.
    Off,
    /// This one; 0 is any free one.
    At(u16),
}

impl FromStr for AdminPort {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "off" => Ok(Self::Off),
            port => match port.parse() {
                Ok(port) => Ok(Self::At(port)),
                Err(_) => Err("expected a port from 0 to 65535, or off"),
            },
        }
    }
}

/// Reads a port to listen on; 0 is any free one.
pub fn port(text: &str) -> Result<u16, &'static str> {
    text.parse().map_err(|_| "expected a port from 0 to 65535")
}

/// Reads an address to listen on.
pub fn address(text: &str) -> Result<IpAddr, &'static str> {
    text.parse().map_err(|_| "expected an IP address such as 127.0.0.1, 0.0.0.0 or ::")
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds: Result<u16, _> = text.parse();
    let seconds = seconds.map_err(|_| "expected a number of whole seconds, at most 65535")?;
    Ok(Duration::from_secs(seconds.into()))
}

impl Listening {
    /// Binds `port`, which the setting of `variable` gave.
    pub fn bind(
        &self,
        variable: &str,
        port: u16,
        names: &Names,
    ) -> Result<TcpListener, SettingError> {
        let address = SocketAddr::new(self.bind, port);
        privileged_port::listen(address).map_err(|error| {
            let (variable, remedy) = match error.kind() {
                ErrorKind::AddrNotAvailable => {
                    ("YELB_BIND", "set an address of this host, or 0.0.0.0 or :: for all of them")
                }
                ErrorKind::AddrInUse => {
                    (variable, "stop the process that has the port, or set another")
                }
                ErrorKind::PermissionDenied => (variable, "set a port from 1024 on"),
                _ => (variable, "set another"),
            };
            let problem = format!("cannot listen on {address} ({error})");
            let (name, is_default) =
                names.given(variable).map_or((variable, true), |it| (it, false));
            let default = if is_default { "that is the default; " } else { "" };
            SettingError::new(name, format!("{problem}; {default}{remedy}"))
        })
    }

    /// Binds the admin port, unless it is off.
    pub fn bind_admin(&self, names: &Names) -> Result<Option<TcpListener>, SettingError> {
        match self.admin_port {
            AdminPort::Off => Ok(None),
            AdminPort::At(port) => self.bind("YELB_ADMIN_PORT", port, names).map(Some),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_was_not_set_is_said_to_be_the_default() {
        let occupant = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = occupant.local_addr().unwrap().port();
        let listening = Listening {
            bind: Ipv4Addr::LOCALHOST.into(),
            admin_port: AdminPort::Off,
            stop_wait: Duration::ZERO,
            limits: Limits::ADMIN,
        };
        let refused = listening.bind("PORT", port, &Names::default()).unwrap_err().to_string();
        let expected = format!("PORT: cannot listen on 127.0.0.1:{port} ");
        assert!(refused.starts_with(&expected), "{refused}");
        let remedy = "; that is the default; stop the process that has the port, or set another";
        assert!(refused.ends_with(remedy), "{refused}");
    }
}
