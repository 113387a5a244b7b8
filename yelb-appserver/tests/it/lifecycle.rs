//! From the first line of the log to the last answer.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use testbed::http::{self, Raw};
use testbed::{PATIENCE, Postgres, Program, Redis, Running, eventually};

use crate::outages::{RowLock, WAITING_FOR_A_LOCK, with_stores};
use crate::{appserver, await_ready};

/// Less than the 3 s for which it goes on after SIGTERM, unless told otherwise.
const AT_ONCE: Duration = Duration::from_secs(2);

#[test]
fn it_says_where_it_listens_and_shows_metrics_on_the_admin_port_alone() {
    let server = appserver().env("YELB_ADMIN_PORT", "0").spawn();
    let (api, admin) = (server.address("api"), server.address("admin"));
    assert_eq!(http::get(api, "/api/ihop").text(), "1");
    assert_eq!(http::get(api, "/api/ihop").text(), "2");
    assert_eq!(http::get(api, "/api/getstats").status, 200);
    assert_eq!(http::get(api, "/api/kfc").status, 404);

    let metrics = http::get(admin, "/metrics");
    assert_eq!(metrics.status, 200);
    let shows = |metric: &str, labels: &[&str], value: &str| {
        metrics.text().lines().any(|line| {
            line.starts_with(metric)
                && labels.iter().all(|label| line.contains(label))
                && line.ends_with(&format!(" {value}"))
        })
    };
    let requests = "http_server_request_duration_seconds_count";
    for (metric, labels, value) in [
        ("yelb_votes_total", &["restaurant=\"ihop\""][..], "2"),
        ("yelb_page_views_total", &[], "1"),
        ("yelb_dependency_up", &["dependency=\"votes\""], "1"),
        ("yelb_build_info", &["program=\"yelb-appserver\"", "version="], "1"),
        (requests, &["method=\"GET\"", "route=\"/api/ihop\"", "status_code=\"200\""], "2"),
        (requests, &["route=\"unmatched\"", "status_code=\"404\""], "1"),
    ] {
        assert!(shows(metric, labels, value), "{metric} {labels:?} {value} in:\n{metrics:?}");
    }
    assert!(!metrics.text().contains("kfc"), "what a client makes up is no label");

    assert_eq!(http::get(api, "/metrics").status, 404);
    assert_eq!(http::get(admin, "/api/ihop").status, 404);
    for server in [api, admin] {
        assert_eq!(http::get(server, "/livez").text(), "ok\n");
        assert_eq!(http::get(server, "/readyz").json()["status"], "ready");
    }
}

#[test]
fn without_an_admin_port_there_is_one_listener() {
    let server = appserver().env("YELB_ADMIN_PORT", "off").spawn();
    assert_eq!(http::get(server.address("api"), "/readyz").status, 200);
    server.interrupt();
    server.wait(PATIENCE);
    assert_eq!(server.stderr().matches(r#""message":"listening""#).count(), 1, "{server:?}");
}

/// Ends the server if the test fails, because its voters vote until the server ends.
struct EndOnPanic<'a>(&'a Running);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.kill();
        }
    }
}

#[test]
fn told_to_stop_it_answers_until_balancers_know_and_every_vote_that_it_counts() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let server = with_stores(&postgres, &redis).env("YELB_STOP_WAIT", "2").spawn();
    let api = server.address("api");
    await_ready(api);

    let (confirmed, unknown) = (AtomicU64::new(0), AtomicU64::new(0));
    let more_are_confirmed = |what: &str| {
        let before = confirmed.load(SeqCst);
        eventually(PATIENCE, what, || confirmed.load(SeqCst) > before + 20);
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut connection = Raw::connect(api);
                loop {
                    connection.send("GET /api/ihop HTTP/1.1\r\nHost: yelb\r\n\r\n");
                    let Ok(answer) = connection.try_read_response_to("GET") else { break };
                    match answer.status {
                        200 => confirmed.fetch_add(1, SeqCst),
                        // A slow machine may have to turn some away.
                        503 => unknown.fetch_add(1, SeqCst),
                        _ => panic!("{answer:?}"),
                    };
                    if answer.header("connection") == Some("close") {
                        let Ok(next) = Raw::try_connect(api) else { break };
                        connection = next;
                    }
                }
            });
        }
        let _voters_end = EndOnPanic(&server);
        more_are_confirmed("votes are confirmed");
        server.terminate();
        eventually(PATIENCE, "it is not ready", || {
            let readiness = http::get(api, "/readyz");
            readiness.status == 503 && readiness.json()["status"] == "draining"
        });
        more_are_confirmed("votes are confirmed while it is not ready");
        assert_eq!(http::get(api, "/api/getvotes").status, 200);
        assert_eq!(http::get(api, "/livez").status, 200);
    });
    assert!(server.wait(PATIENCE).success(), "{server:?}");
    let counted = postgres.sql("postgres", "select count from restaurants where name = 'ihop'");
    let (counted, confirmed): (u64, _) = (counted.parse().unwrap(), confirmed.into_inner());
    assert!((confirmed..=confirmed + unknown.into_inner()).contains(&counted), "{counted}");
}

