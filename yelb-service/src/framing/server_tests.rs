//! What hyper makes of the guarded stream: first in memory, where every cut can be tried, then over
//! TCP.

use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use proptest::{collection::vec, prelude::*, sample::Index};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use crate::serve::HungUp;

use super::{
    REFUSED, StrictRequests,
    tests::{BAD_CHUNKS, BAD_HEADS, CHUNKED, GOOD, Sent, cut, requests},
};

const OK: &str = "HTTP/1.1 200 OK";
const BAD_REQUEST: &str = "HTTP/1.1 400 Bad Request";
const HEAD_LIMIT: Duration = Duration::from_millis(300);

/// What the handler saw: how many requests began, and the bodies of those that it read to the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    began: usize,
    bodies: Vec<Vec<u8>>,
}

/// Serves one connection with a handler that reads the body before it acts.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    seen: Arc<Mutex<Seen>>,
    hung_up: HungUp,
) -> hyper::Result<()> {
    let handler = service_fn(move |request: Request<Incoming>| {
        seen.lock().unwrap().began += 1;
        let seen = Arc::clone(&seen);
        async move {
            // While a request is being handled, hyper looks at what comes next.
            tokio::task::yield_now().await;
            let mut answer = Response::new(Full::<Bytes>::default());
            match request.into_body().collect().await {
                Ok(body) => seen.lock().unwrap().bodies.push(body.to_bytes().to_vec()),
                Err(_) => *answer.status_mut() = StatusCode::BAD_REQUEST,
            }
            Ok::<_, Infallible>(answer)
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_mins(1))
        .half_close(hung_up == HungUp::Finished)
        .serve_connection(TokioIo::new(StrictRequests::new(stream, HEAD_LIMIT)), handler)
        .await
}

/// A client that sends these pieces, then waits, and closes once the server has.
#[derive(Default)]
struct Client {
    pieces: std::vec::IntoIter<Vec<u8>>,
    answers: Arc<Mutex<Vec<u8>>>,
    closed: Arc<AtomicBool>,
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.pieces.next() {
            Some(piece) => buf.put_slice(&piece),
            None if self.closed.load(Ordering::Relaxed) => {}
            None => return Poll::Pending,
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.answers.lock().unwrap().extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.closed.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs until nothing moves any more.
fn exhaust(future: impl Future) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _context = runtime.enter();
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut future = pin!(future);
    while woken.0.swap(false, Ordering::Relaxed) {
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            break;
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// The status lines of the answers.
    answers: Vec<String>,
    seen: Seen,
    closed: bool,
}

/// What becomes of these pieces, whether hyper looks ahead while it answers or not.
fn outcome(pieces: &[Vec<u8>]) -> Outcome {
    let [outcome, other] =
        [HungUp::Dropped, HungUp::Finished].map(|hung_up| outcome_if(pieces.to_vec(), hung_up));
    assert_eq!(outcome, other, "{pieces:?}");
    outcome
}

fn outcome_if(pieces: Vec<Vec<u8>>, hung_up: HungUp) -> Outcome {
    let client = Client { pieces: pieces.into_iter(), ..Client::default() };
    let (answers, closed) = (Arc::clone(&client.answers), Arc::clone(&client.closed));
    let seen = Arc::<Mutex<Seen>>::default();
    exhaust(serve(client, Arc::clone(&seen), hung_up));

    let answers = String::from_utf8(answers.lock().unwrap().clone()).unwrap();
    let answers = answers.lines().filter(|line| line.starts_with("HTTP/")).map(str::to_owned);
    let seen = seen.lock().unwrap().clone();
    Outcome { answers: answers.collect(), seen, closed: closed.load(Ordering::Relaxed) }
}

/// Whole, byte by byte, and in two at every place.
fn cuts(bytes: &str) -> impl Iterator<Item = Vec<Vec<u8>>> {
    let ways = [vec![bytes.into()], bytes.bytes().map(|byte| vec![byte]).collect()];
    let halves = (1..bytes.len()).map(|at| vec![bytes[..at].into(), bytes[at..].into()]);
    ways.into_iter().chain(halves)
}

#[test]
fn hyper_answers_400_to_a_refused_head_and_dispatches_nothing() {
    let expected =
        Outcome { answers: vec![BAD_REQUEST.into()], seen: Seen::default(), closed: true };
    for (head, violation) in BAD_HEADS {
        for pieces in cuts(head) {
            assert_eq!(outcome(&pieces), expected, "{violation}: {pieces:?}");
        }
    }
}

#[test]
fn hyper_answers_the_requests_before_a_refused_one() {
    let good = "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi";
    let expected = Outcome {
        answers: vec![OK.into(), BAD_REQUEST.into()],
        seen: Seen { began: 1, bodies: vec![b"hi".to_vec()] },
        closed: true,
    };
    for (head, violation) in BAD_HEADS {
        for pieces in cuts(&[good, head, good].concat()) {
            assert_eq!(outcome(&pieces), expected, "{violation}: {pieces:?}");
        }
    }
}

#[test]
fn a_handler_never_sees_the_end_of_a_refused_body() {
    let expected = Outcome {
        answers: vec![BAD_REQUEST.into()],
        seen: Seen { began: 1, bodies: vec![] },
        closed: true,
    };
    for (body, violation) in BAD_CHUNKS {
        for pieces in cuts(&[CHUNKED, body, GOOD[0]].concat()) {
            assert_eq!(outcome(&pieces), expected, "{violation}: {pieces:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn valid_requests_arrive_unchanged(
        requests in requests(),
        places in vec(any::<Index>(), 0..20),
    ) {
        let bytes = requests.iter().flat_map(|sent| sent.bytes.clone()).collect::<Vec<_>>();
        let bodies: Vec<_> = requests.into_iter().map(|Sent { body, .. }| body).collect();
        let outcome = outcome(&cut(&bytes, &places));
        prop_assert_eq!(outcome.seen, Seen { began: bodies.len(), bodies });
        prop_assert!(!outcome.closed);
    }
}

#[tokio::test]
async fn a_refusal_fits_the_smallest_reads_and_ends_the_stream() {
    for size in 1..20 {
        let mut stream = StrictRequests::new(&b"GET / HTTP/1.1\nHost: a\r\n\r\n"[..], HEAD_LIMIT);
        let (mut buf, mut read) = (vec![0; size], Vec::new());
        loop {
            match stream.read(&mut buf).await.unwrap() {
                0 => break,
                n => read.extend_from_slice(&buf[..n]),
            }
        }
        assert_eq!(read, [b"GET / HTTP/1.1", REFUSED].concat());
    }
}

/// A server on a port of its own.
async fn listen() -> (TcpStream, Arc<Mutex<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::<Mutex<Seen>>::default();
    let server_seen = Arc::clone(&seen);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = serve(stream, server_seen, HungUp::Finished).await;
    });
    (TcpStream::connect(address).await.unwrap(), seen)
}

/// Everything until the server closes, which it must do without a reset.
async fn answers(client: &mut TcpStream) -> String {
    let mut answers = String::new();
    let closed = timeout(Duration::from_secs(10), client.read_to_string(&mut answers));
    closed.await.expect("the server closes").expect("no reset");
    answers
}

/// One answer without a body.
async fn answer(client: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(client.read_u8().await.unwrap());
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn each_smuggling_shape_is_answered_400_and_closed() {
    for (head, violation) in BAD_HEADS {
        let (mut client, seen) = listen().await;
        client.write_all(head.as_bytes()).await.unwrap();
        let answers = answers(&mut client).await;
        assert!(answers.starts_with(BAD_REQUEST), "{violation}: {answers}");
        assert_eq!(answers.matches("HTTP/1.1").count(), 1);
        assert_eq!(*seen.lock().unwrap(), Seen::default());
    }
}

#[tokio::test]
async fn a_good_request_before_a_bad_one_is_answered_first() {
    let (mut client, seen) = listen().await;
    let bad = "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    client.write_all(["GET / HTTP/1.1\r\n\r\n", bad, GOOD[0]].concat().as_bytes()).await.unwrap();
    let answers = answers(&mut client).await;
    assert!(answers.starts_with(OK), "{answers}");
    assert_eq!(answers.matches(BAD_REQUEST).count(), 1);
    assert_eq!(seen.lock().unwrap().began, 1);
}

#[tokio::test]
async fn a_client_that_still_sends_gets_its_answer_and_no_reset() {
    let refused = ("POST / HTTP/1.1\r\nContent-Length: 1e6\r\n\r\n", BAD_REQUEST);
    let too_large = ("GET / HTTP/1.1\r\nA: ", "HTTP/1.1 431 ");
    for (start, status) in [refused, too_large] {
        let (mut client, _) = listen().await;
        client.write_all(start.as_bytes()).await.unwrap();
        for _ in 0..10 {
            client.write_all(&vec![b'x'; 100_000]).await.expect("no reset");
            sleep(Duration::from_millis(5)).await;
        }
        let answers = answers(&mut client).await;
        assert!(answers.starts_with(status), "{answers}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_close_is_not_waited_for() {
    let (mut client, _) = listen().await;
    client.write_all(b"\n").await.unwrap();
    assert!(answers(&mut client).await.starts_with(BAD_REQUEST));
    sleep(super::LINGER * 3 / 2).await;
    // The first write may still be taken; it is answered by the reset that the second meets.
    let _ = client.write_all(b"x").await;
    sleep(Duration::from_millis(50)).await;
    assert!(client.write_all(b"x").await.is_err());
}

#[tokio::test]
async fn a_head_that_dribbles_past_the_limit_is_closed() {
    let (mut client, seen) = listen().await;
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    answer(&mut client).await;

    let began = Instant::now();
    for byte in b"GET / HTTP/1.1\r\n" {
        if client.write_all(&[*byte]).await.is_err() {
            break;
        }
        sleep(HEAD_LIMIT / 5).await;
    }
    let mut rest = Vec::new();
    let read = timeout(Duration::from_secs(10), client.read_to_end(&mut rest)).await;
    assert!(read.expect("the server closes").unwrap_or(0) == 0);
    assert!(began.elapsed() >= HEAD_LIMIT);
    assert_eq!(seen.lock().unwrap().began, 1);
}

#[tokio::test]
async fn each_head_has_its_own_limit() {
    let (mut client, seen) = listen().await;
    // Together longer than the limit, and never between two requests.
    client.write_all(b"GET / HTTP/1.1\r\nA").await.unwrap();
    for _ in 0..6 {
        sleep(HEAD_LIMIT / 4).await;
        client.write_all(b": b\r\n\r\nGET / HTTP/1.1\r\nA").await.unwrap();
        answer(&mut client).await;
    }
    assert_eq!(seen.lock().unwrap().began, 6);
}

#[tokio::test]
async fn neither_an_idle_connection_nor_a_slow_body_is_closed() {
    let (mut client, seen) = listen().await;
    for _ in 0..2 {
        sleep(HEAD_LIMIT * 2).await;
        client.write_all(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel").await.unwrap();
        sleep(HEAD_LIMIT * 2).await;
        client.write_all(b"lo").await.unwrap();
        assert!(answer(&mut client).await.starts_with(OK));
    }
    assert_eq!(seen.lock().unwrap().bodies, [b"hello", b"hello"]);
}

#[tokio::test]
async fn long_bodies_arrive_intact() {
    let body: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let (mut client, seen) = listen().await;

    let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
    client.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    assert!(answer(&mut client).await.starts_with(OK));

    client.write_all(CHUNKED.as_bytes()).await.unwrap();
    for chunk in body.chunks(70_000) {
        let size = format!("{:x};a=b\r\n", chunk.len());
        client.write_all(&[size.as_bytes(), chunk, b"\r\n"].concat()).await.unwrap();
    }
    client.write_all(b"0\r\nA: b\r\n\r\n").await.unwrap();
    assert!(answer(&mut client).await.starts_with(OK));
    assert!(seen.lock().unwrap().bodies == [body.clone(), body]);
}
