//! Our app server and our schema, beside the stand-in for the original's app server. `contract.rs` tests that the stand-in
//! answers as the original did.

use std::net::SocketAddr;
use std::thread;

use serde_json::Value;
use testbed::{Postgres, Program, Redis, Running, StandIn, http};

use crate::drop_in::migrate;
use crate::{DATABASE, await_ready, bare};

const RESTAURANTS: [&str; 4] = ["outback", "bucadibeppo", "ihop", "chipotle"];

/// The app server on these stores.
fn on(postgres: &Postgres, redis: &Redis) -> Program {
    bare().env("DATABASE_URL", postgres.url(DATABASE)).env("REDIS_URL", redis.url())
}

/// A ready app server on these stores, and where its API is.
fn serving(postgres: &Postgres, redis: &Redis) -> (Running, SocketAddr) {
    let server = on(postgres, redis).spawn();
    let api = server.address("api");
    await_ready(api);
    (server, api)
}

/// Sends a vote and returns the count.
#[track_caller]
fn vote(api: SocketAddr, restaurant: &str) -> u64 {
    let vote = http::get(api, &format!("/api/{restaurant}"));
    assert_eq!(vote.status, 200, "{vote:?}");
    vote.text().parse().expect("a count")
}

fn view(api: SocketAddr) -> String {
    http::get(api, "/api/pageviews").text().to_owned()
}

/// The counts, in the order in which the original lists them.
fn tally(api: SocketAddr) -> [u64; 4] {
    let list = http::get(api, "/api/getvotes").json();
    let rows = list.as_array().expect("a list");
    assert_eq!(rows.iter().map(|row| &row["name"]).collect::<Vec<_>>(), RESTAURANTS, "{list}");
    let counts: Vec<_> = rows.iter().filter_map(|row| row["value"].as_u64()).collect();
    counts.try_into().expect("four counts")
}

#[test]
fn the_originals_counts_are_kept_and_the_original_can_use_them_again() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    postgres.create_original_schema();
    let stand_in = StandIn::start(&postgres, &redis);
    let original = stand_in.address();
    assert_eq!(
        [vote(original, "ihop"), vote(original, "ihop"), vote(original, "outback")],
        [1, 2, 1]
    );
    assert_eq!(view(original), "1");
    stand_in.stop();

    let (server, ours) = serving(&postgres, &redis);
    assert_eq!(tally(ours), [1, 0, 2, 0]);
    assert_eq!([vote(ours, "ihop"), vote(ours, "chipotle")], [3, 1]);
    assert_eq!(view(ours), "2");
    server.terminate();
    assert!(server.wait(testbed::PATIENCE).success());

    // Go back to the stand-in, on the table that our migrations have changed.
    stand_in.start_again();
    assert_eq!(tally(original), [1, 0, 3, 1]);
    assert_eq!([vote(original, "ihop"), vote(original, "bucadibeppo")], [4, 1]);
    assert_eq!(view(original), "3");
}

#[test]
fn the_originals_app_server_works_on_a_database_that_ours_has_made() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    postgres.sql("postgres", "CREATE DATABASE yelbdatabase");
    migrate(&postgres);
    let stand_in = StandIn::start(&postgres, &redis);
    for restaurant in RESTAURANTS {
        assert_eq!(vote(stand_in.address(), restaurant), 1);
    }
    let beyond_32_bits = "UPDATE restaurants SET count = 3000000000 WHERE name = 'ihop'";
    postgres.sql(DATABASE, beyond_32_bits);
    assert_eq!(vote(stand_in.address(), "ihop"), 3_000_000_001);
    assert_eq!(tally(stand_in.address()), [1, 1, 3_000_000_001, 1]);
    assert_eq!(view(stand_in.address()), "1");
    let stats: Value = http::get(stand_in.address(), "/api/getstats").json();
    assert_eq!(stats["pageviews"], 2);
}

/// How many clients each of the two app servers has, and how many votes each of them sends.
const CLIENTS: usize = 4;
const VOTES: usize = 40;

#[test]
fn both_app_servers_at_once_on_one_database_and_one_redis_lose_nothing() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    postgres.create_original_schema();
    let stand_in = StandIn::start(&postgres, &redis);
    let (_server, ours) = serving(&postgres, &redis);
    let both = [stand_in.address(), ours];
    thread::scope(|scope| {
        for client in 0..2 * CLIENTS {
            scope.spawn(move || {
                for number in 0..VOTES {
                    // Half of the votes have a key, which the stand-in ignores.
                    let key = format!("{client}-{number}");
                    let key = [("Idempotency-Key", &*key)];
                    let headers = if number % 2 == 0 { &key[..] } else { &[] };
                    let path = format!("/api/{}", RESTAURANTS[(client + number) % 4]);
                    let vote = http::request(both[client % 2], "GET", &path, headers, b"");
                    assert_eq!(vote.status, 200, "{vote:?}");
                    assert_eq!(http::get(both[client % 2], "/api/getstats").status, 200);
                }
            });
        }
    });
    let each = u64::try_from(2 * CLIENTS * VOTES / 4).expect("a small number");
    assert_eq!(both.map(tally), [[each; 4]; 2]);
    assert_eq!(redis.cli(&["get", "pageviews"]), (2 * CLIENTS * VOTES).to_string());
}
