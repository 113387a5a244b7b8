//! The signals that stop a process.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How a process is told to stop, and how long it then goes on accepting.
#[derive(Debug)]
pub struct StopOptions {
    terminate: Signal,
    interrupt: Signal,
    wait: Duration,
}

/// Which signal it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopSignal {
    /// SIGTERM, of an orchestrator.
    Terminate,
    /// SIGINT, of a person.
    Interrupt,
}

impl StopOptions {
    /// Watches for SIGTERM and SIGINT from now on. After SIGTERM the process goes on accepting for `wait`, until load
    /// balancers have noticed.
    ///
    /// Early in start-up: until then the kernel acts on them. It ends the process or, if that is the first of its container,
    /// drops them.
    pub fn watch(wait: Duration) -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { terminate, interrupt, wait })
    }

    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }

    /// Waits for the next signal, also one that has come already.
    pub(crate) async fn signal(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.terminate.recv() => StopSignal::Terminate,
            _ = self.interrupt.recv() => StopSignal::Interrupt,
        }
    }
}
