//! What the sidecars send again. The test plays the app server, inside of its task.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use testbed::{http, within_network_of};

use crate::docker::said;
use crate::stack::Stack;

const KEY: (&str, &str) = ("Idempotency-Key", "a-vote-of-this-test");

/// An app server that reads each request and then does this with its connection.
type Script = fn(&mut TcpStream);

/// It is not known whether it was counted.
fn hangs_up(_: &mut TcpStream) {}

fn has_lost_its_store(stream: &mut TcpStream) {
    let _ = stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
}

/// Takes the app server's place. What comes out are the requests that arrive.
#[track_caller]
fn in_place_of_the_app_server(stack: &Stack, script: Script) -> Receiver<String> {
    let address = "127.0.0.1:4567";
    let task = stack.pid("yelb-appserver-task");
    let listener = within_network_of(task, || TcpListener::bind(address)).unwrap();
    let (requests, arrived) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let line = lines.next().unwrap().unwrap();
            for header in lines.by_ref() {
                if header.unwrap().is_empty() {
                    break;
                }
            }
            // Before the answer, because the test then looks at what has arrived. The test may be over.
            if requests.send(line).is_err() {
                return;
            }
            script(&mut stream);
        }
    });
    arrived
}

#[test]
fn only_requests_that_count_once_are_sent_again_after_a_server_has_received_them() {
    let safe = ["/api/getvotes", "/api/getvotes?fresh=1", "/api/hostname"];
    let votes = ["/api/ihop", "/api/chipotle?from=here"];
    let views = ["/api/getstats", "/api/pageviews"];
    let cases = safe
        .map(|path| (path, None, 3))
        .into_iter()
        .chain(votes.map(|path| (path, Some(KEY), 3)))
        .chain(votes.map(|path| (path, None, 1)))
        .chain(views.map(|path| (path, None, 1)))
        .chain(views.map(|path| (path, Some(KEY), 1)));

    for (script, status) in [(hangs_up as Script, 502), (has_lost_its_store, 503)] {
        let stack = Stack::up();
        said(stack.command().args(["stop", "yelb-appserver"]));
        let arrived = in_place_of_the_app_server(&stack, script);
        for (path, key, times) in cases.clone() {
            let headers: Vec<_> = key.into_iter().collect();
            let answer = http::request(stack.page(), "GET", path, &headers, b"");
            let seen: Vec<String> = arrived.try_iter().collect();
            let expected = vec![format!("GET {path} HTTP/1.1"); times];
            assert_eq!((seen, answer.status), (expected, status), "{path}, {key:?}: {answer:?}");
        }
    }
}
