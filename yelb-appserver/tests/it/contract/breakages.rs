//! What was broken while the failures were recorded.

use std::io::{Read, Write};
use std::net::TcpStream;

use testbed::{PATIENCE, Postgres, Redis, eventually, http};

use super::{Store, Subject};
use crate::{DATABASE, Yelb, bare};

/// Something broken, and the name under which it is recorded.
pub(super) struct Breakage {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// Other data than there should be.
    Data(fn(&Subject<'_>)),
    /// A server that does not serve. Breaks it, calls, and mends it again.
    Server {
        /// Whose counters cannot be read and set meanwhile.
        away: Option<Store>,
        during: fn(&Yelb, &mut dyn FnMut()),
    },
}

pub(super) const BREAKAGES: &[Breakage] = &[
    of_data("pageviews-text", |at| redis(at.redis, "set pageviews abc")),
    of_data("pageviews-absent", |at| redis(at.redis, "del pageviews")),
    of_data("pageviews-hash", |at| {
        redis(at.redis, "del pageviews");
        redis(at.redis, "hset pageviews a 1");
    }),
    of_data("pageviews-maxint64", |at| redis(at.redis, "set pageviews 9223372036854775807")),
    of_data("pageviews-negative", |at| redis(at.redis, "set pageviews -10")),
    of_data("pageviews-with-ttl", |at| redis(at.redis, "set pageviews 5 ex 1000")),
    of_server("redis-down", Some(Store::Redis), |yelb, meanwhile| {
        yelb.redis.stop();
        meanwhile();
        yelb.redis.start_again();
    }),
    of_server("redis-back", None, |yelb, meanwhile| {
        yelb.redis.stop();
        yelb.redis.start_again();
        await_mended(yelb);
        meanwhile();
    }),
    of_server("redis-noauth", Some(Store::Redis), |yelb, meanwhile| {
        redis(&yelb.redis, "config set requirepass secret");
        // Who was let in before stays.
        redis(&yelb.redis, "-a secret --no-auth-warning client kill type normal");
        await_state(yelb, "page-views", "down");
        meanwhile();
        redis(&yelb.redis, "-a secret --no-auth-warning config set requirepass ''");
    }),
    of_server("redis-readonly-replica", Some(Store::Redis), |yelb, meanwhile| {
        redis(&yelb.redis, "replicaof 127.0.0.1 1");
        meanwhile();
        redis(&yelb.redis, "replicaof no one");
    }),
    of_data("row-missing", |at| sql(at.postgres, "DELETE FROM restaurants WHERE name = 'ihop'")),
    of_data("all-rows-missing", |at| sql(at.postgres, "DELETE FROM restaurants")),
    of_data("extra-row", |at| sql(at.postgres, "INSERT INTO restaurants VALUES ('kfc', 55)")),
    of_data("count-null", |at| set_ihop(at.postgres, "NULL")),
    of_data("count-maxint", |at| set_ihop(at.postgres, "2147483647")),
    of_data("count-negative", |at| set_ihop(at.postgres, "-5")),
    of_server("pg-down", Some(Store::Postgres), |yelb, meanwhile| {
        yelb.postgres.stop();
        meanwhile();
        yelb.postgres.start_again();
    }),
    of_server("pg-back", None, |yelb, meanwhile| {
        yelb.postgres.stop();
        yelb.postgres.start_again();
        await_mended(yelb);
        meanwhile();
    }),
    of_server("table-missing", Some(Store::Postgres), |yelb, meanwhile| {
        sql(&yelb.postgres, "ALTER TABLE restaurants RENAME TO elsewhere");
        meanwhile();
        sql(&yelb.postgres, "ALTER TABLE elsewhere RENAME TO restaurants");
    }),
    of_server("pg-wrong-password", None, |yelb, meanwhile| {
        sql(&yelb.postgres, "ALTER ROLE yelb PASSWORD 'other'");
        end_sessions(yelb);
        await_state(yelb, "votes", "down");
        meanwhile();
        sql(&yelb.postgres, "ALTER ROLE yelb PASSWORD 'secret'");
    }),
    of_server("pg-readonly", None, |yelb, meanwhile| {
        sql(&yelb.postgres, "ALTER ROLE yelb SET default_transaction_read_only = on");
        end_sessions(yelb);
        // Reads are answered by a new session; there is none that could count.
        await_state(yelb, "votes", "down");
        await_sessions(yelb, 1);
        meanwhile();
        sql(&yelb.postgres, "ALTER ROLE yelb RESET default_transaction_read_only");
        end_sessions(yelb);
    }),
    of_server("db-missing", Some(Store::Postgres), |yelb, meanwhile| {
        let rename = |from: &str, to: &str| {
            end_sessions(yelb);
            let rename = format!("ALTER DATABASE {from} RENAME TO {to}");
            // Refused while a session is there, and the app server may be quicker.
            yelb.postgres.try_sql("postgres", &rename, PATIENCE).is_ok()
        };
        eventually(PATIENCE, "the database is renamed", || rename(DATABASE, "elsewhere"));
        await_state(yelb, "votes", "down");
        meanwhile();
        eventually(PATIENCE, "the database is back", || rename("elsewhere", DATABASE));
    }),
    of_server("pg-too-many-connections", None, |yelb, meanwhile| {
        // All but those that are reserved for the superuser, before the app server's end: it logs in again at once.
        let others: Vec<_> = (RESERVED..MAX_CONNECTIONS).map(|_| begin_session(yelb)).collect();
        end_sessions(yelb);
        await_state(yelb, "votes", "down");
        meanwhile();
        drop(others);
    }),
];

/// Few, so that they are soon used up.
const MAX_CONNECTIONS: usize = 20;
/// For the superuser, who asks meanwhile. A login that is refused takes one for a moment, and the app server tries several.
const RESERVED: usize = 10;

const fn of_data(name: &'static str, change: fn(&Subject<'_>)) -> Breakage {
    Breakage { name, kind: Kind::Data(change) }
}

const fn of_server(
    name: &'static str,
    away: Option<Store>,
    during: fn(&Yelb, &mut dyn FnMut()),
) -> Breakage {
    Breakage { name, kind: Kind::Server { away, during } }
}

/// An app server that logs in under a name of its own, so that its sessions can be told from ours, and a Redis that has
/// its data again after a stop.
pub(super) fn yelb() -> Yelb {
    let postgres = Postgres::start_with(&[
        &format!("max_connections={MAX_CONNECTIONS}"),
        &format!("superuser_reserved_connections={RESERVED}"),
    ]);
    let redis = Redis::start_with(&["--appendonly", "yes"]);
    postgres.create_original_schema();
    postgres.sql(
        DATABASE,
        "CREATE ROLE yelb LOGIN PASSWORD 'secret';
         ALTER DATABASE yelbdatabase OWNER TO yelb;
         ALTER TABLE restaurants OWNER TO yelb",
    );
    let url = format!("postgres://yelb:secret@127.0.0.1:{}/{DATABASE}", postgres.port());
    let program = bare().env("DATABASE_URL", url).env("REDIS_URL", redis.url());
    Yelb::of(program, postgres, redis)
}

/// Waits until the app server has both of its stores again.
pub(super) fn await_mended(yelb: &Yelb) {
    await_sessions(yelb, 2);
    await_state(yelb, "votes", "up");
    // Ours, and the one that asks.
    eventually(PATIENCE, "Redis is used again", || {
        yelb.redis.cli(&["client", "list"]).lines().count() == 2
    });
    await_state(yelb, "page-views", "up");
}

/// Waits until the app server has so many sessions for votes: one to count, one to read.
fn await_sessions(yelb: &Yelb, expected: usize) {
    let sessions = "SELECT count(*) FROM pg_stat_activity
                    WHERE usename = 'yelb' AND application_name = 'yelb-appserver'";
    let expected = expected.to_string();
    eventually(PATIENCE, "the votes are used again", || {
        yelb.postgres.try_sql("postgres", sessions, PATIENCE).ok().as_ref() == Some(&expected)
    });
}

/// Waits until the app server has noticed what became of a store.
fn await_state(yelb: &Yelb, store: &str, state: &str) {
    eventually(PATIENCE, &format!("{store} are known to be {state}"), || {
        let readiness = http::get(yelb.api, "/readyz").json();
        let stores = readiness["dependencies"].as_array().cloned().unwrap_or_default();
        stores.iter().any(|of| of["name"] == store && of["state"] == state)
    });
}

fn sql(postgres: &Postgres, statement: &str) {
    postgres.sql(DATABASE, statement);
}

fn set_ihop(postgres: &Postgres, count: &str) {
    sql(postgres, &format!("UPDATE restaurants SET count = {count} WHERE name = 'ihop'"));
}

fn redis(redis: &Redis, command: &str) {
    let words: Vec<_> = command.split(' ').map(|word| word.trim_matches('\'')).collect();
    redis.cli(&words);
}

/// Ends the sessions of the app server, and waits until they have ended. It may begin others at once.
fn end_sessions(yelb: &Yelb) {
    let end =
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'yelb'";
    yelb.postgres.sql("postgres", end);
}

/// A session that never says its password. It has a place all the same.
fn begin_session(yelb: &Yelb) -> TcpStream {
    let mut session = TcpStream::connect(("127.0.0.1", yelb.postgres.port())).expect("it listens");
    let body = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0";
    let length = u32::try_from(4 + body.len()).expect("short");
    session.write_all(&[&length.to_be_bytes(), &body[..]].concat()).expect("it is read");
    // Answered once it has its place, or is refused one.
    session.read_exact(&mut [0]).expect("it is answered");
    session
}
