//! Traces as a collector sees them: the programs themselves, and a daemon or a collector that is the test's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod headers;
mod in_the_way;
mod otlp;
mod server;
mod settings;
mod xray;

use std::net::SocketAddr;

use testbed::http::{self, Response};
use testbed::{PATIENCE, Postgres, Program, Redis, Running, eventually};

/// The two servers on a database as the original's image makes it and a Redis, all of them this test's own.
struct Yelb {
    ui: Running,
    appserver: Running,
    page: SocketAddr,
    postgres: Postgres,
    _redis: Redis,
}

impl Yelb {
    /// Starts all of it with these variables, and waits until the stores are there.
    #[track_caller]
    fn start(variables: &[(&str, &str)]) -> Self {
        let (postgres, redis) = (Postgres::start(), Redis::start());
        postgres.create_original_schema();
        let appserver = program("yelb-appserver", variables)
            .env("DATABASE_URL", postgres.url("yelbdatabase"))
            .env("REDIS_URL", redis.url())
            .spawn();
        let api = appserver.address("api");
        let ui = ui_of(api, variables).spawn();
        let page = ui.address("page");
        let yelb = Self { ui, appserver, page, postgres, _redis: redis };
        eventually(PATIENCE, "the stores are there", || {
            http::get(api, "/readyz").text().matches("\"up\"").count() == 2
        });
        yelb
    }

    /// A request of a browser, with this `x-amzn-trace-id`.
    #[track_caller]
    fn get(&self, path: &str, trace: &str) -> Response {
        http::request(self.page, "GET", path, &[("x-amzn-trace-id", trace)], b"")
    }

    /// Tells both to stop, the one that is asked last, and waits until they have.
    #[track_caller]
    fn stop(&self) {
        for program in [&self.ui, &self.appserver] {
            program.terminate();
            assert!(program.wait(PATIENCE).success(), "{program:?}");
        }
    }
}

/// Stores that are down, for an app server whose answers are of no interest.
const NO_STORES: [(&str, &str); 2] =
    [("DATABASE_URL", "postgres://yelb@127.0.0.1:1/yelb"), ("REDIS_URL", "redis://127.0.0.1:1")];

/// A program with these variables that listens on free ports and does not dawdle when it is told to stop.
#[track_caller]
fn program(name: &str, variables: &[(&str, &str)]) -> Program {
    let program = Program::of_workspace(name)
        .env("PORT", "0")
        .env("YELB_API_PORT", "0")
        .env("YELB_ADMIN_PORT", "off")
        .env("YELB_STOP_WAIT", "0")
        .env("OTEL_BSP_SCHEDULE_DELAY", "1000");
    variables.iter().fold(program, |program, (name, value)| program.env(name, value))
}

/// The UI's server in front of this app server.
#[track_caller]
fn ui_of(appserver: SocketAddr, variables: &[(&str, &str)]) -> Program {
    program("yelb-ui", variables).env("YELB_APPSERVER_ENDPOINT", format!("http://{appserver}"))
}

/// An X-Ray trace id, a different one for each number.
fn root(number: u32) -> String {
    format!("1-67891233-abcdef0123456789{number:08x}")
}
