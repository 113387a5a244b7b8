//! One connection as its client sees it, in memory where the clock matters and by TCP where the kernel does.

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::*;
use crate::connections::{Admission, Connections};
use crate::limits::Limits;

const GET: &str = "GET / HTTP/1.1\r\nHost: yelb\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\n";

impl Client for DuplexStream {
    /// It is not asked: these clients' requests are completed.
    fn poll_is_at_end(&self, _: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<bool>> {
        std::task::Poll::Pending
    }
}

/// Answers with the length of the body, or refuses to read it.
async fn app(request: Request) -> Result<String, StatusCode> {
    if request.uri().path() == "/refused" {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await;
    body.map(|body| body.len().to_string()).map_err(|_| StatusCode::BAD_REQUEST)
}

/// What a connection is served with, one of as many as `limits` let in.
fn session(is_turned_away: bool, health: &Health) -> Session {
    let peer = ([127, 0, 0, 1], 1).into();
    let limits = Limits { connections: 10, per_client: None };
    let Admission::Served(entry) = Connections::new(limits).admit(peer) else { unreachable!() };
    Session {
        peer,
        app: App::new(Router::new().fallback(app)),
        on_disconnect: OnDisconnect::Complete,
        health: health.clone(),
        entry: Arc::new(entry),
        is_turned_away,
        rest_after: Duration::MAX,
    }
}

async fn serve_one(mut stream: impl Client, stop: CancellationToken) {
    // The client's doing is seen by the client.
    let _ = serve(&mut stream, &session(false, &Health::default()), &stop).await;
}

/// A client of a server that is stopped by the token.
fn connect() -> (DuplexStream, CancellationToken) {
    let (client, server) = duplex(64 * 1024);
    let stop = CancellationToken::new();
    tokio::spawn(serve_one(server, stop.clone()));
    (client, stop)
}

/// A client of a server that is served with this.
fn connect_to(session: Session) -> DuplexStream {
    let (client, mut server) = duplex(64 * 1024);
    let stop = CancellationToken::new();
    tokio::spawn(async move { drop(serve(&mut server, &session, &stop).await) });
    client
}

async fn connect_by_tcp() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve_one(stream, CancellationToken::new()).await;
    });
    TcpStream::connect(address).await.unwrap()
}

/// Everything until the server closes, which it must do without a reset.
async fn all_answers(client: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answers = String::new();
    client.read_to_string(&mut answers).await.expect("no reset");
    answers
}

