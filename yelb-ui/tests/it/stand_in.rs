//! Our page's server in front of the stand-in for the original's app server. `yelb-appserver/tests/it/contract.rs` tests that
//! it answers as the original did.

use testbed::http;
use testbed::{PATIENCE, Postgres, Redis, StandIn, eventually};

use crate::proxy::of_the_answer;
use crate::start_ui_of;

/// The original's routes, and paths without a route.
const REQUESTS: [(&str, &str); 12] = [
    ("GET", "/api/outback"),
    ("GET", "/api/bucadibeppo"),
    ("GET", "/api/ihop"),
    ("GET", "/api/chipotle"),
    ("GET", "/api/getvotes"),
    ("GET", "/api/pageviews"),
    ("GET", "/api/getstats"),
    ("GET", "/api/hostname"),
    ("HEAD", "/api/ihop"),
    ("OPTIONS", "/api/ihop"),
    ("POST", "/api/ihop"),
    ("GET", "/api/unknown"),
];

/// The stand-in, on stores of its own.
fn stand_in() -> (StandIn, Postgres, Redis) {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    postgres.create_original_schema();
    (StandIn::start(&postgres, &redis), postgres, redis)
}

#[test]
fn the_answers_of_the_originals_app_server_pass_to_the_byte() {
    let (stand_in, postgres, redis) = stand_in();
    let (_ui, page) = start_ui_of(stand_in.address());
    for (method, path) in REQUESTS {
        let [direct, passed] = [stand_in.address(), page].map(|server| {
            postgres.sql("yelbdatabase", "UPDATE restaurants SET count = 41");
            redis.cli(&["set", "pageviews", "41"]);
            http::request(server, method, path, &[], "")
        });
        assert_eq!(of_the_answer(&passed), of_the_answer(&direct), "{method} {path}");
    }
}

#[test]
fn while_the_originals_app_server_is_killed_a_vote_is_refused_and_not_sent_later() {
    let (stand_in, _postgres, _redis) = stand_in();
    let (_ui, page) = start_ui_of(stand_in.address());
    let key = [("Idempotency-Key", "one")];
    let vote = || http::request(page, "GET", "/api/ihop", &key, "");
    assert_eq!(vote().text(), "1");
    stand_in.kill();
    assert_eq!(vote().status, 502);
    eventually(PATIENCE, "the outage is told", || {
        http::get(page, "/readyz").text().contains("down")
    });
    stand_in.start_again();
    eventually(PATIENCE, "the app server is reached again", || {
        http::get(page, "/api/hostname").status == 200
    });
    // The stand-in ignores the key, so a retry is counted again.
    assert_eq!(http::get(page, "/api/getvotes").json()[2]["value"], 1);
    assert_eq!(vote().text(), "2");
}
