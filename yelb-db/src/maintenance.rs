//! Maintenance of a store: it applies migrations and deletes old vote keys. It runs in a task with its own connection, so that
//! a migration that waits for a lock does not delay votes.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::batcher::Workers;
use crate::error::StoreError;
use crate::status::StatusSender;

/// How long the preparation of a store may take. This includes the time for which a migration waits for another replica's
/// migration.
const PREPARE_LIMIT: Duration = Duration::from_secs(30);
/// The pause before the second attempt to prepare a store, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// The pause between two sweeps. The first sweep begins at once.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);
/// How long one sweep may take.
const SWEEP_LIMIT: Duration = Duration::from_mins(5);
/// The pause between two parts of one sweep. Votes are written during the pause.
pub(crate) const SWEEP_PAUSE: Duration = Duration::from_millis(50);

/// The maintenance of one kind of store.
pub(crate) trait Maintain: Send + Sync + 'static {
    /// Makes sure that the store has what votes need, or says what is missing. [`StoreError::Down`] if it cannot be asked.
    fn prepare(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Deletes vote keys that are older than the time for which they are kept.
    fn sweep(&self) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { Ok(()) }
    }
}

/// Starts the maintenance. It prepares the store now and each time its writer has connected, because the new server may be
/// another one. It also sweeps the store.
pub(crate) fn start(store: impl Maintain, status: StatusSender, workers: &Workers) {
    let stop = workers.stop.clone();
    let maintenance = async move {
        stop.run_until_cancelled(maintain(store, status)).await;
    };
    workers.tasks.spawn(maintenance);
}

async fn maintain(store: impl Maintain, status: StatusSender) {
    let mut connections = status.writer_connections();
    loop {
        prepare(&store, &status, &mut connections).await;
        let sweeping = async {
            let mut logged = None;
            loop {
                sweep(&store, &mut logged).await;
                sleep(SWEEP_INTERVAL).await;
            }
        };
        // When the writer has a new connection, this ends a sweep, too: the server may be another one.
        tokio::select! {
            () = sweeping => {}
            _ = connections.changed() => {}
        }
    }
}

/// Tries until it succeeds. When the writer has connected, the next attempt begins at once. Otherwise the pauses become longer,
/// because a migration takes locks that votes wait for.
async fn prepare(
    store: &impl Maintain,
    status: &StatusSender,
    connections: &mut watch::Receiver<u64>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let outcome = timeout(PREPARE_LIMIT, store.prepare()).await;
        match outcome.unwrap_or(Err(StoreError::TimedOut)) {
            Ok(()) => return status.prepared(),
            // The batchers log that the store is down.
            Err(StoreError::Down) => {}
            Err(reason) => status.missing(&reason),
        }
        // Either the writer has connected or the pause is over: try again.
        let _ = timeout(pause, connections.changed()).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Sweeps once. Logs a failure only if the last sweep did not fail for the same reason.
async fn sweep(store: &impl Maintain, logged: &mut Option<String>) {
    let swept = timeout(SWEEP_LIMIT, store.sweep()).await;
    // The next sweep finds what this one left.
    let reason = swept.unwrap_or(Err(StoreError::TimedOut)).err().map(|error| error.chain());
    if reason != *logged {
        if let Some(reason) = &reason {
            tracing::warn!(
                reason,
                "old vote keys cannot be deleted: {reason}; votes are still counted; the next sweep tries again"
            );
        }
        *logged = reason;
    }
}
