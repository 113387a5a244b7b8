//! One connection as its client sees it, in memory where the clock matters and by TCP where the kernel does.

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: yelb\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\n";

/// Answers with the length of the body, or refuses to read it.
async fn app(request: Request) -> Result<String, StatusCode> {
    if request.uri().path() == "/refused" {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await;
    body.map(|body| body.len().to_string()).map_err(|_| StatusCode::BAD_REQUEST)
}

async fn serve_one(stream: impl AsyncRead + AsyncWrite + Unpin, stop: CancellationToken) {
    let peer = ([127, 0, 0, 1], 1).into();
    let app = App::new(Router::new().fallback(app));
    // The client's doing is seen by the client.
    let _ = serve(stream, peer, app, OnDisconnect::Complete, stop).await;
}

/// A client of a server that is stopped by the token.
fn connect() -> (DuplexStream, CancellationToken) {
    let (client, server) = duplex(64 * 1024);
    let stop = CancellationToken::new();
    tokio::spawn(serve_one(server, stop.clone()));
    (client, stop)
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
async fn a_head_that_does_not_come_to_its_end_is_given_up_after_75_seconds() {
    for begun in ["", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: yelb\r\n"] {
        let (mut client, _stop) = connect();
        let began = Instant::now();
        client.write_all(begun.as_bytes()).await.unwrap();
        assert_eq!(all_answers(&mut client).await, "", "{begun:?}");
        assert!((75..77).contains(&began.elapsed().as_secs()), "{begun:?}: {:?}", began.elapsed());
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
    assert!((75..77).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    drop(answers);
    dripping.abort();
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
async fn a_request_with_a_body_is_answered_and_nothing_after_it_is_read() {
    for request in [
        "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n1",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n1",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
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
    let empty = "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
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
    client.write_all(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel").await.unwrap();
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
        ("POST /refused HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n", "HTTP/1.1 413 "),
        ("POST / HTTP/1.1\r\nContent-Length: 1e6\r\n\r\n", "HTTP/1.1 400 "),
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
    let sized = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let chunks: String =
        [70_000, 230_000].map(|size| format!("{size:x};a=b\r\n{}\r\n", &body[..size])).concat();
    let chunked =
        format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\nA: b\r\n\r\n");
    for request in [sized, chunked] {
        let mut client = connect_by_tcp().await;
        client.write_all(request.as_bytes()).await.unwrap();
        assert!(all_answers(&mut client).await.ends_with("\r\n\r\n300000"));
    }
}
