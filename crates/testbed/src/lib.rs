//! Real servers and programs, each owned by one test.
//!
//! A test that needs a database starts one. It listens on a port of 127.0.0.1 that the kernel chose, keeps its files in a
//! temporary directory, and is gone when its value is dropped, or when the test process dies in whatever way. Nothing is
//! shared between tests, so they run in any order and all at once.
//!
//! ```no_run
//! use testbed::{Postgres, Program, http};
//!
//! let postgres = Postgres::start();
//! postgres.create_original_schema();
//!
//! let server = Program::of_workspace("yelb-appserver")
//!     .env("DATABASE_URL", postgres.url("yelbdatabase"))
//!     .env("PORT", "0")
//!     .spawn();
//!
//! let api = server.address("api");
//! assert_eq!(http::get(api, "/api/ihop").text(), "1");
//!
//! postgres.freeze();
//! assert_eq!(http::get(api, "/api/ihop").status, 503);
//! ```
//!
//! A test that changes the network itself, such as one of a mesh's packet filters, has a [`Namespace`] for it, and programs
//! and stores inside; that takes root on Linux. What is tested of it is in `e2e`, whose tests are for root, too.
//!
//! There is one way to start something: [`Program`] says what, and as whom and where it runs. A server is a program that is
//! waited for until it serves, and that a test can stop, kill, freeze and start again (`server`).
//!
//! Everything here panics rather than returning an error: it is only ever called by tests, and the panic's message is what
//! the person reading a failed test needs. Everything here blocks; an async test calls it through `spawn_blocking`, or
//! before and after the part that must not block. Every wait has a limit.

#![expect(clippy::missing_panics_doc, reason = "a panic is how a testbed reports, everywhere")]

mod delay_proxy;
mod directory;
mod dynamodb;
mod envoy;
pub mod http;
mod lines;
pub mod metrics;
mod namespace;
mod nginx;
mod path;
mod pgbouncer;
mod port;
mod postgres;
mod process;
mod process_table;
mod program;
mod redis;
mod running;
mod server;
mod spawner;
mod stand_in;
mod wait;
pub mod xray;

pub use delay_proxy::DelayProxy;
pub use dynamodb::DynamoDb;
pub use envoy::Envoy;
pub use namespace::{Namespace, within_network_of};
pub use nginx::Nginx;
pub use pgbouncer::PgBouncer;
pub use port::reserve as free_port;
pub use postgres::Postgres;
pub use program::{Output, Program, SECRET};
pub use redis::Redis;
pub use running::Running;
pub use stand_in::StandIn;
pub use wait::{PATIENCE, eventually, happens};
