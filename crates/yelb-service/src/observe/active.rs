//! The number of requests that wait for their answer.

use std::sync::LazyLock;

use metrics::Gauge;

/// Looked up once: the recorder is there before the first request.
static ACTIVE: LazyLock<Gauge> = LazyLock::new(|| metrics::gauge!("http_server_active_requests"));

/// One such request, until it is answered or its client disconnects.
pub(super) struct ActiveRequest(());

impl ActiveRequest {
    pub(super) fn begin() -> Self {
        ACTIVE.increment(1.0);
        Self(())
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        ACTIVE.decrement(1.0);
    }
}
