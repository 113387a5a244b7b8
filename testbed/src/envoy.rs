//! A real Envoy, in front of servers of the test.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::program::{Program, Running};
use crate::{PATIENCE, happens, port};

/// An Envoy of the test's own. It shares requests among its servers, and sends one again that a server did not answer, if it
/// may be sent again: one that only reads, or that carries an `Idempotency-Key`.
#[derive(Debug)]
pub struct Envoy {
    port: u16,
    servers: Vec<u16>,
    process: Mutex<Option<Running>>,
}

impl Envoy {
    /// Starts one in front of servers on these ports of 127.0.0.1.
    #[track_caller]
    pub fn before(servers: &[u16]) -> Self {
        let envoy =
            Self { port: port::reserve(), servers: servers.to_vec(), process: Mutex::new(None) };
        envoy.start_again();
        envoy
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Ends it without warning.
    #[track_caller]
    pub fn kill(&self) {
        if let Some(process) = self.process().take() {
            process.kill();
        }
    }

    /// Starts it again on the same port, after [`Self::kill`].
    #[track_caller]
    pub fn start_again(&self) {
        assert!(self.process().is_none(), "Envoy is still running: kill it first");
        let program = Program::of_python("envoy");
        let bootstrap = program.home().join("envoy.json");
        fs::write(&bootstrap, self.bootstrap().to_string())
            .expect("a program's home can be written");
        let program = program.arg("-c").arg(&bootstrap);
        let process =
            program.args(["--use-dynamic-base-id", "--concurrency", "1", "-l", "warning"]).spawn();
        let accepts = || TcpStream::connect(self.address()).is_ok();
        let started = happens(PATIENCE, || !process.is_running() || accepts());
        assert!(started && process.is_running(), "Envoy does not start: {process:?}");
        *self.process() = Some(process);
    }

    fn bootstrap(&self) -> Value {
        json!({ "static_resources": { "listeners": [self.listener()], "clusters": [self.cluster()] } })
    }

    fn listener(&self) -> Value {
        json!({
            "address": address(self.port),
            "filter_chains": [{ "filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                    "stat_prefix": "yelb",
                    "route_config": { "virtual_hosts": [{
                        "name": "yelb",
                        "domains": ["*"],
                        "routes": [
                            retried(&json!({ "prefix": "/", "headers": [{ "name": "idempotency-key", "present_match": true }] })),
                            retried(&json!({ "path": "/api/getvotes" })),
                            { "match": { "prefix": "/" }, "route": { "cluster": "servers" } },
                        ],
                    }] },
                    "http_filters": [{
                        "name": "envoy.filters.http.router",
                        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
                    }],
                },
            }] }],
        })
    }

    fn cluster(&self) -> Value {
        let endpoints: Vec<Value> = self
            .servers
            .iter()
            .map(|port| json!({ "endpoint": { "address": address(*port) } }))
            .collect();
        json!({
            "name": "servers",
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": {
                "cluster_name": "servers",
                "endpoints": [{ "lb_endpoints": endpoints }],
            },
            // By default a proxy has no more than 1024 requests on their way.
            "circuit_breakers": { "thresholds": [{ "max_requests": 10_000, "max_connections": 10_000, "max_pending_requests": 10_000 }] },
        })
    }

    fn process(&self) -> MutexGuard<'_, Option<Running>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn retried(matching: &Value) -> Value {
    let policy = json!({
        "retry_on": "connect-failure,refused-stream,reset,gateway-error",
        "num_retries": 2,
        "retry_host_predicate": [{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate" },
        }],
    });
    json!({ "match": matching, "route": { "cluster": "servers", "retry_policy": policy } })
}

fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;

    #[test]
    fn it_says_that_its_servers_are_away_and_ends_when_it_is_killed() {
        let envoy = Envoy::before(&[port::reserve()]);
        assert_eq!(http::get(envoy.address(), "/").status, 503);
        envoy.kill();
        assert!(TcpStream::connect(envoy.address()).is_err());
        envoy.start_again();
        assert_eq!(http::get(envoy.address(), "/").header("server"), Some("envoy"));
    }
}
