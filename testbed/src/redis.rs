//! A private Redis server.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

use crate::directory::Directory;
use crate::process::{self, Owned, Place};
use crate::{Namespace, PATIENCE, happens, port};

/// Where a server listens that has a network for itself.
const PORT: u16 = 6379;

/// Ports to try before giving up: one that was free may be taken by the time the server asks for it.
const TRIES: usize = 5;

/// How `redis-cli` begins the text of an error, which it prints like any other answer.
const ERRORS: [&str; 12] = [
    "ERR ",
    "MOVED ",
    "ASK ",
    "CLUSTERDOWN ",
    "WRONGTYPE ",
    "NOAUTH ",
    "WRONGPASS ",
    "NOPERM ",
    "MISCONF ",
    "READONLY ",
    "LOADING ",
    "OOM ",
];

/// A Redis server of the test's own. It keeps nothing on disk unless told to: after [`Redis::start_again`] it is empty.
#[derive(Debug)]
pub struct Redis {
    options: Vec<String>,
    password: Option<String>,
    /// Where it runs, unless that is where everybody does.
    namespace: Option<Namespace>,
    port: u16,
    server: Mutex<Option<Owned>>,
    /// After the server, which uses it: fields are dropped in their order.
    directory: Directory,
}

impl Redis {
    /// Starts a server.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with options of `redis-server`, such as `&["--requirepass", "secret"]`.
    #[track_caller]
    pub fn start_with(options: &[&str]) -> Self {
        let mut redis = Self::prepared(options, None);
        let mut last = String::new();
        for _ in 0..TRIES {
            redis.port = port::reserve();
            match redis.launch() {
                Ok(()) => return redis,
                Err(error) => last = error,
            }
        }
        panic!("redis-server does not start: {last}")
    }

    /// Starts a server inside a network of the test's own, as in a container: on port 6379, which is free there, of every
    /// address. It serves only those who come from 127.0.0.1, and tells others so.
    #[track_caller]
    pub fn start_inside(namespace: &Namespace) -> Self {
        let mut redis = Self::prepared(&["--bind", "0.0.0.0"], Some(namespace.clone()));
        redis.port = PORT;
        if let Err(error) = redis.launch() {
            panic!("redis-server does not start: {error}")
        }
        redis
    }

