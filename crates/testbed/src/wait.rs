//! Waiting for a condition, with a limit.

use std::thread;
use std::time::{Duration, Instant};

/// How long a server or a program of ours may take to start, stop or answer before the test is failed.
///
/// A hundred times what it takes, because test machines stall.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two looks at something that cannot notify.
const GLANCE: Duration = Duration::from_millis(5);

/// Waits until `condition` holds, and fails the test with `what` when it does not within `limit`.
#[track_caller]
pub fn eventually(limit: Duration, what: &str, condition: impl FnMut() -> bool) {
    assert!(happens(limit, condition), "not within {limit:?}: {what}");
}

/// Whether `condition` comes true within `limit`, where the test judges what it means.
pub fn happens(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(GLANCE);
    }
}
