//! Waiting for a condition, with a limit.

use std::thread;
use std::time::{Duration, Instant};

/// The limit for a server or a program of this workspace to start, stop or answer. After it, the test fails.
///
/// It is about a hundred times the usual duration, because test machines stall.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two checks of a condition.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Waits until `condition` is true. If it is not within `limit`, the test fails with `what`.
#[track_caller]
pub fn eventually(limit: Duration, what: &str, condition: impl FnMut() -> bool) {
    assert!(happens(limit, condition), "not within {limit:?}: {what}");
}

/// Waits until `condition` is true, and returns whether it was within `limit`.
pub fn happens(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(POLL_INTERVAL);
    }
}
