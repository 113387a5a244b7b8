//! Which build a process runs: its version, and the commit that it was built from.

use metrics::gauge;

/// The version of the workspace, which all programs and images share.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit, if the build got it: the Dockerfile sets it from its argument `REVISION`.
const REVISION: Option<&str> = option_env!("YELB_REVISION");

/// Sets the gauge `yelb_build_info` to 1. Its labels carry the information, as Prometheus' own `…_build_info` do.
pub(crate) fn record(program: &'static str) {
    let mut labels = vec![("program", program), ("version", VERSION)];
    // If a build argument is not set, its value is empty.
    labels.extend(REVISION.filter(|revision| !revision.is_empty()).map(|it| ("revision", it)));
    gauge!("yelb_build_info", &labels).set(1.0);
}
