//! The code that both servers share. It has no code for votes or pages.
//!
//! Read it in the order in which a process meets it:
//!
//! - [`settings`] reads the environment, once; [`config`] has what every server can be told; [`telemetry`] starts log and traces;
//! - [`listening`] binds; [`stop`] watches for signals; [`server`] serves until one comes, and drains; `connection` is one of
//!   its connections, `connections` the table of them with their [`limits`], `workers` are the threads that serve them, [`server::App`] is what answers;
//! - [`observe`] gives each request its span, log line and metrics, [`problem`] each failure its answer;
//! - [`broadcast`] is one stream of events for many viewers;
//! - [`health`] and [`metrics`] tell others how the process is, on the [`admin`] port, and `build_info` which build it is;
//!   [`healthcheck`] asks it;
//! - [`exit()`] ends it.

pub mod admin;
mod app;
pub mod broadcast;
mod build_info;
pub mod config;
mod connection;
mod connections;
mod exit;
pub mod health;
pub mod healthcheck;
pub mod limits;
pub mod listening;
pub mod method;
pub mod metrics;
pub mod observe;
mod privileged_port;
pub mod problem;
pub mod server;
pub mod settings;
pub mod stop;
pub mod telemetry;
mod workers;

pub use exit::exit;
