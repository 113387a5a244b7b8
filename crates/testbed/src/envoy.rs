//! A real Envoy, in front of servers of the test.

use std::fs;

use crate::program::Program;
use crate::server::{Kind, Server};

const BOOTSTRAP: &str = include_str!("envoy.yaml");

/// An Envoy of the test's own. It shares requests among its servers, and sends one again that a server did not answer, if it
/// may be sent again: one that only reads, or that carries an `Idempotency-Key`.
pub type Envoy = Server<Proxy>;

/// How an Envoy is started.
#[derive(Debug)]
pub struct Proxy {
    /// The ports of its servers.
    servers: Vec<u16>,
}

impl Server<Proxy> {
    /// Starts one in front of servers on these ports of 127.0.0.1.
    #[track_caller]
    pub fn before(servers: &[u16]) -> Self {
        Self::launch(Proxy { servers: servers.to_vec() })
    }
}

impl Kind for Proxy {
    const NAME: &'static str = "Envoy";

    fn program(&self, port: u16) -> Program {
        let program = Program::of_python("envoy");
        let bootstrap = program.home().join("envoy.yaml");
        fs::write(&bootstrap, self.bootstrap(port)).expect("a program's home can be written");
        let program = program.arg("-c").arg(&bootstrap);
        program.args(["--use-dynamic-base-id", "--concurrency", "1", "-l", "warning"])
    }
}

impl Proxy {
    fn bootstrap(&self, port: u16) -> String {
        let endpoint = |server| format!("{{endpoint: {{address: {}}}}}", address(server));
        let endpoints: Vec<_> = self.servers.iter().copied().map(endpoint).collect();
        let bootstrap = BOOTSTRAP.replace("ADDRESS", &address(port));
        bootstrap.replace("ENDPOINTS", &endpoints.join(", "))
    }
}

fn address(port: u16) -> String {
    format!("{{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}")
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;
    use crate::{http, port};

    #[test]
    fn it_says_that_its_servers_are_down_and_ends_when_it_is_killed() {
        let envoy = Envoy::before(&[port::reserve()]);
        assert_eq!(http::get(envoy.address(), "/").status, 503);
        envoy.kill();
        assert!(TcpStream::connect(envoy.address()).is_err());
        envoy.start_again();
        assert_eq!(http::get(envoy.address(), "/").header("server"), Some("envoy"));
    }
}
