//! Some clients keep connections and buffers, and the log is not read. All other clients must still get answers.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use testbed::http::{self, Raw};
use testbed::{PATIENCE, Program, Running, eventually};

use crate::upstream::{Conversation, Upstream};
use crate::{nowhere, start_ui_of, ui_of};

const YELB_UI: &str = env!("CARGO_BIN_EXE_yelb-ui");

/// The UI's server as a shell starts it, after these commands.
fn start_after(commands: &str, appserver: SocketAddr) -> (Running, SocketAddr) {
    let port = testbed::free_port();
    let page = (Ipv4Addr::LOCALHOST, port).into();
    let running = Program::new("/bin/sh")
        .args(["-c", &format!("{commands} exec \"$0\""), YELB_UI])
        .env("PORT", port.to_string())
        .env("YELB_ADMIN_PORT", "off")
        .env("YELB_APPSERVER_ENDPOINT", format!("http://{appserver}"))
        .spawn();
    eventually(PATIENCE, "it listens", || TcpStream::connect(page).is_ok());
    (running, page)
}

/// So many connections that ask for nothing.
fn idle(page: SocketAddr, number: usize) -> Vec<Raw> {
    (0..number).filter_map(|_| Raw::try_connect(page).ok()).collect()
}

#[test]
fn a_log_that_is_not_read_holds_up_no_request_and_not_the_end() {
    let log = "mkfifo log; sleep 1000 < log & exec 2> log;";
    let (server, page) = start_after(log, nowhere());
    let mut client = Raw::connect(page);
    // A line each: more than a pipe and the server's own queue take.
    for _ in 0..100 {
        client.send("GET /no/such/page HTTP/1.1\r\nHost: yelb\r\n\r\n".repeat(100));
        (0..100).for_each(|_| assert_eq!(client.read_response().status, 404));
    }
    assert_eq!(http::get(page, "/livez").status, 200);
    server.terminate();
    assert!(server.wait(Duration::from_secs(10)).success(), "{server:?}");
}

#[test]
fn idle_connections_make_room_for_those_that_ask() {
    let server = ui_of(nowhere()).env("YELB_MAX_CONNECTIONS", "20").spawn();
    let page = server.address("page");
    let mut crowd = idle(page, 200);
    assert_eq!(http::get(page, "/").status, 200);
    assert_eq!(http::get(page, "/livez").status, 200);
    assert!(crowd[0].is_closed(), "the oldest had to go");
    let newest = crowd.last_mut().unwrap();
    newest.send("GET / HTTP/1.1\r\nHost: yelb\r\n\r\n");
    assert_eq!(newest.read_response().status, 200, "the newest has not");
}

#[test]
fn few_file_descriptors_are_enough_for_everyone_who_asks() {
    let (_server, page) = start_after("ulimit -n 256;", nowhere());
    let _crowd = idle(page, 400);
    for path in ["/", "/livez", "/readyz"] {
        assert_eq!(http::get(page, path).status, 200, "{path}");
    }
}

#[test]
fn the_soft_limit_of_file_descriptors_is_raised() {
    let (server, page) = start_after("ulimit -Sn 64;", nowhere());
    assert_eq!(http::get(page, "/livez").status, 200);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [soft, hard] = [3, 4].map(|column| line.split_whitespace().nth(column).unwrap());
    assert_eq!(soft, hard, "{line}");
}

#[test]
fn where_every_connection_waits_for_an_answer_one_more_is_503_and_health_is_told() {
    let upstream = Upstream::start(|conversation| {
        conversation.hear();
        conversation.hear_nothing_more();
    });
    let server =
        ui_of(upstream.address()).envs("YELB_MAX_CONNECTIONS=10, YELB_ADMIN_PORT=0").spawn();
    let page = server.address("page");
    let _voters: Vec<_> = (0..10)
        .map(|_| {
            let mut voter = Raw::connect(page);
            voter.send("GET /api/ihop HTTP/1.1\r\nHost: yelb\r\n\r\n");
            voter
        })
        .collect();
    eventually(PATIENCE, "all of them wait", || upstream.requests().len() == 10);
    for path in ["/", "/api/getvotes"] {
        let answer = http::get(page, path);
        assert_eq!(answer.status, 503, "{path}: {answer:?}");
        assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
        assert!(answer.text().contains("Too many connections are open."), "{answer:?}");
    }
    assert_eq!(http::get(page, "/livez").status, 200);
    assert_eq!(http::get(page, "/readyz").status, 200);
    let metrics = http::get(server.address("admin"), "/metrics");
    assert_eq!(metrics.status, 200);
}

#[test]
fn half_heads_and_readers_that_stop_do_not_delay_other_clients() {
    let upstream = Upstream::start(Conversation::hear_nothing_more);
    let server = ui_of(upstream.address()).env("YELB_MAX_CONNECTIONS", "50").spawn();
    let page = server.address("page");
    let mut held: Vec<_> = (0..100)
        .filter_map(|_| {
            let mut client = Raw::try_connect(page).ok()?;
            client.send(format!("GET / HTTP/1.1\r\nHost: yelb\r\nA: {}", "a".repeat(60_000)));
            Some(client)
        })
        .collect();
    for _ in 0..3 {
        held.extend(http::stuck_clients(page, "/static/any/yelb.css"));
    }
    assert_eq!(http::get(page, "/").status, 200);
    assert_eq!(http::get(page, "/livez").status, 200);
}

#[test]
fn a_tunnel_is_refused_and_not_passed_on() {
    let upstream = Upstream::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let (_ui, page) = start_ui_of(upstream.address());
    let answer = http::request(page, "CONNECT", "/api/ihop", &[], "");
    assert_eq!(answer.status, 501, "{answer:?}");
    assert_eq!(upstream.connections(), 0);
}
