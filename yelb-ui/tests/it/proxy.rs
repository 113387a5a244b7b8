//! `/api`, passed on to the app server and back.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use testbed::http::{self, Raw, Response};
use testbed::{PATIENCE, Program, eventually};

use crate::upstream::{Conversation, Upstream};
use crate::{nowhere, start_ui_of, ui};

/// What any answer may take, whatever the app server does.
const LIMIT: Duration = Duration::from_secs(6);

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Fields as they are sent, and the values under which names then arrive.
type Sent = &'static [(&'static str, &'static str)];
type Arriving = &'static [(&'static str, &'static [&'static str])];
type Script = fn(&mut Conversation);

// ---- in front of the real app server

#[test]
fn what_the_app_server_answers_is_what_the_browser_gets() {
    let appserver = Program::of_workspace("yelb-appserver")
        .env("PORT", "0")
        .env("YELB_ADMIN_PORT", "off")
        .env("DATABASE_URL", "sqlite:yelb.db")
        .spawn();
    let api = appserver.address("api");
    let (_ui, page) = start_ui_of(api);

    assert_eq!(http::get(page, "/api/ihop").text(), "1");
    assert_eq!(http::request(page, "POST", "/api/ihop", &[], "").text(), "2");
    assert_eq!(http::request(page, "HEAD", "/api/ihop", &[], "").status, 200);
    assert_eq!(http::get(page, "/api/%69hop").text(), "3");
    for (method, path) in [
        ("GET", "/api/getvotes"),
        ("HEAD", "/api/getvotes"),
        ("HEAD", "/api/pageviews"),
        ("GET", "/api/hostname"),
        ("OPTIONS", "/api/ihop"),
        ("DELETE", "/api/ihop"),
        ("GET", "/api/kfc"),
        ("GET", "/api//ihop"),
        ("GET", "/api/x/../ihop"),
        ("GET", "/api/getvotes?x=%zz"),
        ("HEAD", "/api/ihop"),
        ("HEAD", "/api/getstats"),
        ("HEAD", "/api/kfc"),
    ] {
        let direct = http::request(api, method, path, &[], "");
        let passed = http::request(page, method, path, &[], "");
        assert_eq!(of_the_answer(&passed), of_the_answer(&direct), "{method} {path}");
    }
}

/// All of an answer but what belongs to the connection or the moment.
pub(crate) fn of_the_answer(answer: &Response) -> (u16, BTreeSet<(String, String)>, &[u8]) {
    let fields = answer.headers.iter().filter(|(name, _)| name != "Date").cloned();
    (answer.status, fields.collect(), &answer.body)
}

// ---- the request

#[test]
fn the_path_and_the_query_pass_as_they_came() {
    let upstream = Upstream::saying(OK);
    let (_ui, page) = start_ui_of(upstream.address());
    let paths = [
        "/api/",
        "/api/ihop",
        "/api//ihop",
        "/api/x/../ihop",
        "/api/./ihop/",
        "/api/%69hop?x=%zz",
        "/api/%2e%2e/%2Fihop",
        "/api/ih%C3%B6p%ff",
        "/api/ihop?",
        "/api/ihop?a=b&a=c;d+e%20/?'",
    ];
    for path in paths {
        assert_eq!(http::get(page, path).text(), "ok", "{path}");
    }
    assert_eq!(http::get(page, "http://elsewhere/api/ihop?x").text(), "ok");
    let lines: Vec<_> = upstream.requests().into_iter().map(|request| request.line).collect();
    let expected = paths.iter().chain(&["/api/ihop?x"]);
    assert_eq!(lines, expected.map(|path| format!("GET {path} HTTP/1.1")).collect::<Vec<_>>());
}

