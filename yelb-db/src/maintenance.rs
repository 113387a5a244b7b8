//! What a store needs beside its batches: its schema, and old vote keys forgotten. A task with a connection of its own, so that a
//! migration that waits for a lock holds up no vote.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::batcher::Workers;
use crate::error::StoreError;
use crate::status::StatusSender;

/// How long the preparation of a store may take, a migration that waits for another replica's included.
const PREPARE_LIMIT: Duration = Duration::from_secs(30);
/// The pause before the second attempt to prepare a store, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// How often keys that are too old are looked for: at once, and then so.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);
/// How long one sweep may take.
const SWEEP_LIMIT: Duration = Duration::from_mins(5);
/// The pause between two parts of one sweep, in which votes go first.
pub(crate) const SWEEP_PAUSE: Duration = Duration::from_millis(50);

/// What a store needs beside its batches.
pub(crate) trait Maintain: Send + Sync + 'static {
    /// Makes sure that the store has what votes need, or says what is missing. [`StoreError::Down`] if it cannot be asked.
    fn prepare(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Forgets vote keys that have been kept for long enough.
    fn sweep(&self) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { Ok(()) }
    }
}

/// Starts to prepare the store, now and each time its writer has connected, which may be to another server; and to sweep it.
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
            let mut told = None;
            loop {
                sweep(&store, &mut told).await;
                sleep(SWEEP_INTERVAL).await;
            }
        };
        // A new connection of the writer ends a sweep, too: it may be to another server.
        tokio::select! {
            () = sweeping => {}
            _ = connections.changed() => {}
        }
    }
}

/// Tries until it succeeds: at once when the writer has connected, and else less and less often, because a migration takes
/// locks that votes wait for.
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
            // The workers tell of it.
            Err(StoreError::Down) => {}
            Err(reason) => status.missing(&reason),
        }
        // Whether the writer has connected or not.
        let _ = timeout(pause, connections.changed()).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Tells a reason once, though it may last: what is not forgotten takes space.
async fn sweep(store: &impl Maintain, told: &mut Option<String>) {
    let swept = timeout(SWEEP_LIMIT, store.sweep()).await;
    // The next sweep finds what this one left.
    let reason = swept.unwrap_or(Err(StoreError::TimedOut)).err().map(|error| error.chain());
    if reason != *told {
        if let Some(reason) = &reason {
            tracing::warn!(reason, "old vote keys are not forgotten, and take space: {reason}");
        }
        *told = reason;
    }
}
