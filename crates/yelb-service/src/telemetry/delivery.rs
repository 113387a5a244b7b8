//! Sending one batch of spans, by either protocol: on the runtime, within a limit.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::problem::Chain;

/// How long the sending of one batch may take.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// The way to one collector. An outage is logged once when it begins, and once when it ends.
#[derive(Debug)]
pub(super) struct Delivery {
    /// The protocol and the collector's address.
    to: String,
    runtime: Handle,
    failing: AtomicBool,
}

impl Delivery {
    /// The way to a collector, `to` in the log. For use within the runtime.
    pub(super) fn new(to: &impl fmt::Display) -> Self {
        let to = to.to_string();
        tracing::info!(to, "sending traces");
        Self { to, runtime: Handle::current(), failing: AtomicBool::new(false) }
    }

    /// Runs `work` on the runtime, which the thread that exports is not part of.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let limited = async { timeout(LIMIT, work).await };
        let outcome = self.runtime.spawn(limited).await?.unwrap_or_else(|_| {
            let late = format!("no answer within {} s", LIMIT.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, late))
        });
        let to = &self.to;
        match (&outcome, self.failing.swap(outcome.is_err(), Ordering::Relaxed)) {
            (Err(error), false) => {
                tracing::warn!(to, error = %Chain(error), "traces cannot be sent");
            }
            (Ok(_), true) => tracing::info!(to, "traces are sent again"),
            _ => {}
        }
        outcome
    }
}