/// The next answer, whose body is one digit.
async fn one_answer(client: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(client.read_u8().await.expect("a whole answer"));
    }
    answer.push(client.read_u8().await.expect("its body"));
    String::from_utf8(answer).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_kept_for_75_seconds_and_half_a_head_for_10() {
    for (begun, seconds) in
        [("", 75), ("G", 10), ("GET / HTTP/1.1\r\n", 10), ("GET / HTTP/1.1\r\nHost: yelb\r\n", 10)]
    {
        let (mut client, _stop) = connect();
        let began = Instant::now();
        client.write_all(begun.as_bytes()).await.unwrap();
        assert_eq!(all_answers(&mut client).await, "", "{begun:?}");
        let took = began.elapsed().as_secs();
        assert_eq!(took, seconds, "{begun:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_a_byte_a_second_gets_no_more_time() {
    let (client, _stop) = connect();
    let (mut answers, mut requests) = tokio::io::split(client);
    let began = Instant::now();
    let dripping = tokio::spawn(async move {
        while requests.write_all(b"G").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    });
    assert_eq!(all_answers(&mut answers).await, "");
    assert!((10..12).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    drop(answers);
    dripping.abort();
}

#[tokio::test(start_paused = true)]
async fn the_time_for_a_head_begins_anew_with_each_request() {
    let (mut client, _stop) = connect();
    for _ in 0..5 {
        let (first, rest) = GET.split_at(9);
        client.write_all(first.as_bytes()).await.unwrap();
        sleep(Duration::from_secs(9)).await;
        client.write_all(rest.as_bytes()).await.unwrap();
        assert!(one_answer(&mut client).await.starts_with(OK));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_given_up_after_30_seconds() {
    let (mut client, _stop) = connect();
    let began = Instant::now();
    // More answers than the pipe and the server's buffers take.
    let sending = async {
        while client.write_all(GET.repeat(100).as_bytes()).await.is_ok() {}
        began.elapsed().as_secs()
    };
    assert!((30..32).contains(&sending.await), "{:?}", began.elapsed());
}

#[tokio::test]
async fn requests_that_are_sent_ahead_let_another_client_go_first() {
    let (asked, mut order) = tokio::sync::mpsc::unbounded_channel();
    let note = move |request: Request| {
        let path = request.uri().path().to_owned();
        asked.send(path).expect("the test listens");
        async {}
    };
    let app = App::new(Router::new().fallback(note));
    let connect = || {
        let session = session(false, &Health::default());
        connect_to(Session { app: app.clone(), ..session })
    };
    let (mut hasty, mut other) = (connect(), connect());
    let ahead = "GET /ahead HTTP/1.1\r\nHost: yelb\r\n\r\n".repeat(100);
    hasty.write_all(ahead.as_bytes()).await.unwrap();
    other.write_all(b"GET /other HTTP/1.1\r\nHost: yelb\r\n\r\n").await.unwrap();
    let mut before = 0;
    while order.recv().await.expect("a request") != "/other" {
        before += 1;
    }
    assert!(before <= 2, "{before} went before it");
}

#[tokio::test]
async fn an_http_1_1_request_has_one_valid_host() {
    for (fields, status) in [
        ("Host: yelb\r\n", "200"),
        ("Host:\r\n", "200"),
        ("", "400"),
        ("Host: a\r\nHost: a\r\n", "400"),
        ("Host: a/b\r\n", "400"),
        ("Host: a@b\r\n", "400"),
    ] {
        for (version, without) in [("1.1", "400"), ("1.0", "200")] {
            let (mut client, _stop) = connect();
            let request = format!("GET / HTTP/{version}\r\n{fields}Connection: close\r\n\r\n");
            client.write_all(request.as_bytes()).await.unwrap();
            let expected = if fields.is_empty() { without } else { status };
            let answers = all_answers(&mut client).await;
            assert_eq!(answers.get(9..12), Some(expected), "{request}: {answers}");
        }
    }
}

#[tokio::test]
async fn a_refused_request_is_the_last_on_its_connection() {
    let (mut client, _stop) = connect();
    client.write_all(["GET / HTTP/1.1\r\n\r\n", GET].concat().as_bytes()).await.unwrap();
    let answers = all_answers(&mut client).await;
    assert!(answers.contains("\r\nConnection: close\r\n"), "{answers}");
    assert!(answers.contains("The Host field is missing."), "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
}

#[tokio::test]
async fn a_head_has_64_kib_and_not_one_byte_more() {
    for (size, status) in [(60_000, "200"), (65_000, "200"), (66_000, "431"), (100_000, "431")] {
        let mut client = connect_by_tcp().await;
        let fields = format!("A: {}\r\n", "a".repeat(1000)).repeat(size / 1000);
        let request = format!("GET / HTTP/1.1\r\nHost: yelb\r\nConnection: close\r\n{fields}\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let answers = all_answers(&mut client).await;
        assert_eq!(answers.get(9..12), Some(status), "{size}: {answers}");
    }
}

#[tokio::test]
async fn each_answer_says_that_the_connection_closes_while_the_process_drains() {
    let health = Health::default();
    let mut client = connect_to(session(false, &health));
    client.write_all(GET.as_bytes()).await.unwrap();
    assert!(!one_answer(&mut client).await.contains("Connection: close"));
    health.drain();
    client.write_all(GET.as_bytes()).await.unwrap();
    let answers = all_answers(&mut client).await;
    assert!(answers.starts_with(OK) && answers.contains("\r\nConnection: close\r\n"), "{answers}");
}

#[tokio::test]
async fn beyond_the_limit_health_is_answered_and_everything_else_is_503() {
    for (path, status) in
        [("/livez", "200"), ("/readyz", "200"), ("/", "503"), ("/api/ihop", "503")]
    {
        let mut client = connect_to(session(true, &Health::default()));
        let request = format!("GET {path} HTTP/1.1\r\nHost: yelb\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let answers = all_answers(&mut client).await;
        assert_eq!(answers.get(9..12), Some(status), "{path}: {answers}");
        assert!(answers.contains("\r\nConnection: close\r\n"), "{answers}");
        assert_eq!(answers.contains("Retry-After: 1"), status == "503", "{answers}");
    }
}

#[tokio::test]
async fn beyond_the_limit_of_bodies_a_request_with_a_body_is_503_and_others_are_answered() {
    let session = || session(false, &Health::default());
    let full = session();
    let places: Vec<_> = std::iter::from_fn(|| full.entry.body_place()).collect();
    let with_body = "POST / HTTP/1.1\r\nHost: yelb\r\nContent-Length: 1\r\n\r\n1";
    let beside = Session { entry: Arc::clone(&full.entry), ..session() };
    let mut client = connect_to(beside);
    client.write_all([GET, with_body].concat().as_bytes()).await.unwrap();
    let answers = all_answers(&mut client).await;
    assert!(answers.starts_with(OK), "{answers}");
    assert!(answers.contains("HTTP/1.1 503 ") && answers.contains("Retry-After: 1"), "{answers}");

    drop(places);
    let mut client = connect_to(full);
    client.write_all(with_body.as_bytes()).await.unwrap();
    assert!(all_answers(&mut client).await.starts_with(OK));
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_a_connection_without_a_request_lasts_5_seconds() {
    let mut client = connect_to(session(true, &Health::default()));
    let began = Instant::now();
    assert_eq!(all_answers(&mut client).await, "");
    assert!((5..7).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_as_long_as_a_load_balancer_keeps_it() {
    let (mut client, _stop) = connect();
    for _ in 0..3 {
        sleep(Duration::from_secs(74)).await;
        client.write_all(GET.as_bytes()).await.unwrap();
        assert!(one_answer(&mut client).await.starts_with(OK));
    }
    let answered = Instant::now();
    assert_eq!(all_answers(&mut client).await, "");
    assert!((75..77).contains(&answered.elapsed().as_secs()), "{:?}", answered.elapsed());
}

#[tokio::test]
async fn an_idle_connection_rests_and_is_served_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let session = session(false, &Health::default());
    let session = Session { rest_after: Duration::from_millis(1), ..session };
    let stop = CancellationToken::new();
    for _ in 0..3 {
        client.write_all(GET.as_bytes()).await.unwrap();
        let (next, answer) =
            tokio::join!(serve(&mut stream, &session, &stop), one_answer(&mut client));
        assert_eq!(next.unwrap(), Next::Rest);
        assert!(answer.starts_with(OK) && !answer.contains("Connection: close"), "{answer}");
    }
    client.write_all(b"POST / HTTP/1.1\r\nHost: yelb\r\nContent-Length: 1\r\n\r\n1").await.unwrap();
    drop(client);
    assert_eq!(serve(&mut stream, &session, &stop).await.unwrap(), Next::End);
}

/// A client of this app, whose connection rests after a second; and what is next on it.
fn connect_resting(app: Router) -> (DuplexStream, JoinHandle<Next>) {
    let session = session(false, &Health::default());
    let session = Session { rest_after: Duration::from_secs(1), app: App::new(app), ..session };
    let (client, mut server) = duplex(64 * 1024);
    let stop = CancellationToken::new();
    let serving = async move { serve(&mut server, &session, &stop).await.unwrap() };
    (client, tokio::spawn(serving))
}

#[tokio::test(start_paused = true)]
async fn a_connection_does_not_rest_while_a_request_is_under_way() {
    let slow = async || {
        sleep(Duration::from_secs(5)).await;
        "1"
    };
    let (mut client, next) = connect_resting(Router::new().fallback(slow));
    let (first, rest) = GET.split_at(9);
    client.write_all(first.as_bytes()).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    client.write_all(rest.as_bytes()).await.unwrap();
    let answer = one_answer(&mut client).await;
    assert!(answer.starts_with(OK) && !answer.contains("Connection: close"), "{answer}");
    assert_eq!(next.await.unwrap(), Next::Rest);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_after_a_body_that_was_answered_before_it_came() {
    let echo = async |request: Request| Response::new(request.into_body());
    let (mut client, next) = connect_resting(Router::new().fallback(echo));
    client.write_all(b"POST / HTTP/1.1\r\nHost: yelb\r\nContent-Length: 1\r\n\r\n").await.unwrap();
    sleep(Duration::from_secs(5)).await;
    client.write_all(b"1").await.unwrap();
    assert!(all_answers(&mut client).await.starts_with(OK));
    assert_eq!(next.await.unwrap(), Next::End);
}

#[tokio::test]
async fn a_request_with_a_body_is_answered_and_nothing_after_it_is_read() {
    for request in [
        "POST / HTTP/1.1\r\nHost: yelb\r\nContent-Length: 1\r\n\r\n1",
        "GET / HTTP/1.1\r\nHost: yelb\r\nContent-Length: 1\r\n\r\n1",
        "POST / HTTP/1.1\r\nHost: yelb\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: yelb\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: yelb\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let (mut client, _stop) = connect();
        client.write_all([request, GET].concat().as_bytes()).await.unwrap();
        let answers = all_answers(&mut client).await;
        assert!(answers.starts_with(OK), "{request}: {answers}");
        assert!(answers.contains("\r\nConnection: close\r\n"), "{request}: {answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{request}: {answers}");
    }
}

#[tokio::test]
async fn requests_without_a_body_share_the_connection() {
    let (mut client, stop) = connect();
    let empty = "POST / HTTP/1.1\r\nHost: yelb\r\nContent-Length: 0\r\n\r\n";
    client.write_all([GET, empty, GET].concat().as_bytes()).await.unwrap();
    for _ in 0..3 {
        let answer = one_answer(&mut client).await;
        assert!(answer.starts_with(OK) && !answer.contains("Connection: close"), "{answer}");
    }
    stop.cancel();
    assert_eq!(all_answers(&mut client).await, "");
}

#[tokio::test]
async fn a_request_that_has_begun_is_answered_after_the_stop_and_is_the_last() {
    let (mut client, stop) = connect();
    client.write_all(GET.as_bytes()).await.unwrap();
    assert!(one_answer(&mut client).await.starts_with(OK));
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: yelb\r\nContent-Length: 5\r\n\r\nhel")
        .await
        .unwrap();
    tokio::task::yield_now().await;
    stop.cancel();
    tokio::task::yield_now().await;
    client.write_all(b"lo").await.unwrap();
    let answers = all_answers(&mut client).await;
    assert!(answers.starts_with(OK) && answers.ends_with("\r\n\r\n5"), "{answers}");
}

#[tokio::test]
async fn a_client_that_still_sends_gets_its_answer_and_no_reset() {
    for (start, status) in [
        (
            "POST /refused HTTP/1.1\r\nHost: yelb\r\nContent-Length: 1000000\r\n\r\n",
            "HTTP/1.1 413 ",
        ),
        ("POST / HTTP/1.1\r\nHost: yelb\r\nContent-Length: 1e6\r\n\r\n", "HTTP/1.1 400 "),
        ("GET / HTTP/1.1\r\nA: ", "HTTP/1.1 431 "),
    ] {
        let mut client = connect_by_tcp().await;
        client.write_all(start.as_bytes()).await.unwrap();
        for _ in 0..10 {
            client.write_all(&vec![b'x'; 100_000]).await.expect("no reset");
            sleep(Duration::from_millis(5)).await;
        }
        let answers = all_answers(&mut client).await;
        assert!(answers.starts_with(status), "{answers}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_close_is_not_waited_for() {
    let mut client = connect_by_tcp().await;
    client.write_all(b"\0").await.unwrap();
    assert!(all_answers(&mut client).await.starts_with("HTTP/1.1 400 "));
    // What is written after the server has gone is answered by a reset, which a later write meets.
    let gone = async {
        while client.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LINGER * 10, gone).await.expect("it goes by itself");
}

#[tokio::test]
async fn long_bodies_arrive_whole() {
    let body = "x".repeat(300_000);
    let sized =
        format!("POST / HTTP/1.1\r\nHost: yelb\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let chunks: String =
        [70_000, 230_000].map(|size| format!("{size:x};a=b\r\n{}\r\n", &body[..size])).concat();
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: yelb\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\nA: b\r\n\r\n"
    );
    for request in [sized, chunked] {
        let mut client = connect_by_tcp().await;
        client.write_all(request.as_bytes()).await.unwrap();
        assert!(all_answers(&mut client).await.ends_with("\r\n\r\n300000"));
    }
}
