//! The app server as its clients see it: the program itself, on real PostgreSQL and Redis.

mod bad_input;
mod contract;
mod databases;
mod drop_in;
mod dynamodb;
mod files;
mod history;
mod keys;
mod lifecycle;
mod linearizable;
mod outages;
mod redis_cluster;
mod rotation;
mod settings;
mod shedding;
mod stand_in;
mod stream;

use std::net::SocketAddr;

use testbed::{PATIENCE, Postgres, Program, Redis, Running, eventually, http};

/// The original's database.
const DATABASE: &str = "yelbdatabase";

/// The app server, on a database as the original's image makes it and a Redis, all of them this test's own.
struct Yelb {
    server: Running,
    api: SocketAddr,
    postgres: Postgres,
    redis: Redis,
}

impl Yelb {
    /// Starts all of it, and waits until the app server is ready.
    #[track_caller]
    fn start() -> Self {
        let (postgres, redis) = (Postgres::start(), Redis::start());
        postgres.create_original_schema();
        let program = on(&postgres).env("REDIS_URL", redis.url());
        Self::of(program, postgres, redis)
    }

    /// Starts `program`, which was told of these stores, and waits until it is ready.
    #[track_caller]
    fn of(program: Program, postgres: Postgres, redis: Redis) -> Self {
        let server = program.spawn();
        let api = server.address("api");
        await_ready(api);
        Self { server, api, postgres, redis }
    }

    /// What `psql` prints for a statement in the original's database.
    #[track_caller]
    fn sql(&self, statement: &str) -> String {
        self.postgres.sql(DATABASE, statement)
    }
}

/// The app server, told to listen on a free port. It knows no stores.
fn bare() -> Program {
    Program::new(env!("CARGO_BIN_EXE_yelb-appserver"))
        .env("PORT", "0")
        .env("YELB_ADMIN_PORT", "off")
}

/// The app server, with votes and page views in a file of its own.
fn appserver() -> Program {
    bare().env("DATABASE_URL", "sqlite:yelb.db")
}

/// The app server on this PostgreSQL. Its page views are in a file of its own.
fn on(postgres: &Postgres) -> Program {
    bare().env("DATABASE_URL", postgres.url(DATABASE)).env("REDIS_URL", "sqlite:views.db")
}

/// Waits until an app server can take traffic.
#[track_caller]
fn await_ready(api: SocketAddr) {
    eventually(PATIENCE, "the app server is ready", || http::get(api, "/readyz").status == 200);
}
