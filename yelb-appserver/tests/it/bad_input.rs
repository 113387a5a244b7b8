//! Whatever arrives on the port is answered clearly or hung up on, is not counted, and harms no other client.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use testbed::Running;
use testbed::http::{self, Raw};

use crate::{appserver, await_ready};

/// A whole vote, as most clients send it.
const VOTE: &str = "GET /api/ihop HTTP/1.1\r\nHost: yelb\r\n\r\n";
/// The head of a vote with a body, but for the fields that say how long it is.
const HEAD: &str = "POST /api/ihop HTTP/1.1\r\nHost: yelb\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n\r\n";

/// Neither dots nor escapes lead anywhere.
const NOWHERE: &str = "
    / /api /api/ /api/kfc /api/IHOP /API/ihop //api/ihop /api//ihop /api/ihop/ /favicon.ico
    /api/./ihop /api/x/../ihop /api/../../etc/passwd /api/%2e%2e/ihop /api%2Fihop /api/ihop%2F
    /api/ihop% /api/ihop%4 /api/ihop%zz /api/%00 /api/ihop%00 /api/ihop%20 /api/%C0%AE /api/ih%C3%B6p
    /api/ih\u{f6}p /api/ihop%0d%0aX-Yelb:%201 /api/$%7Bihop%7D /api/ihop';-- /api/{restaurant}";

#[test]
fn what_there_is_not_is_not_found_and_the_connection_kept() {
    let server = Server::start();
    let check = |asked: &str, expected| {
        server.check(asked, format!("{asked} HTTP/1.1\r\nHost: yelb\r\n\r\n"), expected);
    };
    for path in NOWHERE.split_whitespace() {
        check(&format!("GET {path}"), "404 kept");
    }
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "get", "M-SEARCH"] {
        check(&format!("{method} /api/ihop"), "405 kept");
        check(&format!("{method} /api/kfc"), "404 kept");
    }
    server.is_unharmed(0);
}

#[test]
fn a_query_means_nothing_whatever_is_in_it() {
    let server = Server::start();
    let deep = format!("a{}=1", "[b]".repeat(3000));
    let queries =
        ["", "x=1", "%", "a=%zz", "a=%4", "%ff=1", "a=%ff", "a=1&a[b]=2", "a&a[b]=1", &deep];
    for query in queries {
        let sent = format!("GET /api/ihop?{query} HTTP/1.1\r\nHost: yelb\r\n\r\n");
        server.check(query, sent, "200 kept");
    }
    server.is_unharmed(10);
}

