//! From the first line of the log to the last answer.

use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use testbed::http::{self, Raw};
use testbed::{PATIENCE, Running, eventually};

use crate::upstream::{Conversation, Upstream};
use crate::{nowhere, start_ui_of, ui, ui_of};

/// Less than the 3 s for which it goes on after SIGTERM, unless told otherwise.
const AT_ONCE: Duration = Duration::from_secs(2);

const GET_IHOP: &str = "GET /api/ihop HTTP/1.1\r\nHost: yelb\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn it_says_where_it_listens_and_shows_metrics_on_the_admin_port_alone() {
    let upstream = Upstream::saying(OK);
    let server = ui_of(upstream.address()).env("YELB_ADMIN_PORT", "0").spawn();
    let (page, admin) = (server.address("page"), server.address("admin"));
    let asked = [
        "/api/ihop",
        "/api/ihop?q",
        "/api/getvotes",
        "/api/kfc",
        "/api/%69hop",
        "/",
        "/no/such/page",
    ];
    for path in asked {
        http::get(page, path);
    }
    let metrics = http::get(admin, "/metrics");
    let shows = |labels: &[&str], value: &str| {
        metrics.text().lines().any(|line| {
            line.starts_with("http_server_request_duration_seconds_count")
                && labels.iter().all(|label| line.contains(label))
                && line.ends_with(&format!(" {value}"))
        })
    };
    for (route, status, requests) in [
        ("/api/ihop", "200", "2"),
        ("/api/getvotes", "200", "1"),
        ("/api/{*path}", "200", "2"),
        ("/", "200", "1"),
        ("unmatched", "404", "1"),
    ] {
        let labels = [format!("route=\"{route}\""), format!("status_code=\"{status}\"")];
        assert!(shows(&labels.each_ref().map(String::as_str), requests), "{route}: {metrics:?}");
    }
    for made_up in ["kfc", "%69hop", "?q", "no/such"] {
        assert!(!metrics.text().contains(made_up), "a label that a client has chosen: {made_up}");
    }
    assert_eq!(testbed::metrics::undescribed(metrics.text()), [""; 0]);
    assert!(metrics.text().contains("http_client_request_duration_seconds_count"), "{metrics:?}");
    assert!(metrics.text().contains("yelb_dependency_up{dependency=\"yelb-appserver\""));
    assert!(metrics.text().contains("yelb_build_info{program=\"yelb-ui\",version="));

    assert_eq!(http::get(page, "/metrics").status, 404);
    assert_eq!(http::get(admin, "/").status, 404);
    for server in [page, admin] {
        assert_eq!(http::get(server, "/livez").text(), "ok\n");
        assert_eq!(http::get(server, "/readyz").json()["status"], "ready");
    }
}

#[test]
fn without_an_admin_port_there_is_one_listener() {
    let server = ui().env("YELB_ADMIN_PORT", "off").spawn();
    assert_eq!(http::get(server.address("page"), "/readyz").status, 200);
    server.interrupt();
    server.wait(PATIENCE);
    assert_eq!(server.stderr().matches(r#""message":"listening""#).count(), 1, "{server:?}");
}

#[test]
fn told_to_stop_it_answers_until_balancers_know_and_every_request_that_it_passes_on() {
    let upstream = Upstream::saying(OK);
    let server = ui_of(upstream.address()).env("YELB_STOP_WAIT", "2").spawn();
    let page = server.address("page");
    let answered = Mutex::new(0);
    let more_are_answered = |what: &str| {
        let before = *answered.lock().unwrap();
        eventually(PATIENCE, what, || *answered.lock().unwrap() > before + 20);
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut connection = Raw::connect(page);
                loop {
                    connection.send(GET_IHOP);
                    let Ok(answer) = connection.try_read_response_to("GET") else { break };
                    assert_eq!(answer.status, 200, "{answer:?}");
                    *answered.lock().unwrap() += 1;
                    if answer.header("connection") == Some("close") {
                        let Ok(next) = Raw::try_connect(page) else { break };
                        connection = next;
                    }
                }
            });
        }
        more_are_answered("requests are answered");
        server.terminate();
        eventually(PATIENCE, "it is not ready", || {
            let readiness = http::get(page, "/readyz");
            readiness.status == 503 && readiness.json()["status"] == "draining"
        });
        more_are_answered("requests are answered while it is not ready");
        assert_eq!(http::get(page, "/").status, 200);
        assert_eq!(http::get(page, "/livez").status, 200);
    });
    assert!(server.wait(PATIENCE).success(), "{server:?}");
    assert_eq!(upstream.requests().len(), answered.into_inner().unwrap());
}