    /// A server with its directory, which has not been launched.
    fn prepared(options: &[&str], namespace: Option<Namespace>) -> Self {
        let mut pairs = options.iter().zip(options.iter().skip(1));
        let password =
            pairs.find(|(name, _)| **name == "--requirepass").map(|(_, value)| (*value).to_owned());
        Self {
            directory: Directory::make(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            password,
            namespace,
            port: 0,
            server: Mutex::new(None),
        }
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:PORT`, with the password if it has one.
    pub fn url(&self) -> String {
        match &self.password {
            Some(password) => format!("redis://:{password}@127.0.0.1:{}", self.port),
            None => format!("redis://127.0.0.1:{}", self.port),
        }
    }

    /// What `redis-cli` prints for a command, such as `&["get", "pageviews"]`. An error fails the test.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str]) -> String {
        let mut command = self.command("redis-cli");
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        if let Some(password) = &self.password {
            command.env("REDISCLI_AUTH", password);
        }
        command.args(arguments);
        match process::run(command, PATIENCE) {
            Ok((status, stdout, stderr)) => {
                let answer = stdout.trim_end();
                let failed =
                    !status.success() || ERRORS.iter().any(|error| answer.starts_with(error));
                assert!(!failed, "redis-cli {arguments:?} failed: {answer}{stderr}");
                answer.to_owned()
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Shuts it down in order. Its port refuses connections from then on.
    #[track_caller]
    pub fn stop(&self) {
        self.thaw();
        let Some(server) = self.server().take() else { return };
        server.signal(Signal::TERM);
        let ended = server.wait(PATIENCE).is_some();
        assert!(ended, "redis-server does not stop; {}", process::quote(server.lines()));
    }

    /// Ends it without warning.
    #[track_caller]
    pub fn kill(&self) {
        if let Some(server) = self.server().take() {
            server.kill();
        }
    }

    /// Starts it again on the same port, after [`Self::stop`] or [`Self::kill`].
    #[track_caller]
    pub fn start_again(&self) {
        assert!(self.server().is_none(), "redis-server is still running: stop or kill it first");
        let mut last = String::new();
        // Somebody's outgoing connection may hold the port for a moment.
        let started = happens(PATIENCE, || match self.launch() {
            Ok(()) => true,
            Err(error) => {
                last = error;
                false
            }
        });
        assert!(started, "redis-server does not start again: {last}");
    }

    /// Makes it stand still: it accepts connections, as the kernel does that, and answers nothing.
    #[track_caller]
    pub fn freeze(&self) {
        if let Some(server) = &*self.server() {
            process::freeze(server.pid());
        }
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        if let Some(server) = &*self.server() {
            server.signal(Signal::CONT);
        }
    }

    /// One attempt to start, on the port chosen; the error is the server's own words.
    fn launch(&self) -> Result<(), String> {
        let mut command = self.command("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.arg("--dir").arg(self.directory.path());
        command.args(&self.options);

        let server = Owned::spawn(command);
        let ready = happens(PATIENCE, || server.poll().is_some() || self.answers());
        // Checked after the answer: on a port which is somebody else's, the answer is theirs and ours has ended.
        if !ready || server.poll().is_some() {
            server.lines().wait_for_end(Duration::from_secs(1));
            return Err(process::quote(server.lines()));
        }
        *self.server() = Some(server);
        Ok(())
    }

    /// One of Redis's programs, where the server is.
    fn command(&self, name: &str) -> Command {
        let place = Place { namespace: self.namespace.clone(), user: None };
        let mut command = process::command_at(&place, &process::find(name, "redis"));
        process::clean_environment(&mut command, self.directory.path().as_os_str());
        command.current_dir(self.directory.path());
        command
    }

    /// Whether a server answers on its port.
    fn answers(&self) -> bool {
        match &self.namespace {
            Some(namespace) => namespace.within(|| answers(self.port)),
            None => answers(self.port),
        }
    }

    fn server(&self) -> MutexGuard<'_, Option<Owned>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a server on this port answers at all: with `+PONG`, or with an error because it wants a password.
fn answers(port: u16) -> bool {
    let limit = Duration::from_millis(500);
    let ping = || {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
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
    fn it_comes_back_on_its_port_and_empty() {
        let redis = Redis::start();
        let port = redis.port();
        redis.cli(&["set", "pageviews", "7"]);
        redis.stop();
        assert!(!answers(port));
        redis.start_again();
        assert_eq!((redis.port(), &*redis.cli(&["get", "pageviews"])), (port, ""));
        redis.kill();
        assert!(!answers(port));
        redis.start_again();
        assert!(answers(port));
    }

    #[test]
    fn a_frozen_server_accepts_and_does_not_answer() {
        let redis = Redis::start();
        redis.freeze();
        assert!(TcpStream::connect(("127.0.0.1", redis.port())).is_ok());
        assert!(!answers(redis.port()));
        redis.thaw();
        assert!(answers(redis.port()));
    }

    #[test]
    fn a_password_is_asked_for_and_known_to_the_url() {
        let redis = Redis::start_with(&["--requirepass", "secret"]);
        assert_eq!(redis.url(), format!("redis://:secret@127.0.0.1:{}", redis.port()));
        assert_eq!(redis.cli(&["ping"]), "PONG");
    }

    #[test]
    #[should_panic(expected = "not an integer")]
    fn an_error_is_not_an_answer() {
        let redis = Redis::start();
        redis.cli(&["set", "pageviews", "many"]);
        redis.cli(&["incr", "pageviews"]);
    }

    #[test]
    fn dropping_kills_it() {
        let redis = Redis::start();
        let port = redis.port();
        redis.freeze();
        drop(redis);
        assert!(!answers(port));
    }
}
