//! How long sending traces may take.

use std::time::Duration;

/// How long the sending of one batch may take.
pub(super) const EXPORT_LIMIT: Duration = Duration::from_secs(5);
/// How long a process that ends may go on sending: with the wait for the balancer (3 s) and the drain (6 s) before it, it
/// still ends before Docker's kill, 10 s after SIGTERM.
pub(super) const FLUSH_LIMIT: Duration = Duration::from_millis(900);