#[test]
fn a_request_in_flight_is_answered_before_the_end() {
    let (go_on, told) = channel();
    let told = Mutex::new(told);
    let upstream = Upstream::start(move |conversation| {
        conversation.hear();
        let _ = told.lock().expect("there is one connection").recv_timeout(PATIENCE);
        conversation.say(OK);
    });
    let server = ui_of(upstream.address()).env("YELB_STOP_WAIT", "0").spawn();
    let page = server.address("page");

    let mut voter = Raw::connect(page);
    voter.send(GET_IHOP);
    eventually(PATIENCE, "the app server has the request", || upstream.requests().len() == 1);
    server.terminate();
    eventually(PATIENCE, "no more connections are accepted", || TcpStream::connect(page).is_err());
    go_on.send(()).unwrap();
    assert_eq!(voter.read_response().text(), "ok");
    assert!(voter.is_closed());
    assert!(server.wait(AT_ONCE).success(), "{server:?}");
}

#[test]
fn a_silent_app_server_delays_the_end_no_longer_than_its_answer_may_take() {
    let upstream = Upstream::start(|conversation| {
        conversation.hear();
        conversation.hear_nothing_more();
    });
    let server = ui_of(upstream.address()).env("YELB_STOP_WAIT", "0").spawn();
    let mut voter = Raw::connect(server.address("page"));
    voter.send(GET_IHOP);
    eventually(PATIENCE, "the app server has the request", || upstream.requests().len() == 1);
    server.terminate();
    assert_eq!(voter.read_response().status, 504);
    assert!(server.wait(AT_ONCE).success(), "{server:?}");
}

#[test]
fn interrupted_it_ends_at_once_even_with_open_connections() {
    let (server, page) = start_ui_of(nowhere());
    let mut idle = Raw::connect(page);
    idle.send("GET / HTTP/1.1\r\nHost: yelb\r\n\r\n");
    assert_eq!(idle.read_response().status, 200);
    let mut silent = Raw::connect(page);

    server.interrupt();
    assert!(server.wait(AT_ONCE).success(), "{server:?}");
    assert!(idle.is_closed() && silent.is_closed());
}

#[test]
fn whatever_clients_do_it_ends_within_ten_seconds_of_sigterm() {
    let upstream = Upstream::start(Conversation::hear_nothing_more);
    let server = ui_of(upstream.address()).env("YELB_ADMIN_PORT", "0").spawn();
    let _page = http::stuck_clients(server.address("page"), "/static/any/yelb.css");
    let mut voter = Raw::connect(server.address("page"));
    voter.send("POST /api/ihop HTTP/1.1\r\nHost: yelb\r\nContent-Length: 5\r\n\r\nhe");
    let _admin = http::stuck_clients(server.address("admin"), "/metrics");
    server.terminate();
    assert!(server.wait(Duration::from_secs(10)).success(), "{server:?}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for again in [Running::terminate, Running::interrupt] {
        let server = ui().env("YELB_STOP_WAIT", "600").spawn();
        let page = server.address("page");
        server.terminate();
        eventually(PATIENCE, "it is not ready", || http::get(page, "/readyz").status == 503);
        again(&server);
        server.wait(AT_ONCE);
    }
}

#[test]
fn the_health_check_tells_an_orchestrator_in_a_code_and_a_person_in_a_line() {
    let alive = ui().env("YELB_BIND", "0.0.0.0").spawn();
    let draining = ui().env("YELB_STOP_WAIT", "600").spawn();
    let frozen = ui().spawn();
    let ports = [&alive, &draining, &frozen].map(|server| server.address("page").port());
    frozen.freeze();
    draining.terminate();
    eventually(PATIENCE, "it is not ready", || {
        http::get(draining.address("page"), "/readyz").status == 503
    });
    for (port, arguments, code, reason) in [
        (ports[0], &["healthcheck"][..], 0, ""),
        (ports[0], &["healthcheck", "--ready"], 0, ""),
        (ports[1], &["healthcheck"], 0, ""),
        (ports[1], &["healthcheck", "--ready"], 1, "it answered 503"),
        (ports[2], &["healthcheck"], 1, "no answer within 1 s"),
        (nowhere().port(), &["healthcheck"], 1, "refused"),
        (0, &["healthcheck"], 2, "PORT: expected the port that the server listens on"),
    ] {
        let output = ui().env("PORT", port.to_string()).args(arguments).run_to_end(PATIENCE);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        assert_eq!(output.stdout, "");
        assert!(output.stderr.contains(reason), "{arguments:?}: {output:?}");
        assert_eq!(output.stderr.lines().count(), usize::from(code != 0), "{output:?}");
    }
}
