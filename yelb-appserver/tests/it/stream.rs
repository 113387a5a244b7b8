//! The live stream, on real stores.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::http::{self, Events};
use testbed::{DynamoDb, Nginx, PATIENCE, eventually};

use crate::{Yelb, appserver, await_ready, bare, on};

/// The count of a restaurant in an event.
fn count(event: &Value, restaurant: &str) -> Option<i64> {
    let row = event["votes"].as_array()?.iter().find(|row| row["name"] == restaurant)?;
    row["value"].as_i64()
}

fn votes(api: SocketAddr) -> Value {
    http::get(api, "/api/getvotes").json()
}

/// A viewer receives votes and page views, equal to the answers of the other routes.
fn follow(api: SocketAddr) -> Events {
    let mut viewer = Events::open(api);
    let first = viewer.until("all is known", |event| event["pageviews"].is_i64());
    assert_eq!((&first["votes"], &first["down"]), (&votes(api), &json!([])));
    assert_eq!(first["hostname"], http::get(api, "/api/hostname").text());
    let before = count(&first, "ihop").expect("the votes are told");

    http::get(api, "/api/ihop");
    let event = viewer.until("a vote", |event| count(event, "ihop") == Some(before + 1));
    assert_eq!(event["votes"], votes(api));
    let views_before = first["pageviews"].as_i64().expect("the page views are told");
    let views = http::get(api, "/api/getstats").json()["pageviews"].clone();
    assert_eq!(views, views_before + 1, "to watch is no page view");
    viewer.until("a page view", |event| event["pageviews"] == views);
    viewer
}

#[test]
fn votes_and_page_views_are_shown_on_postgres_and_redis_those_of_other_app_servers_too() {
    let yelb = Yelb::start();
    let mut viewer = follow(yelb.api);

    let other = on(&yelb.postgres).env("REDIS_URL", yelb.redis.url()).spawn();
    let other = other.address("api");
    await_ready(other);
    let expected = http::get(other, "/api/outback").text().parse().ok();
    viewer.until("a vote elsewhere", |event| count(event, "outback") == expected);
    yelb.sql("update restaurants set count = 0");
    viewer.until("a reset", |event| count(event, "ihop") == Some(0));
}

#[test]
fn votes_and_page_views_are_shown_on_a_file() {
    let server = appserver().spawn();
    follow(server.address("api"));
}

#[test]
fn votes_and_page_views_are_shown_on_dynamodb() {
    let emulator = DynamoDb::start();
    emulator.create_original_tables("yelb-restaurants", "yelb-cache");
    let tables = "DATABASE_URL=dynamodb://yelb-restaurants, REDIS_URL=dynamodb://yelb-cache";
    let server = bare().envs(&emulator.variables()).envs(tables).spawn();
    let api = server.address("api");
    await_ready(api);
    follow(api);
}

#[test]
fn the_stream_says_which_store_is_down_and_goes_on() {
    let yelb = Yelb::start();
    let mut viewer = follow(yelb.api);

    yelb.redis.freeze();
    viewer.until("page views are down", |event| event["down"] == json!(["page-views"]));
    let expected = http::get(yelb.api, "/api/ihop").text().parse().ok();
    let event = viewer.until("a vote meanwhile", |event| count(event, "ihop") == expected);
    assert_eq!(event["pageviews"], Value::Null);
    yelb.redis.thaw();
    viewer.until("page views are back", |event| event["pageviews"].is_i64());

    yelb.postgres.kill();
    viewer.until("votes are down", |event| {
        event["down"] == json!(["votes"]) && event["votes"] == Value::Null
    });
    // The viewer must still get heartbeats.
    while viewer.next_part().expect("the stream goes on") != ":" {}
    yelb.postgres.start_again();
    viewer.until("votes are back", |event| {
        event["down"] == json!([]) && count(event, "ihop") == expected
    });
}

#[test]
fn without_a_viewer_nothing_is_read() {
    let yelb = Yelb::start();
    let reads = || -> i64 {
        let scans = "select seq_scan + coalesce(idx_scan, 0) from pg_stat_user_tables where relname = 'restaurants'";
        yelb.sql(scans).parse().unwrap()
    };
    let viewer = follow(yelb.api);
    let before = reads();
    eventually(PATIENCE, "reads for a viewer are seen", || reads() > before + 3);
    drop(viewer);
    eventually(PATIENCE, "nothing is read", || {
        let before = reads();
        // Postgres updates its statistics a second later.
        thread::sleep(Duration::from_secs(2));
        reads() == before
    });
}

#[test]
fn a_stream_is_one_line_in_the_log_and_ends_when_the_process_stops() {
    let server = appserver().spawn();
    let mut viewer = follow(server.address("api"));
    server.terminate();
    viewer.until_the_end();
    assert!(server.wait(PATIENCE).success());
    assert_eq!(server.stderr().matches("GET /api/stream answered 200").count(), 1);
}

#[test]
fn the_stream_passes_nginx_event_by_event() {
    let server = appserver().spawn();
    let nginx = Nginx::before(server.address("api").port());
    follow(nginx.address());
}

#[test]
fn other_methods_are_answered_as_for_what_is_only_read() {
    let server = appserver().spawn();
    let api = server.address("api");
    let head = http::request(api, "HEAD", "/api/stream", &[], b"");
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    let options = http::request(api, "OPTIONS", "/api/stream", &[], b"");
    assert_eq!((options.status, options.header("allow")), (204, Some("GET,HEAD,OPTIONS")));
    assert_eq!(http::request(api, "POST", "/api/stream", &[], b"").status, 405);
}