#[test]
fn what_does_not_begin_with_api_to_the_letter_is_not_passed() {
    let upstream = Upstream::saying(OK);
    let (_ui, page) = start_ui_of(upstream.address());
    for path in [
        "//api/ihop",
        "/api%2Fihop",
        "/API/ihop",
        "/%61pi/ihop",
        "/api",
        "/apix/ihop",
        "/x/../api/ihop",
        "/./api/ihop",
        "/metrics",
    ] {
        for method in ["GET", "POST"] {
            assert_eq!(http::request(page, method, path, &[], "").status, 404, "{path}");
        }
    }
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn the_method_and_the_body_pass_as_they_came() {
    let body: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let mut chunked = format!("{:x}\r\n", body.len()).into_bytes();
    chunked.extend([&body[..], b"\r\n0\r\n\r\n"].concat());
    let in_chunks = [("Transfer-Encoding", "chunked")];

    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        for (fields, sent) in [(&[][..], &body), (&in_chunks[..], &chunked)] {
            let upstream = Upstream::saying(OK);
            let (_ui, page) = start_ui_of(upstream.address());
            let answer = http::request(page, method, "/api/ihop", fields, sent);
            assert_eq!(answer.text(), "ok", "{method} {fields:?}");
            let request = upstream.request();
            assert_eq!(request.line, format!("{method} /api/ihop HTTP/1.1"));
            assert!(request.body == body, "{method} {fields:?}: {} bytes", request.body.len());
        }
    }
}