#[test]
fn a_vote_in_flight_is_answered_before_the_end() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let server = with_stores(&postgres, &redis).env("YELB_STOP_WAIT", "0").spawn();
    let api = server.address("api");
    await_ready(api);

    thread::scope(|scope| {
        let lock = RowLock::take(scope, &postgres, "postgres");
        let mut voter = Raw::connect(api);
        voter.send("GET /api/ihop HTTP/1.1\r\nHost: yelb\r\n\r\n");
        eventually(PATIENCE, "the vote waits for the row", || {
            postgres.sql("postgres", WAITING_FOR_A_LOCK) == "1"
        });
        server.terminate();
        eventually(PATIENCE, "no more connections are accepted", || {
            TcpStream::connect(api).is_err()
        });
        drop(lock);
        let answer = voter.read_response();
        assert_eq!((answer.status, answer.text()), (200, "1"));
        assert!(voter.is_closed());
    });
    assert!(server.wait(AT_ONCE).success(), "{server:?}");
}

#[test]
fn interrupted_it_ends_at_once_whoever_is_connected() {
    let server = appserver().spawn();
    let api = server.address("api");
    let mut idle = Raw::connect(api);
    idle.send("GET /api/getvotes HTTP/1.1\r\nHost: yelb\r\n\r\n");
    assert_eq!(idle.read_response().status, 200);
    let mut silent = Raw::connect(api);

    server.interrupt();
    assert!(server.wait(AT_ONCE).success(), "{server:?}");
    assert!(idle.is_closed() && silent.is_closed());
}

#[test]
fn whatever_clients_do_it_ends_within_ten_seconds_of_sigterm() {
    let server = appserver().env("YELB_ADMIN_PORT", "0").spawn();
    let _api = http::stuck_clients(server.address("api"), "/api/hostname");
    let _admin = http::stuck_clients(server.address("admin"), "/metrics");
    server.terminate();
    assert!(server.wait(Duration::from_secs(10)).success(), "{server:?}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for again in [Running::terminate, Running::interrupt] {
        let server = appserver().env("YELB_STOP_WAIT", "600").spawn();
        let api = server.address("api");
        server.terminate();
        eventually(PATIENCE, "it is not ready", || http::get(api, "/readyz").status == 503);
        again(&server);
        server.wait(AT_ONCE);
    }
}

#[test]
fn its_stores_being_away_is_no_reason_to_stay() {
    let server = with_dead_stores().env("YELB_STOP_WAIT", "0").spawn();
    assert_eq!(http::get(server.address("api"), "/livez").status, 200);
    server.terminate();
    assert!(server.wait(AT_ONCE).success(), "{server:?}");
}

#[test]
fn the_health_check_tells_an_orchestrator_in_a_code_and_a_person_in_a_line() {
    let alive = appserver().spawn();
    let starting = with_dead_stores().spawn();
    let everywhere = appserver().env("YELB_BIND", "0.0.0.0").spawn();
    let frozen = appserver().spawn();
    let addresses = [&alive, &starting, &everywhere, &frozen].map(|server| server.address("api"));
    let [alive, starting, everywhere, _] = addresses.map(|address| address.port());
    await_ready(addresses[0]);
    frozen.freeze();

    for port in [alive, starting, everywhere] {
        assert_eq!(check(port, &["healthcheck"]), (Some(0), String::new()));
    }
    for port in [alive, everywhere] {
        assert_eq!(check(port, &["healthcheck", "--ready"]), (Some(0), String::new()));
    }
    for (port, arguments, reason) in [
        (starting, &["healthcheck", "--ready"][..], "it answered 503"),
        (addresses[3].port(), &["healthcheck"], "no answer within 1 s"),
        // There is no listener on port 1.
        (1, &["healthcheck"], "refused"),
    ] {
        let (code, line) = check(port, arguments);
        assert_eq!(code, Some(1), "{line}");
        let expected = format!("yelb-appserver: http://127.0.0.1:{port}/");
        assert!(line.starts_with(&expected) && line.contains(reason), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
    let (code, line) = check(0, &["healthcheck"]);
    assert_eq!(
        (
            code,
            line.starts_with("yelb-appserver: PORT: expected the port that the server listens on")
        ),
        (Some(2), true),
        "{line}"
    );
}

/// The exit code of a health check of the server on this port, and what it says.
fn check(port: u16, arguments: &[&str]) -> (Option<i32>, String) {
    let output = appserver().env("PORT", port.to_string()).args(arguments).run_to_end(PATIENCE);
    assert_eq!(output.stdout, "");
    (output.status.code(), output.stderr)
}

/// The app server on stores that are not there: there is no listener on port 1.
fn with_dead_stores() -> Program {
    let nowhere: SocketAddr = ([127, 0, 0, 1], 1).into();
    appserver()
        .env("DATABASE_URL", format!("postgres://yelb@{nowhere}/yelb"))
        .env("REDIS_URL", format!("redis://{nowhere}"))
}
