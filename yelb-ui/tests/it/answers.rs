//! The counts of answers on the big screen.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use serde_json::{Value, json};
use testbed::http::{self, Events};
use testbed::{PATIENCE, happens};

use crate::upstream::Upstream;
use crate::{start_ui_of, ui_of};

const PATH: &str = "/screen/answers";

fn answer(status: &str, host: &str) -> String {
    format!("HTTP/1.1 {status}\r\nYelb-Host: {host}\r\nContent-Length: 1\r\n\r\n7")
}

fn votes(event: &Value) -> u64 {
    event["votes"].as_array().expect("a list").iter().filter_map(Value::as_u64).sum()
}

#[test]
fn answers_are_counted_for_each_host_and_votes_that_were_answered_200_for_each_second() {
    let asked = AtomicUsize::new(0);
    let upstream = Upstream::start(move |conversation| {
        while conversation.hear().is_some() {
            let reply = match asked.fetch_add(1, SeqCst) {
                0 | 1 => answer("200 OK", "app-1"),
                2 => answer("503 Service Unavailable", "app-2"),
                _ => answer("200 OK", "<b>"),
            };
            conversation.say(&reply);
        }
    });
    let (_ui, page) = start_ui_of(upstream.address());
    assert_eq!(http::get(page, "/api/ihop").status, 200);
    assert_eq!(http::get(page, "/api/getvotes").status, 200);
    assert_eq!(http::get(page, "/api/ihop").status, 503);
    assert_eq!(http::request(page, "POST", "/api/ihop", &[], b"").status, 200);

    let mut screen = Events::open_at(page, PATH);
    assert_eq!(screen.head.header("cache-control"), Some("no-store"));
    let event = screen.until("the second of the votes is over", |event| votes(event) == 2);
    assert_eq!(event["hosts"], json!([["app-2", 1], ["app-1", 2]]));
}

#[test]
fn what_is_answered_while_a_screen_is_open_shows_and_a_later_screen_has_it_at_once() {
    let upstream = Upstream::saying(answer("200 OK", "app-1"));
    let (_ui, page) = start_ui_of(upstream.address());
    let mut screen = Events::open_at(page, PATH);
    screen.until("nothing yet", |event| event["hosts"] == json!([]));
    for _ in 0..3 {
        http::get(page, "/api/outback");
    }
    screen
        .until("three votes", |event| event["hosts"] == json!([["app-1", 3]]) && votes(event) == 3);
    drop(screen);
    let first = Events::open_at(page, PATH).until("the first event", |_| true);
    assert_eq!((&first["hosts"], votes(&first)), (&json!([["app-1", 3]]), 3));
}

#[test]
fn a_screen_does_not_hold_up_the_end_of_the_process() {
    let upstream = Upstream::saying(answer("200 OK", "app-1"));
    let ui = ui_of(upstream.address()).env("YELB_STOP_WAIT", "0").spawn();
    let mut screen = Events::open_at(ui.address("page"), PATH);
    screen.until("it is open", |_| true);
    ui.terminate();
    screen.until_the_end();
    assert!(happens(PATIENCE, || !ui.is_running()));
}

/// The server refuses it before the page is asked.
#[test]
fn a_host_that_is_none_gets_no_screen() {
    let upstream = Upstream::saying(answer("200 OK", "app-1"));
    let (_ui, page) = start_ui_of(upstream.address());
    for path in ["/screen", "/screen/code.svg"] {
        let mut connection = http::Raw::connect(page);
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: a\"><script>\r\n\r\n"));
        let response = connection.read_response();
        assert_eq!(response.status, 400, "{path}");
        assert!(!response.text().contains("<script"), "{response:?}");
    }
}