/// What is sent, besides `Host: yelb.example`, and what then arrives.
const FIELDS: [(Sent, Arriving); 6] = [
    (
        &[],
        &[
            ("x-forwarded-for", &["127.0.0.1"]),
            ("x-forwarded-proto", &["http"]),
            ("x-forwarded-host", &["yelb.example"]),
        ],
    ),
    (
        &[
            ("X-Forwarded-For", "192.0.2.1, 192.0.2.2"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "yelb.balanced.example"),
        ],
        &[
            ("x-forwarded-for", &["192.0.2.1, 192.0.2.2, 127.0.0.1"]),
            ("x-forwarded-proto", &["https"]),
            ("x-forwarded-host", &["yelb.balanced.example"]),
        ],
    ),
    (
        &[("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-For", "192.0.2.2")],
        &[("x-forwarded-for", &["192.0.2.1, 192.0.2.2, 127.0.0.1"])],
    ),
    (
        &[
            (
                "x-amzn-trace-id",
                "Self=1-67891234-12456789abcdef012345678; Root=1-67891233-abcdef012345678912345678;Lineage=a:1|b:2",
            ),
            ("traceparent", "00-67891233abcdef012345678912345678-00f067aa0ba902b7-01"),
            ("tracestate", "a=1,b=2"),
            ("Idempotency-Key", "\"8e03978e-40d5-43e8-bc93-6894a57f9324\""),
            ("Cookie", "a=b; c=d"),
            ("X-Anything", "at all"),
        ],
        &[
            (
                "x-amzn-trace-id",
                &[
                    "Self=1-67891234-12456789abcdef012345678; Root=1-67891233-abcdef012345678912345678;Lineage=a:1|b:2",
                ],
            ),
            ("traceparent", &["00-67891233abcdef012345678912345678-00f067aa0ba902b7-01"]),
            ("tracestate", &["a=1,b=2"]),
            ("idempotency-key", &["\"8e03978e-40d5-43e8-bc93-6894a57f9324\""]),
            ("cookie", &["a=b; c=d"]),
            ("x-anything", &["at all"]),
        ],
    ),
    (
        &[
            ("Connection", "close, X-Hop , x-amzn-oddity"),
            ("X-Hop", "1"),
            ("X-Amzn-Oddity", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("TE", "trailers"),
            ("Trailer", "X-Sum"),
            ("Upgrade", "websocket"),
            ("X-Stays", "1"),
        ],
        &[
            ("connection", &[]),
            ("x-hop", &[]),
            ("x-amzn-oddity", &[]),
            ("keep-alive", &[]),
            ("proxy-connection", &[]),
            ("te", &[]),
            ("trailer", &[]),
            ("upgrade", &[]),
            ("x-stays", &["1"]),
        ],
    ),
    // No client can have a field removed that the proxy itself adds.
    (
        &[("Connection", "x-forwarded-for, x-forwarded-host, host")],
        &[("x-forwarded-for", &["127.0.0.1"])],
    ),
];

#[test]
fn the_app_server_is_told_who_asks_and_what_for() {
    for (sent, arriving) in FIELDS {
        let upstream = Upstream::saying(OK);
        let (_ui, page) = start_ui_of(upstream.address());
        let sent = [&[("Host", "yelb.example")], sent].concat();
        assert_eq!(http::request(page, "GET", "/api/ihop", &sent, "").text(), "ok", "{sent:?}");
        let request = upstream.request();
        // By the authority a mesh picks the virtual service.
        assert_eq!(request.all("host"), [upstream.address().to_string()], "{request:?}");
        for (name, values) in arriving {
            assert_eq!(request.all(name), *values, "{name} of {sent:?}");
        }
    }
}

#[test]
fn a_client_of_http_1_0_is_no_reason_to_speak_it_to_the_app_server() {
    const CLIENTS: usize = 10;
    let upstream = Upstream::saying(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    );
    let (_ui, page) = start_ui_of(upstream.address());
    for _ in 0..CLIENTS {
        let mut client = Raw::connect(page);
        client.send("GET /api/ihop HTTP/1.0\r\n\r\n");
        let answer = client.read_response();
        assert_eq!((answer.status, answer.text()), (200, "ok"));
        assert_eq!(answer.header("transfer-encoding"), None, "{answer:?}");
    }
    for request in upstream.requests() {
        assert_eq!(request.line, "GET /api/ihop HTTP/1.1");
    }
    assert!(upstream.connections() < CLIENTS, "a connection each");
}

#[test]
fn a_short_name_is_looked_up_under_the_domain_and_stays_the_authority() {
    let upstream = Upstream::saying(OK);
    let port = upstream.address().port();
    // A short name that is an address once the domain is added, so that no name server is asked.
    let ui = ui()
        .env("YELB_APPSERVER_ENDPOINT", format!("http://127:{port}"))
        .env("SEARCH_DOMAIN", "0.0.1")
        .spawn();
    assert_eq!(http::get(ui.address("page"), "/api/ihop").text(), "ok");
    assert_eq!(upstream.request().all("host"), [format!("127:{port}")]);
}

// ---- the answer

/// What the app server says; status, fields and body as they arrive.
const ANSWERS: [(&str, u16, Arriving, &str); 9] = [
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nVary: Accept\r\n\r\nok",
        200,
        &[("set-cookie", &["a=1", "b=2"]), ("vary", &["Accept"]), ("content-length", &["2"])],
        "ok",
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n",
        200,
        &[("transfer-encoding", &["chunked"]), ("content-length", &[])],
        "ok",
    ),
    // Until the end of the connection: of this one, it must not be the end of the client's.
    ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", 200, &[], "ok"),
    ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, &[], "ok"),
    ("HTTP/1.1 204 No Content\r\n\r\n", 204, &[("content-length", &[])], ""),
    ("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n", 304, &[("etag", &["\"1\""])], ""),
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 418 Teapot\r\nContent-Length: 5\r\n\r\nshort",
        418,
        &[],
        "short",
    ),
    (
        "HTTP/1.1 503 Unavailable\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno",
        503,
        &[("retry-after", &["7"])],
        "no",
    ),
    (
        "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
             Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Stays: 1\r\nContent-Length: 2\r\n\r\nok",
        200,
        &[
            ("x-hop", &[]),
            ("keep-alive", &[]),
            ("proxy-authenticate", &[]),
            ("upgrade", &[]),
            ("connection", &[]),
            ("x-stays", &["1"]),
        ],
        "ok",
    ),
];

#[test]
fn the_answer_passes_as_it_came() {
    for (said, status, fields, body) in ANSWERS {
        let upstream = Upstream::start(move |conversation| {
            conversation.hear();
            conversation.say(said);
        });
        let (_ui, page) = start_ui_of(upstream.address());
        let mut client = Raw::connect(page);
        client.send("GET /api/getvotes HTTP/1.1\r\nHost: yelb\r\n\r\n");
        let answer = client.read_response();
        assert_eq!((answer.status, answer.text()), (status, body), "{said}: {answer:?}");
        assert!(answer.raw_head.starts_with(b"HTTP/1.1 "), "{said}: {answer:?}");
        for (name, values) in fields {
            assert_eq!(answer.all(name), *values, "{name} of {said}: {answer:?}");
        }
        // The client's connection is as good as before.
        client.send("GET /livez HTTP/1.1\r\nHost: yelb\r\n\r\n");
        assert_eq!(client.read_response().text(), "ok\n", "{said}");
    }
}

