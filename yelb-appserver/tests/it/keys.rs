//! A vote with an `Idempotency-Key` is counted once, however often it is sent and to whomever.

use testbed::http::{self, Response};

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
