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
//! Everything here panics rather than returning an error: it is only ever called by tests, and the panic's message is what
//! the person reading a failed test needs. Everything here blocks; an async test calls it through `spawn_blocking`, or
//! before and after the part that must not block. Every wait has a limit.

#![expect(clippy::missing_panics_doc, reason = "a panic is how a testbed reports, everywhere")]

mod detour;
mod directory;
mod dynamodb;
mod envoy;
pub mod history;
pub mod http;
mod lines;
mod namespace;
mod nginx;
mod port;
mod postgres;
mod process;
mod program;
mod redis;
pub mod xray;

use std::thread;
use std::time::{Duration, Instant};

pub use detour::Detour;
pub use dynamodb::DynamoDb;
pub use envoy::Envoy;
pub use namespace::{Namespace, within_network_of};
pub use nginx::Nginx;
pub use port::reserve as free_port;
pub use postgres::Postgres;
pub use program::{Output, Program, Running};
pub use redis::Redis;

/// How long a server or a program of ours may take to start, stop or answer before the test is failed.
///
/// A hundred times what it takes, because test machines stall.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What tests put into the place of a password, and look for where it must not come out.
pub const SECRET: &str = "hunter2";

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