#[test]
fn a_head_is_passed_without_a_body_and_with_its_length() {
    let upstream = Upstream::saying("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n");
    let (_ui, page) = start_ui_of(upstream.address());
    let mut client = Raw::connect(page);
    for _ in 0..2 {
        client.send("HEAD /api/getvotes HTTP/1.1\r\nHost: yelb\r\n\r\n");
        let answer = client.read_response_to("HEAD");
        assert_eq!((answer.status, answer.header("content-length")), (200, Some("12345")));
    }
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn an_answer_that_is_cut_off_does_not_look_whole() {
    for said in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
    ] {
        let upstream = Upstream::start(move |conversation| {
            conversation.hear();
            conversation.say(said);
        });
        let (_ui, page) = start_ui_of(upstream.address());
        let mut client = Raw::connect(page);
        client.send("GET /api/getvotes HTTP/1.1\r\nHost: yelb\r\n\r\n");
        assert!(client.try_read_response_to("GET").is_err(), "{said}");
        assert_eq!(upstream.requests().len(), 1);
    }
}

#[test]
fn large_bodies_flow_through_both_ways_as_they_come() {
    const PART: usize = 1024 * 1024;
    const PARTS: usize = 10;
    // Either side sends a part, and goes on when the other has it.
    let (upstream_has, upstream_got) = channel();
    let (client_has, client_got) = channel();
    let ears = Mutex::new((upstream_has, client_got));
    let upstream = Upstream::start(move |conversation| {
        let ears = ears.lock().expect("there is one connection");
        let (upstream_has, client_got) = &*ears;
        conversation.hear_head();
        // At once, because an answer has to begin within some time, and a body may take any.
        conversation.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PART * PARTS));
        for part in 0..PARTS {
            let intact = conversation.hear_bytes(PART).is_some_and(|bytes| bytes == of(part, PART));
            let _ = upstream_has.send(intact);
        }
        for part in 0..PARTS {
            conversation.say(of(part, PART));
            let _ = client_got.recv_timeout(PATIENCE);
        }
    });
    let (_ui, page) = start_ui_of(upstream.address());

    let mut client = TcpStream::connect(page).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST /api/ihop HTTP/1.1\r\nHost: yelb\r\nContent-Length: {}\r\n\r\n",
        PART * PARTS
    );
    client.write_all(head.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n"));
    for part in 0..PARTS {
        client.write_all(&of(part, PART)).unwrap();
        assert_eq!(upstream_got.recv_timeout(PATIENCE), Ok(true), "part {part} on its way there");
    }
    for part in 0..PARTS {
        let mut bytes = vec![0; PART];
        client.read_exact(&mut bytes).unwrap();
        assert!(bytes == of(part, PART), "part {part} on its way back");
        client_has.send(()).unwrap();
    }
}

/// The bytes of a part, which are not those of another.
fn of(part: usize, length: usize) -> Vec<u8> {
    (0..251)
        .map(|byte| byte ^ u8::try_from(part).expect("few parts"))
        .cycle()
        .take(length)
        .collect()
}

// ---- connections

#[test]
fn many_requests_share_few_connections() {
    const CLIENTS: usize = 8;
    let upstream = Upstream::saying(OK);
    let (_ui, page) = start_ui_of(upstream.address());
    for _ in 0..50 {
        assert_eq!(http::get(page, "/api/ihop").status, 200);
    }
    // A client may be back before the connection is.
    assert!(upstream.connections() < 10, "one after the other: {}", upstream.connections());

    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert_eq!(http::get(page, "/api/ihop").status, 200);
                }
            });
        }
    });
    assert_eq!(upstream.requests().len(), 50 + CLIENTS * 50);
    // One may be opened and not be needed, when another becomes free first.
    assert!(upstream.connections() <= 2 * CLIENTS, "{}", upstream.connections());
}

// ---- failures

