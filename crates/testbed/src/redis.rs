//! A private Redis server.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crate::directory::Directory;
use crate::namespace::Namespace;
use crate::path;
use crate::program::{Output, Program};
use crate::server::{Kind, Server};
use crate::wait::PATIENCE;

/// The port of a server that has a network namespace for itself.
const PORT: u16 = 6379;

/// A Redis server for one test. Unless its options say otherwise, it writes nothing to disk: after `start_again` it is empty.
pub type Redis = Server<Configuration>;

/// How a Redis server is started.
#[derive(Debug)]
pub struct Configuration {
    options: Vec<String>,
    password: Option<String>,
    is_sentinel: bool,
    namespace: Option<Namespace>,
    /// The address that clients connect to.
    address: Ipv4Addr,
    home: Arc<Directory>,
}

impl Server<Configuration> {
    /// Starts a server.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with options of `redis-server`, such as `&["--requirepass", "secret"]`.
    #[track_caller]
    pub fn start_with(options: &[&str]) -> Self {
        Self::launch(Configuration::new(options, None, Ipv4Addr::LOCALHOST))
    }

    /// Starts a Sentinel, which keeps no data and watches no server yet.
    #[track_caller]
    pub fn start_sentinel() -> Self {
        Self::launch(Configuration {
            is_sentinel: true,
            ..Configuration::new(&[], None, Ipv4Addr::LOCALHOST)
        })
    }

    /// Starts a server in a network namespace, as in a container: on port 6379 of all addresses. Redis's protected mode is on:
    /// clients that do not connect from 127.0.0.1 get an error that says so.
    #[track_caller]
    pub fn start_inside(namespace: &Namespace) -> Self {
        let namespace = Some(namespace.clone());
        let all = &["--bind", "0.0.0.0"];
        Self::launch_at(PORT, Configuration::new(all, namespace, Ipv4Addr::LOCALHOST))
    }

    /// Starts a server in a network namespace, on port 6379 of this loopback address alone. So a namespace can have several
    /// servers.
    #[track_caller]
    pub fn start_inside_at(namespace: &Namespace, address: Ipv4Addr) -> Self {
        Self::launch_at(PORT, Configuration::new(&[], Some(namespace.clone()), address))
    }

    /// `redis://ADDRESS:PORT`, with the password if the server has one.
    pub fn url(&self) -> String {
        let login = self.kind().password.as_ref().map(|password| format!(":{password}@"));
        format!("redis://{}{}:{}", login.unwrap_or_default(), self.kind().address, self.port())
    }

    /// Runs `redis-cli` with a command, such as `&["get", "pageviews"]`, and returns its output. An error fails the test.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str]) -> String {
        // With `-e`, the exit code is not 0 if Redis answers with an error.
        let mut program = self.kind().program_named("redis-cli");
        let address = self.kind().address.to_string();
        program = program.args(["-e", "-h", &address, "-p", &self.port().to_string()]);
        if let Some(password) = &self.kind().password {
            program = program.env("REDISCLI_AUTH", password);
        }
        let Output { status, stdout, stderr } = program.args(arguments).run_to_end(PATIENCE);
        assert!(status.success(), "redis-cli {arguments:?} failed: {stdout}{stderr}");
        stdout.trim_end().to_owned()
    }
}

impl Configuration {
    fn new(options: &[&str], namespace: Option<Namespace>, address: Ipv4Addr) -> Self {
        let mut pairs = options.windows(2);
        let password = pairs.find(|pair| pair[0] == "--requirepass").map(|pair| pair[1].to_owned());
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let home = Arc::new(Directory::make());
        Self { options, password, is_sentinel: false, namespace, address, home }
    }

    /// One of Redis's programs, in the server's network namespace.
    fn program_named(&self, name: &str) -> Program {
        Program::at_home(path::find(name, "redis"), &self.home).at(self.namespace.as_ref())
    }
}

impl Kind for Configuration {
    const NAME: &'static str = "redis-server";

    fn program(&self, port: u16) -> Program {
        let mut program = self.program_named("redis-server");
        if self.is_sentinel {
            // A Sentinel writes its state into this file. The file has to be the first argument.
            fs::write(self.home.path().join("sentinel.conf"), "")
                .expect("the test can write to its own folder");
            program = program.args(["sentinel.conf", "--sentinel"]);
        }
        program
            .args(["--port", &port.to_string(), "--bind", &self.address.to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args(&self.options)
    }

    fn is_ready(&self, port: u16) -> bool {
        match &self.namespace {
            Some(namespace) => namespace.within(|| answers(self.address, port)),
            None => answers(self.address, port),
        }
    }
}

/// Whether a server on this port answers `PING`: with `+PONG`, or with an error because it requires a password.
fn answers(address: Ipv4Addr, port: u16) -> bool {
    let limit = Duration::from_millis(500);
    let ping = || {
        let address = SocketAddr::from((address, port));
        let mut stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.write_all(b"PING\r\n")?;
        stream.read_exact(&mut [0])
    };
    ping().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_has_a_server_of_its_own() {
        let (one, other) = (Redis::start(), Redis::start());
        assert_eq!(one.cli(&["incrby", "pageviews", "5"]), "5");
        assert_eq!(one.cli(&["get", "pageviews"]), "5");
        assert_eq!(other.cli(&["get", "pageviews"]), "");
    }

    #[test]
    fn a_restarted_server_has_its_port_and_is_empty() {
        let redis = Redis::start();
        let port = redis.port();
        redis.cli(&["set", "pageviews", "7"]);
        redis.stop();
        assert!(!answers(Ipv4Addr::LOCALHOST, port));
        redis.start_again();
        assert_eq!((redis.port(), &*redis.cli(&["get", "pageviews"])), (port, ""));
        redis.kill();
        assert!(!answers(Ipv4Addr::LOCALHOST, port));
        redis.start_again();
        assert!(answers(Ipv4Addr::LOCALHOST, port));
    }

    #[test]
    fn a_frozen_server_accepts_and_does_not_answer() {
        let redis = Redis::start();
        redis.freeze();
        assert!(TcpStream::connect(("127.0.0.1", redis.port())).is_ok());
        assert!(!answers(Ipv4Addr::LOCALHOST, redis.port()));
        redis.thaw();
        assert!(answers(Ipv4Addr::LOCALHOST, redis.port()));
    }

    #[test]
    fn the_url_of_a_server_with_a_password_has_the_password() {
        let redis = Redis::start_with(&["--requirepass", "secret"]);
        assert_eq!(redis.url(), format!("redis://:secret@127.0.0.1:{}", redis.port()));
        assert_eq!(redis.cli(&["ping"]), "PONG");
    }

    #[test]
    #[should_panic(expected = "not an integer")]
    fn an_error_of_redis_fails_the_test() {
        let redis = Redis::start();
        redis.cli(&["set", "pageviews", "many"]);
        redis.cli(&["incr", "pageviews"]);
    }

    #[test]
    fn dropping_a_server_kills_it() {
        let redis = Redis::start();
        let port = redis.port();
        redis.freeze();
        drop(redis);
        assert!(!answers(Ipv4Addr::LOCALHOST, port));
    }
}
