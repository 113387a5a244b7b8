//! A stream of server-sent events.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::Value;

use super::{Raw, Response};
use crate::wait::PATIENCE;

/// A viewer of a live stream.
#[derive(Debug)]
pub struct Events {
    connection: Raw,
    received: String,
    /// The answer without its body, which has no end.
    pub head: Response,
}

impl Events {
    /// Asks for the live stream.
    #[track_caller]
    pub fn open(server: SocketAddr) -> Self {
        Self::open_at(server, "/api/stream")
    }

    /// Asks for the stream of this path.
    #[track_caller]
    pub fn open_at(server: SocketAddr, path: &str) -> Self {
        let mut connection = Raw::connect(server);
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: {server}\r\n\r\n"));
        let head = connection.read_head_of_response();
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
        Self { connection, received: String::new(), head }
    }

    /// The next event or comment, without the empty line at its end; nothing once the stream has ended.
    pub fn next_part(&mut self) -> Option<String> {
        loop {
            if let Some((part, rest)) = self.received.split_once("\n\n") {
                let (part, rest) = (part.to_owned(), rest.to_owned());
                self.received = rest;
                return Some(part);
            }
            let chunk = self.connection.read_chunk()?;
            self.received.push_str(&String::from_utf8_lossy(&chunk));
        }
    }

    /// The first event from now on of which `condition` holds.
    #[track_caller]
    pub fn until(&mut self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let (deadline, mut seen) = (Instant::now() + PATIENCE, Vec::new());
        loop {
            assert!(Instant::now() < deadline, "{what}: not among {seen:?}");
            let Some(part) = self.next_part() else {
                panic!("{what}: the stream ended after {seen:?}")
            };
            let Some(data) = part.strip_prefix("data: ") else { continue };
            let event = serde_json::from_str(data).expect("an event is JSON");
            if condition(&event) {
                return event;
            }
            seen.push(event);
        }
    }

    /// Waits until the stream ends, whatever comes before.
    #[track_caller]
    pub fn until_the_end(&mut self) {
        while self.next_part().is_some() {}
    }
}