#[test]
fn nothing_is_sent_twice() {
    // On a fresh connection, on one that was of use before, and in the middle of an answer.
    let scripts: [(&str, Script); 4] = [
        ("hangs up on the first", |conversation| {
            conversation.hear();
        }),
        ("hangs up on the second", |conversation| {
            conversation.hear();
            conversation.say(OK);
            conversation.hear();
        }),
        ("begins to answer the second", |conversation| {
            conversation.hear();
            conversation.say(OK);
            conversation.hear();
            conversation.say("HTTP/1.1 200 OK\r\nContent-Le");
        }),
        ("hangs up after the head", |conversation| {
            conversation.hear_head();
        }),
    ];
    for (what, script) in scripts {
        let upstream = Upstream::start(script);
        let (_ui, page) = start_ui_of(upstream.address());
        for (sent, method) in ["GET", "POST", "GET", "PUT"].into_iter().enumerate() {
            let answer = http::request(page, method, "/api/ihop", &[], "");
            if answer.status != 200 {
                is_problem(&answer, 502);
            }
            let heard = upstream.requests().len();
            assert_eq!(heard, sent + 1, "{what}: {method} is heard once");
        }
    }
}

#[test]
fn a_connection_that_the_app_server_gives_up_costs_at_most_the_request_in_it() {
    let upstream = Upstream::start(|conversation| {
        conversation.hear();
        conversation.say(OK);
    });
    let (_ui, page) = start_ui_of(upstream.address());
    let answers: Vec<_> = (0..50).map(|_| http::get(page, "/api/ihop").status).collect();
    let counted = answers.iter().filter(|status| **status == 200).count();
    assert_eq!(upstream.requests().len(), counted, "{answers:?}");
    assert!(answers.iter().all(|status| [200, 502].contains(status)), "{answers:?}");
}

#[test]
fn an_app_server_that_fails_is_a_gateway_error_that_says_so() {
    let scripts: [(&str, u16, Script); 5] = [
        ("hangs up at once", 502, |_| {}),
        ("hangs up on the request", 502, |conversation| {
            conversation.hear();
        }),
        ("does not speak HTTP", 502, |conversation| {
            conversation.hear();
            conversation.say("220 mail.example ESMTP\r\n\r\n");
        }),
        ("contradicts itself", 502, |conversation| {
            conversation.hear();
            conversation.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok");
        }),
        ("is silent", 504, |conversation| {
            conversation.hear();
            conversation.hear_nothing_more();
        }),
    ];
    thread::scope(|scope| {
        for (what, status, script) in scripts {
            scope.spawn(move || {
                let upstream = Upstream::start(script);
                let (_ui, page) = start_ui_of(upstream.address());
                let asked = Instant::now();
                let answer = http::get(page, "/api/ihop");
                let taken = asked.elapsed();
                assert!(taken < LIMIT, "{what}: {taken:?}");
                assert_eq!(answer.status, status, "{what}: {answer:?}");
                is_problem(&answer, status);
                reports(page, "down");
                assert_eq!(http::get(page, "/").status, 200, "{what}");
            });
        }
    });
}

#[test]
fn a_sidecar_that_cannot_reach_the_app_server_is_passed_on_and_reported() {
    for status in ["502 Bad Gateway", "504 Gateway Timeout"] {
        let upstream = Upstream::saying(format!(
            "HTTP/1.1 {status}\r\nContent-Length: 4\r\nRetry-After: 1\r\n\r\nlost"
        ));
        let (_ui, page) = start_ui_of(upstream.address());
        let answer = http::get(page, "/api/ihop");
        assert_eq!((answer.status.to_string(), answer.text()), (status[..3].into(), "lost"));
        reports(page, "down");
    }
}

#[test]
fn a_broken_body_is_the_clients_fault_and_says_nothing_of_the_app_server() {
    let upstream = Upstream::start(|conversation| {
        conversation.hear_head();
        conversation.hear_nothing_more();
    });
    let (_ui, page) = start_ui_of(upstream.address());
    let chunked = [("Transfer-Encoding", "chunked")];
    let answer =
        http::request(page, "POST", "/api/ihop", &chunked, "5\r\nhello, world\r\n0\r\n\r\n");
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(
        answer.json()["detail"],
        "The body is malformed or incomplete. A vote was not counted."
    );
    reports(page, "unknown");

    let mut client = Raw::connect(page);
    client.send("POST /api/ihop HTTP/1.1\r\nHost: yelb\r\nContent-Length: 9\r\n\r\nshort");
    eventually(PATIENCE, "the head arrives", || upstream.requests().len() == 2);
    client.finish_sending();
    let answer = client.read_to_end();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "));
    reports(page, "unknown");
}

