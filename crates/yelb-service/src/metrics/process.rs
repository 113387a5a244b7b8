//! Prometheus' standard metrics of a process (`process_…`): CPU time, memory, file descriptors, threads, time of the start.
//!
//! On Linux alone, where the servers run in containers.

#[cfg(target_os = "linux")]
use metrics_process::Collector;

/// Makes `/metrics` show their descriptions.
#[cfg(target_os = "linux")]
pub(super) fn describe() {
    Collector::default().describe();
}

/// Reads them from `/proc/self`.
#[cfg(target_os = "linux")]
pub(super) fn record() {
    Collector::default().collect();
}

#[cfg(not(target_os = "linux"))]
pub(super) fn describe() {}

#[cfg(not(target_os = "linux"))]
pub(super) fn record() {}
