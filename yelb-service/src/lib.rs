//! The shell that both of Yelb's servers run in. It knows nothing of votes or pages.
//!
//! Read it in the order in which a process meets it:
//!
//! - [`settings`] reads the environment, once; [`telemetry`] starts log and traces;
//! - [`process`] binds, serves and stops; [`serve`] is one listener, [`framing`] what it lets in;
//! - [`observe`] gives each request its span, log line and metrics, [`problem`] each failure its answer;
//! - [`health`] and [`metrics`] tell others how the process is, [`healthcheck`] asks it.

pub mod framing;
pub mod health;
pub mod healthcheck;
mod low_port;
pub mod metrics;
pub mod observe;
pub mod problem;
pub mod process;
pub mod serve;
pub mod settings;
pub mod telemetry;
