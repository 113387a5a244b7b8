//! The live stream: yelb-ui opens one stream at the app server for all viewers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::http::{self, Events};
use testbed::{PATIENCE, eventually, happens};

use crate::upstream::{Conversation, Upstream};
use crate::{nowhere, start_ui_of, ui_of};

const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunk(part: &str) -> String {
    format!("{:x}\r\n{part}\n\n\r\n", part.len() + 2)
}

fn event(number: usize) -> String {
    chunk(&format!("data: {{\"votes\": [{number}]}}"))
}

/// Sends a heartbeat each second until the client has disconnected.
fn beat(conversation: &mut Conversation) {
    while conversation.try_say(chunk(":")) {
        thread::sleep(Duration::from_secs(1));
    }
}

/// An app server that numbers its streams: each event has the number of earlier streams. Heartbeats follow.
fn live() -> Upstream {
    let streams = AtomicUsize::new(0);
    Upstream::start(move |conversation| {
        if conversation.hear().is_some() {
            conversation.say([HEAD, &event(streams.fetch_add(1, SeqCst))].concat());
            beat(conversation);
        }
    })
}

fn is_event(number: usize) -> impl Fn(&Value) -> bool {
    move |event| event["votes"] == json!([number])
}

fn is_down(event: &Value) -> bool {
    event["down"] == json!(["yelb-appserver"]) && event["votes"] == Value::Null
}

#[test]
fn the_app_server_is_asked_once_for_all_viewers_and_only_while_there_are_any() {
    let upstream = live();
    let (ui, page) = start_ui_of(upstream.address());
    assert_eq!(upstream.requests().len(), 0);

    let mut viewers = [(); 5].map(|()| Events::open(page));
    for viewer in &mut viewers {
        viewer.until("what the app server says", is_event(0));
        assert_eq!(viewer.head.header("access-control-allow-origin"), Some("*"));
        assert_eq!(viewer.head.header("cache-control"), Some("no-store"));
    }
    assert_eq!(upstream.request().line, "GET /api/stream HTTP/1.1");
    assert_eq!(upstream.request().all("host"), [upstream.address().to_string()]);

    // The second stream is new, because the first one ended when its last viewer left.
    drop(viewers);
    eventually(PATIENCE, "there is no stream without a viewer", || {
        let mut viewer = Events::open(page);
        viewer.until("an event", |_| true)["votes"] != json!([0])
    });
    let lines = || ui.stderr().matches("GET /api/stream answered 200").count();
    eventually(PATIENCE, "each stream that has ended has a line in the log", || lines() >= 5);
}

#[test]
fn a_stream_that_is_cut_is_opened_anew_and_viewers_keep_theirs() {
    let (first_is_seen, seen) = channel::<()>();
    let (streams, seen) = (AtomicUsize::new(0), Mutex::new(seen));
    let upstream = Upstream::start(move |conversation| {
        if conversation.hear().is_none() {
            return;
        }
        match streams.fetch_add(1, SeqCst) {
            0 => conversation.say([HEAD, &event(0)].concat()),
            // As a balancer answers while the app server behind it changes.
            1 => conversation.say("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
            _ => {
                // Not before: an event hides the one before it from a viewer that is slow.
                let _ = seen.lock().expect("no thread panics that waits").recv();
                conversation.say([HEAD, &event(1)].concat());
                beat(conversation);
            }
        }
    });
    let (_ui, page) = start_ui_of(upstream.address());
    let mut viewer = Events::open(page);
    viewer.until("the first stream", is_event(0));
    drop(first_is_seen);
    let next = viewer.until("the second", |_| true);
    assert!(is_event(1)(&next), "a cut alone is no outage: {next}");
}

#[test]
fn an_app_server_that_is_silent_is_down_until_it_speaks_again() {
    let (streams, speaks) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
    let may_speak = Arc::clone(&speaks);
    let upstream = Upstream::start(move |conversation| {
        if conversation.hear().is_none() {
            return;
        }
        let number = streams.fetch_add(1, SeqCst);
        if number == 0 {
            conversation.say([HEAD, &event(number)].concat());
            conversation.hear_nothing_more();
        } else if may_speak.load(SeqCst) {
            conversation.say([HEAD, &event(number)].concat());
            beat(conversation);
        }
    });
    let (_ui, page) = start_ui_of(upstream.address());
    let mut viewer = Events::open(page);
    viewer.until("the app server is heard", is_event(0));
    viewer.until("it is down", is_down);
    // Not before: an event hides the one before it from a viewer that is slow.
    speaks.store(true, SeqCst);
    viewer.until("it is heard again", |event| event["votes"].is_array());
}

#[test]
fn an_app_server_that_is_gone_is_down_until_it_is_there() {
    let upstream = live();
    let address = upstream.address();
    let (_ui, page) = start_ui_of(address);
    let mut viewer = Events::open(page);
    viewer.until("the app server is heard", is_event(0));
    drop(upstream);
    viewer.until("it is down", is_down);
    Events::open(page).until("it is down for a new viewer, too", is_down);
    let _again = Upstream::start_at(address, |conversation| {
        if conversation.hear().is_some() {
            conversation.say([HEAD, &event(7)].concat());
            beat(conversation);
        }
    });
    viewer.until("it is heard again", is_event(7));
}

#[test]
fn without_a_stream_of_the_app_server_there_is_none() {
    for answer in [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        let upstream = Upstream::saying(answer);
        let (_ui, page) = start_ui_of(upstream.address());
        for _ in 0..3 {
            let response = http::get(page, "/api/stream");
            assert_eq!((response.status, response.body.len()), (204, 0), "{response:?}");
        }
        assert_eq!(upstream.requests().len(), 1, "it is not asked for each viewer");
    }
}

#[test]
fn other_methods_are_the_app_servers() {
    let upstream = Upstream::saying("HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
    let (_ui, page) = start_ui_of(upstream.address());
    assert_eq!(http::request(page, "POST", "/api/stream", &[], b"").status, 405);
}

#[test]
fn a_viewer_that_waits_while_the_process_stops_gets_a_stream_that_has_ended() {
    let upstream = Upstream::start(|conversation| {
        let _ = conversation.hear();
        conversation.hear_nothing_more();
    });
    let ui = ui_of(upstream.address()).env("YELB_STOP_WAIT", "0").spawn();
    let page = ui.address("page");
    let viewer = thread::spawn(move || http::get(page, "/api/stream"));
    eventually(PATIENCE, "the app server is asked", || !upstream.requests().is_empty());
    ui.terminate();
    let answer = viewer.join().expect("there is an answer");
    assert_eq!(answer.status, 200, "a browser that is told of no stream asks no other server");
}

#[test]
fn streams_end_when_the_process_stops_whatever_the_app_server_does() {
    let ui = ui_of(nowhere()).env("YELB_STOP_WAIT", "0").spawn();
    let mut viewer = Events::open(ui.address("page"));
    viewer.until("the app server is down", is_down);
    ui.terminate();
    viewer.until_the_end();
    assert!(happens(PATIENCE, || !ui.is_running()));
}
