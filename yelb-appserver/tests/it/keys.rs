//! A vote with an `Idempotency-Key` is counted once, however often it is sent and to whomever.

use testbed::http::{self, Response};
use testbed::{PATIENCE, Postgres, eventually};

use crate::drop_in::migrate;
use crate::{DATABASE, Yelb, await_ready, on};

fn vote(yelb: &Yelb, method: &str, restaurant: &str, key: &str) -> Response {
    let fields = [("Idempotency-Key", key)];
    http::request(yelb.api, method, &format!("/api/{restaurant}"), &fields, b"")
}

fn counted(yelb: &Yelb, restaurant: &str) -> String {
    yelb.postgres
        .sql(DATABASE, &format!("SELECT count FROM restaurants WHERE name = '{restaurant}'"))
}

#[test]
fn a_retry_gets_the_first_answer_and_is_not_counted() {
    let yelb = Yelb::start();
    assert_eq!(vote(&yelb, "GET", "ihop", "one").text(), "1");
    assert_eq!(vote(&yelb, "GET", "ihop", "two").text(), "2");
    for method in ["GET", "POST"] {
        assert_eq!(vote(&yelb, method, "ihop", "one").text(), "1", "{method}");
    }
    assert_eq!(counted(&yelb, "ihop"), "2");
}

#[test]
fn a_key_is_known_after_a_restart_and_to_every_app_server() {
    let yelb = Yelb::start();
    assert_eq!(vote(&yelb, "GET", "ihop", "one").text(), "1");

    yelb.server.kill();
    let another = on(&yelb.postgres).env("REDIS_URL", yelb.redis.url()).spawn();
    let api = another.address("api");
    await_ready(api);
    let again = http::request(api, "GET", "/api/ihop", &[("Idempotency-Key", "one")], b"");
    assert_eq!(again.text(), "1");
    assert_eq!(counted(&yelb, "ihop"), "1");
}

#[test]
fn keys_are_kept_for_as_many_hours_as_the_setting_says() {
    const MAINTENANCE: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'yelb-appserver maintenance'";
    let postgres = Postgres::start_with(&["log_statement=all"]);
    postgres.create_original_schema();
    migrate(&postgres);
    let searches = || postgres.log().matches("interval '172800 seconds' for update").count();
    for (hours, is_over) in [(25, "f"), (47, "f"), (49, "t")] {
        let age = format!("UPDATE vote_keys_turn SET since = now() - interval '{hours} hours'");
        postgres.sql(DATABASE, &age);
        let before = searches();
        // Each app server looks for old keys when it starts.
        let server = on(&postgres).env("YELB_KEY_HOURS", "48").spawn();
        await_ready(server.address("api"));
        eventually(PATIENCE, &format!("it has looked for keys that are {hours} hours old"), || {
            searches() > before
                && postgres.sql(DATABASE, MAINTENANCE) == "0"
                && postgres.sql(DATABASE, "SELECT second FROM vote_keys_turn") == is_over
        });
    }
}

#[test]
fn a_key_that_cannot_be_used_counts_nothing() {
    let yelb = Yelb::start();
    assert_eq!(vote(&yelb, "GET", "ihop", "one").status, 200);
    for (key, status) in [("one", 422), ("a b", 400), ("", 400), (&*"k".repeat(256), 400)] {
        let refused = vote(&yelb, "GET", "outback", key);
        assert_eq!(refused.status, status, "{key:?}");
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    }
    let two = [("Idempotency-Key", "two"), ("Idempotency-Key", "three")];
    assert_eq!(http::request(yelb.api, "GET", "/api/outback", &two, b"").status, 400);
    assert_eq!(counted(&yelb, "outback"), "0");
}