#[test]
fn a_silent_app_server_does_not_delay_other_requests() {
    let upstream = Upstream::start(|conversation| {
        while let Some(request) = conversation.hear() {
            if request.line.contains("/api/ihop") {
                return conversation.hear_nothing_more();
            }
            conversation.say(OK);
        }
    });
    let (_ui, page) = start_ui_of(upstream.address());
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let mut voter = Raw::connect(page);
            voter.send("GET /api/ihop HTTP/1.1\r\nHost: yelb\r\n\r\n");
            voter
        })
        .collect();
    eventually(PATIENCE, "all of them wait", || upstream.requests().len() == waiting.len());
    let asked = Instant::now();
    assert_eq!(http::get(page, "/api/getvotes").text(), "ok");
    assert_eq!(http::get(page, "/").status, 200);
    let taken = asked.elapsed();
    assert!(taken < Duration::from_secs(2), "{taken:?}");
}

#[test]
fn a_client_that_goes_away_does_not_leave_its_request_behind() {
    let (closed, is_closed) = channel();
    let closed = Mutex::new(closed);
    let upstream = Upstream::start(move |conversation| {
        conversation.hear();
        conversation.hear_nothing_more();
        let _ = closed.lock().expect("there is one connection").send(());
    });
    let (_ui, page) = start_ui_of(upstream.address());
    let mut client = Raw::connect(page);
    client.send("GET /api/ihop HTTP/1.1\r\nHost: yelb\r\n\r\n");
    eventually(PATIENCE, "the request arrives", || upstream.requests().len() == 1);
    let left = Instant::now();
    drop(client);
    assert_eq!(is_closed.recv_timeout(PATIENCE), Ok(()));
    assert!(left.elapsed() < Duration::from_secs(2), "{:?}", left.elapsed());
}

#[test]
fn the_page_is_there_and_ready_while_the_app_server_is_away_and_votes_work_once_it_is_back() {
    // There was no request yet, so it is not known.
    let upstream = Upstream::saying(OK);
    let address = upstream.address();
    let (ui, page) = start_ui_of(address);
    reports(page, "unknown");
    assert_eq!(http::get(page, "/api/ihop").status, 200);
    reports(page, "up");

    // It closes its connections before the proxy does, so that no program is given its port meanwhile.
    drop(upstream);
    eventually(PATIENCE, "there is no listener any more", || TcpStream::connect(address).is_err());
    is_problem(&http::get(page, "/api/ihop"), 502);
    reports(page, "down");
    assert!(http::get(page, "/").text().contains("<html"));

    let upstream = Upstream::start_at(address, |conversation| {
        while conversation.hear().is_some() {
            conversation.say(OK);
        }
    });
    assert_eq!(http::get(page, "/api/ihop").text(), "ok");
    reports(page, "up");
    assert_eq!(upstream.requests().len(), 1);
    assert!(ui.is_running());
}

#[test]
fn an_unreachable_endpoint_is_reported_at_once() {
    let (_ui, page) = start_ui_of(nowhere());
    let asked = Instant::now();
    is_problem(&http::get(page, "/api/ihop"), 502);
    assert!(asked.elapsed() < Duration::from_secs(1));
}

/// A failure of the gateway, as programs understand it.
#[track_caller]
fn is_problem(answer: &Response, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
    assert_eq!(answer.json()["status"], status, "{answer:?}");
    assert!(answer.json()["detail"].is_string(), "{answer:?}");
}

/// Ready, whatever the app server's state, and reports it.
#[track_caller]
fn reports(page: SocketAddr, state: &str) {
    let readiness = http::get(page, "/readyz");
    assert_eq!(readiness.status, 200, "{readiness:?}");
    let appserver = &readiness.json()["dependencies"][0];
    assert_eq!(
        (&appserver["name"], &appserver["state"]),
        (&"yelb-appserver".into(), &state.into())
    );
    assert_eq!(appserver["reason"].is_string(), state == "down", "{readiness:?}");
}
