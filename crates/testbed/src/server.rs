//! Servers of other projects: how each is started, stopped, killed, frozen and started again.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

use crate::port;
use crate::program::Program;
use crate::running::Running;
use crate::wait::{PATIENCE, happens};

/// Ports to try before giving up: one that was free may be taken by the time the server asks for it.
const TRIES: usize = 5;

/// How a server that has ended is heard out.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How a server of some kind is started, and what it is called.
pub trait Kind {
    /// What it is called.
    const NAME: &'static str;
    /// The signal that asks it to shut down in order.
    const STOP: Signal = Signal::TERM;

    /// The program, which is to listen on this port.
    fn program(&self, port: u16) -> Program;

    /// Whether it serves.
    fn is_ready(&self, port: u16) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
    }
}

/// A server of the test's own, on a port that it keeps. Dropping it kills it.
#[derive(Debug)]
pub struct Server<K> {
    kind: K,
    port: u16,
    running: Mutex<Option<Running>>,
}

impl<K: Kind> Server<K> {
    /// Starts it on a port of the kernel's choice.
    #[track_caller]
    pub(crate) fn launch(kind: K) -> Self {
        let mut server = Self { kind, port: 0, running: Mutex::new(None) };
        let mut last = String::new();
        for _ in 0..TRIES {
            server.port = port::reserve();
            match server.try_launch() {
                Ok(()) => return server,
                Err(error) => last = error,
            }
        }
        panic!("{} does not start: {last}", K::NAME)
    }

    /// Starts it on a port that is free because it has a network or an address for itself.
    #[track_caller]
    pub(crate) fn launch_at(port: u16, kind: K) -> Self {
        let server = Self { kind, port, running: Mutex::new(None) };
        if let Err(error) = server.try_launch() {
            panic!("{} does not start: {error}", K::NAME)
        }
        server
    }

    pub(crate) fn kind(&self) -> &K {
        &self.kind
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its first process, while it runs.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.running().as_ref().expect("it runs").pid()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Starts it again on the same port, after [`Self::stop`] or [`Self::kill`]. What it had on disk is there again: the data of
    /// Postgres, and nothing of the others.
    #[track_caller]
    pub fn start_again(&self) {
        assert!(self.running().is_none(), "{} is running: stop or kill it first", K::NAME);
        let mut last = String::new();
        // An outgoing connection of another process may hold the port for a moment.
        let started = happens(PATIENCE, || self.try_launch().map_err(|error| last = error).is_ok());
        assert!(started, "{} does not start again: {last}", K::NAME);
    }

    /// Shuts it down in order. Its port refuses connections from then on.
    #[track_caller]
    pub fn stop(&self) {
        if let Some(running) = self.running().take() {
            running.thaw();
            running.signal(K::STOP);
            running.wait(PATIENCE);
        }
    }

    /// Ends all of its processes without warning.
    #[track_caller]
    pub fn kill(&self) {
        if let Some(running) = self.running().take() {
            running.kill();
        }
    }

    /// Makes all of it stand still: it accepts connections, as the kernel does that, and answers nothing, not even on
    /// connections that were open.
    #[track_caller]
    pub fn freeze(&self) {
        if let Some(running) = &*self.running() {
            running.freeze();
        }
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        if let Some(running) = &*self.running() {
            running.thaw();
        }
    }

    /// What it has written to stderr since it was started, last: its log.
    pub fn log(&self) -> String {
        self.running().as_ref().map(Running::stderr).unwrap_or_default()
    }

    /// The program, while it runs.
    pub(crate) fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One attempt to start; the error is the server's own words.
    fn try_launch(&self) -> Result<(), String> {
        let running = self.kind.program(self.port).spawn();
        let ready = happens(PATIENCE, || !running.is_running() || self.kind.is_ready(self.port));
        // Looked at after the answer: on a port that is another server's, it answers, and ours has ended.
        if ready && running.is_running() {
            *self.running() = Some(running);
            return Ok(());
        }
        running.lines().wait_for_end(LAST_WORDS);
        Err(format!("{running:?}"))
    }
}
