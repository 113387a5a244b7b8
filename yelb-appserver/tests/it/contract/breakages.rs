//! What was broken while the failures were recorded.

use std::io::{Read, Write};
use std::net::TcpStream;

use testbed::{PATIENCE, Postgres, Redis, eventually, http};

use super::Store;
use crate::{DATABASE, Yelb, appserver};

/// Something broken, and the name under which it is recorded.
pub(super) struct Breakage {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// Other data than there should be.
    Data(fn(&Yelb)),
    /// A server that does not serve. Breaks it, calls, and mends it again.
    Server {
        /// Whose counters cannot be read and set meanwhile.
        away: Option<Store>,
        during: fn(&Yelb, &mut dyn FnMut()),
    },
}

pub(super) const BREAKAGES: &[Breakage] = &[
    of_data("pageviews-text", |yelb| redis(yelb, "set pageviews abc")),
    of_data("pageviews-absent", |yelb| redis(yelb, "del pageviews")),
    of_data("pageviews-hash", |yelb| {
        redis(yelb, "del pageviews");
        redis(yelb, "hset pageviews a 1");
    }),
    of_data("pageviews-maxint64", |yelb| redis(yelb, "set pageviews 9223372036854775807")),
    of_data("pageviews-negative", |yelb| redis(yelb, "set pageviews -10")),
    of_data("pageviews-with-ttl", |yelb| redis(yelb, "set pageviews 5 ex 1000")),
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
        redis(yelb, "config set requirepass secret");
        // Who was let in before stays.
        redis(yelb, "-a secret --no-auth-warning client kill type normal");
        await_state(yelb, "page-views", "away");
        meanwhile();
        redis(yelb, "-a secret --no-auth-warning config set requirepass ''");
    }),
    of_server("redis-readonly-replica", Some(Store::Redis), |yelb, meanwhile| {
        redis(yelb, "replicaof 127.0.0.1 1");
        meanwhile();
        redis(yelb, "replicaof no one");
    }),
    of_data("row-missing", |yelb| sql(yelb, "DELETE FROM restaurants WHERE name = 'ihop'")),
    of_data("all-rows-missing", |yelb| sql(yelb, "DELETE FROM restaurants")),
    of_data("extra-row", |yelb| sql(yelb, "INSERT INTO restaurants VALUES ('kfc', 55)")),
    of_data("count-null", |yelb| set_ihop(yelb, "NULL")),
    of_data("count-maxint", |yelb| set_ihop(yelb, "2147483647")),
    of_data("count-negative", |yelb| set_ihop(yelb, "-5")),
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
        sql(yelb, "ALTER TABLE restaurants RENAME TO elsewhere");
        meanwhile();
        sql(yelb, "ALTER TABLE elsewhere RENAME TO restaurants");
    }),
    of_server("pg-wrong-password", None, |yelb, meanwhile| {
        sql(yelb, "ALTER ROLE yelb PASSWORD 'other'");
        end_sessions(yelb);
        await_state(yelb, "votes", "away");
        meanwhile();
        sql(yelb, "ALTER ROLE yelb PASSWORD 'secret'");
    }),
    of_server("pg-readonly", None, |yelb, meanwhile| {
        sql(yelb, "ALTER ROLE yelb SET default_transaction_read_only = on");
        end_sessions(yelb);
        // Answered by a new session, which can read.
        await_mended(yelb);
        meanwhile();
        sql(yelb, "ALTER ROLE yelb RESET default_transaction_read_only");
        end_sessions(yelb);
    }),
    of_server("db-missing", Some(Store::Postgres), |yelb, meanwhile| {
        let rename = |from: &str, to: &str| {
            end_sessions(yelb);
            let rename = format!("ALTER DATABASE {from} RENAME TO {to}");
            // Refused while a session is there, and the app server's keeper may be quicker.
            yelb.postgres.try_sql("postgres", &rename, PATIENCE).is_ok()
        };
        eventually(PATIENCE, "the database is renamed", || rename(DATABASE, "elsewhere"));
        await_state(yelb, "votes", "away");
        meanwhile();
        eventually(PATIENCE, "the database is back", || rename("elsewhere", DATABASE));
    }),
    of_server("pg-too-many-connections", None, |yelb, meanwhile| {
        end_sessions(yelb);
        // All but those that are reserved for the superuser.
        let others: Vec<_> = (3..MAX_CONNECTIONS).map(|_| begin_session(yelb)).collect();
        await_state(yelb, "votes", "away");
        meanwhile();
        drop(others);
    }),
];

/// Few, so that they are soon used up.
const MAX_CONNECTIONS: usize = 20;

const fn of_data(name: &'static str, change: fn(&Yelb)) -> Breakage {
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
    let postgres = Postgres::start_with(&[&format!("max_connections={MAX_CONNECTIONS}")]);
    let redis = Redis::start_with(&["--appendonly", "yes"]);
    postgres.create_original_schema();
    postgres.sql(
        DATABASE,
        "CREATE ROLE yelb LOGIN PASSWORD 'secret';
         ALTER DATABASE yelbdatabase OWNER TO yelb;
         ALTER TABLE restaurants OWNER TO yelb",
    );
    let url = format!("postgres://yelb:secret@127.0.0.1:{}/{DATABASE}", postgres.port());
    let program = appserver().env("DATABASE_URL", url).env("REDIS_URL", redis.url());
    Yelb::of(program, postgres, redis)
}

/// Waits until the app server has both of its stores again.
pub(super) fn await_mended(yelb: &Yelb) {
    // One of its sessions watches the database. While that one is dead the others may be new and answer, and are all given
    // up when it is looked at.
    let watched = "SELECT count(*) > 0 FROM pg_stat_activity
                   WHERE usename = 'yelb' AND application_name = 'yelb-appserver keeper'";
    eventually(PATIENCE, "the stores are used again", || {
        http::get(yelb.api, "/api/getvotes").status == 200
            && yelb.postgres.sql("postgres", watched) == "t"
            && http::get(yelb.api, "/api/pageviews").status == 200
    });
    // The one view that was counted for it.
    redis(yelb, "decr pageviews");
}

/// Waits until the app server has noticed what became of a store.
fn await_state(yelb: &Yelb, store: &str, state: &str) {
    eventually(PATIENCE, &format!("{store} are known to be {state}"), || {
        let readiness = http::get(yelb.api, "/readyz").json();
        let stores = readiness["dependencies"].as_array().cloned().unwrap_or_default();
        stores.iter().any(|of| of["name"] == store && of["state"] == state)
    });
}

fn sql(yelb: &Yelb, statement: &str) {
    yelb.sql(statement);
}

fn set_ihop(yelb: &Yelb, count: &str) {
    yelb.sql(&format!("UPDATE restaurants SET count = {count} WHERE name = 'ihop'"));
}

fn redis(yelb: &Yelb, command: &str) {
    let words: Vec<_> = command.split(' ').map(|word| word.trim_matches('\'')).collect();
    yelb.redis.cli(&words);
}

/// Ends the sessions of the app server. It may begin others at once.
fn end_sessions(yelb: &Yelb) {
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'yelb'";
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
