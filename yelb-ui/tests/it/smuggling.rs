//! Requests whose end two parsers may see differently, with another vote behind them: no vote is counted that was not asked
//! for, by the app server or through the UI, directly or behind nginx.

use std::net::SocketAddr;

use testbed::http::{self, Raw};
use testbed::{Nginx, PATIENCE, Program, Running, eventually};

use crate::start_ui_of;

/// What stands behind each request, and is a vote if it is read as one.
const BEHIND: &str = "GET /api/outback HTTP/1.1\r\nHost: yelb\r\nConnection: close\r\n\r\n";

/// Fields that tell the length of a body, and the answers to `POST /api/ihop` with them and [`BEHIND`] behind it. A single
/// one says that what stands behind was not read.
const LENGTHS: &[(&str, &str)] = &[
    ("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "200"),
    ("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "200"),
    ("transfer-encoding:chunked\r\nA: b\r\ncontent-length:0\r\n", "200"),
    ("Content-Length: 5\r\nContent-Length: 5\r\n", "200"),
    ("Content-Length: 5\r\nContent-Length: 0\r\n", "400"),
    ("Content-Length: 5\r\nContent-Length: 6\r\n", "400"),
    ("Content-Length: 5, 5\r\n", "400"),
    ("Content-Length: +5\r\n", "400"),
    ("Content-Length: -1\r\n", "400"),
    ("Content-Length: abc\r\n", "400"),
    ("Content-Length: 0x5\r\n", "400"),
    ("Content-Length: 5 5\r\n", "400"),
    ("Content-Length: 5.0\r\n", "400"),
    ("Content-Length:\r\n", "400"),
    ("Content-Length: 18446744073709551616\r\n", "400"),
    ("Content-Length: 0000000000000000000000000000000000000000000000000000000000000005\r\n", "200"),
    ("Content-Length : 5\r\n", "400"),
    ("Content-Length\t: 5\r\n", "400"),
    ("Content-Length:\r\n 5\r\n", "400"),
    ("A: b\r\n Content-Length: 5\r\n", "400"),
    ("A: b\nContent-Length: 5\r\n", "200"),
    ("A: b\rContent-Length: 5\r\n", "400"),
    ("Transfer-Encoding: identity\r\n", "400"),
    ("Transfer-Encoding: gzip\r\n", "400"),
    ("Transfer-Encoding: gzip, chunked\r\n", "200"),
    ("Transfer-Encoding: chunked, chunked\r\n", "200"),
    ("Transfer-Encoding: chunked, identity\r\n", "400"),
    ("Transfer-Encoding: xchunked\r\n", "400"),
    ("Transfer-Encoding: \"chunked\"\r\n", "400"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "400"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "200"),
    ("Transfer-Encoding : chunked\r\n", "400"),
    ("Transfer-Encoding:\r\n\tchunked\r\n", "400"),
    ("Transfer-Encoding: \x0bchunked\r\n", "400"),
    ("\tTransfer-Encoding: chunked\r\n", "400"),
    ("TRANSFER-encoding:\tChunked \r\n", "200"),
    ("X-Content-Length: five\r\nTransfer-Encodings: gzip\r\n", "200 400"),
];

/// Bodies in chunks.
const CHUNKS: &[(&str, &str)] = &[
    ("\r\nhello\r\n0\r\n\r\n", "400"),
    (";ext\r\nhello\r\n0\r\n\r\n", "400"),
    ("five\r\nhello\r\n0\r\n\r\n", "400"),
    ("g\r\nhello\r\n0\r\n\r\n", "400"),
    ("0x5\r\nhello\r\n0\r\n\r\n", "400"),
    ("-5\r\nhello\r\n0\r\n\r\n", "400"),
    ("+5\r\nhello\r\n0\r\n\r\n", "400"),
    ("5 \r\nhello\r\n0\r\n\r\n", "200"),
    (" 5\r\nhello\r\n0\r\n\r\n", "400"),
    ("5 5\r\nhello\r\n0\r\n\r\n", "400"),
    ("10000000000000000\r\nhello\r\n0\r\n\r\n", "400"),
    ("10000000000000005\r\nhello\r\n0\r\n\r\n", "400"),
    ("4\r\nhello\r\n0\r\n\r\n", "400"),
    ("6\r\nhello\r\n0\r\n\r\n", "400"),
    ("5\nhello\r\n0\r\n\r\n", "400"),
    ("5;ext\nhello\r\n0\r\n\r\n", "400"),
    ("5;\n\r\nhello\r\n0\r\n\r\n", "400"),
    ("5\rXhello\r\n0\r\n\r\n", "400"),
    ("5;\0\r\nhello\r\n0\r\n\r\n", "200"),
    ("0;\0\r\n\r\n", "200"),
    ("5\r\nhello\n0\r\n\r\n", "400"),
    ("5\r\nhello\rX0\r\n\r\n", "400"),
    ("5\r\nhello, world\r\n0\r\n\r\n", "400"),
    ("5\r\nhello0\r\n\r\n", "400"),
    ("0\n\r\n", "400"),
    ("0\r\n\n", "200"),
    ("0\r\nA: b\n\r\n", "200"),
    ("0\r\nA: b\r\n\n", "200"),
    ("0\r\nA: b\rC: d\r\n\r\n", "400"),
    ("0\r\nA : b\r\n\r\n", "400"),
    ("0\r\n folded: trailer\r\n\r\n", "400"),
    ("0\r\nA: b\r\n c\r\n\r\n", "400"),
    ("0b;a=\"b c\";d\r\n\r\n\n\r0123456\r\n00\r\nA: b\r\n\r\n", "200"),
    ("0\r\nContent-Length: 5\r\n\r\n", "200"),
];

/// Requests that end with their head, or seem to.
const HEADS: &[(&str, &str)] = &[
    ("GET /api/ihop HTTP/1.1\nHost: yelb\r\n\r\n", "200 200"),
    ("GET /api/ihop HTTP/1.1\r\nHost: yelb\nA: b\r\n\r\n", "200 200"),
    ("GET /api/ihop HTTP/1.1\r\nHost: yelb\r\n\n", "200 200"),
    ("GET /api/ihop HTTP/1.1\nHost: yelb\n\n", "200 200"),
    ("\nGET /api/ihop HTTP/1.1\r\nHost: yelb\r\n\r\n", "200 200"),
    ("\r\nGET /api/ihop HTTP/1.1\r\nHost: yelb\r\n\r\n", "200 200"),
    ("\rGET /api/ihop HTTP/1.1\r\nHost: yelb\r\n\r\n", "400"),
    ("GET /api/ihop HTTP/1.1\r\r\nHost: yelb\r\n\r\n", "400"),
    ("GET /api/ihop\r HTTP/1.1\r\nHost: yelb\r\n\r\n", "400"),
    ("GET /api/ihop HTTP/1.1\r\nHost: yelb\r\n\rX\r\n\r\n", "400"),
    ("GET /api/ihop HTTP/1.1\r\n Host: yelb\r\n\r\n", "400"),
    ("G\0ET /api/ihop HTTP/1.1\r\nHost: yelb\r\n\r\n", "400"),
    ("GET /api/ihop\0 HTTP/1.1\r\nHost: yelb\r\n\r\n", "400"),
    ("GET /api/ihop HTTP/1.1\0\r\nHost: yelb\r\n\r\n", "400"),
    ("GET /api/ihop HTTP/1.1\r\nHost: yelb\r\nA\0: b\r\n\r\n", "400"),
    ("GET /api/ihop HTTP/1.1\r\nHost: yelb\r\nA: \0\r\n\r\n", "400"),
    ("GET /api/ihop HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "200 200"),
    ("GET /api/ihop HTTP/1.1\r\nHost: yelb\r\nA:\r\nB: \t \r\nC: :\r\n\r\n", "200 200"),
    ("GET /api/ihop HTTP/1.1\r\nHost: yelb\r\n\r\n", "200 200"),
    ("POST /api/ihop HTTP/1.1\r\nHost: yelb\r\nContent-Length: 0\r\n\r\n", "200 200"),
    ("POST /api/ihop HTTP/1.1\r\nHost: yelb\r\nContent-Length: 5\r\n\r\n\n\r\n\0\n", "200"),
    ("PUT /api/ihop HTTP/1.1\r\nHost: yelb\r\nContent-Length: 5\r\n\r\nhello", "405"),
    ("GET /api/kfc HTTP/1.1\r\nHost: yelb\r\nContent-Length: 5\r\n\r\nhello", "404"),
    ("HEAD /api/kfc HTTP/1.1\r\nHost: yelb\r\nContent-Length: 5\r\n\r\nhello", "404"),
    ("POST /api/ihop HTTP/1.1\r\nHost: yelb\r\nContent-Length: 65537\r\n\r\n", "413"),
];

/// All of them: what is sent before [`BEHIND`], and the answers.
fn cases() -> Vec<(String, &'static str)> {
    let head = "POST /api/ihop HTTP/1.1\r\nHost: yelb\r\n";
    // Where the body has no chunks its length is 5, and the rest of this is not a request either.
    let lengths =
        LENGTHS.iter().map(|(it, answers)| (format!("{head}{it}\r\n0\r\n\r\n"), *answers));
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    let chunks = CHUNKS.iter().map(|(it, answers)| (format!("{head}{chunked}{it}"), *answers));
    let heads = HEADS.iter().map(|(it, answers)| ((*it).to_owned(), *answers));
    lengths.chain(chunks).chain(heads).collect()
}

#[test]
fn the_app_server_reads_nothing_after_a_body() {
    let (_server, api) = start_appserver();
    assert_answers(api, api);
}

#[test]
fn the_ui_reads_nothing_after_a_body() {
    let (_server, api) = start_appserver();
    let (_ui, page) = start_ui_of(api);
    assert_answers(page, api);
}

#[test]
fn the_app_server_counts_behind_nginx_what_nginx_was_asked_for() {
    let (_server, api) = start_appserver();
    let nginx = Nginx::before(api.port());
    for (sent, _) in cases() {
        assert_counted_as_answered(nginx.address(), api, &sent);
    }
}

#[test]
fn the_ui_passes_on_behind_nginx_what_nginx_was_asked_for() {
    let (_server, api) = start_appserver();
    let (_ui, page) = start_ui_of(api);
    let nginx = Nginx::before(page.port());
    for (sent, _) in cases() {
        assert_counted_as_answered(nginx.address(), api, &sent);
    }
}

/// Each case is answered as it says by the server at `target`, and then the connection is closed.
#[track_caller]
fn assert_answers(target: SocketAddr, api: SocketAddr) {
    for (sent, expected) in cases() {
        let answers = assert_counted_as_answered(target, api, &sent);
        assert_eq!(answers, expected, "{sent:?}");
    }
}

/// So many votes are counted as are acknowledged to the client. One that was smuggled past a proxy would have no answer there.
#[track_caller]
fn assert_counted_as_answered(target: SocketAddr, api: SocketAddr, sent: &str) -> String {
    let before = votes(api);
    let answers = send(target, sent);
    let acknowledged = answers.split(' ').filter(|status| *status == "200").count();
    assert_eq!(votes(api) - before, acknowledged, "{sent:?}: {answers}");
    answers
}

/// All votes.
fn votes(api: SocketAddr) -> usize {
    let list = http::get(api, "/api/getvotes").json();
    let counts = list.as_array().into_iter().flatten().filter_map(|row| row["value"].as_u64());
    usize::try_from(counts.sum::<u64>()).expect("few votes")
}

/// Sends this and [`BEHIND`]; the statuses of all answers until the connection is closed.
fn send(target: SocketAddr, sent: &str) -> String {
    let mut connection = Raw::connect(target);
    connection.send(format!("{sent}{BEHIND}"));
    let answers = connection.read_to_end();
    let answers = String::from_utf8_lossy(&answers).into_owned();
    let lines = answers.split("HTTP/1.").skip(1);
    lines.map(|line| line.get(2..5).unwrap_or(line)).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn start_appserver() -> (Running, SocketAddr) {
    let server = Program::of_workspace("yelb-appserver")
        .envs("PORT=0, YELB_ADMIN_PORT=off, DATABASE_URL=sqlite:yelb.db")
        .spawn();
    let api = server.address("api");
    eventually(PATIENCE, "it is ready", || http::get(api, "/readyz").status == 200);
    (server, api)
}
