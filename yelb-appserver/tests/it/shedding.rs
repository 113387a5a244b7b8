//! More than can wait is turned away at once. In this process: so many connections are not everybody's to have.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use testbed::{PATIENCE, Postgres};
use tokio::task::JoinSet;
use tower::ServiceExt;
use yelb_appserver::{router, start};
use yelb_db::batcher::CAPACITY;
use yelb_resolver::Resolver;
use yelb_service::settings::Names;

use crate::DATABASE;
use crate::settings::location;

/// How soon a client that is turned away is told. It takes a thousandth of it; the rest is for a machine with other things to do.
const AT_ONCE: Duration = Duration::from_millis(100);

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).expect("a request")
}

/// On two threads, because the test itself waits for `psql`: the migrations, which lock the table, must go on meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_vote_that_does_not_fit_is_told_at_once_and_the_others_are_answered() {
    let postgres = Postgres::start();
    postgres.create_original_schema();
    let url = postgres.url(DATABASE);
    let stores = location(&[("DATABASE_URL", &url), ("REDIS_URL", "sqlite::memory:")]);
    let started = start(&stores, &Resolver::default(), &Names::default()).await;
    let (state, health, _stores) = started.expect("usable");
    let app = router::app(state, &health);
    let vote = || app.clone().oneshot(get("/api/ihop"));
    let connected = async {
        while !vote().await.expect("infallible").status().is_success() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, connected).await.expect("it finds its database");

    postgres.freeze();
    let mut voters = JoinSet::new();
    voters.spawn(vote());
    // While this one sleeps, all others run as far as they can: that vote is on its way, and there is room for so many that
    // wait for it, and for no more.
    tokio::time::sleep(Duration::from_millis(50)).await;
    (0..=CAPACITY).for_each(|_| drop(voters.spawn(vote())));
    let first = voters.join_next().await.expect("many").expect("no panic").expect("infallible");
    assert_turned_away(first).await;
    for _ in 0..100 {
        let asked = Instant::now();
        let answer = vote().await.expect("infallible");
        let took = asked.elapsed();
        assert_turned_away(answer).await;
        assert!(took < AT_ONCE, "{took:?}");
    }
    let views = app.clone().oneshot(get("/api/pageviews")).await.expect("infallible");
    assert_eq!(views.status(), StatusCode::OK, "another queue is not full");

    postgres.thaw();
    let answers = voters.join_all().await.into_iter().map(|answer| answer.expect("infallible"));
    let acknowledged = answers.filter(|answer| answer.status().is_success()).count();
    let counted = postgres.sql(DATABASE, "select count from restaurants where name = 'ihop'");
    let counted: usize = counted.parse().expect("a count");
    assert!((acknowledged..=CAPACITY + 1).contains(&(counted - 1)), "{acknowledged}, {counted}");
}

async fn assert_turned_away(answer: Response<Body>) {
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
    let body = axum::body::to_bytes(answer.into_body(), 4096).await.expect("a short body");
    let body = String::from_utf8_lossy(&body);
    assert!(body.contains("Too many requests are waiting. This one was not counted."), "{body}");
}