#[test]
fn what_is_not_http_is_refused_and_the_connection_closed() {
    let server = Server::start();
    let refused = [
        ("no target", "GET HTTP/1.1\r\n\r\n"),
        ("no version", "GET /api/ihop\r\n\r\n"),
        ("another version", "GET /api/ihop HTTP/3.0\r\n\r\n"),
        ("a space in the target", "GET /api/ihop x HTTP/1.1\r\n\r\n"),
        ("a tab in the target", "GET /api/ihop\tx HTTP/1.1\r\n\r\n"),
        ("a NUL in the target", "GET /api/ihop\0 HTTP/1.1\r\n\r\n"),
        ("an escape character in the target", "GET /api/ihop\x1b[1m HTTP/1.1\r\n\r\n"),
        ("angle brackets in the target", "GET /api/<ihop> HTTP/1.1\r\n\r\n"),
        ("no slash before the target", "GET api/ihop HTTP/1.1\r\n\r\n"),
        ("a method that is no token", "G\u{cb}T /api/ihop HTTP/1.1\r\n\r\n"),
        ("a space before the method", " GET /api/ihop HTTP/1.1\r\n\r\n"),
        ("a field without a name", "GET /api/ihop HTTP/1.1\r\n: yelb\r\n\r\n"),
        ("a field without a colon", "GET /api/ihop HTTP/1.1\r\nHost\r\n\r\n"),
        ("a space in a field's name", "GET /api/ihop HTTP/1.1\r\nMy Host: yelb\r\n\r\n"),
        ("a space before a field's colon", "GET /api/ihop HTTP/1.1\r\nHost : yelb\r\n\r\n"),
        ("a field that is folded", "GET /api/ihop HTTP/1.1\r\nHost: yelb\r\n folded\r\n\r\n"),
        ("a NUL in a field's name", "GET /api/ihop HTTP/1.1\r\nHo\0st: yelb\r\n\r\n"),
        ("a NUL in a field's value", "GET /api/ihop HTTP/1.1\r\nHost: ye\0lb\r\n\r\n"),
        ("a CR in a field's value", "GET /api/ihop HTTP/1.1\r\nHost: ye\rlb\r\n\r\n"),
        ("TLS", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03"),
        ("SMTP", "EHLO yelb\r\n"),
    ];
    for (claim, sent) in refused {
        // Each letter one byte (Latin-1).
        let sent: Vec<u8> = sent.chars().map(|letter| letter as u8).collect();
        server.check(claim, sent, "400 closed");
    }
    server.check("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "closed");
    server.is_unharmed(0);
}

#[test]
fn nothing_is_taken_beyond_the_limits() {
    let server = Server::start();
    // The longer is more than twice the room for a head.
    let (long, longer) = ("a".repeat(64 << 10), "a".repeat(160 << 10));
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: yelb\r\n\r\n");
    let with_fields =
        |fields: &str| format!("GET /api/ihop HTTP/1.1\r\nHost: yelb\r\n{fields}\r\n");
    let of_length = |length: u64| format!("{HEAD}Content-Length: {length}\r\n\r\n");
    let in_chunks = |count: usize| {
        let chunks = format!("1000\r\n{}\r\n", &long[..0x1000]).repeat(count);
        format!("{HEAD}{CHUNKED}{chunks}0\r\n\r\n")
    };

    // Either the address or the head is found too long, whichever is read first.
    let too_long = "414 closed or 431 closed";
    for (claim, sent, expected) in [
        ("a path of 64 KiB", get(&format!("/api/{long}")), too_long),
        ("a path of 160 KiB", get(&format!("/api/{longer}")), too_long),
        ("a query of 64 KiB", get(&format!("/api/ihop?{long}")), too_long),
        ("a field of 160 KiB", with_fields(&format!("X-Long: {longer}\r\n")), "431 closed"),
        ("101 fields", with_fields(&"X-Many: 1\r\n".repeat(100)), "431 closed"),
        ("160 KiB that are no line", longer.clone(), "431 closed"),
        ("a body that would be too large", of_length((64 << 10) + 1), "413 closed"),
        ("a body of 2^63 bytes", of_length(1 << 63), "413 closed"),
        ("a body that turns out too large", in_chunks(17), "413 closed"),
    ] {
        server.check(claim, sent, expected);
    }
    server.is_unharmed(0);

    for (claim, sent, expected) in [
        ("a query of 60 KiB", get(&format!("/api/ihop?{}", &long[..60 << 10])), "200 kept"),
        (
            "a field of 60 KiB",
            with_fields(&format!("X-Long: {}\r\n", &long[..60 << 10])),
            "200 kept",
        ),
        ("100 fields", with_fields(&"X-Many: 1\r\n".repeat(99)), "200 kept"),
        ("a body of 64 KiB", of_length(64 << 10) + &long, "200 closed"),
        ("a body of 64 KiB, in chunks", in_chunks(16), "200 closed"),
    ] {
        server.check(claim, sent, expected);
    }
    server.is_unharmed(5);
}

#[test]
fn what_follows_a_body_is_not_read() {
    let server = Server::start();
    for (claim, sent, expected) in [
        ("malformed", format!("{HEAD}{CHUNKED}5\r\nhell"), "200 400 closed"),
        ("too large", format!("{HEAD}Content-Length: 65537\r\n\r\n"), "200 413 closed"),
        (
            "unknown",
            "GET /api/kfc HTTP/1.1\r\nHost: yelb\r\nContent-Length: 2\r\n\r\nhi".into(),
            "200 404 closed",
        ),
        (
            "another method",
            "PUT /api/ihop HTTP/1.1\r\nHost: yelb\r\nContent-Length: 2\r\n\r\nhi".into(),
            "200 405 closed",
        ),
        (
            "health",
            "GET /livez HTTP/1.1\r\nHost: yelb\r\nContent-Length: 2\r\n\r\nhi".into(),
            "200 200 closed",
        ),
    ] {
        server.check(claim, format!("{VOTE}{sent}{VOTE}"), expected);
    }
    server.is_unharmed(5);
}

#[test]
fn whoever_stops_in_the_middle_has_not_voted() {
    let server = Server::start();
    let body = format!("{HEAD}Content-Length: 5\r\n\r\n");
    for cut_off in [
        "G".to_owned(),
        "GET /api/ihop".to_owned(),
        VOTE[..VOTE.len() - 1].to_owned(),
        VOTE[..VOTE.len() - 2].to_owned(),
        body.clone(),
        format!("{body}hell"),
        format!("{HEAD}{CHUNKED}"),
        format!("{HEAD}{CHUNKED}5\r\nhello\r\n"),
        format!("{HEAD}{CHUNKED}5\r\nhello\r\n0\r\n"),
    ] {
        // Hung up at once.
        Raw::connect(server.api).send(&cut_off);
        // Still listening for an answer.
        let mut connection = Raw::connect(server.api);
        connection.send(&cut_off);
        connection.finish_sending();
        let answer = String::from_utf8_lossy(&connection.read_to_end()).into_owned();
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 400 ");
        assert!(refused, "{cut_off:?} is answered: {answer}");
    }
    server.is_unharmed(0);
}

#[test]
fn whoever_has_sent_a_whole_vote_and_says_no_more_is_answered() {
    let server = Server::start();
    for count in 1..=50 {
        let mut connection = Raw::connect(server.api);
        connection.send(VOTE);
        connection.finish_sending();
        assert_eq!(connection.read_response().text(), count.to_string());
        assert!(connection.is_closed());
    }
}

#[test]
fn whoever_hangs_up_after_a_vote_has_voted_once_or_not() {
    let server = Server::start();
    for _ in 0..100 {
        Raw::connect(server.api).send(VOTE);
    }
    // No more than were sent, and no less than are answered.
    let answered: u64 = http::get(server.api, "/api/ihop").text().parse().expect("a number");
    assert!((1..=101).contains(&answered), "{answered}");
    assert!((answered..=101).contains(&server.votes()));
}

#[test]
fn a_slow_body_is_not_waited_for() {
    let server = Server::start();
    // A byte a second, and what came back how soon.
    let drip = |at_once: String, slowly: &str| {
        let mut connection = Raw::connect(server.api).with_limit(Duration::from_secs(1));
        connection.send(at_once);
        let began = Instant::now();
        let answer = slowly.bytes().find_map(|byte| {
            connection.send([byte]);
            match connection.try_read_response_to("GET") {
                Err(error) if error.contains("nothing more comes") => None,
                answer => Some(answer.map_or(0, |response| response.status)),
            }
        });
        assert!(connection.is_closed());
        (answer, began.elapsed().as_secs_f32())
    };
    thread::scope(|scope| {
        let length = scope.spawn(|| drip(format!("{HEAD}Content-Length: 5\r\n\r\n"), "hello"));
        let chunks = scope.spawn(|| drip(format!("{HEAD}{CHUNKED}"), "5\r\nhello\r\n0\r\n\r\n"));
        for thread in [length, chunks] {
            let (answer, seconds) = thread.join().expect("it does not panic");
            assert_eq!(answer, Some(408));
            assert!((1.5..3.0).contains(&seconds), "after {seconds} s");
        }
    });
    server.is_unharmed(0);
}

#[test]
fn idle_connections_keep_nobody_from_voting() {
    let server = Server::start();
    let mut idle: Vec<_> = (0..200).map(|_| Raw::connect(server.api)).collect();
    for (index, connection) in idle.iter_mut().enumerate() {
        // Some say nothing, some stop in the middle of a head or of a body, some have been answered.
        connection.send(match index % 4 {
            0 => String::new(),
            1 => HEAD.to_owned(),
            2 => format!("{HEAD}Content-Length: 5\r\n\r\n"),
            _ => "GET /livez HTTP/1.1\r\nHost: yelb\r\n\r\n".to_owned(),
        });
    }
    let began = Instant::now();
    for _ in 0..20 {
        server.check("a vote", VOTE, "200 kept");
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    server.is_unharmed(20);
    drop(idle);
}

/// The app server on a file of its own.
struct Server {
    program: Running,
    api: SocketAddr,
}

impl Server {
    #[track_caller]
    fn start() -> Self {
        let program = appserver().spawn();
        let api = program.address("api");
        await_ready(api);
        Self { program, api }
    }

    /// Sends these bytes. `expected` has the status of each answer and whether the connection is `kept` or `closed`, or
    /// several such outcomes, with `or` between them.
    #[track_caller]
    fn check(&self, claim: &str, sent: impl AsRef<[u8]>, expected: &str) {
        let mut connection = Raw::connect(self.api);
        connection.send(sent);
        let mut got = Vec::new();
        let outcomes: Vec<_> = expected.split(" or ").collect();
        for _ in 1..outcomes[0].split(' ').count() {
            got.push(match connection.try_read_response_to("GET") {
                Ok(response) => response.status.to_string(),
                Err(error) => error,
            });
        }
        let kept = if expected.ends_with("kept") {
            connection.send("GET /livez HTTP/1.1\r\nHost: yelb\r\n\r\n");
            connection.try_read_response_to("GET").is_ok_and(|response| response.status == 200)
        } else {
            !connection.is_closed()
        };
        got.push(if kept { "kept" } else { "closed" }.to_owned());
        let got = got.join(" ");
        assert!(outcomes.contains(&&*got), "{claim:.80}: expected {expected}, got {got}");
    }

    /// That it lives, has not panicked, and has counted so many votes.
    #[track_caller]
    fn is_unharmed(&self, votes: u64) {
        assert_eq!(http::get(self.api, "/livez").status, 200);
        assert_eq!(self.votes(), votes);
        assert!(!self.program.stderr().contains("panicked"), "{:?}", self.program);
    }

    /// All votes.
    #[track_caller]
    fn votes(&self) -> u64 {
        let list = http::get(self.api, "/api/getvotes").json();
        list.as_array().into_iter().flatten().filter_map(|row| row["value"].as_u64()).sum()
    }
}
